"""Getting the answers: the journal, the backend, and what is said meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from evalkit import __version__
from evalkit.backends.base import Backend, Prepared
from evalkit.errors import EvaluationError, InterruptedRunError, NonFiniteError
from evalkit.requests import Failure, Generation, Reply, Response
from evalkit.results import Sample
from evalkit.runner.asking import Asked
from evalkit.runner.journal import Journal, journal_path, run_key
from evalkit.runner.progress import Progress, Status
from evalkit.runner.task_run import TaskRun, with_fields


def open_journal(prepared: Prepared, backend: Backend, output: Path | None) -> Journal:
    """The journal of this very run, with the answers it holds; a run without output keeps them in memory."""
    # the size of batches may shrink when memory runs out; it is recorded with each batch and not part of what is asked
    settings = {key: value for key, value in backend.settings().items() if key not in {"batch_tokens", "self_check"}}
    identity = {"model": asdict(backend.info), "backend": settings, "version": __version__}
    path = None if output is None else journal_path(output)
    journal = Journal(path, run_key(identity, prepared.requests), backend.budget)
    backend.budget = journal.budget
    return journal


def answer_all(
    asked: Sequence[Asked], prepared: Prepared, backend: Backend, journal: Journal, progress: Progress
) -> Mapping[int, Reply]:
    """Answers every request, journalling as it goes; what the journal already holds is not asked again.

    Returns:
        Request -> reply; a `Failure` where none could be had.

    Raises:
        InterruptedRunError: The user stopped the run; the journal's file stays.
        NonFiniteError: Names task, document and token.
    """
    answering = Answering(asked, prepared, backend, journal, progress)
    answering.answer(range(len(prepared.requests)))
    return answering.answers


class Answering:
    """The answers of one run, asked for all at once or in parts.

    Args:
        asked: All documents of the run.
        prepared: Their requests.
        backend: What answers.
        journal: What is answered already, and where answers are kept.
        progress: Told what happens.
    """

    def __init__(
        self, asked: Sequence[Asked], prepared: Prepared, backend: Backend, journal: Journal, progress: Progress
    ) -> None:
        self._asked, self._prepared, self._backend, self._journal = asked, prepared, backend, journal
        self._tracker = _Tracker(asked, progress, backend, journal.resumed)
        self._failures: dict[int, Reply] = {}
        if journal.resumed:
            progress.note(f"continuing: {journal.resumed} of {len(prepared.requests)} requests are already answered")
            self._tracker.add(dict(journal.answers))

    @property
    def answers(self) -> Mapping[int, Reply]:
        """Request -> reply of all that was asked so far; a `Failure` where none could be had."""
        return {**self._journal.answers, **self._failures}

    def answer(self, requests: Iterable[int]) -> None:
        """Answers these requests, but those already answered.

        Raises:
            InterruptedRunError: The user stopped the run; the journal's file stays.
            NonFiniteError: Names task, document and token.
        """
        journal, total = self._journal, len(self._prepared.requests)
        left_out = set(range(total)).difference(requests).union(journal.answers, self._failures)
        try:
            for new in self._backend.compute(self._prepared, frozenset(left_out)):
                if new:
                    journal.add(new, self._backend.budget)
                    self._failures.update((index, reply) for index, reply in new if isinstance(reply, Failure))
                    self._tracker.add(dict(new))
        except KeyboardInterrupt:
            kept = journal.path is not None
            raise InterruptedRunError(
                f"interrupted after {len(journal.answers)} of {total} requests" + (", which are kept" if kept else ""),
                hint="the same command continues where this one stopped" if kept else None,
            ) from None
        except NonFiniteError as error:
            raise _name_non_finite(error, self._asked) from error


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
        self.owners = [place for place, one in enumerate(asked) for _ in one.requests]
        self.missing = [len(one.requests) for one in asked]
        self.answers: dict[int, Reply] = {}
        self.documents = 0
        self.samples: dict[str, list[Sample]] = {}
        self.start = time.perf_counter()

    def add(self, new: Mapping[int, Reply]) -> None:
        """Takes new answers in and reports where the run stands."""
        self.answers.update(new)
        changed: dict[str, TaskRun] = {}
        for index in new:
            place = self.owners[index]
            self.missing[place] -= 1
            if self.missing[place] == 0:
                one = self.asked[place]
                self.documents += 1
                changed[one.run.key] = one.run
                self.samples.setdefault(one.run.key, []).append(sample_of(one, self.answers))
        scores = {}
        for key, run in changed.items():
            with suppress(EvaluationError):  # no document of the task has a value yet
                scores[key] = next(iter(run.estimates(self.samples[key], intervals=False).items()))
        self.progress.update(
            Status(
                documents=self.documents,
                total_documents=len(self.asked),
                requests=len(self.answers),
                total_requests=len(self.owners),
                resumed_requests=self.resumed,
                tokens_computed=self.backend.counters()["tokens_computed"],
                seconds=time.perf_counter() - self.start,
                scores=scores,
            )
        )


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
