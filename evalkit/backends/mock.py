"""A model that answers from a table or a function: for tests and examples, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.backends.base import Answer, Prepared
from evalkit.errors import ModelError
from evalkit.requests import Request, Response, Roll, Score
from evalkit.results import ModelInfo

Table = Mapping[tuple[str, str], float] | Callable[[Request], float]


@dataclass(frozen=True, slots=True)
class MockPrepared:
    """Requests, one token a word."""

    requests: Sequence[Request]
    lengths: Sequence[int]
    tokens: Sequence[int]


class MockModel:
    """Answers log-probabilities from a table `(context, continuation) -> nats` or from a function of the request.

    Args:
        answers: The table or function. Without one, a value between -20 and 0 is derived from a hash of the request,
            so that every run gives the same.
        name: Its name in results.
        max_length: Words it sees at once.
        batch: Answers handed over at a time.
    """

    def __init__(
        self, answers: Table | None = None, *, name: str = "mock", max_length: int | None = None, batch: int = 8
    ) -> None:
        self.answers = answers
        self.name = name
        self.max_length = max_length
        self.batch = batch
        self.budget = batch
        self.device = None
        self.requests_answered = 0

    @property
    def info(self) -> ModelInfo:
        """Identity of the mock: its name."""
        digest = hashlib.sha256(self.name.encode()).hexdigest()
        return ModelInfo(
            name=self.name,
            source="mock",
            revision=None,
            parameters=None,
            dtype="float64",
            weights_sha256=digest,
            tokenizer_sha256=digest,
            adapter=None,
            extra={},
        )

    def settings(self) -> dict[str, Any]:
        """Nothing but its kind."""
        return {"engine": "mock"}

    def render_chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Roles and contents, a line each."""
        return "".join(f"<{message['role']}> {message['content']}\n" for message in messages) + "<assistant> "

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """Counts words as tokens."""
        words = [len((r.context + r.continuation if isinstance(r, Score) else r.text).split()) for r in requests]
        lengths = [count if isinstance(r, Score) else 0 for r, count in zip(requests, words, strict=True)]
        return MockPrepared(requests, lengths, words)

    def compute(self, prepared: Prepared, done: Collection[int] = ()) -> Iterator[list[Answer]]:
        """Answers in order, `batch` at a time."""
        finished = set(done)
        waiting = [index for index in range(len(prepared.requests)) if index not in finished]
        for start in range(0, len(waiting), self.batch):
            part = waiting[start : start + self.batch]
            self.requests_answered += len(part)
            yield [(index, self._answer(prepared.requests[index])) for index in part]

    def cost(self, prepared: Prepared, seconds: float) -> None:
        """Nothing is computed."""

    def counters(self) -> dict[str, int]:
        """The mock computes no tokens."""
        return {"tokens_asked": 0, "tokens_computed": 0}

    def _answer(self, request: Request) -> Response:
        text = request.text if isinstance(request, Roll) else request.continuation
        tokens = max(1, len(text.split()))
        value = self._value(request)
        return Response(value, value > -1.0, (value / tokens,) * tokens, 1)

    def _value(self, request: Request) -> float:
        if callable(self.answers):
            return self.answers(request)
        key = ("", request.text) if isinstance(request, Roll) else (request.context, request.continuation)
        if self.answers is None:
            return -20.0 * int(hashlib.sha256("\0".join(key).encode()).hexdigest()[:8], 16) / 16**8
        try:
            return self.answers[key]
        except KeyError:
            raise ModelError(
                f"the mock model has no answer for {key!r}", hint="add it to the table, or give a function"
            ) from None
