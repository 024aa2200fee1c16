"""Rows held out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from evalkit.sft.data.cleaning import normalised
from evalkit.sft.rows import TrainingRow

LARGEST_SHARE = 0.2
"""Of a small set, so much at most is held out."""


def split(
    rows: Sequence[TrainingRow], share: float, minimum: int = 20, maximum: int = 500
) -> tuple[tuple[TrainingRow, ...], tuple[TrainingRow, ...]]:
    """Rows to train on and rows held out, by a hash of the prompt.

    Rows with one prompt are on one side, and more rows in the file move none but where the bounds do.

    Args:
        rows: All of them.
        share: Share to hold out; 0 holds out none.
        minimum: Rows to hold out at least, as far as they are not more than a fifth.
        maximum: Rows at most.

    Returns:
        Both in their order.
    """
    wanted = min(max(round(share * len(rows)), minimum), maximum, int(LARGEST_SHARE * len(rows)))
    if share <= 0 or wanted < 1:
        return tuple(rows), ()
    prompts = [_prompt(row) for row in rows]
    sizes: dict[bytes, int] = {}
    for prompt in prompts:
        sizes[prompt] = sizes.get(prompt, 0) + 1
    chosen: set[bytes] = set()
    count = 0
    for prompt in sorted(sizes):
        if count >= wanted:
            break
        if count + sizes[prompt] <= wanted or not chosen:
            chosen.add(prompt)
            count += sizes[prompt]
    train = tuple(row for row, prompt in zip(rows, prompts, strict=True) if prompt not in chosen)
    if not train:
        return tuple(rows), ()
    return train, tuple(row for row, prompt in zip(rows, prompts, strict=True) if prompt in chosen)


def _prompt(row: TrainingRow) -> bytes:
    text = row.text if row.text is not None else row.prompt_text
    return hashlib.blake2b(normalised(text).encode("utf-8", "backslashreplace"), digest_size=16).digest()
