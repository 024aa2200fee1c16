"""The evaluation that is struck, and how its files are compared."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

QUESTIONS, SUMS, PARAGRAPHS = 24, 10, 6
TASKS = "quiz.yaml,sums.yaml,perplexity:book.txt"
COMMAND = ("--tasks", TASKS, "--batch-tokens", "64", "--max-new-tokens", "6")
OUTPUT = "base.json"


@dataclass(frozen=True)
class Workload:
    """Model and tasks.

    Attributes:
        folder: Where they are; runs are given it as the working directory.
        model: The model's folder.
        other: That of a model of the same shape with other weights.
    """

    folder: Path
    model: Path
    other: Path

    def command(self, output: str | Path, *more: str, model: Path | None = None) -> list[str]:
        """`evalkit run ...`, without the program's name."""
        return ["run", "--model", str(model or self.model), *COMMAND, "-o", str(output), *more]


def prepare(folder: Path) -> Workload:
    """Writes tasks and tiny models into a folder."""
    from tests.tiny_models import tiny_model

    draw = random.Random(0)
    words = ["fox", "river", "stone", "lamp", "cloud", "seven", "green", "quickly", "north", "bell", "water", "iron"]

    def phrase(count: int) -> str:
        return " ".join(draw.choice(words) for _ in range(count))

    quiz = [
        {"q": f"The {phrase(8)}", "c": [phrase(1 + n % 3), phrase(2), phrase(3)], "a": n % 3} for n in range(QUESTIONS)
    ]
    sums = [{"q": f"{phrase(4)} {n} plus {n % 4}", "a": str(n + n % 4)} for n in range(SUMS)]
    _lines(folder / "quiz.jsonl", quiz)
    _lines(folder / "sums.jsonl", sums)
    (folder / "quiz.yaml").write_text("task: quiz\ndata: quiz.jsonl\nquestion: q\nchoices: c\nanswer: a\n")
    (folder / "sums.yaml").write_text("task: sums\nkind: generate\ndata: sums.jsonl\nquestion: q\nanswer: a\n")
    (folder / "book.txt").write_text("\n\n".join(phrase(40) for _ in range(PARAGRAPHS)))
    return Workload(folder, tiny_model("llama", folder), tiny_model("llama", folder, seed=1))


def _lines(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@dataclass(frozen=True)
class Files:
    """What a run wrote.

    Attributes:
        result: `base.json` without when it was made, how long it took and where.
        samples: The bytes of the log beside it.
    """

    result: str
    samples: bytes

    @classmethod
    def of(cls, output: Path) -> Files:
        """Reads them."""
        document = json.loads(output.read_text())
        for name in ("created", "timing", "environment"):
            del document[name]
        return cls(json.dumps(document), output.with_suffix(".samples.parquet").read_bytes())

    def difference(self, other: Files) -> str:
        """Where it differs from another; empty where it does not."""
        if self.result != other.result:
            at = next(
                (n for n, pair in enumerate(zip(self.result, other.result, strict=False)) if len(set(pair)) > 1), 0
            )
            return f"the result has ...{self.result[at - 60 : at + 60]}... for ...{other.result[at - 60 : at + 60]}..."
        return "" if self.samples == other.samples else "the samples differ"


def leftovers(folder: Path) -> list[str]:
    """Files beside a finished run that should not be there."""
    return sorted(one.name for one in folder.iterdir() if one.name.endswith((".journal", ".part")))
