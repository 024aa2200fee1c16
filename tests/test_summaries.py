"""Scores of documents that are all alike: no interval rather than one without a width."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evalkit.results import Sample
from evalkit.summaries import Transform, corpus_value, mean_value, ratio_value

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
