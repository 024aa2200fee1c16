"""A prompt as the text that the model is given: plain, or through its chat template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from evalkit.chat import system_as_user
from evalkit.prompts import Prompt

_OTHER_QUESTION = "\N{REPLACEMENT CHARACTER}"
"""Stands for another question when the part of a conversation that does not depend on the question is sought."""

_REMEMBERED = 256
"""Conversations kept rendered: the candidates of one question, and examples that all documents share."""

_Turn = tuple[str, str]


class Rendered(NamedTuple):
    """A prompt as text.

    Attributes:
        context: What the model is given.
        shared: Characters at its beginning that others may share.
        delimiter: What parts it from the answer.
        messages: The chat turns it was rendered from; empty for plain text.
    """

    context: str
    shared: int
    delimiter: str
    messages: tuple[Mapping[str, str], ...] = ()


class Renderer(Protocol):
    """Turns a prompt into the text the model is given: plain, or through the model's chat template."""

    @property
    def chat(self) -> bool:
        """Whether prompts become chat turns."""
        ...

    @property
    def multiturn(self) -> bool:
        """Whether examples are turns of their own in a chat."""
        ...

    def __call__(self, prompt: Prompt) -> Rendered:
        """The prompt as text."""
        ...


class PlainRenderer:
    """Renders prompts as plain text."""

    chat = False
    multiturn = False

    def __call__(self, prompt: Prompt) -> Rendered:
        """The prompt as plain text."""
        return Rendered(prompt.text(), prompt.shared(), prompt.target_delimiter)


render_plain = PlainRenderer()


class ChatRenderer:
    """Renders prompts through a chat template.

    Args:
        template: Turns -> text, ending where the answer begins.
        multiturn: Examples are turns of their own; else they stand in the question's turn.
        system_in_user: The system's turn becomes the beginning of the first user turn.
        variables: What else the template is given.
    """

    chat = True

    def __init__(
        self,
        template: Callable[..., str],
        *,
        multiturn: bool = True,
        system_in_user: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self.multiturn = multiturn
        self._system_in_user = system_in_user

        def apply(turns: tuple[_Turn, ...]) -> str:
            return template([{"role": role, "content": content} for role, content in turns], **(variables or {}))

        self._template = lru_cache(_REMEMBERED)(apply)

    def __call__(self, prompt: Prompt) -> Rendered:
        """The prompt through the template. Nothing parts it from the answer: the template does that (lm-eval's rule)."""
        messages = prompt.messages(multiturn=self.multiturn)
        if self._system_in_user:
            messages = system_as_user(messages)
        turns = tuple((message["role"], message["content"]) for message in messages)
        context = self._template(turns)
        return Rendered(context, self._shared(turns, context), "", tuple(messages))

    def _shared(self, turns: tuple[_Turn, ...], context: str) -> int:
        """Length of what stands before the last turn's content, found by rendering another content in its place."""
        if len(turns) < 2:
            return 0
        other = self._template((*turns[:-1], (turns[-1][0], _OTHER_QUESTION)))
        place = other.find(_OTHER_QUESTION)
        return place if place > 0 and context.startswith(other[:place]) else 0
