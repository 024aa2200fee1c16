"""Rules that end in a word: stop early, this task changed, this run regressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

import evalkit
from benchmarks.calibration.measured import Array, Measured, alarmed, covered
from evalkit.aggregate import aggregate_group
from evalkit.comparison import Comparison, Verdict
from evalkit.data import DatasetInfo
from evalkit.metrics import estimate, metric
from evalkit.results import ModelInfo, Run, Sample, TaskResult
from evalkit.stats.multiple import holm
from evalkit.stats.paired import mcnemar_mid_p
from evalkit.stats.sequential import (
    MeanBet,
    asymptotic_confidence_sequence_radius,
    discordant_e_value,
    proportion_confidence_sequence,
    tightest_at,
)
from evalkit.task import Group

ALPHA = 0.05
LOOKS = range(10, 3001, 10)


def measure(draws: int) -> Iterator[Measured]:
    generator = np.random.default_rng(3)
    yield from bets(generator, draws)
    yield from looks(generator, draws)
    yield from many_tests(generator, 5 * draws)
    yield from verdicts(generator, max(1, draws // 2))


def paired(generator: np.random.Generator, shape: tuple[int, ...], discordance: float, gap: float) -> Array:
    """Differences of right-or-wrong pairs, -1, 0 or 1."""
    shares = [(discordance - gap) / 2, 1 - discordance, (discordance + gap) / 2]
    return generator.choice([-1.0, 0.0, 1.0], p=shares, size=shape)


def largest(values: Sequence[float], null: float, low: float = -1.0) -> float:
    bet = MeanBet(null, "less", low, 1.0)
    bet.update(values)
    return bet.largest


def stop(values: Array, null: float) -> float:
    """The look, every ten items, at which the evidence suffices; infinite if none."""
    bet = MeanBet(null, "less", -1.0, 1.0)
    for n in range(10, len(values) + 1, 10):
        if bet.update(values[n - 10 : n].tolist()) >= 1 / ALPHA:
            return n
    return float("inf")


def bets(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    rule = "betting e-process, stops at 1 / α"
    for discordance in (0.12, 0.2):
        alarms = [largest(row, -0.02) >= 1 / ALPHA for row in paired(generator, (draws, 3000), discordance, -0.02)]
        case = (
            f"loss of exactly the margin, 2 points, {100 * discordance:.0f} % discordant, a look at each of 3,000 items"
        )
        yield alarmed(rule, case, alarms, 0.05)
    scores = generator.beta(0.4, 0.6, (draws, 2000))
    yield alarmed(
        rule,
        "mean score of exactly the floor, 0.4, 2,000 items",
        [largest(row, 0.4, 0.0) >= 20 for row in scores],
        0.05,
    )
    pool = np.repeat([-1.0, 0.0, 1.0], [40, 430, 30])
    alarms = [largest(generator.permutation(pool), -0.02) >= 1 / ALPHA for _ in range(draws)]
    yield alarmed(rule, "benchmark of 500 items in random order, loss of exactly the margin in all of it", alarms, 0.05)
    for discordance, gap in ((0.12, 0.05), (0.12, 0.1), (0.2, 0.05), (0.2, 0.1), (0.2, 0.15)):
        rows = paired(generator, (max(1, draws // 3), 3000), discordance, -gap)
        stops = np.array([stop(row, -0.02) for row in rows])
        median = f"median stop {np.median(stops):,.0f} items, a look each 10"
        case = f"loss of {100 * gap:.0f} points, margin 2, {100 * discordance:.0f} % discordant, at most 3,000 items"
        yield Measured(rule, case, "power", float(np.isfinite(stops).mean()), len(rows), None, median)


def looks(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    alarms = []
    for row in paired(generator, (draws, 3000), 0.12, 0.0):
        wins, losses = np.cumsum(row > 0), np.cumsum(row < 0)
        alarms.append(any(discordant_e_value(int(wins[n - 1]), int(losses[n - 1])) >= 1 / ALPHA for n in LOOKS))
    yield alarmed(
        "e-value of discordant pairs", "no difference, 12 % discordant, a look each 10 of 3,000", alarms, 0.05
    )
    alarms = []
    for row in paired(generator, (draws, 3000), 0.12, 0.0):
        wins, losses = np.cumsum(row > 0), np.cumsum(row < 0)
        alarms.append(any(mcnemar_mid_p(int(wins[n - 1]), int(losses[n - 1])) <= ALPHA for n in LOOKS[4::5]))
    yield alarmed("McNemar mid-p, looked at every 50 items: not used", "the same", alarms, None)
    count = max(1, draws // 4)
    missed = []
    for row in generator.random((count, 1000)) < 0.7:
        hits = np.cumsum(row)
        found = [proportion_confidence_sequence(int(hits[n - 1]), n) for n in range(50, 1001, 50)]
        missed.append(any(not one.low <= 0.7 <= one.high for one in found))
    yield alarmed("confidence sequence of a proportion, ever wrong", "0.7, a look each 50 of 1,000", missed, 0.05)
    missed, rho = [], tightest_at(200)
    for scores in generator.beta(0.4, 0.6, (draws, 1000)):
        n = np.arange(50, 1001, 10)
        mean, square = np.cumsum(scores)[n - 1] / n, np.cumsum(scores**2)[n - 1] / n
        radii = [asymptotic_confidence_sequence_radius(1.0, int(size), rho) for size in n]
        missed.append(bool((np.abs(mean - 0.4) > np.sqrt(square - mean**2) * np.array(radii)).any()))
    yield alarmed("asymptotic confidence sequence, ever wrong", "mean score, looks from 50 to 1,000", missed, 0.05)


def many_tests(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    """Nine tasks without a difference, and nine of which one has one: is any other found?"""
    single, any_raw, any_holm = [], [], []
    for tables in generator.multinomial(200, [0.06, 0.06, 0.88], (draws, 9)):
        p = [mcnemar_mid_p(int(wins), int(losses)) for wins, losses, _ in tables]
        single.append(p[0] <= ALPHA)
        any_raw.append(min(p) <= ALPHA)
        any_holm.append(min(holm(p)) <= ALPHA)
    case = "9 tasks of 200 pairs, 12 % discordant, no difference"
    yield alarmed("McNemar mid-p, any of nine: not used", case, any_raw, None)
    yield alarmed("Holm, any of nine", case, any_holm, 0.06)


def result(values: Array) -> TaskResult:
    samples = tuple(
        Sample(f"{place:016x}", place, None, "right" if value else "wrong", {"acc": float(value)}, {})
        for place, value in enumerate(values)
    )
    data = DatasetInfo(id="simulated", config="", split="test", revision=None, source="simulated", sha256="0" * 64)
    outcomes = {"right": int(values.sum()), "wrong": int(len(values) - values.sum())}
    return TaskResult(1, data, 0, "0" * 64, len(samples), {"acc": estimate(metric("acc"), samples)}, outcomes, samples)


def run(tasks: Sequence[Array], name: str) -> Run:
    model = ModelInfo(name, "simulated", None, 1, "float32", name, "0" * 64, None, {})
    results = {f"task{number}": result(values) for number, values in enumerate(tasks)}
    return Run("2026-01-01T00:00:00Z", "0", model, {"limit": None, "seed": 0}, {}, results, {}, {"total_seconds": 1.0})


def compared(generator: np.random.Generator, tasks: int, n: int, gap: float, margin: float) -> Comparison:
    """A comparison of two simulated runs, 12 % discordant, the second better by `gap`."""
    before, after = [], []
    for moved in paired(generator, (tasks, n), 0.12, gap):
        both = (generator.random(n) < 0.65).astype(float)
        before.append(np.where(moved == 0, both, moved < 0).astype(float))
        after.append(np.where(moved == 0, both, moved > 0).astype(float))
    return evalkit.compare(run(before, "a"), run(after, "b"), margin=margin)


def verdicts(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    """`evalkit compare` as it is, from result to verdict."""
    found = [compared(generator, 9, 200, 0.0, 0.01) for _ in range(draws)]
    each = [{task.change.verdict for task in one.tasks.values()} for one in found]
    yield from both_ways(each, "9 tasks of 200 items, no difference", ", any of nine tasks")
    means = [one.overall for one in found if one.overall is not None]
    yield from both_ways([{one.verdict} for one in means], "the same", ", mean of nine tasks")
    held = [one.interval is not None and one.interval[0] <= 0 <= one.interval[1] for one in means]
    yield covered("interval of the mean over tasks (Tango of their pool)", "the same", held, 0.93)
    yield from grouped(generator, draws)
    for n in (100, 300, 1000):
        # quick, and what the promises are about: eight times the draws
        single = [compared(generator, 1, n, 0.0, 0.02).tasks["task0"].change.verdict for _ in range(8 * draws)]
        within = float(np.mean([verdict is Verdict.WITHIN_MARGIN for verdict in single]))
        case = f"one task of {n:,} items, no difference, margin 2"
        yield from both_ways([{verdict} for verdict in single], case, "")
        yield Measured("verdict within margin", case, "power", within, len(single))
    passed = [compared(generator, 1, 1000, -0.02, 0.02).tasks["task0"].change.verdict for _ in range(draws)]
    wrong = [verdict in (Verdict.WITHIN_MARGIN, Verdict.IMPROVED) for verdict in passed]
    yield alarmed("verdict within margin", "1,000 items, loss of exactly the margin, 2 points", wrong, 0.06)
    for n in (100, 300, 1000):
        seen = [compared(generator, 1, n, -0.05, 0.02).tasks["task0"].change.verdict for _ in range(draws)]
        rate = float(np.mean([verdict is Verdict.REGRESSED for verdict in seen]))
        yield Measured("verdict regressed", f"{n:,} items, loss of 5 points, margin 2", "power", rate, draws)


def grouped(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    """Members of one group of eight tasks, and of four such groups, each of which is a family of tests of its own."""
    for groups in (1, 4):
        found = []
        for _ in range(draws if groups == 1 else max(1, draws // 4)):
            sides: list[list[Array]] = [[], []]
            for moved in paired(generator, (8 * groups, 100), 0.12, 0.0):
                both = (generator.random(100) < 0.65).astype(float)
                for side, only in zip(sides, (moved < 0, moved > 0), strict=True):
                    side.append(np.where(moved == 0, both, only).astype(float))
            before, after = (with_groups(run(side, name), groups) for side, name in zip(sides, "ab", strict=True))
            compared = evalkit.compare(before, after, margin=0.01)
            members = [one for name, one in compared.tasks.items() if name.startswith("task")]
            found.append({one.change.verdict for one in members})
        words = "a group" if groups == 1 else f"{groups} groups"
        yield from both_ways(found, f"{words} of 8 tasks of 100 items, no difference", ", any member", groups == 1)


def with_groups(made: Run, count: int) -> Run:
    """The run with its tasks in so many groups of eight."""
    names = list(made.tasks)
    groups = {}
    for number in range(count):
        members = {name: made.tasks[name] for name in names[8 * number : 8 * number + 8]}
        groups[f"group{number}"] = aggregate_group(Group(name=f"group{number}", members=tuple(members)), members)
    return replace(made, groups=groups)


def both_ways(verdicts: Sequence[set[Verdict]], case: str, of: str, promised: bool = True) -> Iterator[Measured]:
    """False `improved` and false `regressed`, which have half of α each, and either of them."""
    half, whole = (0.03, 0.06) if promised else (None, None)
    false = {Verdict.IMPROVED, Verdict.REGRESSED}
    yield alarmed(f"verdict improved{of}", case, [Verdict.IMPROVED in one for one in verdicts], half)
    yield alarmed(f"verdict regressed{of}", case, [Verdict.REGRESSED in one for one in verdicts], half)
    yield alarmed(f"verdict improved or regressed{of}", case, [bool(one & false) for one in verdicts], whole)
