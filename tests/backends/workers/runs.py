"""Whole runs for tests of workers: what they answer, and how workers are killed while they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evalkit
from evalkit.runner.progress import Silent, Status
from evalkit.task import Row
from tests.runner.test_evaluate import quiz
from tests.tiny_models import SENTENCES, tiny_model


class Kills(Silent):
    """Calls `kill` each time when so many more requests are answered."""

    def __init__(self, kill: Callable[[], object], at: list[int]) -> None:
        self.kill, self.at = kill, at
        self.seen: list[int] = []

    def update(self, status: Status) -> None:
        self.seen.append(status.requests)
        if self.at and status.requests >= self.at[0]:
            self.at.pop(0)
            self.kill()


def ask(row: Row) -> evalkit.OpenQuestion:
    return evalkit.OpenQuestion(row["question"], row["choices"][0])


def arguments(folder: Path, documents: int = 300) -> dict[str, Any]:
    """Multiple choice behind examples, open questions and a text: every kind of work that workers do."""
    rows = [
        {"question": f"What is {n} plus {n}? {SENTENCES[n % 6]}", "choices": [str(2 * n), str(n), "none"], "answer": 0}
        for n in range(documents)
    ]
    (folder / "text.txt").write_text(" ".join(SENTENCES) * 20)
    opened_in = folder / "open"
    opened_in.mkdir(exist_ok=True)
    opened: dict[str, Any] = {
        "name": "open",
        "document": lambda row: evalkit.OpenQuestion(row["question"], row["choices"][0]),
    }
    return {
        "model": str(tiny_model("llama", folder)),
        "tasks": [
            quiz(folder, rows, name="quiz", shots=3),
            quiz(opened_in, rows[:40], metrics=("exact_match",), **opened),
            f"perplexity:{folder / 'text.txt'}",
        ],
        "batch_tokens": 128,
        "max_new_tokens": 8,
        "device": "cpu",
    }


def result(path: Path) -> dict[str, Any]:
    """A result file without what differs between two runs of the same."""
    content: dict[str, Any] = json.loads(path.read_text())
    return {name: value for name, value in content.items() if name not in {"created", "timing", "environment"}}
