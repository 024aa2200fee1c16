"""Intervals of one score: how often they hold the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.calibration.measured import Array, Measured, covered
from evalkit.stats.bootstrap import bca_bootstrap
from evalkit.stats.calibration import expected_error_interval
from evalkit.stats.clusters import cluster_robust
from evalkit.stats.combine import stratified_score
from evalkit.stats.crossed import crossed_mean
from evalkit.stats.intervals import Interval, clopper_pearson, student_t, wilson
from evalkit.stats.ratio import ratio_of_sums

PROPORTIONS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


def measure(draws: int) -> Iterator[Measured]:
    generator = np.random.default_rng(1)
    yield from proportions()
    yield from means(generator, draws)
    yield from clusters(generator, draws)
    yield from several(generator, draws)
    yield from expected_errors(generator, max(1, draws // 10))


def holds(interval: Interval | None, truth: float) -> bool:
    """No interval holds nothing: to refuse one counts against the method."""
    return interval is not None and interval.low - 1e-12 <= truth <= interval.high + 1e-12


def proportions() -> Iterator[Measured]:
    """Exact: the probability of all counts whose interval holds the true proportion, the worst of seven."""
    from scipy.stats import binom

    for name, interval, promised in (("Wilson", wilson, 0.92), ("Clopper-Pearson", clopper_pearson, 0.95)):
        for n in (20, 50, 200, 1000):
            found = [interval(k, n) for k in range(n + 1)]
            rates = {
                p: float(sum(binom.pmf([k for k in range(n + 1) if holds(found[k], p)], n, p))) for p in PROPORTIONS
            }
            worst = min(rates, key=lambda p: rates[p])
            mean = sum(rates.values()) / len(rates)
            remark = f"worst of {len(rates)} proportions (at {worst}); mean {100 * mean:.1f} %"
            yield Measured(name, f"{n} right-or-wrong items", "coverage", rates[worst], 0, promised, remark)
    wald = [(k / 20, 1.96 * np.sqrt(k / 20 * (1 - k / 20) / 20)) for k in range(21)]
    held = [k for k, (p, half) in enumerate(wald) if abs(p - 0.95) <= half]
    rate = float(binom.pmf(held, 20, 0.95).sum())
    yield Measured("p ± 1.96 SE, not used", "20 right-or-wrong items, 0.95", "coverage", rate, 0)


def skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Scores like token F1 of a weak model: six in ten are 0, the others anything; mean 0.2."""
    return np.where(generator.random(shape) < 0.6, 0.0, generator.random(shape))


def means(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    for n, promised in ((20, None), (50, 0.92), (200, 0.93), (1000, 0.94)):
        held = [holds(student_t(row.tolist()), 0.2) for row in skewed(generator, (draws, n))]
        yield covered("Student's t", f"{n} scores like F1, 60 % zeros", held, promised)
    for n in (20, 50):
        rows = skewed(generator, (max(1, draws // 5), n))
        held = [holds(bca_bootstrap(row, lambda values: float(values.mean()), 1000), 0.2) for row in rows]
        yield covered("BCa bootstrap, on request", f"{n} scores like F1, 60 % zeros", held, None)
    lengths = generator.lognormal(5, 0.8, (draws, 100))
    rates = -3 - 0.2 * np.log(lengths / 150) + generator.normal(0, 0.4, lengths.shape)
    truth = -3 - 0.2 * (0.8**2 + 5 - np.log(150))
    held = [holds(ratio_of_sums(a, b).interval, truth) for a, b in zip(lengths * rates, lengths, strict=True)]
    yield covered("ratio of sums, t", "100 texts of unequal length, log-likelihood a token", held, 0.92)


def clustered(generator: np.random.Generator, sizes: Array, correlation: float, proportion: float) -> Array:
    """Right-or-wrong items of clusters whose own accuracies vary: beta-binomial."""
    weight = (1 - correlation) / correlation
    own = generator.beta(proportion * weight, (1 - proportion) * weight, len(sizes))
    return (generator.random(int(sizes.sum())) < np.repeat(own, sizes.astype(int))).astype(np.float64)


def clusters(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    for count, promised in ((5, None), (10, None), (20, 0.91), (50, 0.92), (200, 0.93)):
        sizes = np.full(count, 5.0)
        names = np.repeat(np.arange(count), 5).tolist()
        held = [
            holds(cluster_robust(clustered(generator, sizes, 0.2, 0.7).tolist(), names)[1], 0.7) for _ in range(draws)
        ]
        yield covered("CR1, t(clusters - 1)", f"{count} clusters of 5 items, ICC 0.2, accuracy 0.7", held, promised)
    for count in (20, 50):
        held = []
        for _ in range(draws):
            sizes = 1 + np.floor(generator.pareto(1.5, count) * 3).clip(0, 60)
            names = np.repeat(np.arange(count), sizes.astype(int)).tolist()
            held.append(holds(cluster_robust(clustered(generator, sizes, 0.2, 0.7).tolist(), names)[1], 0.7))
        yield covered(
            "CR1, t(clusters - 1)", f"{count} clusters of 1 to 61 items, most of them small, ICC 0.2", held, None
        )
    sizes, held = np.full(50, 5.0), []
    for _ in range(draws):
        values = clustered(generator, sizes, 0.2, 0.7)
        held.append(holds(wilson(float(values.sum()), len(values)), 0.7))
    yield covered("Wilson that ignores the clusters, not used", "50 clusters of 5 items, ICC 0.2", held, None)


def several(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    count = max(1, draws // 4)
    parts = generator.binomial(20, 0.7, (draws, 57)).astype(float)
    held = [holds(stratified_score(row.tolist(), [20.0] * 57, [1 / 57] * 57), 0.7) for row in parts]
    yield covered("stratified score", "mean of 57 tasks of 20 right-or-wrong items", held, 0.93)
    held = []
    for _ in range(count):
        table = 0.5 * generator.normal(size=(5, 1)) + generator.normal(size=(1, 40)) + generator.normal(size=(5, 40))
        held.append(holds(crossed_mean(table.tolist())[1], 0.0))
    yield covered("crossed t", "40 documents under 5 sets of examples that matter", held, 0.92)


def expected_errors(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    for truth in (0.0, 0.1):
        held = []
        for number in range(draws):
            stated = generator.beta(5, 2, 500).clip(0.1, 1)
            right = (generator.random(500) < stated - truth).astype(float)
            held.append(
                holds(expected_error_interval(stated.tolist(), right.tolist(), resamples=300, seed=number), truth)
            )
        yield covered("ECE, basic bootstrap", f"500 confidences, true ECE {truth}", held, 0.85)
