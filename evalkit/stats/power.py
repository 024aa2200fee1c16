"""Before a run: how many items show a difference, and which difference do the items at hand show?

All are normal approximations (Miller 2024, "Adding Error Bars to Evals", section 5) but for the exact power of the sign
test. Items are independent; for clusters, divide their number by the `design_effect`.
"""

from __future__ import annotations

import math

import numpy as np

from evalkit.stats.special import normal_quantile


def detectable_difference(
    variance_of_difference: float, n: float, *, alpha: float = 0.05, power: float = 0.8, two_sided: bool = True
) -> float:
    """The smallest true mean difference that n paired items show with this power: (z_α + z_β) √(variance / n).

    Args:
        variance_of_difference: Variance of one item's difference, as from a pilot run or `binary_difference_variance`.
        n: Number of items, may be an effective one.
        alpha: Level of the test.
        power: Probability of a significant result.
        two_sided: The test looks either way.

    Raises:
        ValueError: A number is out of range.
    """
    if not (variance_of_difference >= 0 and n > 0):
        raise ValueError(f"not a variance and a number of items: {variance_of_difference}, {n}")
    return _quantiles(alpha, power, two_sided) * math.sqrt(variance_of_difference / n)


def items_needed(
    variance_of_difference: float,
    difference: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    two_sided: bool = True,
) -> int:
    """The number of paired items that show a true difference with this power: (z_α + z_β)² variance / difference².

    Arguments as in `detectable_difference`.

    Raises:
        ValueError: A number is out of range; no number of items shows a difference of 0.
    """
    if not (variance_of_difference >= 0 and difference != 0):
        raise ValueError(f"not a variance and a difference: {variance_of_difference}, {difference}")
    return _whole(_quantiles(alpha, power, two_sided) ** 2 * variance_of_difference / difference**2)


def difference_variance(
    between: float, within_before: float, within_after: float, samples_before: int = 1, samples_after: int = 1
) -> float:
    """Variance of the difference of two items' means of several sampled answers: ω² + σ_A² / K_A + σ_B² / K_B.

    Args:
        between: ω², the variance over items of the difference of expected scores.
        within_before: σ_A², mean variance of the first model's answers to the same item.
        within_after: σ_B², likewise of the second.
        samples_before: K_A, answers an item of the first model.
        samples_after: K_B, of the second.
    """
    return between + within_before / samples_before + within_after / samples_after


def binary_difference_variance(discordance: float, difference: float = 0.0) -> float:
    """Variance of one item's difference in right or wrong, discordance - difference².

    Args:
        discordance: Share of the items that exactly one model gets right.
        difference: True difference of the two accuracies.

    Raises:
        ValueError: The difference is larger than the discordance, or that is no share.
    """
    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"no models differ by {difference} and disagree on a share of {discordance}")
    return discordance - difference**2


def detectable_binary_difference(
    discordance: float, n: float, *, alpha: float = 0.05, power: float = 0.8, two_sided: bool = True
) -> float:
    """`detectable_difference` of two accuracies: the d with d = (z_α + z_β) √((discordance - d²) / n).

    Models differ by no more than they disagree. Where d would be larger than the discordance, they are taken to disagree on
    a share of d: it is then (z_α + z_β)² / (n + (z_α + z_β)²), about 8 / n, and never 0.

    Raises:
        ValueError: A number is out of range.
    """
    if not (0 <= discordance <= 1 and n > 0):
        raise ValueError(f"not a share and a number of items: {discordance}, {n}")
    squared = _quantiles(alpha, power, two_sided) ** 2
    largest = squared / (n + squared)
    return math.sqrt(largest * max(discordance, largest))


def noninferiority_items(
    variance_of_difference: float, margin: float, true_difference: float = 0.0, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Items that show with this power that a model is worse by less than the margin.

    Shown means that the lower limit of the interval at level 1 - 2 alpha is above -margin.

    Args:
        variance_of_difference: As in `detectable_difference`; for 0/1 scores without a difference, the discordance.
        margin: Tolerated loss, positive.
        true_difference: The one assumed, 0 for no change.
        alpha: One-sided level.
        power: Probability to pass.

    Raises:
        ValueError: The assumed model does not deserve to pass, or a number is out of range.
    """
    if not (variance_of_difference >= 0 and true_difference + margin > 0):
        raise ValueError(f"a difference of {true_difference} is no better than the margin -{margin}")
    return _whole(_quantiles(alpha, power, False) ** 2 * variance_of_difference / (true_difference + margin) ** 2)


def exact_sign_test_power(n: int, win_rate: float, loss_rate: float, alpha: float = 0.05) -> float:
    """The exact probability that the two-sided sign test (McNemar's exact) has p <= alpha.

    Args:
        n: Items, ties included.
        win_rate: Probability that only the second model gets an item right.
        loss_rate: That only the first does.
        alpha: Level of the test.

    Raises:
        ValueError: No probabilities.
    """
    from scipy.special import bdtr, bdtrc

    discordance = win_rate + loss_rate
    if not (n >= 1 and win_rate >= 0 and loss_rate >= 0 and discordance <= 1 and 0 < alpha < 1):
        raise ValueError(f"not a paired design: {n} items, rates {win_rate} and {loss_rate}")
    if discordance == 0:
        return 0.0
    trials = np.arange(n + 1)
    below = bdtr(trials.astype(np.float64), n, discordance)
    chance = np.diff(below, prepend=0.0)
    # the largest smaller count that is still significant, from the normal approximation downwards
    critical = np.floor(trials / 2 - normal_quantile(1 - alpha / 2) * np.sqrt(trials) / 2) + 2
    critical = np.minimum(critical, np.floor(trials / 2))
    while (too_many := (critical >= 0) & (2 * bdtr(np.maximum(critical, 0), trials, 0.5) > alpha * (1 + 1e-12))).any():
        critical = np.where(too_many, critical - 1, critical)
    known = (critical >= 0) & (2 * critical < trials)
    at, count, share = critical[known], trials[known], win_rate / discordance
    return float(chance[known] @ (bdtr(at, count, share) + bdtrc(count - at - 1, count, share)))


def design_effect(cluster_size: float, intracluster_correlation: float) -> float:
    """How many clustered items say as much as one independent item: 1 + (size - 1) ICC (Kish 1965)."""
    return 1 + (cluster_size - 1) * intracluster_correlation


def _quantiles(alpha: float, power: float, two_sided: bool) -> float:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"not a level and a power: {alpha}, {power}")
    return normal_quantile(1 - alpha / (2 if two_sided else 1)) + normal_quantile(power)


def _whole(items: float) -> int:
    """The next whole number, at least 1; what rounding adds to one is not counted."""
    return max(1, math.ceil(items - 1e-9))
