"""Getting the answers: the journal, the store, the backend, and what is said meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.backends.base import Answer, Backend, environment_of
from evalkit.errors import EvaluationError, InterruptedRunError, NonFiniteError
from evalkit.requests import Failure, Generation, Reply, Response
from evalkit.results import MetricValue, Sample
from evalkit.runner import windows
from evalkit.runner.asking import Asked, Ready
from evalkit.runner.journal import Journal, journal_path, run_key
from evalkit.runner.progress import Progress, Status
from evalkit.runner.reuse import Reuse
from evalkit.runner.task_run import TaskRun, with_fields

SCORES_EVERY = 1.0
"""Seconds between running scores."""


class Answering:
    """The answers of one run, asked for all at once or in parts; what the journal or the store holds is not asked again.

    Args:
        ready: The run.
        output: The result file, which the journal stands beside; None keeps answers in memory.
        progress: Told what happens.
        reuse: Take answers from the response store, and leave new ones there.

    Attributes:
        reused: Number of answers that came from the store.

    Raises:
        OutputError: Another process writes this result, or the place cannot be written.
    """

    def __init__(self, ready: Ready, output: Path | None, progress: Progress, *, reuse: bool = False) -> None:
        self._asked, self._prepared, self._backend = ready.asked, ready.prepared, ready.backend
        self._progress = progress
        self._failures: dict[int, Reply] = {}
        self.reused = 0
        key = run_key(_identity(self._backend), self._prepared.requests)
        path = None if output is None else journal_path(output)
        self._journal = Journal(path, key, self._backend.budget)
        self._journal.begin(environment_of(self._backend).computing)
        self._reuse = Reuse(self._backend, self._prepared, key) if reuse else None
        self._backend.budget = self._journal.budget
        self._tracker = _Tracker(self._asked, progress, self._backend, self._journal.resumed)
        self._tell()
        if self._journal.resumed:
            self._tracker.add(dict(self._journal.answers))

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
        if self._reuse is not None:
            self._reuse.close()

    @property
    def answers(self) -> Mapping[int, Reply]:
        """Request -> reply of all that was asked so far; a `Failure` where none could be had."""
        return {**self._journal.answers, **self._failures}

    @property
    def environments(self) -> Sequence[Mapping[str, Any]]:
        """What is known of other machines and libraries that computed a part of the answers, each once."""
        return self._journal.environments

    def answer(self, requests: Iterable[int]) -> None:
        """Answers these requests, but those already answered.

        Raises:
            InterruptedRunError: The user stopped the run; the journal's file stays.
            NonFiniteError: Names task, document and token.
        """
        total = len(self._prepared.requests)
        try:
            asked = set(requests)
            self._look_up(asked.difference(self._journal.answers, self._failures))
            left_out = set(range(total)).difference(asked, self._journal.answers, self._failures)
            done = frozenset((*self._journal.answers, *self._failures))
            for new in windows.compute(self._backend, self._prepared, done, frozenset(left_out)):
                if new:
                    self._keep(new)
        except KeyboardInterrupt:
            kept = self._journal.path is not None
            answered = f"interrupted after {len(self._journal.answers)} of {total} requests"
            raise InterruptedRunError(
                answered + (", which are kept" if kept else ""),
                hint="the same command continues where this one stopped" if kept else None,
            ) from None
        except NonFiniteError as error:
            raise _name_non_finite(error, self._asked) from error

    def _keep(self, new: Sequence[Answer]) -> None:
        self._journal.add(new, self._backend.budget)
        if self._reuse is not None:
            self._reuse.keep(new)
        self._failures.update((index, reply) for index, reply in new if isinstance(reply, Failure))
        self._tracker.add(dict(new))

    def _look_up(self, wanted: set[int]) -> None:
        """Takes what the store has of these."""
        found = self._reuse.known(wanted) if self._reuse is not None and wanted else {}
        if not found:
            return
        self._journal.add(found.items(), self._backend.budget)
        self.reused += len(found)
        self._tracker.reused = self.reused
        self._progress.note(
            f"{len(found):,} of {len(wanted):,} requests were answered before by the same model with the same settings "
            "(--no-cache computes them again)"
        )
        self._tracker.add(found)

    def forget(self) -> None:
        """Removes the journal, once the result is written."""
        self._journal.remove()

    def _tell(self) -> None:
        """What was found beside the result."""
        journal, note = self._journal, self._progress.note
        if journal.set_aside is not None:
            note(
                f"the answers of another, unfinished run are kept in {journal.set_aside.name} for the command that began it"
            )
        if journal.damaged:
            note(f"{journal.damaged} lines of the journal are damaged; what they held is computed again")
        if journal.resumed:
            note(f"continuing: {journal.resumed} of {len(self._prepared.requests)} requests are already answered")
            if self._backend.info.source == "endpoint":
                note("whether the endpoint still serves the same weights cannot be seen from here")
        if journal.environments:
            note(
                "a part was computed with other hardware or libraries: log-probabilities may differ in the last digits"
            )


def _identity(backend: Backend) -> dict[str, Any]:
    """What answers. The size of batches may shrink when memory runs out: it is recorded with each batch instead."""
    settings = {key: value for key, value in backend.settings().items() if key not in {"batch_tokens", "self_check"}}
    return {"model": backend.info.content(), "backend": settings, "version": __version__}


def _name_non_finite(error: NonFiniteError, asked: Sequence[Asked]) -> NonFiniteError:
    request = getattr(error, "request", None)
    if request is None:
        return error
    one = next(one for one in reversed(asked) if one.first <= request)
    return NonFiniteError(
        f"the model's logits are not finite: task {one.run.key}, document {one.item.index} (id {one.item.id}), "
        f"request {request - one.first}, scored token {getattr(error, 'token', 0)}",
        hint=error.hint,
    )


class _Tracker:
    """Turns answers into finished documents and running scores, and reports them."""

    def __init__(self, asked: Sequence[Asked], progress: Progress, backend: Backend, resumed: int) -> None:
        self.asked = asked
        self.progress = progress
        self.backend = backend
        self.resumed = resumed
        self.reused = 0
        self.owners = [place for place, one in enumerate(asked) for _ in range(one.count)]
        self.missing = [one.count for one in asked]
        self.answers: dict[int, Reply] = {}
        self.documents = 0
        self.samples: dict[str, list[Sample]] = {}
        self.changed: dict[str, TaskRun] = {}
        self.start = self.scored = time.perf_counter()

    def add(self, new: Mapping[int, Reply]) -> None:
        """Takes new answers in and reports where the run stands."""
        self.answers.update(new)
        for index in new:
            place = self.owners[index]
            self.missing[place] -= 1
            if self.missing[place] == 0:
                one = self.asked[place]
                self.documents += 1
                self.changed[one.run.key] = one.run
                self.samples.setdefault(one.run.key, []).append(sample_of(one, self.answers))
        self.progress.update(
            Status(
                documents=self.documents,
                total_documents=len(self.asked),
                requests=len(self.answers),
                total_requests=len(self.owners),
                resumed_requests=self.resumed + self.reused,
                tokens_computed=self.backend.counters()["tokens_computed"],
                seconds=time.perf_counter() - self.start,
                scores=self._scores(),
            )
        )

    def _scores(self) -> dict[str, tuple[str, MetricValue]]:
        """Running scores of the tasks that have changed; only now and then, as all their samples are gone through again."""
        now = time.perf_counter()
        if now - self.scored < SCORES_EVERY and self.documents < len(self.asked):
            return {}
        self.scored, changed, self.changed = now, self.changed, {}
        scores = {}
        for key, run in changed.items():
            with suppress(EvaluationError):  # no document of the task has a value yet
                scores[key] = next(iter(run.estimates(self.samples[key], intervals=False).items()))
        return scores


def sample_of(one: Asked, answers: Mapping[int, Reply]) -> Sample:
    """What the answers say about one document, with what was done to its prompt; worked out once."""
    if one.sample is None:
        one.sample = _sample(one, one.replies(answers))
    return one.sample


def _sample(one: Asked, replies: Sequence[Reply]) -> Sample:
    item = one.item
    if failed := next((reply for reply in replies if isinstance(reply, Failure)), None):
        return Sample(item.id, item.index, item.cluster, "errored", {}, {"error": failed.reason})
    sample = one.run.sample(item, replies)
    if one.dropped_shots:
        sample = with_fields(sample, dropped_shots=one.dropped_shots)
    if cut := max(reply.truncated for reply in replies if isinstance(reply, Response | Generation)):
        sample = with_fields(sample, truncated_tokens=cut)
    return sample
