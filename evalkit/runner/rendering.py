"""A prompt as the text that the model is given: plain, or through its chat template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from evalkit.prompts import Prompt


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

    def __call__(self, prompt: Prompt) -> Rendered:
        """The prompt as text."""
        ...


def render_plain(prompt: Prompt) -> Rendered:
    """The prompt as plain text."""
    return Rendered(prompt.text(), prompt.shared(), prompt.target_delimiter)
