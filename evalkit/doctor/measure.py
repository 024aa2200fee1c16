"""From two lists of log-probabilities to how far the scores moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.doctor.diagnosis import Change

Values = Sequence[npt.NDArray[np.float32]]
"""For each answer the log-probabilities of its tokens (nats)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a question's answers stand among all answers.

    Attributes:
        first: Place of its first answer.
        count: Number of its answers.
        golds: Which of them are right.
    """

    first: int
    count: int
    golds: tuple[int, ...]


def compare(before: Values, after: Values, choices: Sequence[Choice]) -> Change:
    """How far `after` moved from `before`.

    Args:
        before: Log-probabilities (nats) computed in one way.
        after: The same answers in another way.
        choices: The questions. A question's picked answer is the one with the largest sum; of equals the first.

    Raises:
        ValueError: A log-probability is not finite, or the answers are not the same ones.
    """
    old, new = np.concatenate(before).astype(np.float64), np.concatenate(after).astype(np.float64)
    if [len(one) for one in before] != [len(one) for one in after]:
        raise ValueError("these are not the same answers")
    if not (np.isfinite(old).all() and np.isfinite(new).all()):
        raise ValueError("the model returned log-probabilities that are not finite")
    moved = np.abs(new - old)
    sums, other_sums = answer_sums(before), answer_sums(after)
    margins, right_before, right_after = [], 0, 0
    for choice in choices:
        own, other = (values[choice.first : choice.first + choice.count] for values in (sums, other_sums))
        picked, picked_after = int(own.argmax()), int(other.argmax())
        right_before += picked in choice.golds
        right_after += picked_after in choice.golds
        if picked != picked_after:
            margins.append(float(own[picked] - np.delete(own, picked).max()))
    return Change(
        tokens=len(moved),
        largest_token=float(moved.max()),
        mean_token=float(moved.mean()),
        largest_answer=float(np.abs(other_sums - sums).max()),
        questions=len(choices),
        flipped=len(margins),
        flipped_margin=max(margins) if margins else None,
        right_before=right_before,
        right_after=right_after,
        identical=all(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True)),
    )


def answer_sums(values: Values) -> npt.NDArray[np.float64]:
    """Log-probability of each whole answer (nats)."""
    return np.array([np.sum(one, dtype=np.float64) for one in values])
