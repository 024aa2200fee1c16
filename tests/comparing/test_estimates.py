"""Golden numbers and outside oracles for the difference of one metric."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar

from evalkit.comparing.attribution import cause_of
from evalkit.comparing.kinds import estimate_metric
from evalkit.comparing.pairing import pair
from evalkit.comparison import Cause
from evalkit.metrics import estimate, metric
from evalkit.metrics.text_registry import find
from evalkit.results import MetricValue, Sample, TaskResult
from tests.comparing.examples import generated, paired, real, text_result
from tests.result_examples import DATASET, task_result


def test_right_or_wrong_documents_have_tangos_interval_and_the_mid_p() -> None:
    # research golden: S, b, c, V = 60, 12, 4, 24
    before, after = paired(60, 12, 4, 24)
    found = estimate_metric("acc", before, after, pair(before, after))
    assert (found.n, found.fixed, found.broken) == (100, 12, 4)
    assert found.difference == pytest.approx(0.08)
    assert found.limits(0.95) == pytest.approx((0.00178, 0.16559), abs=5e-6)
    assert found.p == pytest.approx(0.049042, abs=1e-6)
    exact = mcnemar([[60, 4], [12, 24]], exact=True).pvalue
    assert found.p == pytest.approx(exact - math.comb(16, 4) / 2**16)
    assert found.stderr == pytest.approx(np.std([1] * 12 + [-1] * 4 + [0] * 84, ddof=1) / 10)


def test_no_change_at_all_still_has_an_interval_with_a_width() -> None:
    before, after = paired(50, 0, 0, 50)
    found = estimate_metric("acc", before, after, pair(before, after))
    assert found.same
    assert found.p == 1
    assert found.limits(0.95) == pytest.approx((-0.03699, 0.03699), abs=1e-5)


def test_real_values_have_students_interval_and_the_sign_flip_test() -> None:
    first = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    second = [1.0, 0.0, 1.0, 0.5, 1.0, 0.0, 0.0, 1.0, 0.0, 0.9]
    before, after = real(first), real(second)
    found = estimate_metric("f1", before, after, pair(before, after))
    oracle = stats.ttest_rel(second, first)
    assert found.limits(0.95) == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    exact = stats.permutation_test(
        (np.array(second) - np.array(first),), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert found.p == pytest.approx(exact.pvalue)
    assert found.discordance is None


def test_documents_of_one_cluster_are_not_independent() -> None:
    generator = random.Random(3)
    clusters = [f"c{place // 3}" for place in range(90)]
    shift = {name: generator.random() < 0.2 for name in clusters}
    first = [float(generator.random() < 0.6) for _ in clusters]
    second = [
        value if not shift[name] else 1 - value if generator.random() < 0.8 else value
        for value, name in zip(first, clusters, strict=True)
    ]
    before, after = task_result(first, clusters=clusters), task_result(second, clusters=clusters)
    found = estimate_metric("acc", before, after, pair(before, after))
    moved = np.subtract(second, first)
    codes = np.unique(clusters, return_inverse=True)[1]
    oracle = OLS(moved, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    # statsmodels multiplies by (n - 1) / (n - k) too, which is 1 for a mean
    assert found.clusters == 30
    assert found.stderr == pytest.approx(oracle.bse[0])
    assert found.limits(0.95) == pytest.approx(tuple(oracle.conf_int()[0]))
    assert found.units is not None
    assert found.units.sum() == pytest.approx(found.difference)
    assert len(found.units) == 30
    assert "clusters" in found.test
    assert found.discordance is None  # or a group would take them for independent


def test_a_perplexity_has_the_linearised_interval() -> None:
    generator = random.Random(1)
    rates = [-2 - generator.random() for _ in range(40)]
    later = [rate + 0.1 * generator.random() for rate in rates]
    before, after = text_result(rates), text_result(later)
    found = estimate_metric("word_perplexity", before, after, pair(before, after))
    ratio = [sum(100 * rate for rate in those) / (70 * 40) for those in (rates, later)]
    assert found.before == pytest.approx(math.exp(-ratio[0]))
    assert found.after == pytest.approx(math.exp(-ratio[1]))
    linear = [
        -math.exp(-r) * (100 * np.array(those) - r * 70) / (70 * 40)
        for r, those in zip(ratio, (rates, later), strict=True)
    ]
    stderr = np.std(linear[1] - linear[0], ddof=1) * math.sqrt(40)
    assert found.stderr == pytest.approx(stderr)
    half = stats.t.ppf(0.975, 39) * stderr
    assert found.limits(0.95) == pytest.approx((found.difference - half, found.difference + half))
    assert found.fixed == 40
    assert found.p is not None
    assert found.p <= 1e-4 + 1e-9


def test_bits_per_byte_is_a_paired_t_interval() -> None:
    rates, later = [-2.0, -2.5, -3.0, -2.2, -2.9], [-2.1, -2.4, -3.2, -2.3, -3.3]
    before, after = text_result(rates), text_result(later)
    found = estimate_metric("bits_per_byte", before, after, pair(before, after))
    bits = [[-100 * rate / 400 / math.log(2) for rate in those] for those in (rates, later)]
    # all documents have as many bytes, so that the ratio is a mean
    oracle = stats.ttest_rel(bits[1], bits[0]).confidence_interval(0.95)
    assert found.limits(0.95) == pytest.approx(tuple(oracle))
    exact = stats.permutation_test(
        (np.subtract(bits[1], bits[0]),), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert found.p == pytest.approx(exact.pvalue)
    assert (found.fixed, found.broken) == (1, 4)


def test_other_denominators_need_the_exchange_of_whole_documents() -> None:
    """Another tokenizer: token perplexities have other denominators, document by document."""
    before = text_result([-2.0, -2.1, -2.3, -2.2, -2.0, -2.6, -2.2])
    samples = tuple(
        replace(sample, fields={**sample.fields, "tokens": 90 + place})
        for place, sample in enumerate(text_result([-2.1, -2.1, -2.4, -2.2, -2.1, -2.6, -2.3]).samples)
    )

    def scored(samples: tuple[Sample, ...]) -> TaskResult:
        valued = tuple(replace(one, metrics={"token_perplexity": 2.0}) for one in samples)
        scores = {"token_perplexity": estimate(metric("token_perplexity"), valued)}
        return replace(before, samples=valued, metrics=scores)

    first, second = scored(before.samples), scored(samples)
    found = estimate_metric("token_perplexity", first, second, pair(first, second))
    assert "randomisation" in found.test
    assert found.p == pytest.approx(2 / 2**7)  # every document is worse a token


def test_corpus_scores_have_a_paired_bootstrap_and_approximate_randomisation() -> None:
    generator = random.Random(5)
    statistics = [
        [[10.0, 9.0] + [float(generator.randint(2, 10 - order)) for order in range(4)] + [10.0, 9.0, 8.0, 7.0]]
        for _ in range(40)
    ]
    better = [
        [[one[0], one[1], *(min(n + 1, 10 - o) for o, n in enumerate(one[2:6])), *one[6:]] for one in document]
        for document in statistics
    ]

    def corpus(rows: list[list[list[float]]]) -> TaskResult:
        samples = tuple(
            Sample(f"{place:016x}", place, None, "scored", {"bleu": float(sum(row[0][2:6]))}, {"bleu_statistics": row})
            for place, row in enumerate(rows)
        )
        score = find("bleu").corpus
        assert score is not None
        value = MetricValue(score.score(np.array(rows)[:, 0]), None, None, True, None, bounds=(0.0, 100.0))
        return TaskResult(1, DATASET, 0, "e" * 64, 40, {"bleu": value}, {"scored": 40}, samples)

    first, second = corpus(statistics), corpus(better)
    found = estimate_metric("bleu", first, second, pair(first, second))
    assert found.before == pytest.approx(first.metrics["bleu"].value)
    assert found.after > found.before
    limits = found.limits(0.95)
    assert limits is not None
    assert 0 < limits[0] < found.difference < limits[1]
    assert found.p is not None
    assert found.p < 1e-6  # no random swap comes near
    assert found.test.endswith("approximate randomisation with a normal tail")
    assert found.units is None
    ends = [found.limits(level) for level in (0.95, 0.99, 0.999, 0.99999)]
    assert all(
        one is not None and two is not None and two[0] < one[0] and one[1] < two[1] for one, two in pairwise(ends)
    )
    assert found.attribution is None


def test_a_score_that_is_no_mean_of_its_documents_has_no_test() -> None:
    before = real([0.1, 0.5], "correlation")
    before = replace(before, metrics={"correlation": replace(before.metrics["correlation"], value=0.9)})
    after = real([0.2, 0.6], "correlation")
    found = estimate_metric("correlation", before, after, pair(before, after))
    assert found.p is None
    assert found.limits(0.95) is None
    assert "all documents together" in found.why


def test_attribution_sums_to_the_difference() -> None:
    before = generated(["right", "right", "right", "right", "wrong", "unparsed", "truncated", "wrong"])
    after = generated(["right", "truncated", "refused", "wrong", "right", "right", "unparsed", "truncated"])
    found = estimate_metric("exact_match", before, after, pair(before, after))
    attribution = found.attribution
    assert attribution is not None
    assert attribution.parts == pytest.approx(
        {Cause.TRUNCATED: -1 / 8, Cause.REFUSED: -1 / 8, Cause.KNOWLEDGE: 0.0, Cause.UNPARSED: 1 / 8}
    )
    assert sum(attribution.parts.values()) == pytest.approx(found.difference)
    assert attribution.unreadable == pytest.approx(-1 / 8)
    assert attribution.broken == {Cause.TRUNCATED: 1, Cause.REFUSED: 1, Cause.KNOWLEDGE: 1}
    assert attribution.fixed == {Cause.KNOWLEDGE: 1, Cause.UNPARSED: 1}


@pytest.mark.parametrize(
    ("before", "after", "gain", "cause"),
    [
        ("right", "wrong", -1.0, Cause.KNOWLEDGE),
        ("scored", "truncated", -0.2, Cause.TRUNCATED),
        ("unparsed", "truncated", -0.2, Cause.TRUNCATED),
        ("unparsed", "truncated", 0.2, Cause.UNPARSED),
        ("empty", "right", 1.0, Cause.EMPTY),
        ("refused", "scored", -0.1, Cause.KNOWLEDGE),
        ("truncated", "wrong", -0.6, Cause.KNOWLEDGE),
        ("scored", "truncated", 0.2, Cause.KNOWLEDGE),
        ("truncated", "refused", 0.2, Cause.TRUNCATED),
        ("mixed", "right", 0.5, Cause.KNOWLEDGE),
    ],
)
def test_the_cause_is_what_was_wrong_with_the_worse_answer(before: str, after: str, gain: float, cause: Cause) -> None:
    assert cause_of(before, after, gain) is cause
