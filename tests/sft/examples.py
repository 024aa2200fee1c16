"""Training rows and tiny models for tests of fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.models import ModelOptions
from evalkit.sft.rows import Message, TrainingRow
from tests.tiny_models import tiny_model

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<eos>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""A template in the manner of ChatML: every turn is ended by a token."""

OPTIONS = ModelOptions(dtype="float32", device="cpu")

ANIMALS = ("cow", "dog", "cat", "owl", "bee", "fox", "hen", "pig")
SOUNDS = ("moo", "woof", "meow", "hoot", "buzz", "yap", "cluck", "oink")


def chat_model(folder: Path, name: str = "llama", **more: Any) -> str:
    """A tiny chat model."""
    return str(tiny_model(name, folder, chat_template=CHAT, **more))


def conversation(prompt: str, answer: str, source: str = "train", index: int = 0) -> TrainingRow:
    """A row of one question and answer."""
    return TrainingRow(source, index, (Message("user", prompt), Message("assistant", answer)))


def sounds(count: int = 32, source: str = "train", first: int = 0) -> list[TrainingRow]:
    """Rows that a tiny model can learn by heart; their questions are numbered from `first` on."""
    return [
        conversation(f"What does the {ANIMALS[at % 8]} say, {first + at}?", SOUNDS[at % 8], source, at)
        for at in range(count)
    ]


def pairs(count: int = 24, source: str = "pairs") -> list[TrainingRow]:
    """Preference pairs: the right sound before another."""
    return [
        TrainingRow(
            source,
            at,
            (Message("user", f"What does the {ANIMALS[at % 8]} say, {at}?"), Message("assistant", SOUNDS[at % 8])),
            rejected=SOUNDS[(at + 3) % 8],
        )
        for at in range(count)
    ]


def write_rows(path: Path, rows: Sequence[TrainingRow]) -> Path:
    """Writes rows as a file of prompts and completions, or of pairs."""
    lines = []
    for row in rows:
        line = {"prompt": row.prompt_text}
        line |= {"completion": row.answer} if row.rejected is None else {"chosen": row.answer, "rejected": row.rejected}
        lines.append(json.dumps(line) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path
