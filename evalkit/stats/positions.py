"""Does a model prefer a choice for its place or letter?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evalkit.stats.special import chi_square_tail

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Picks by place.

    Attributes:
        n: Items.
        picked: How often each place was picked.
        gold: How often it was right.
        chi_square: Σ (picked - gold)² / gold over places (Pearson 1900): how far picks are from the gold of the same items,
            which accounts for questions with few choices. None where a place was picked that is never right.
        p: Of it, with places - 1 degrees of freedom, as customary, and not to be trusted: picks and gold of the same items
            are no sample and its expectation. It rejects 28 % of guessing models without a preference (300 items, 4 choices,
            5 % nominal, simulated), all of them where gold is spread unevenly, and too few of those that are mostly right.
        preference_p: Of no preference, the test to trust, see `position_bias`; None where the items cannot tell.
        recalls: Share of the items with the right answer in a place that were answered right; None for a place that is
            never right.
        recall_deviation: Standard deviation of these over places, "RStd" (Zheng et al. 2024), of shares, not percent; None
            for fewer than two places.
    """

    n: int
    picked: tuple[int, ...]
    gold: tuple[int, ...]
    chi_square: float | None
    p: float | None
    preference_p: float | None
    recalls: tuple[float | None, ...]
    recall_deviation: float | None


def position_bias(
    picked: Sequence[int], gold: Sequence[int], choices: int | Sequence[int] | None = None
) -> PositionBias:
    """Counts picks and right answers by place, and tests for a preference.

    Without a preference, how often a model is right does not depend on the place of the right answer, and its wrong picks
    are spread evenly over the other places of the same question. `preference_p` tests both at once: the chi-square of
    recalls that are all the same, and that of the wrong picks given each item's other places, which add up as the second
    is conditional on the first. Questions with different numbers of choices are each judged by their own, but recalls are
    compared between places, and questions with few choices are easier: with mixed questions a difference of recalls can
    come from that, so only the wrong picks are tested. All p are approximations for counts of about 5 and more.

    Args:
        picked: Place that was picked, from 0, one an item; leave out items whose answer could not be read.
        gold: Place of the right answer.
        choices: Number of choices, of all items or of each; by default as many as the highest place that occurs.

    Raises:
        ValueError: There are no items, lengths differ, or a place is not among an item's choices.
    """
    picks, right = np.asarray(picked, dtype=np.intp), np.asarray(gold, dtype=np.intp)
    if len(picks) != len(right) or not len(picks):
        raise ValueError(f"{len(picks)} picked places, but {len(right)} right ones")
    if choices is None:
        choices = int(max(picks.max(), right.max())) + 1
    counts = np.broadcast_to(np.asarray(choices, dtype=np.intp), np.shape(choices) or picks.shape)
    if counts.shape != picks.shape:
        raise ValueError(f"{len(picks)} items, but {len(counts)} numbers of choices")
    if (np.minimum(picks, right) < 0).any() or (np.maximum(picks, right) >= counts).any():
        raise ValueError("a place is not among the choices")
    places = int(counts.max())
    of_picks, of_gold = (np.bincount(chosen, minlength=places) for chosen in (picks, right))
    hits = np.bincount(right[picks == right], minlength=places)
    recalls = tuple(float(hit / all_) if all_ else None for hit, all_ in zip(hits, of_gold, strict=True))
    known = [recall for recall in recalls if recall is not None]
    chi_square, p = _pearson(of_picks, of_gold)
    return PositionBias(
        n=len(picks),
        picked=tuple(map(int, of_picks)),
        gold=tuple(map(int, of_gold)),
        chi_square=chi_square,
        p=p,
        preference_p=_preference(picks, right, counts),
        recalls=recalls,
        recall_deviation=float(np.std(known)) if len(known) > 1 else None,
    )


def contextual_calibration(probabilities: npt.ArrayLike, content_free: npt.ArrayLike) -> Array:
    """Probabilities divided by what the choices get without a question (Zhao et al. 2021): q ∝ p / p_cf, rows sum to 1.

    Args:
        probabilities: Of the choices, [..., choices].
        content_free: Mean probabilities for inputs without content, such as "N/A", [choices].
    """
    ratios: Array = np.asarray(probabilities, dtype=np.float64) / np.asarray(content_free, dtype=np.float64)
    shares: Array = ratios / ratios.sum(axis=-1, keepdims=True)
    return shares


def letter_prior(probabilities: npt.ArrayLike) -> Array:
    """PriDe's prior over letters, softmax(mean log p) (Zheng et al. 2024); log p - log prior is free of it.

    Args:
        probabilities: Of the letters under all cyclic orders of the choices of some items, [orders, letters].
    """
    logarithms = np.log(np.asarray(probabilities, dtype=np.float64)).mean(axis=0)
    exponentials: Array = np.exp(logarithms - logarithms.max())
    prior: Array = exponentials / exponentials.sum()
    return prior


def _pearson(of_picks: npt.NDArray[np.intp], of_gold: npt.NDArray[np.intp]) -> tuple[float, float] | tuple[None, None]:
    occurring = of_gold > 0
    if occurring.sum() < 2 or (of_picks[~occurring] > 0).any():
        return None, None
    chi_square = float(((of_picks - of_gold)[occurring] ** 2 / of_gold[occurring]).sum())
    return chi_square, chi_square_tail(chi_square, int(occurring.sum()) - 1)


def _preference(picks: npt.NDArray[np.intp], right: npt.NDArray[np.intp], counts: npt.NDArray[np.intp]) -> float | None:
    places = int(counts.max())
    chi_square, degrees = 0.0, 0
    hit = picks == right
    if (counts == places).all() and 0 < hit.sum() < len(hit):
        of_gold = np.bincount(right, minlength=places)
        gained = np.bincount(right[hit], minlength=places) - of_gold * hit.mean()
        occurring = of_gold > 0
        chi_square = float((gained[occurring] ** 2 / (of_gold[occurring] * hit.mean() * (1 - hit.mean()))).sum())
        degrees = int(occurring.sum()) - 1
    wrong = ~hit & (counts > 2)  # of two choices a wrong pick is always the other one
    expected = (np.arange(places) < counts[wrong][:, None]) / (counts[wrong][:, None] - 1.0)
    expected[np.arange(len(expected)), right[wrong]] = 0.0
    covariance = np.diag(expected.sum(axis=0)) - expected.T @ expected
    surplus = np.bincount(picks[wrong], minlength=places) - expected.sum(axis=0)
    degrees += int(np.linalg.matrix_rank(covariance, hermitian=True))
    chi_square += float(surplus @ np.linalg.pinv(covariance, hermitian=True) @ surplus)
    return chi_square_tail(chi_square, degrees) if degrees else None
