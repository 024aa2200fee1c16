from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from evalkit.stats.confusion import confusion

GOLD = ["yes"] * 25 + ["no"] * 25
PICKED = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15


def test_golden() -> None:
    result = confusion(GOLD, PICKED, labels=["yes", "no"])
    assert result.counts == ((20, 5), (10, 15))
    assert result.accuracy == pytest.approx(0.7)
    assert result.kappa == pytest.approx(0.4)
    assert result.macro_f1 == pytest.approx(0.69697, abs=1e-5)
    assert result.balanced_accuracy == pytest.approx(0.7)
    assert result.matthews == pytest.approx(0.408248, abs=1e-6)
    yes = result.per_label[0]
    assert (yes.label, yes.gold, yes.picked) == ("yes", 25, 30)
    assert (yes.precision, yes.recall, yes.f1) == pytest.approx((0.666667, 0.8, 0.727273), abs=1e-6)


labels = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=2, max_size=60)


@given(labels)
def test_kappa_and_correlation_equal_statsmodels_and_numpy(pairs: list[tuple[str, str]]) -> None:
    result = confusion([g for g, _ in pairs], [p for _, p in pairs])
    if result.kappa is not None:
        assert result.kappa == pytest.approx(cohens_kappa(np.array(result.counts), return_results=False), abs=1e-9)
    sides = [[[float(pair[side] == label) for label in "abcd"] for pair in pairs] for side in (0, 1)]
    first, second = (np.array(side) - np.mean(side, axis=0) for side in sides)
    spread = math.sqrt(float((first**2).sum() * (second**2).sum()))
    if result.matthews is None:
        assert spread == 0
    else:
        # Gorodkin's correlation of the two matrices of indicators
        assert result.matthews == pytest.approx(float((first * second).sum()) / spread, abs=1e-9)


@given(labels)
def test_swapped_sides(pairs: list[tuple[str, str]]) -> None:
    one = confusion([g for g, _ in pairs], [p for _, p in pairs], labels="abcd")
    other = confusion([p for _, p in pairs], [g for g, _ in pairs], labels="abcd")
    assert np.array(one.counts).T.tolist() == [list(row) for row in other.counts]
    assert (one.accuracy, one.kappa, one.matthews) == (other.accuracy, other.kappa, other.matthews)
    assert one.macro_f1 == pytest.approx(other.macro_f1)
    assert [score.precision for score in one.per_label] == [score.recall for score in other.per_label]


def test_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 4, 200).tolist()
    picked = [g if generator.random() < 0.6 else int(generator.integers(0, 5)) for g in gold]
    result = confusion(gold, picked)
    assert metrics.confusion_matrix(gold, picked).tolist() == [list(row) for row in result.counts]
    assert result.macro_f1 == pytest.approx(metrics.f1_score(gold, picked, average="macro"))
    assert result.matthews == pytest.approx(metrics.matthews_corrcoef(gold, picked))
    assert result.kappa == pytest.approx(metrics.cohen_kappa_score(gold, picked))
    recalls = metrics.recall_score(gold, picked, average=None, zero_division=0)
    assert [score.recall for score in result.per_label] == pytest.approx(recalls.tolist())
    # its balanced accuracy also leaves out labels that only occur among the picked ones
    assert result.balanced_accuracy == pytest.approx(np.mean(recalls[:4]))


def test_labels_that_do_not_occur() -> None:
    result = confusion(["a", "a", "b"], ["a", "none", "b"], labels=["a", "b", "c", "none"])
    assert result.counts[2] == (0, 0, 0, 0)
    assert result.macro_f1 == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result.balanced_accuracy == pytest.approx(0.75)
    alone = confusion(["a", "a"], ["a", "a"])
    assert (alone.accuracy, alone.kappa, alone.matthews) == (1.0, None, None)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="1 gold labels, but 2"):
        confusion(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="0 gold labels"):
        confusion([], [])
    with pytest.raises(ValueError, match="not among the labels: c"):
        confusion(["a"], ["c"], labels=["a", "b"])
