"""Verdicts where the usual evidence is missing: no interval, few clusters, the same model twice, older files."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import t
from statsmodels.stats.multitest import multipletests

from evalkit.comparing.amounts import rough
from evalkit.comparing.compare import compare, compare_all
from evalkit.comparing.ranking import leaderboard
from evalkit.comparing.verdict import decide
from evalkit.comparison import Change, Verdict
from evalkit.errors import UsageError
from evalkit.gating.decide import gate
from evalkit.gating.policy import Policy
from evalkit.gating.watched import watch
from evalkit.results import TaskResult
from evalkit.stats.paired import paired_clusters
from evalkit.stats.power import detectable_binary_difference
from tests.comparing.examples import group, model_run, paired, real, task_result, text_result


def change(before: TaskResult, after: TaskResult, **options: float) -> Change:
    found = compare(model_run("base", {"a": before}), model_run("tuned", {"a": after}), **options)  # type: ignore[arg-type]
    return found.tasks["a"].change


# --- a p without an interval

CLUSTERS = [f"c{place // 5}" for place in range(100)]
ALIKE = {
    "clustered accuracy": (task_result([1.0] * 100, clusters=CLUSTERS), task_result([0.0] * 100, clusters=CLUSTERS)),
    "F1": (real([0.9] * 50), real([0.1] * 50)),
    "perplexity": (text_result([-2.0] * 30), text_result([-4.0] * 30)),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_a_collapse_of_every_document_alike_is_a_regression(kind: str) -> None:
    before, after = ALIKE[kind]
    found = change(before, after)
    assert found.interval is None
    assert found.p is not None
    assert found.p < 1e-5
    assert found.verdict is Verdict.REGRESSED
    assert "worse by" in found.reason
    assert change(after, before).verdict is Verdict.IMPROVED
    assert gate(model_run("base", {"a": before}), model_run("tuned", {"a": after})).exit_code == 1


def test_a_small_loss_without_an_interval_is_undecided() -> None:
    real_loss = change(real([0.9] * 50), real([0.895] * 50))
    assert real_loss.verdict is Verdict.UNDECIDED
    assert real_loss.reason.startswith(
        "worse by 0.5 points (p < 0.001), a real loss of less than the tolerated 1.0 point"
    )
    chance = change(real([0.9] * 3), real([0.1] * 3))
    assert chance.verdict is Verdict.UNDECIDED
    assert chance.reason == "worse by 80.0 points, which may be chance (p 0.25); there is no interval"


# --- the same model twice

UNCHANGED = {
    "right or wrong": task_result([1.0, 0.0] * 30),
    "F1": real([0.1 + 0.01 * place for place in range(40)]),
    "unbounded": real([0.5 * place for place in range(5)], name="own_score", bounds=None),
    "perplexity": text_result([-2.0] * 30),
    "one document": task_result([1.0]),
    "one text": text_result([-2.0]),
}


@pytest.mark.parametrize("kind", UNCHANGED)
def test_the_same_model_with_the_same_scores_is_within_the_margin(kind: str) -> None:
    run = model_run("base", {"a": UNCHANGED[kind]})
    found = compare(run, run, margin=0.0).tasks["a"].change
    assert found.verdict is Verdict.WITHIN_MARGIN
    assert found.reason == "the same model gave the same score on every document"
    assert gate(run, run).exit_code == 0


def test_a_group_of_the_same_scores_too() -> None:
    members = {"a": real([0.5], "acc"), "b": real([0.1, 0.2, 0.4], "acc")}
    run = model_run("base", members, {"all": group("all", members)})
    assert compare(run, run).tasks["all"].change.verdict is Verdict.WITHIN_MARGIN


@pytest.mark.parametrize("field", ["weights_sha256", "tokenizer_sha256"])
def test_another_or_an_unknown_model_with_the_same_scores_is_judged_by_the_interval(field: str) -> None:
    few, many = task_result([1.0, 0.0] * 30), task_result([1.0, 0.0] * 200)
    before = model_run("base", {"few": few, "many": many, "text": text_result([-2.0] * 30)})
    for value in ("c" * 64, ""):
        other: dict[str, Any] = {field: value}
        after = replace(before, model=replace(before.model, **other))
        found = compare(before, after).tasks
        assert found["few"].change.verdict is Verdict.UNDECIDED
        assert found["many"].change.verdict is Verdict.WITHIN_MARGIN
        assert found["text"].change.verdict is Verdict.UNDECIDED
        assert found["text"].change.reason.startswith("all 30 documents have the same score in both runs, and nothing")


def test_the_same_model_with_another_score_is_judged_by_the_interval() -> None:
    before, after = paired(50, 1, 1, 10)
    run = model_run("base", {"a": before})
    assert compare(run, replace(run, tasks={"a": after})).tasks["a"].change.verdict is Verdict.UNDECIDED


# --- few clusters


def clustered(right_before: int, right_after: int, clusters: int, size: int = 40) -> tuple[TaskResult, TaskResult]:
    """Clusters of documents: about so many of them right, one more or less from cluster to cluster."""
    names = [f"c{place // size}" for place in range(clusters * size)]
    before, after = (
        [float(place % size < right + (place // size) % 3 * way) for place in range(clusters * size)]
        for right, way in ((right_before, 1), (right_after, -1))
    )
    return task_result(before, clusters=names), task_result(after, clusters=names)


def test_few_clusters_have_the_t_test_of_their_interval() -> None:
    before, after = clustered(27, 12, clusters=5)
    found = change(before, after)
    steps = [
        one.metrics["acc"] - other.metrics["acc"] for one, other in zip(after.samples, before.samples, strict=True)
    ]
    expected = paired_clusters(steps, [one.cluster for one in before.samples])
    assert found.p == expected.p
    assert found.p is not None
    assert found.p < 0.05
    assert found.interval is not None
    assert found.interval[1] < 0
    assert found.test == "cluster-robust t interval and t test (5 clusters: approximate)"
    assert found.verdict is Verdict.REGRESSED
    assert found.reason.endswith("with 5 clusters the test is approximate")
    # all-or-nothing: interval and p reject together
    for right in range(27, 10, -1):
        one = change(*clustered(27, right, clusters=4), margin=0.0)
        assert one.interval is not None
        assert one.p is not None
        assert (one.interval[1] < 0) == (one.p < 0.05)


def test_more_clusters_keep_the_sign_flip_test() -> None:
    found = change(*clustered(27, 12, clusters=6))
    assert found.p == pytest.approx(2 / 2**6)
    assert "sign-flip test of clusters" in found.test
    assert "approximate" not in found.reason


def test_what_clusters_could_show() -> None:
    found = change(*clustered(20, 19, clusters=10))
    assert found.stderr is not None
    assert found.detectable == pytest.approx((t.ppf(0.975, 9) + t.ppf(0.8, 9)) * found.stderr)
    before, after = (
        {name: clustered(20, right, clusters=6)[side] for name, right in (("a", 19), ("b", 18))} for side in (0, 1)
    )
    # after the correction for two tests no p of six flipped clusters is small enough
    two = compare(model_run("base", before), model_run("tuned", after)).tasks["a"].change
    assert two.detectable is None


def test_more_documents_are_whole_clusters_of_them() -> None:
    before, after = clustered(20, 22, clusters=10)
    found = change(before, after, margin=0.001)
    assert found.verdict is Verdict.UNDECIDED
    assert found.more_items is not None
    assert found.more_items % 40 == 0
    assert (
        f"{rough(found.more_items)} more documents ({rough(found.more_items // 40)} clusters) would settle"
        in found.reason
    )


def test_no_number_is_named_that_could_not_settle_it() -> None:
    found = change(*clustered(27, 12, clusters=6))
    # p is 0.03, and 0.06 if it is one of two tests: 0.05 / 2 needs a seventh cluster
    held = decide(replace(found, p_adjusted=0.0625), family=2)
    assert held.verdict is Verdict.UNDECIDED
    assert held.more_items == 40
    # five texts that all got a little worse: a sixth is needed
    texts = change(text_result([-2.0] * 5), text_result([-2.1, -2.11, -2.12, -2.1, -2.13]))
    assert texts.p == pytest.approx(2 / 2**5)
    assert texts.more_items == 1
    held = decide(replace(texts, p_adjusted=0.25), family=4)
    assert held.more_items == 3


# --- documents that the benchmark has

LIMITS = [
    (None, ", but the benchmark has no more"),
    ("0.5", ", but the benchmark has only about 200"),
    ("0.01", ""),
    ("first:0.01", ""),
    ("100", ""),
    ("first:100", ""),
    ("150", ", but the benchmark has no more"),
]


@pytest.mark.parametrize(("limit", "said"), LIMITS)
def test_more_documents_than_the_benchmark_has_are_said_to_be(limit: str | None, said: str) -> None:
    before, after = paired(50, 6, 6, 38)
    found = compare(model_run("base", {"a": before}, limit=limit), model_run("tuned", {"a": after}, limit=limit))
    assert found.tasks["a"].change.reason.endswith(f"; about 7,400 more documents would settle it{said}")


def test_the_longer_of_two_runs_tells_how_many_there_are() -> None:
    before, after = paired(50, 6, 6, 38)
    whole = task_result([*(one.metrics["acc"] for one in before.samples), *[1.0] * 900])
    found = compare(model_run("base", {"a": whole}), model_run("tuned", {"a": after}, limit="100"))
    assert found.tasks["a"].change.available == 1000
    assert found.tasks["a"].change.reason.endswith("but the benchmark has only about 1,000")


# --- the smallest visible difference


def test_the_visible_difference_is_the_same_in_every_command() -> None:
    tables = [paired(40, 14, 3, 43), paired(40, 9, 8, 43)]
    runs = [model_run(name, {"arc": task}) for name, task in zip("abc", (*tables[0], tables[1][1]), strict=True)]
    pairs = {(one.before.label, one.after.label): one.tasks["arc"].change for one in compare_all(runs).pairs}
    ranked = leaderboard(runs).pairs
    for (better, worse), one in ranked.items():
        other = pairs[min(better, worse), max(better, worse)]
        assert one.detectable == pytest.approx(other.detectable)
        assert one.detectable == pytest.approx(
            detectable_binary_difference((one.fixed + one.broken) / 100, 100, alpha=0.05 / 3)
        )
    texts = [model_run(name, {"book": text_result([-2.0 - 0.1 * place - shift * place for place in range(20)])})
             for name, shift in (("a", 0.0), ("b", 0.01), ("c", 0.03))]  # fmt: skip
    pairs = {(one.before.label, one.after.label): one.tasks["book"].change for one in compare_all(texts).pairs}
    for (better, worse), one in leaderboard(texts, tasks=["book"]).pairs.items():
        assert one.detectable is not None
        assert one.detectable == pytest.approx(pairs[min(better, worse), max(better, worse)].detectable)


# --- families


def test_members_of_a_group_share_the_correction_of_all_pairs() -> None:
    tables = {"x": ((40, 14, 3, 43), (40, 9, 8, 43)), "y": ((50, 12, 4, 34), (50, 5, 1, 44))}
    runs = []
    for place, label in enumerate("abc"):
        members = {
            name: paired(*first)[place] if place < 2 else paired(*second)[1] for name, (first, second) in tables.items()
        }
        runs.append(model_run(label, members, {"all": group("all", members)}))
    found = compare_all(runs).pairs
    changes = [pair.tasks[name].change for pair in found for name in tables]
    expected = multipletests([one.p for one in changes], method="holm")[1]
    assert [one.p_adjusted for one in changes] == pytest.approx(list(expected))
    alone = compare(*runs[:2]).tasks
    assert [alone[name].change.p_adjusted for name in tables] == pytest.approx(
        list(multipletests([alone[name].change.p for name in tables], method="holm")[1])
    )


def test_a_task_in_two_groups_is_corrected_in_both() -> None:
    tables = {"x": (40, 14, 3, 43), "y": (40, 9, 8, 43), "z": (50, 12, 4, 34), "w": (50, 9, 9, 32)}
    runs = []
    for place, label in enumerate(("base", "tuned")):
        members = {name: paired(*table)[place] for name, table in tables.items()}
        small = group("small", {name: members[name] for name in ("x", "y")})
        large = group("large", {name: members[name] for name in ("x", "z", "w")})
        runs.append(model_run(label, members, {"small": small, "large": large}))
    found = compare(*runs).tasks
    in_small, in_large = (
        multipletests([found[name].change.p for name in names], method="holm")[1][0] for names in ("xy", "xzw")
    )
    assert in_large > in_small
    assert found["x"].change.p_adjusted == pytest.approx(in_large)


def test_a_group_says_that_a_task_without_an_interval_counts_with_its_whole_range() -> None:
    runs = []
    for label, gain in (("base", 0.0), ("tuned", 0.3)):
        many = real([0.2 + gain + 0.001 * (place % 7) * gain for place in range(40)], "acc")
        members = {"many": many, "one": real([0.5], "acc")}
        runs.append(model_run(label, members, {"all": group("all", members)}))
    found = compare(*runs).tasks["all"].change
    assert found.test.startswith("interval from the tasks' own and the whole range of one without, ")
    assert found.verdict is Verdict.IMPROVED
    assert found.reason.endswith("a task without an interval of its own counts with the whole range that it can have")
    held = decide(replace(found, p_adjusted=0.2))
    assert held.verdict is Verdict.UNDECIDED
    assert held.more_items is None


@pytest.mark.parametrize("names", [["all", "x"], ["y", "all"], ["top", "y"]])
def test_a_group_and_its_member_cannot_both_be_asked_for(names: list[str]) -> None:
    members = {"x": task_result([1.0, 0.0]), "y": task_result([0.0, 1.0])}
    inner = group("all", members)
    run = model_run("base", members, {"top": replace(inner, tasks=("all",)), "all": inner})
    with pytest.raises(UsageError, match=f"{min(names, key=len)} is part of {max(names, key=len)}"):
        compare(run, replace(run, tasks=dict(run.tasks)), tasks=names)
    assert list(compare(run, replace(run, tasks=dict(run.tasks)), tasks=["x", "y"]).tasks) == ["x", "y"]


# --- files that tell no range


def without_range(task: TaskResult) -> TaskResult:
    return replace(task, metrics={name: replace(value, bounds=None) for name, value in task.metrics.items()})


SHARES = [0.05 + 0.001 * place for place in range(100)]
TOLERATED = {
    "known share": (without_range(real(SHARES, "token_f1")), 0.01),
    "unknown": (real(SHARES, "own_score", bounds=None), 0.01 * sum(SHARES) / 100),
    "unknown, right or wrong": (real([1.0, 0.0, 0.0], "own_score", bounds=None), 0.01),
    "known share in percent": (without_range(real([50.0, 60.0], "token_f1")), 0.55),
    "right or wrong in clusters": (without_range(clustered(10, 10, 6)[0]), 0.01),
    "perplexity": (text_result([-2.0, -2.2]), 0.01 * math.exp(210 / 70)),
    "told": (real(SHARES, "own_score", bounds=(0.0, 100.0)), 1.0),
}


@pytest.mark.parametrize("kind", TOLERATED)
def test_compare_and_gate_tolerate_the_same(kind: str) -> None:
    task, margin = TOLERATED[kind]
    before, after = model_run("base", {"a": task}), model_run("tuned", {"a": task})
    assert compare(before, after).tasks["a"].change.margin == pytest.approx(margin)
    assert gate(before, after).rows[0].margin == pytest.approx(margin)
    rule = Policy().judged(["a"], [])[0]
    assert watch(before, rule, {"a": frozenset(one.id for one in task.samples)}, 0).margin == pytest.approx(margin)


def test_a_leaderboard_tests_few_clusters_as_compare_does() -> None:
    before, after = clustered(27, 12, clusters=5)
    runs = [model_run("base", {"a": before}), model_run("tuned", {"a": after})]
    (one,) = leaderboard(runs).pairs.values()
    other = compare(*runs).tasks["a"].change
    assert one.p == pytest.approx(other.p)
    assert one.detectable == pytest.approx(other.detectable)
