"""Scores of documents that are all alike: no interval rather than one without a width."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evalkit.results import Sample
from evalkit.summaries import Transform, corpus_value, mean_value, ratio_value, unreadable_range

IDENTITY = Transform(lambda rate: rate, lambda rate: 1.0)


def samples(values: Sequence[float], clusters: Sequence[str | None] = (None,) * 4) -> list[Sample]:
    return [
        Sample(str(index), index, cluster, "scored", {"score": value}, {"above": value, "statistics": [[value, 1.0]]})
        for index, (value, cluster) in enumerate(zip(values, clusters, strict=True))
    ]


@pytest.mark.parametrize("clusters", [(None,) * 4, ("a", "a", "b", "b")])
@pytest.mark.parametrize("value", [0.0, 0.1, 100.0])
def test_a_mean_without_variance_has_no_interval(value: float, clusters: Sequence[str | None]) -> None:
    alike = samples([value] * 4, clusters)
    assert mean_value("score", alike, higher_is_better=True, binary=False).ci95 is None
    differ = samples([value, value, value, value + 1], clusters)
    assert mean_value("score", differ, higher_is_better=True, binary=False).ci95 is not None


def test_a_proportion_of_0_has_one() -> None:
    assert mean_value("score", samples([0.0] * 4), higher_is_better=True, binary=True).ci95 is not None


def test_a_score_of_all_documents_without_variance_has_no_interval() -> None:
    def score(values: Sequence[float]) -> tuple[float, float] | None:
        return corpus_value(
            "score",
            samples(values),
            "statistics",
            lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()),
            higher_is_better=True,
            resamples=100,
        ).ci95

    assert score([0.1] * 4) is None
    assert score([0.1, 0.2, 0.3, 0.4]) is not None


def test_a_rate_without_variance_has_no_interval() -> None:
    def limits(values: Sequence[float]) -> tuple[float, float] | None:
        return ratio_value("score", samples(values), "above", None, IDENTITY, higher_is_better=False).ci95

    assert limits([2.0] * 4) is None
    assert limits([2.0, 3.0, 2.0, 3.0]) is not None


def sample(outcome: str, *, answers: Sequence[str | None] = (), by_seed: object = None, **metrics: float) -> Sample:
    fields = {"answers": list(answers)} | ({"by_seed": by_seed} if by_seed else {})
    return Sample("x", 0, None, outcome, metrics, fields)


UNIT = (0.0, 1.0)
READ = [sample("right", acc=1.0), sample("wrong", acc=0.0)]


@pytest.mark.parametrize("outcome", ["unparsed", "empty", "truncated", "refused"])
def test_unreadable_answers_may_be_worth_all_or_nothing(outcome: str) -> None:
    assert unreadable_range("acc", READ, 0.5, UNIT) is None
    assert unreadable_range("acc", [*READ, sample(outcome, acc=0.0)], 1 / 3, UNIT) == pytest.approx((1 / 3, 2 / 3))
    # half a point for a text that was cut: it might have had none, or the whole one
    halves = [*READ, sample(outcome, f1=0.5)]
    assert unreadable_range("f1", halves, 0.5, UNIT) == (0.0, 1.0)
    # the metric found its answer all the same
    assert unreadable_range("acc", [*READ, sample(outcome, acc=1.0)], 2 / 3, UNIT) is None


def test_what_was_never_answered_counts_in_the_range_though_not_in_the_score() -> None:
    assert unreadable_range("acc", [*READ, *[sample("errored")] * 2], 0.5, UNIT) == (0.25, 0.75)
    assert unreadable_range("acc", [sample("errored")], 0.5, UNIT) is None


def test_completions_and_seeds_count_for_their_part() -> None:
    drawn = [sample("right", answers=["4", None], acc=0.5), sample("unparsed", answers=[None, "4"], acc=0.5)]
    assert unreadable_range("acc", drawn, 0.5, UNIT) == (0.5, 1.0)
    views = [{"outcome": outcome, "metrics": {"acc": 0.0}, "fields": {}} for outcome in ("wrong", "unparsed")]
    assert unreadable_range("acc", [sample("unparsed", by_seed=views, acc=0.0)], 0.0, UNIT) == (0.0, 0.5)


def test_scores_that_are_no_means_or_have_no_ends_have_no_range() -> None:
    unread = [*READ, sample("unparsed", acc=0.0)]
    assert unreadable_range("acc", unread, 0.9, UNIT) is None
    assert unreadable_range("acc", unread, 1 / 3, (0.0, float("inf"))) is None
