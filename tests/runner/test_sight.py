from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evalkit.registry import ResolvedGroup
from evalkit.results import TaskResult
from evalkit.runner.sight import PairSpread, assumed_spread, mean_sight, observed_spread, sights, spread_of, task_sight
from evalkit.stats.power import detectable_binary_difference, items_needed
from evalkit.task import Group
from tests.result_examples import run, task_result, text_result

Z = 1.959964 + 0.841621


def test_without_a_run_unrelated_answers_are_assumed() -> None:
    sight = task_sight(1000, assumed_spread([None] * 1000, (0.0, 1.0)))
    assert sight.difference == pytest.approx(detectable_binary_difference(0.5, 1000))
    assert sight.difference == pytest.approx(Z * math.sqrt((0.5 - 0.0624**2) / 1000), rel=2e-3)
    assert sight.effective == 1000
    assert sight.needed == {0.02: items_needed(0.5 - 0.02**2, 0.02), 0.01: items_needed(0.5 - 0.01**2, 0.01)}
    assert "assumed" in sight.basis


def test_the_assumption_is_never_too_good_for_models_that_agree_no_worse_than_by_chance() -> None:
    for before in np.linspace(0, 1, 21):
        for after in np.linspace(0, 1, 21):
            assert before * (1 - after) + after * (1 - before) - (before - after) ** 2 <= 0.5 + 1e-12


def test_clusters_make_documents_say_less() -> None:
    sizes = [None, "a", "a", "a", "b", "b"]
    spread = assumed_spread(sizes, (0.0, 1.0))
    # the mean document shares its cluster with (1 + 3 * 3 + 2 * 2) / 6 documents, itself included
    assert spread.design_effect == pytest.approx(1 + (14 / 6 - 1) * 0.2)
    assert "clusters" in spread.basis
    assert task_sight(6, spread).effective == pytest.approx(6 / spread.design_effect)


def test_a_metric_of_unknown_spread_has_no_smallest_difference() -> None:
    sight = task_sight(100, assumed_spread([None] * 100, (0.0, math.inf)))
    assert (sight.difference, sight.needed, sight.is_share) == (None, {}, False)


def test_one_earlier_run_gives_its_own_accuracy() -> None:
    spread = observed_spread(task_result([1.0] * 90 + [0.0] * 10), None)
    assert spread.variance == pytest.approx(2 * 0.9 * 0.1)
    assert spread.is_binary


def test_two_earlier_runs_give_how_often_they_disagree() -> None:
    first = task_result([1.0] * 60 + [0.0] * 40)
    second = task_result([1.0] * 55 + [0.0] * 40 + [1.0] * 5)
    spread = observed_spread(first, second)
    assert spread.variance == pytest.approx(11 / 102)  # 10 of 100, and one more of each kind
    assert spread.basis == "the baselines disagree on 10 of 100"
    # research's golden number: discordance 0.16, n = 1000
    golden = task_sight(1000, PairSpread(0.16, 1.0, True, True, ""))
    assert golden.difference == pytest.approx(0.035438, rel=4e-3)
    assert task_sight(1, PairSpread(0.1, 1.0, True, True, "")).needed[0.02] == 1955


def test_clusters_of_earlier_runs_are_measured() -> None:
    clusters = [f"c{place // 5}" for place in range(100)]
    alike = task_result([1.0 if place // 5 % 2 else 0.0 for place in range(100)], clusters=clusters)
    assert observed_spread(alike, None).design_effect == pytest.approx(5 * 99 / 95 * 19 / 19, rel=0.06)
    unlike = task_result([float(place % 2) for place in range(100)], clusters=clusters)
    assert observed_spread(unlike, None).design_effect == 1.0


def test_few_pairs_that_agree_are_no_proof_of_agreement() -> None:
    same = task_result([1.0, 0.0, 1.0])
    sight = task_sight(3, observed_spread(same, same))
    assert sight.difference is not None
    assert sight.difference > 0.5


def test_scores_of_whole_texts_show_no_spread() -> None:
    assert observed_spread(text_result([-3.0, -2.9, -3.1]), None).variance is None


def test_a_mean_weighs_its_tasks() -> None:
    spread = PairSpread(0.2, 1.0, True, True, "x")
    pooled = mean_sight([(0.25, 100, spread), (0.75, 300, spread)])
    assert pooled.effective == pytest.approx(400)
    alike = mean_sight([(0.5, 100, spread), (0.5, 300, spread)])
    assert alike.effective == pytest.approx(1 / (0.25 / 100 + 0.25 / 300))
    assert alike.documents == 400
    assert alike.difference == pytest.approx(detectable_binary_difference(0.2, 300))
    assert alike.needed[0.02] == math.ceil(items_needed(0.2 - 0.0004, 0.02) * 400 / 300)


def test_groups_and_the_overall_mean() -> None:
    groups = {
        "inner": ResolvedGroup("inner", Group(name="inner", members=("a", "b"), weighting="items"), ("a", "b")),
        "outer": ResolvedGroup("outer", Group(name="outer", members=("inner", "c")), ("inner", "c")),
    }
    documents = {"a": 100, "b": 300, "c": 400, "d": 200}
    spread = PairSpread(0.2, 1.0, True, True, "x")
    found, overall = sights(documents, dict.fromkeys(documents, spread), groups)
    assert list(found) == ["outer", "inner", "a", "b", "c", "d"]
    first = {"d": 200, "a": 100, "b": 300, "c": 400}
    assert list(sights(first, dict.fromkeys(first, spread), groups)[0]) == ["d", "outer", "inner", "a", "b", "c"]
    assert found["inner"].effective == pytest.approx(400)
    assert found["outer"].effective == pytest.approx(800)
    assert overall is not None
    assert overall.effective == pytest.approx(1 / (0.25 / 800 + 0.25 / 200))
    unlike = {**dict.fromkeys(documents, spread), "d": PairSpread(None, 1.0, False, False, "y")}
    assert sights(documents, unlike, groups)[1] is None


def test_a_task_that_the_baselines_lack_is_assumed() -> None:
    base = run({"arc": task_result([1.0, 0.0] * 20)})
    assert spread_of("arc", [None] * 40, (0.0, 1.0), [base])[1]
    assert not spread_of("boolq", [None] * 40, (0.0, 1.0), [base])[1]
    assert not spread_of("arc", [None] * 40, (0.0, 1.0), [base, run({"boolq": task_result([1.0])})])[1]


def test_the_promise_is_kept() -> None:
    """Simulated: a true difference of the stated size is found in about four of five tries."""
    from evalkit.stats.paired import mcnemar_mid_p

    generator = np.random.default_rng(0)
    n, discordance = 400, 0.16
    difference = detectable_binary_difference(discordance, n)
    rates = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    draws = generator.multinomial(n, rates, size=1500)
    found = np.mean([mcnemar_mid_p(int(wins), int(losses)) < 0.05 for wins, losses, _ in draws])
    assert 0.76 < found < 0.84


def with_errors(task: TaskResult) -> TaskResult:
    samples = [replace(sample, outcome="errored", metrics={}) for sample in task.samples[:2]]
    return replace(task, samples=(*samples, *task.samples[2:]))


def test_documents_without_a_score_do_not_count() -> None:
    task = with_errors(task_result([1.0, 0.0] * 20))
    assert len([sample for sample in task.samples if sample.metrics]) == 38
    assert observed_spread(task, None).variance == pytest.approx(2 * 0.25)
