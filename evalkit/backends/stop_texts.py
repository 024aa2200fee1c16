"""Cuts a finished text at its first stop text, for backends that give whole texts."""

from __future__ import annotations

from evalkit.requests import Generate
from evalkit.thinking import Thoughts


def cut_at_stop(text: str, request: Generate) -> tuple[str, bool]:
    """The text before the first stop text outside a thought, and whether there was one.

    Args:
        text: What was generated.
        request: What asked for it.
    """
    end = Thoughts.after(request).first_stop(text, request.decoding.stop)
    return (text, False) if end is None else (text[:end], True)
