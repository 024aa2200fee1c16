"""A training row, whatever format it came in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant", "tool"]


class Message(NamedTuple):
    """A turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One example to train on.

    Attributes:
        source: The file or dataset it is from, as the user gave it.
        index: Its place there, from 0.
        messages: The conversation, an assistant's turn at the end; empty for a plain text. Of a preference pair that turn
            is the chosen answer.
        rejected: The worse answer of a preference pair; None elsewhere.
        text: A plain text, every token of which is trained on; None elsewhere.
    """

    source: str
    index: int
    messages: tuple[Message, ...] = ()
    rejected: str | None = None
    text: str | None = None

    @property
    def kind(self) -> Literal["conversation", "text", "preference"]:
        """What it is."""
        if self.text is not None:
            return "text"
        return "conversation" if self.rejected is None else "preference"

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the last answer; empty for a text."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The last answer, or the text."""
        return self.text if self.text is not None else self.messages[-1].content

    @property
    def prompt_text(self) -> str:
        """The turns before the last answer, a line break between them."""
        return "\n".join(message.content for message in self.prompt)

    @property
    def id(self) -> str:
        """Hash of the content (32 hexadecimal digits), without where it came from."""
        content = [[list(message) for message in self.messages], self.rejected, self.text]
        return hashlib.blake2b(
            json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace"), digest_size=16
        ).hexdigest()
