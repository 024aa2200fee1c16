"""A model that answers from a table or a function: for tests and examples, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.backends.base import Answer, Prepared
from evalkit.backends.stop_texts import cut_at_stop
from evalkit.chat import ChatFormat, Turns
from evalkit.errors import ModelError
from evalkit.requests import Completion, Generate, Generation, Reply, Request, Response, Roll, Score
from evalkit.results import ModelInfo

Table = Mapping[tuple[str, str], float] | Callable[[Request], float]
Texts = Mapping[str, str | Sequence[str]] | Callable[[Generate], str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class MockPrepared:
    """Requests, one token a word."""

    requests: Sequence[Request]
    lengths: Sequence[int]
    tokens: Sequence[int]


class MockModel:
    """Answers log-probabilities and texts from tables or functions of the request.

    Args:
        answers: `(context, continuation) -> nats`. Without it, a value between -20 and 0 is derived from a hash of the
            request, so that every run gives the same.
        texts: `prompt -> text`, or one text a sample (with beams a hypothesis, the best first). Without it, the text is a
            word derived from a hash of the prompt.
        name: Its name in results.
        max_length: Words it sees at once.
        batch: Answers handed over at a time.
        chat: What it says of conversations; by default that it has no template, though it renders turns when asked to.
    """

    def __init__(
        self,
        answers: Table | None = None,
        *,
        texts: Texts | None = None,
        name: str = "mock",
        max_length: int | None = None,
        batch: int = 8,
        chat: ChatFormat | None = None,
    ) -> None:
        self.answers = answers
        self.texts = texts
        self.name = name
        self.max_length = max_length
        self.batch = batch
        self.budget = batch
        self.device = None
        self.chat = chat or ChatFormat()
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

    def render_chat(self, messages: Turns, **variables: Any) -> str:
        """Roles and contents, a line each, after a line with the variables where there are some."""
        first = "".join(f"<{name}={value}>" for name, value in variables.items())
        lines = [f"<{message['role']}> {message['content']}" for message in messages]
        begun = messages[-1]["role"] == "assistant"
        return "\n".join([*([first] if first else []), *lines, *([] if begun else ["<assistant> "])])

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """Counts words as tokens."""
        words = [len(_text(request).split()) for request in requests]
        lengths = [0 if isinstance(r, Roll) else count for r, count in zip(requests, words, strict=True)]
        return MockPrepared(requests, lengths, words)

    def compute(
        self, prepared: Prepared, done: Collection[int] = (), left_out: Collection[int] = ()
    ) -> Iterator[list[Answer]]:
        """Answers in order, `batch` at a time."""
        finished = {*done, *left_out}
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

    def _answer(self, request: Request) -> Reply:
        if isinstance(request, Generate):
            return self._generation(request)
        text = request.text if isinstance(request, Roll) else request.continuation
        tokens = max(1, len(text.split()))
        value = self._value(request)
        return Response(value, value > -1.0, (value / tokens,) * tokens, 1)

    def _generation(self, request: Generate) -> Generation:
        decoding = request.decoding
        given = self.texts(request) if callable(self.texts) else (self.texts or {}).get(request.prompt)
        if given is None and self.texts is not None:
            raise ModelError(
                f"the mock model has no text for {request.prompt!r}", hint="add it to the table, or give a function"
            )
        if given is None:
            given = hashlib.sha256(request.prompt.encode()).hexdigest()[:8]
        texts = [given] * max(decoding.samples, decoding.beams) if isinstance(given, str) else list(given)
        completions = [_completion(text, request) for text in texts]
        if decoding.beams > 1:
            completions = [replace(one, score=-float(place)) for place, one in enumerate(completions)]
        return Generation(tuple(completions), len(request.prompt.split()))

    def _value(self, request: Score | Roll) -> float:
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


def _text(request: Request) -> str:
    if isinstance(request, Score):
        return request.context + request.continuation
    return request.text if isinstance(request, Roll) else request.prompt


def _completion(text: str, request: Generate) -> Completion:
    """The text cut at the first stop text, and after as many words as it may have tokens."""
    text, _ = cut_at_stop(text, request)
    words = text.split(" ")
    limit = request.decoding.max_new_tokens
    if len(words) > limit:
        return Completion(" ".join(words[:limit]), "length", limit)
    return Completion(text, "stop", len(words))
