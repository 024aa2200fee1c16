"""Differences of several tasks together, of perplexities, and of the pairs of a leaderboard: as `compare` computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.calibration.decisions import paired, run
from benchmarks.calibration.measured import Array, Measured, alarmed, covered
from benchmarks.calibration.scores import skewed
from evalkit.comparing.estimate import Estimate
from evalkit.comparing.groups import combined
from evalkit.comparing.means import values_estimate
from evalkit.comparing.pairing import Pairs
from evalkit.comparing.ranking import rank
from evalkit.comparing.rates import rate_estimate
from evalkit.comparison import Pairing, Side, Verdict
from evalkit.metrics.likelihood import METRICS
from evalkit.results import Sample

ALPHA = 0.05


def measure(draws: int) -> Iterator[Measured]:
    generator = np.random.default_rng(5)
    yield from strata(generator, draws)
    yield from mixed(generator, draws)
    yield from rates(generator, draws)
    yield from rankings(generator, max(1, draws // 2))


def task(generator: np.random.Generator, n: int, discordance: float, gap: float) -> Estimate:
    moved = paired(generator, (n,), discordance, gap)
    first, second = (moved < 0).astype(float), (moved > 0).astype(float)
    return values_estimate(first, second, None, (0.0, 1.0), higher_is_better=True, tested=False)


def scored(generator: np.random.Generator, n: int) -> Estimate:
    """Scores like F1, in three of ten documents others after than before; no difference."""
    first = skewed(generator, (n,))
    second = np.where(generator.random(n) < 0.7, first, skewed(generator, (n,)))
    return values_estimate(first, second, None, (0.0, 1.0), higher_is_better=True, tested=False)


def held_by(estimate: Estimate, truth: float) -> bool:
    limits = estimate.limits(0.95)
    return limits is not None and limits[0] - 1e-12 <= truth <= limits[1] + 1e-12


def strata(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    """Means over tasks of right-or-wrong documents; the tasks weigh alike, whatever their sizes."""
    nine = (20, 40, 60, 100, 200, 300, 500, 800, 1000)
    for words, sizes in (
        ("57 tasks of 20 pairs", (20,) * 57),
        ("57 tasks of 10 to 122 pairs", tuple(range(10, 124, 2))),
        ("9 tasks of 20 to 1,000 pairs", nine),
        ("tasks of 10 and 1,000 pairs", (10, 1000)),
        ("tasks of 20, 100 and 1,000 pairs", (20, 100, 1000)),
    ):
        held: dict[str, list[bool]] = {}
        alarms = []
        for discordance, gap in ((0.12, 0.0), (0.1, 0.02), (0.6, 0.4)):
            found = [
                combined([(1 / len(sizes), task(generator, n, discordance, gap)) for n in sizes]) for _ in range(draws)
            ]
            held[f"worst at discordance {discordance}, difference {gap}"] = [held_by(one, gap) for one in found]
            if gap == 0:
                alarms = [one.p is not None and one.p <= ALPHA for one in found]
        worst = min(held, key=lambda one: np.mean(held[one]))
        yield covered("stratified Tango", words, held[worst], 0.93, worst)
        equal = len(set(sizes)) == 1
        test = "McNemar mid-p of the pool" if equal else "sign flips of weighted documents"
        yield alarmed(test, f"{words}, 12 % discordant, no difference", alarms, 0.06 if equal else 0.05)


def mixed(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    """Means over tasks of several kinds."""
    cases: dict[str, Callable[[], list[Estimate]]] = {
        "F1 of 100 documents, right or wrong of 50 and 400": lambda: [
            scored(generator, 100),
            task(generator, 50, 0.12, 0.0),
            task(generator, 400, 0.12, 0.0),
        ],
        "F1 of 60, 200 and 1,000 documents": lambda: [scored(generator, n) for n in (60, 200, 1000)],
        "the same and F1 of a single document": lambda: [scored(generator, n) for n in (60, 200, 1000, 1)],
    }
    for case, made in cases.items():
        found = []
        for _ in range(draws):
            each = made()
            found.append(combined([(1 / len(each), one) for one in each]))
        yield covered("MOVER, mean over tasks", f"{case}, no difference", [held_by(one, 0.0) for one in found], 0.93)
        alarms = [one.p is not None and one.p <= ALPHA for one in found]
        yield alarmed("sign flips of weighted documents", f"{case}, no difference", alarms, 0.05)


def rates(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    """Perplexities: of the same words, and of the tokens of two tokenizers."""
    ratio = METRICS["word_perplexity"].ratio
    assert ratio is not None
    assert ratio.denominator is not None
    for n in (50, 200):
        for words, other in (("a word", False), ("a token, two tokenizers", True)):
            held, alarms = [], []
            for _ in range(draws):
                lengths = np.maximum(5, generator.lognormal(5, 0.8, n)).round()
                counts = [np.maximum(1, (lengths * generator.normal(1, 0.05 * other, n)).round()) for _ in range(2)]
                common = -3 - 0.2 * np.log(lengths / 150) + generator.normal(0, 0.4, n)
                logs = [size * (common + generator.normal(0, 0.15, n)) for size in counts]
                sides = [
                    tuple(
                        Sample(f"{place:06x}", place, None, "scored", {}, dict(zip(_names(ratio), pair, strict=True)))
                        for place, pair in enumerate(zip(log.tolist(), count.tolist(), strict=True))
                    )
                    for log, count in zip(logs, counts, strict=True)
                ]
                pairs = Pairs(Pairing(n), sides[0], sides[1])
                found = rate_estimate("word_perplexity", pairs, ratio, higher_is_better=False)
                held.append(held_by(found, 0.0))
                alarms.append(found.p is not None and found.p <= ALPHA)
            case = f"perplexity {words}, {n} texts of unequal length, no difference"
            yield covered("delta method, paired t", case, held, 0.92)
            test = "approximate randomisation" if other else "sign flips of log-likelihoods"
            yield alarmed(test, case, alarms, 0.05)


def _names(ratio: object) -> tuple[str, str]:
    return ratio.numerator, ratio.denominator  # type: ignore[attr-defined]


def rankings(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    """Four runs without a difference: is any pair told apart?"""
    for sizes in ((200,), (50, 200, 400)):
        alarms = []
        for _ in range(draws):
            runs = [_run(generator, sizes, f"m{number}") for number in range(4)]
            alarms.append(any(one.verdict is Verdict.IMPROVED for one in rank(runs).pairs.values()))
        words = " and ".join(f"{n:,}" for n in sizes)
        case = f"4 runs, {len(sizes)} task{'s' * (len(sizes) > 1)} of {words} documents, no difference"
        yield alarmed("leaderboard, any of six pairs told apart", case, alarms, 0.06)


def _run(generator: np.random.Generator, sizes: Sequence[int], name: str) -> Side:
    values: list[Array] = [(generator.random(n) < 0.65).astype(float) for n in sizes]
    made = run(values, name)
    return Side(name, replace(made, model=replace(made.model, weights_sha256=name)), Path(f"{name}.json"))
