"""Three results for `evalkit gate`: a baseline, a candidate that changed without harm, and one that lost 8 points.

    python examples/gate/make_runs.py build/gate
    evalkit gate build/gate/base.json build/gate/harmless.json --policy examples/gate/gate.yaml     # ends with 0
    evalkit gate build/gate/base.json build/gate/regressed.json --policy examples/gate/gate.yaml    # ends with 1

No model and no data are needed: the questions are sums, and a mock model knows the answer to a share of them that the
hash of the question decides. The same script always writes the same results.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import evalkit
from evalkit.requests import Request, Score

QUESTIONS = 1500
SKILL = 0.7


def row(number: int) -> dict[str, Any]:
    first, second = 10 + number % 90, 3 + number // 90
    return {"question": f"{first} + {second} =", "right": first + second}


def document(row: Mapping[str, Any]) -> evalkit.MultipleChoice:
    choices = [str(row["right"] + distance) for distance in (0, 1, 10, -1)]
    return evalkit.MultipleChoice(question=row["question"], choices=choices, gold=0)


SUMS = evalkit.Task(
    name="sums",
    data=evalkit.DataSource(id="examples/sums", rows=[row(number) for number in range(QUESTIONS)]),
    document=document,
    metrics=("acc",),
)


def uniform(*words: str) -> float:
    """A number in [0, 1) that the words decide."""
    return int(hashlib.sha256(" ".join(words).encode()).hexdigest()[:12], 16) / 16**12


class Calculator:
    """Log-probabilities of a model that is right on a share `SKILL` of the sums, but for those it lost or learned.

    Args:
        lost: Share of the sums it knew and knows no longer.
        learned: Share of the sums it did not know and knows now.
    """

    def __init__(self, lost: float = 0.0, learned: float = 0.0) -> None:
        self.lost, self.learned = lost, learned

    def __call__(self, request: Request) -> float:
        assert isinstance(request, Score)
        question = request.context.strip()
        first, second = (int(word) for word in question.removesuffix("=").split("+"))
        distance = int(request.continuation) - first - second
        return -1.0 if (distance == 0) == self.knows(question) else -2.0 - 0.01 * abs(distance)

    def knows(self, question: str) -> bool:
        knew = uniform("skill", question) < SKILL
        changed = uniform("change", question)
        return changed >= self.lost if knew else changed < self.learned


CANDIDATES = {
    "base": Calculator(),
    # two in a hundred answers change, half of them for the better: what another dtype or a shorter training does
    "harmless": Calculator(lost=0.014, learned=0.033),
    "regressed": Calculator(lost=0.13, learned=0.03),
}


def main(folder: Path) -> None:
    for name, answers in CANDIDATES.items():
        model = evalkit.MockModel(answers, name=name, batch=256)
        run = evalkit.run(model=model, tasks=[SUMS], output=folder / f"{name}.json")
        print(f"{folder / name}.json", run.tasks["sums"].metrics["acc"].value)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/gate"))
