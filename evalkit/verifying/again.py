"""Some of the answers once more, from the model itself."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.backends.base import Backend
from evalkit.requests import Failure, Generate, Generation, Reply, Request, Response
from evalkit.results import ModelInfo, Run
from evalkit.runner.answering import sample_of
from evalkit.runner.asking import Asked, Ready
from evalkit.verification import Check
from evalkit.verifying.log import Log

FLOAT32 = 1e-4
"""Nats a token by which float32 log-probabilities may differ where batches, machines or libraries do."""
HALF = 0.5
"""The same for half precision, whose own noise from batch to batch reaches some tenths (docs/doctor.md measures it)."""
LEAST = 10
"""Documents that are answered again at least, evenly of all tasks, where there are so many."""


def identity(recorded: ModelInfo, found: ModelInfo) -> Iterator[Check]:
    """Whether the model at hand has the recorded hashes."""
    pairs = [
        ("weights", recorded.weights_sha256, found.weights_sha256),
        ("tokenizer", recorded.tokenizer_sha256, found.tokenizer_sha256),
    ]
    if "config_sha256" in recorded.extra:
        pairs.append(("configuration", str(recorded.extra["config_sha256"]), str(found.extra.get("config_sha256"))))
    for what, was, now in pairs:
        differs = [] if was == now else [f"sha256 is {now[:12]} here; the result has {was[:12]}"]
        yield Check.of("model", what, 1, differs)


def choose(run: Run, share: float, seed: int) -> dict[str, set[str]]:
    """Task -> ids of the documents to answer again: a random share of each, and in all at least some."""
    draw, least = random.Random(seed), math.ceil(LEAST / len(run.tasks))
    chosen = {}
    for name, task in run.tasks.items():
        ids = [sample.id for sample in task.samples if sample.outcome != "errored"]
        chosen[name] = set(draw.sample(ids, min(len(ids), max(least, math.ceil(share * len(ids))))))
    return chosen


@dataclass(slots=True)
class _Tally:
    """What one task's answers were.

    Attributes:
        documents: Documents answered again.
        largest: Largest difference of a log-probability a token (nats).
        changed: Documents whose outcome changed.
        differences: A sentence each.
        drawn: Texts that were drawn anew.
    """

    documents: int = 0
    largest: float = 0.0
    changed: int = 0
    differences: list[str] = field(default_factory=list)
    drawn: int = 0


def answers(run: Run, log: Log, ready: Ready, chosen: Mapping[str, set[str]]) -> Iterator[Check]:
    """Answers the chosen documents again and compares.

    Args:
        run: The result.
        log: Its log.
        ready: Its tasks with the prompts as built here, and the model.
        chosen: Which documents.
    """
    asked = [one for one in ready.asked if one.item.id in chosen.get(one.run.key, ())]
    found = _computed(ready.backend, asked)
    samples = {(name, sample.id): sample for name, task in run.tasks.items() for sample in task.samples}
    tallies: dict[str, _Tally] = {}
    for one in asked:
        key = (one.run.key, one.item.id)
        tally = tallies.setdefault(one.run.key, _Tally())
        known = log.documents.get(key)
        if known is None or len(known.replies) != len(one.requests):
            continue  # said of the prompts
        tally.documents += 1
        replies = [found[one.first + place] for place in range(len(one.requests))]
        _compare(tally, one, known.replies, replies, _tolerance(run))
        outcome = sample_of(one, found).outcome
        if outcome != samples[key].outcome:
            tally.changed += 1
            tally.differences.append(f"document {one.item.id} was {samples[key].outcome}; now it is {outcome}")
    for name, tally in tallies.items():
        yield _check(name, tally)


def _computed(backend: Backend, asked: Sequence[Asked]) -> dict[int, Reply]:
    """The answers to these documents alone: their batches are others than the run's, and far fewer."""
    requests: list[Request] = []
    for one in asked:
        one.first = len(requests)
        requests += one.requests
    batches = backend.compute(backend.prepare(requests))
    return {index: reply for batch in batches for index, reply in batch}


def _tolerance(run: Run) -> float:
    return FLOAT32 if run.model.dtype in ("float32", "float64") else HALF


def _compare(tally: _Tally, one: Asked, known: Sequence[Reply], found: Sequence[Reply], tolerance: float) -> None:
    for place, (request, was, now) in enumerate(zip(one.requests, known, found, strict=True)):
        if isinstance(was, Failure) or isinstance(now, Failure):
            continue
        if isinstance(was, Response) and isinstance(now, Response):
            difference = _difference(was, now)
            tally.largest = max(tally.largest, difference)
            if not difference <= tolerance:  # what is no number is not within it either
                tally.differences.append(
                    f"document {one.item.id}, request {place}: the log-probability is {was.log_probability:.6f}; "
                    f"now it is {now.log_probability:.6f} nats"
                )
        elif isinstance(was, Generation) and isinstance(now, Generation) and isinstance(request, Generate):
            texts = [text.text for text in was.completions], [text.text for text in now.completions]
            tally.drawn += not request.decoding.is_greedy
            if texts[0] != texts[1]:
                tally.differences.append(
                    f"document {one.item.id}: the text was {_brief(texts[0][0])}; now it is {_brief(texts[1][0])}"
                )


def _difference(was: Response, now: Response) -> float:
    if len(was.token_log_probabilities) != len(now.token_log_probabilities):
        return math.inf
    pairs = zip(was.token_log_probabilities, now.token_log_probabilities, strict=True)
    differences = [abs(one - other) for one, other in pairs]
    # scores are made of the total, which is the tokens' sum or, with --compat lm-eval, nearly that
    differences.append(abs(was.log_probability - now.log_probability) / max(1, now.tokens))
    return max(differences) if all(map(math.isfinite, differences)) else math.inf


def _check(name: str, tally: _Tally) -> Check:
    check = Check.of(name, "answers again", tally.documents, tally.differences)
    said = list(check.said)
    if tally.largest:
        said.append(f"log-probabilities differ by {tally.largest:.1e} nats a token at most")
    if tally.drawn:
        said.append(f"{tally.drawn} texts were drawn again with the same seeds")
    return Check(name, check.what, check.status, check.checked, check.found, tuple(said))


def _brief(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
