"""Tests that exchange the sides of a corpus score, against sign flips and sacrebleu's approximate randomisation."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import numpy.typing as npt
import pytest

from evalkit.documents import OpenQuestion
from evalkit.metrics.translation import METRICS
from evalkit.stats.paired import paired_t
from evalkit.stats.permutation import approximate_randomization, bootstrap_differences, paired_bootstrap
from evalkit.stats.signs import sign_flip

Statistics = npt.NDArray[np.float64]


def mean(rows: Statistics) -> float:
    return float(rows.mean())


def ratio(rows: Statistics) -> float:
    above, below = rows.sum(axis=0)
    return float(above / below)


def all_flips(sums: list[float]) -> float:
    observed = abs(math.fsum(sums)) - 1e-9
    flips = [
        abs(math.fsum(sign * value for sign, value in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    return sum(flip >= observed for flip in flips) / len(flips)


def test_means_agree_with_the_sign_flips() -> None:
    generator = np.random.default_rng(3)
    before = generator.normal(size=(50, 1))
    after = before + 0.4 * generator.normal(size=(50, 1)) + 0.1
    expected = sign_flip((after - before)[:, 0].tolist())
    assert approximate_randomization(before, after, mean, resamples=4000) == pytest.approx(expected, abs=0.02)
    interval, p = paired_bootstrap(before, after, mean, resamples=4000)
    assert p == pytest.approx(expected, abs=0.03)
    limits = paired_t((after - before)[:, 0].tolist()).interval
    assert interval is not None
    assert limits is not None
    assert (interval.low, interval.high) == pytest.approx((limits.low, limits.high), abs=0.02)


def test_few_documents_are_swapped_in_every_way() -> None:
    before = [[0.1], [0.5], [0.3], [0.2], [0.2]]
    after = [[0.4], [0.4], [0.9], [0.2], [0.3]]
    expected = all_flips([b - a for (a,), (b,) in zip(before, after, strict=True)])
    assert approximate_randomization(before, after, mean, resamples=1000) == pytest.approx(expected)
    assert approximate_randomization(before, before, mean, resamples=1000) == 1.0


def test_few_groups_are_swapped_whole() -> None:
    moved = np.array([0.3, -0.1, 0.2, 0.2, -0.4, 0.1, 0.5, 0.05])
    groups = [[0, 5], [1, 2], [3, 7], [4, 6]]
    expected = all_flips([float(moved[group].sum()) for group in groups])
    before = np.full((8, 1), 0.5)
    p = approximate_randomization(before, before + moved[:, None], mean, groups, resamples=1000)
    assert p == pytest.approx(expected) == sign_flip(moved.tolist(), [0, 1, 1, 2, 3, 0, 3, 2])
    assert p != approximate_randomization(before, before + moved[:, None], mean, resamples=1000)


def test_groups_are_swapped_and_drawn_whole() -> None:
    generator = np.random.default_rng(6)
    shift = np.repeat(generator.normal(size=40), 5)
    before = np.stack([generator.uniform(5, 9, 200), np.full(200, 10.0)], axis=1)
    after = before + np.stack([0.3 * shift + 0.06, np.zeros(200)], axis=1)
    groups = [list(range(start, start + 5)) for start in range(0, 200, 5)]
    together = approximate_randomization(before, after, ratio, groups, resamples=1000)
    alone = approximate_randomization(before, after, ratio, resamples=1000)
    assert alone < together / 2
    wide, _ = paired_bootstrap(before, after, ratio, groups, resamples=1000)
    narrow, _ = paired_bootstrap(before, after, ratio, resamples=1000)
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 1.7 * (narrow.high - narrow.low)


def test_swapped_sides_have_the_same_p() -> None:
    generator = np.random.default_rng(9)
    before, after = generator.uniform(1, 2, (30, 2)), generator.uniform(1, 2, (30, 2))
    one = approximate_randomization(before, after, ratio, resamples=500)
    assert approximate_randomization(after, before, ratio, resamples=500) == one
    first, p = paired_bootstrap(before, after, ratio, resamples=500)
    second, turned = paired_bootstrap(after, before, ratio, resamples=500)
    assert p == turned
    assert first is not None
    assert second is not None
    assert (first.low, first.high) == pytest.approx((-second.high, -second.low))


def test_constant_differences_have_no_interval() -> None:
    before = np.arange(12.0)[:, None]
    interval, p = paired_bootstrap(before, before + 1, mean, resamples=4000)
    assert interval is None
    assert p == 2 / 2**12


def translations(seed: int, documents: int) -> tuple[list[str], list[str], list[str]]:
    """References and two systems that replace a word in eight, one of them a little more rarely."""
    generator = random.Random(seed)
    words = ["the", "a", "cat", "dog", "house", "tree", "runs", "sees", "under", "over", "big", "small", "old", "river"]
    references = [" ".join(generator.choices(words, k=generator.randint(6, 16))) for _ in range(documents)]

    def system(rate: float) -> list[str]:
        return [
            " ".join(generator.choice(words) if generator.random() < rate else word for word in text.split())
            for text in references
        ]

    return references, system(0.16), system(0.13)


@pytest.mark.parametrize(("name", "seed"), [("bleu", 1), ("bleu", 4), ("chrf", 1)])
def test_corpus_scores_agree_with_sacrebleu(name: str, seed: int) -> None:
    """Both are simulations of 2,000 random swaps, whose p has a standard error of 0.01."""
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    references, first, second = translations(seed, 120)
    test = PairedTest(
        [("before", first), ("after", second)],
        {"score": BLEU() if name == "bleu" else CHRF()},
        references=[references],
        test_type="ar",
        n_samples=2000,
    )
    (expected,) = [results[1].p_value for key, results in test()[1].items() if key != "System"]
    corpus = METRICS[name].corpus
    assert corpus is not None
    before, after = (
        np.array(
            [
                corpus.statistics(OpenQuestion("q", reference), text)
                for text, reference in zip(texts, references, strict=True)
            ]
        )
        for texts in (first, second)
    )
    p = approximate_randomization(before, after, corpus.score, resamples=2000)
    assert p == pytest.approx(expected, abs=0.04)
    _, centred = paired_bootstrap(before, after, corpus.score, resamples=1000)
    assert centred == pytest.approx(p, abs=0.1)


def sums_ratio(sums: Statistics) -> Statistics:
    return np.asarray(sums[:, 0] / sums[:, 1], dtype=np.float64)


@pytest.mark.parametrize("groups", [None, [[place, place + 30] for place in range(30)]])
def test_scores_of_sums_change_nothing_but_the_time(groups: list[list[int]] | None) -> None:
    generator = np.random.default_rng(4)
    before = generator.uniform(1, 2, (60, 2))
    after = before * generator.uniform(0.9, 1.15, (60, 2))
    slow, quick = (
        approximate_randomization(before, after, ratio, groups, resamples=400, of_sums=of_sums)
        for of_sums in (None, sums_ratio)
    )
    assert slow == quick
    assert 0 < slow < 1
    slow_draws, quick_draws = (
        bootstrap_differences(before, after, ratio, groups, resamples=400, of_sums=of_sums)
        for of_sums in (None, sums_ratio)
    )
    assert quick_draws == pytest.approx(slow_draws, abs=1e-12)
    few = slice(0, 8)
    assert approximate_randomization(before[few], after[few], ratio, resamples=400) == approximate_randomization(
        before[few], after[few], ratio, resamples=400, of_sums=sums_ratio
    )


def test_beyond_all_swaps_a_linear_score_has_the_bound_of_the_sign_flips() -> None:
    generator = np.random.default_rng(5)
    before = generator.normal(size=(80, 1))
    after = before + generator.uniform(0.5, 1.5, (80, 1))
    p = approximate_randomization(before, after, mean, resamples=2000)
    assert 1e-30 < p < 1e-12
    assert math.log(p) == pytest.approx(math.log(sign_flip((after - before)[:, 0].tolist())), rel=0.1)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="shapes"):
        approximate_randomization([[1.0]], [[1.0], [2.0]], mean, resamples=10)
    with pytest.raises(ValueError, match="groups"):
        paired_bootstrap([[1.0], [2.0]], [[1.0], [3.0]], mean, [[0]], resamples=10)
