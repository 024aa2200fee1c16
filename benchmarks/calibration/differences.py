"""Intervals and tests of paired differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.calibration.measured import Measured, alarmed, covered
from benchmarks.calibration.scores import clustered, holds, skewed
from evalkit.stats.paired import mcnemar_mid_p, paired_clusters, paired_t, sign_test, tango
from evalkit.stats.positions import position_bias
from evalkit.stats.signs import sign_flip

ALPHA = 0.05


def measure(draws: int) -> Iterator[Measured]:
    generator = np.random.default_rng(2)
    yield from binary(generator, 5 * draws)
    yield from real(generator, draws)
    yield from clusters(generator, draws)
    yield from positions(generator, max(1, draws // 2))


def binary(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    for n in (20, 50, 200, 1000):
        rates: dict[str, list[tuple[float, float, float]]] = {"Tango": [], "mid-p": [], "exact": []}
        for discordance in (0.04, 0.12, 0.3):
            for gap in (0.0, 0.03, 0.1):
                if gap > discordance:
                    continue
                shares = [(discordance + gap) / 2, (discordance - gap) / 2, 1 - discordance]
                tables, counts = np.unique(generator.multinomial(n, shares, draws)[:, :2], axis=0, return_counts=True)
                pairs = [(int(wins), int(losses)) for wins, losses in tables]
                held = [holds(tango(wins, losses, n), gap) for wins, losses in pairs]
                rates["Tango"].append((float(np.average(held, weights=counts)), discordance, gap))
                if gap == 0:
                    for name, test in (("mid-p", mcnemar_mid_p), ("exact", sign_test)):
                        alarms = [test(wins, losses) <= ALPHA for wins, losses in pairs]
                        rates[name].append((float(np.average(alarms, weights=counts)), discordance, gap))
        worst = min(rates["Tango"])
        case, remark = f"{n} right-or-wrong pairs", "worst at discordance {1}, difference {2}"
        yield Measured("Tango score", case, "coverage", worst[0], draws, 0.93, remark.format(*worst))
        for name, method, promised in (("mid-p", "McNemar mid-p", 0.06), ("exact", "McNemar exact", 0.05)):
            worst = max(rates[name])
            yield Measured(method, case, "alarms", worst[0], draws, promised, f"worst at discordance {worst[1]}")


def real(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    for n in (20, 50, 200, 1000):
        keeps = generator.random((draws, n)) < 0.7  # where the change of the model changes nothing
        moved = np.where(keeps, 0.0, skewed(generator, (draws, n)) - skewed(generator, (draws, n)))
        found = [paired_t(row.tolist()) for row in moved]
        case = f"{n} pairs of scores like F1, no difference"
        yield covered(
            "paired t",
            case,
            [holds(one.interval, 0.0) or not row.any() for one, row in zip(found, moved, strict=True)],
            0.93,
        )
        alarms = [sign_flip(row.tolist(), resamples=1999) <= ALPHA for row in moved]
        yield alarmed("sign flips", case, alarms, 0.05)
    for n, promised in ((50, None), (200, 0.07)):
        lopsided = np.where(generator.random((draws, n)) < 0.1, 0.45, -0.05) + 0.02 * generator.normal(size=(draws, n))
        case = f"{n} pairs, mean 0, one in ten gains 0.45, the others lose 0.05"
        yield alarmed(
            "sign flips", case, [sign_flip(row.tolist(), resamples=1999) <= ALPHA for row in lopsided], promised
        )
        alarms = [(paired_t(row.tolist()).p or 0.0) <= ALPHA for row in lopsided]
        yield alarmed("paired t", case, alarms, promised)


def clusters(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    for count, promised in ((5, None), (10, 0.92), (20, 0.93), (50, 0.93)):
        sizes, names = np.full(count, 5.0), np.repeat(np.arange(count), 5).tolist()
        held, alarms = [], []
        for _ in range(draws):
            # the disagreements of a cluster go one way or the other together
            lean = clustered(generator, sizes, 0.2, 0.5) - clustered(generator, sizes, 0.2, 0.5)
            moved = np.where(generator.random(len(lean)) < 0.4, lean, 0.0)
            held.append(not moved.any() or holds(paired_clusters(moved.tolist(), names).interval, 0.0))
            alarms.append(sign_flip(moved.tolist(), names) <= ALPHA)
        case = f"{count} clusters of 5 right-or-wrong pairs, 20 % discordant"
        yield covered("CR1 on differences, t(clusters - 1)", case, held, promised)
        yield alarmed("sign flips of clusters", case, alarms, 0.05)


def positions(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    for accuracy in (0.25, 0.7):
        alarms, customary = [], []
        for _ in range(draws):
            gold = generator.integers(0, 4, 300)
            wrong = (gold + generator.integers(1, 4, 300)) % 4
            result = position_bias(np.where(generator.random(300) < accuracy, gold, wrong).tolist(), gold.tolist(), 4)
            alarms.append((result.preference_p or 1.0) <= ALPHA)
            customary.append((result.p or 1.0) <= ALPHA)
        case = f"300 questions of 4 choices, accuracy {accuracy}, no preference"
        yield alarmed("position preference", case, alarms, 0.06)
        yield alarmed("chi-square of picks against gold, not used for verdicts", case, customary, None)
