"""Thoughts that a model writes before its answer, between tags, and how they are taken out.

A thought is never an answer: what is scored is the text outside the tags, and a text that ends within a thought has no
answer at all (outcome `truncated`). The sample log keeps the text as the model wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evalkit.errors import UsageError
from evalkit.requests import Generate, Generation, Reply, Request

Tags = tuple[str, str]
"""What opens a thought and what closes it."""

KNOWN_TAGS: tuple[Tags, ...] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
)
"""Tags of released models: Qwen 3, DeepSeek R1, SmolLM 3 and others; Magistral; Command A; Seed-OSS; Sky-T1; fine-tunes."""


def find_tags(template: str, tokens: Iterable[str]) -> Tags | None:
    """The known tags that a chat template writes or looks for, or that are tokens of their own; None without any.

    Args:
        template: Source of the chat template; may be empty.
        tokens: The tokenizer's added tokens.
    """
    added = set(tokens)
    for tags in KNOWN_TAGS:
        if any(tag in template for tag in tags) or added.issuperset(tags):
            return tags
    return None


def parse_tags(text: str) -> Tags:
    """Reads `--thinking OPEN,CLOSE`.

    Raises:
        UsageError: It is not two different texts with a comma between them.
    """
    opening, comma, closing = (part.strip() for part in text.partition(","))
    if not (opening and comma and closing) or opening == closing:
        raise UsageError(
            f"--thinking {text!r} is neither auto nor off nor two tags",
            hint='give both with a comma between them, as --thinking "<think>,</think>"',
        )
    return opening, closing


@dataclass(frozen=True, slots=True)
class _Scan:
    """A text split at its tags.

    Attributes:
        answers: Start and end of each part outside the thoughts; white space that follows a tag is in it.
        finished: The text ends outside a thought.
        marked: It has a tag.
    """

    answers: list[tuple[int, int]]
    finished: bool
    marked: bool


@dataclass(frozen=True, slots=True)
class Thoughts:
    """How the texts after one prompt are read: where they are thoughts, and where answers.

    Thoughts may follow one another and lie within each other. An opening tag right after another, with nothing but white
    space between them, repeats it. A closing tag without an opening one closes a thought that began before the text: all
    that stands before it is part of it.

    Attributes:
        tags: What opens and closes a thought; None where there are none, so that all is answer.
        opened: The prompt ends within a thought.
        turn: The text is a turn of a conversation, which may begin with white space where a server took thoughts out.
    """

    tags: Tags | None = None
    opened: bool = False
    turn: bool = False

    @classmethod
    def after(cls, request: Generate) -> Thoughts:
        """Of the texts that answer a request."""
        tags = request.decoding.thinking
        return cls() if tags is None else cls(tags, opens_thought(request.prompt, tags), bool(request.messages))

    def answer(self, text: str) -> str | None:
        """What is outside the thoughts; None where the text ends within one, so that there is no answer.

        Where anything was taken out, the rest loses its leading white space; a text without tags is returned as it is.
        """
        found = self._scan(text)
        if not found.finished:
            return None
        return "".join(text[start:end] for start, end in found.answers).lstrip() if found.marked else text

    def first_stop(self, text: str, stops: Sequence[str]) -> int | None:
        """Where the first stop text begins that ends the answer; None if nowhere.

        Those in a thought do not count, nor does the white space that sets a thought off from what follows it: models
        write line breaks there, which end the answers of many tasks.
        """
        for begin, end in self._scan(text).answers:
            follows = begin > 0 or self.turn
            start = end - len(text[begin:end].lstrip()) if follows else begin
            if places := [place for stop in stops if (place := text.find(stop, start, end)) >= 0]:
                return min(places)
        return None

    def _scan(self, text: str) -> _Scan:
        if self.tags is None:
            return _Scan([(0, len(text))], True, False)
        opening, closing = self.tags
        answers: list[tuple[int, int]] = []
        depth, place = int(self.opened), 0
        fresh = self.opened  # nothing but white space since the last opening tag
        marks = list(re.finditer(f"{re.escape(opening)}|{re.escape(closing)}", text))
        for mark in marks:
            if depth == 0:
                answers.append((place, mark.start()))
            elif text[place : mark.start()].strip():
                fresh = False
            if mark.group() == opening:
                depth += not fresh
                fresh = True
            else:
                answers = answers if depth else []
                depth = max(0, depth - 1)
                fresh = False
            place = mark.end()
        if depth == 0:
            answers.append((place, len(text)))
        return _Scan(answers, depth == 0, bool(marks))


def may_think(request: Generate) -> bool:
    """Whether the text that answers a request is likely to hold a thought.

    Chat turns make a model think that is known to; plain text does not, unless it opens the thought itself. An engine
    that knows nothing of thoughts is not told the stop texts of such a request: it would end the answer inside one.
    """
    thinking = request.decoding.thinking
    return thinking is not None and (
        (request.thinks and bool(request.messages)) or opens_thought(request.prompt, thinking)
    )


def opens_thought(prompt: str, tags: Tags) -> bool:
    """Whether a prompt ends right after an opening tag: some chat templates begin the thought themselves."""
    return prompt.rstrip().endswith(tags[0])


def answer(request: Request, reply: Reply) -> Reply:
    """The reply as it is scored: without the thoughts between the tags of the request's decoding.

    A completion that ends within a thought is `answered=False`.
    """
    if not isinstance(request, Generate) or not isinstance(reply, Generation) or request.decoding.thinking is None:
        return reply
    thoughts = Thoughts.after(request)
    completions = []
    for one in reply.completions:
        text = thoughts.answer(one.text)
        completions.append(replace(one, text=text or "", answered=text is not None))
    return replace(reply, completions=tuple(completions))
