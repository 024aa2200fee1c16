"""What is known of conversations before one is rendered: whether a model takes them, and how turns can be put."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.thinking import Tags

Turns = Sequence[Mapping[str, str]]
"""`{"role": "system" | "user" | "assistant", "content": text}`, in order."""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What a backend knows of conversations.

    Attributes:
        template: Turns can be rendered (or sent): there is a chat template.
        only: Nothing but turns is taken; plain prompts cannot be asked.
        thinking: Tags between which the model thinks; None where it has none, or where that is not known.
        assumed: Those tags are only what nearly all models write: whether this one thinks is not known.
    """

    template: bool = False
    only: bool = False
    thinking: Tags | None = None
    assumed: bool = False


def system_as_user(turns: Turns) -> list[dict[str, str]]:
    """The turns with the system's put at the beginning of the first user turn, an empty line between them."""
    if not turns or turns[0]["role"] != "system":
        return [dict(turn) for turn in turns]
    system, *rest = turns
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system["content"]}, *map(dict, rest)]
    content = f"{system['content'].rstrip()}\n\n{rest[0]['content']}"
    return [{"role": "user", "content": content}, *map(dict, rest[1:])]
