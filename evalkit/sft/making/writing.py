"""The model at work: new prompts, answers, and how probable it finds both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from evalkit.backends.base import Backend
from evalkit.decoding import Decoding
from evalkit.requests import Completion, Generate, Generation, Reply, Request, Response, Roll
from evalkit.sft.rows import TrainingRow
from evalkit.thinking import answer as without_thoughts

_ASK = "Write one new task, different from all of these, in the same style."
_NEXT_TASK = "\nTask "


class Written(NamedTuple):
    """A text of the model's.

    Attributes:
        text: Without blanks at its ends; empty where nothing came.
        finish: `stop`, `length`, `refused`, or `errored` where the model could not be asked.
    """

    text: str
    finish: str


class Writer:
    """Asks a model for prompts and answers.

    New prompts are asked for as the next of a numbered list, in plain text, as self-instruct does; of a model that takes
    nothing but chat turns, in a turn. Answers go through the chat template where the model has one; a model without one sees
    the same rows with their answers first.

    Args:
        backend: What answers.
        prompt_tokens: Tokens of a prompt at most.
        answer_tokens: Tokens of an answer at most.
    """

    def __init__(self, backend: Backend, prompt_tokens: int, answer_tokens: int) -> None:
        self.backend = backend
        self.prompt_tokens, self.answer_tokens = prompt_tokens, answer_tokens

    def grow(self, examples: Sequence[Sequence[str]], temperature: float, top_p: float, seed: int) -> list[Written]:
        """A new prompt for each set of examples; it ends with its paragraph where those of all examples do."""
        paragraphs = any("\n\n" in prompt for shown in examples for prompt in shown)
        stop = (_NEXT_TASK,) if paragraphs else (_NEXT_TASK, "\n\n")
        decoding = Decoding(
            max_new_tokens=self.prompt_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop
        )
        requests = [self._asked(_list_of(shown), decoding, chat=self.backend.chat.only) for shown in examples]
        return [Written(_task_of(one.text), one.finish) for one in self._first(requests)]

    def answer(self, prompts: Sequence[str], examples: Sequence[Sequence[TrainingRow]]) -> list[Written]:
        """The most probable answer to each prompt."""
        return self._first(self._answering(prompts, examples, self._decoding()))

    def answers(
        self, prompts: Sequence[str], examples: Sequence[Sequence[TrainingRow]], count: int, seed: int
    ) -> list[list[str]]:
        """Several answers to each prompt, drawn at temperature 0.7."""
        decoding = replace(self._decoding(), temperature=0.7, samples=count, seed=seed)
        found = []
        for reply in self._replies(self._answering(prompts, examples, decoding)):
            completions = reply.completions if isinstance(reply, Generation) else ()
            found.append([one.text.strip() for one in completions])
        return found

    def perplexities(self, texts: Sequence[str]) -> list[float]:
        """Perplexity a token of each text; infinite where it is not known."""
        found = []
        for reply in self._replies([Roll(text) for text in texts]):
            known = isinstance(reply, Response) and reply.tokens > 0
            found.append(math.exp(-reply.log_probability / reply.tokens) if known else math.inf)  # type: ignore[union-attr]
        return found

    def _decoding(self) -> Decoding:
        """Of answers."""
        return Decoding(max_new_tokens=self.answer_tokens, stop=() if self.backend.chat.template else (_NEXT_TASK,))

    def _answering(
        self, prompts: Sequence[str], examples: Sequence[Sequence[TrainingRow]], decoding: Decoding
    ) -> list[Request]:
        if self.backend.chat.template:
            return [self._asked(prompt, decoding, chat=True) for prompt in prompts]
        asked = []
        for prompt, shown in zip(prompts, examples, strict=True):
            solved = "".join(f"Task: {row.prompt_text}\nAnswer: {row.answer}\n\n" for row in shown)
            asked.append(self._asked(f"{solved}Task: {prompt}\nAnswer:", decoding, chat=False))
        return asked

    def _asked(self, text: str, decoding: Decoding, *, chat: bool) -> Request:
        if not chat:
            return Generate(text, decoding)
        turns = ({"role": "user", "content": text},)
        thinking = self.backend.chat.thinking if not self.backend.chat.assumed else None
        changed = decoding.changed({"thinking": thinking})
        return Generate(self.backend.render_chat(turns), changed, messages=turns, thinks=thinking is not None)

    def _first(self, requests: Sequence[Request]) -> list[Written]:
        found = []
        for reply in self._replies(requests):
            one: Completion | None = reply.completions[0] if isinstance(reply, Generation) else None
            if one is None:
                found.append(Written("", "errored"))
            else:
                found.append(Written(one.text.strip(), one.finish if one.answered else "length"))
        return found

    def _replies(self, requests: Sequence[Request]) -> list[Reply | None]:
        """The reply to each request; None where it is too long for the model."""
        if not requests:
            return []
        prepared = self.backend.prepare(requests)
        limit = self.backend.max_length
        long = {place for place, length in enumerate(prepared.lengths) if limit is not None and length > limit}
        found: list[Reply | None] = [None] * len(requests)
        for batch in self.backend.compute(prepared, long):
            for place, reply in batch:
                found[place] = None if place in long else without_thoughts(requests[place], reply)
        return found


def _list_of(prompts: Sequence[str]) -> str:
    """The prompts as a numbered list that goes on."""
    shown = "".join(f"Task {number}: {prompt}\n" for number, prompt in enumerate(prompts, 1))
    return f"{_ASK}\n\n{shown}Task {len(prompts) + 1}:"


def _task_of(text: str) -> str:
    """The prompt in what the model wrote: without a number of the list, and without what it went on to."""
    text = text.split("\nTask ", 1)[0].split("\nAnswer:", 1)[0].strip()
    head, colon, rest = text.partition(":")
    return rest.strip() if colon and head.startswith("Task ") and head[5:].isdigit() else text
