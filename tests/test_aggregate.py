from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.aggregate import aggregate, aggregate_group
from evalkit.errors import UsageError
from evalkit.results import TaskResult
from evalkit.stats.combine import stratified_score
from evalkit.stats.intervals import wilson
from evalkit.task import Group
from tests.result_examples import task_result, text_result

SMALL = task_result([1, 0])
LARGE = task_result([1] * 6 + [0] * 2)


def test_items_weigh_documents_alike() -> None:
    result = aggregate_group(Group(name="g", members=("a", "b"), weighting="items"), {"a": SMALL, "b": LARGE})
    got = result.metrics["acc"]
    assert got.value == pytest.approx(7 / 10)
    errors = [SMALL.metrics["acc"].stderr, LARGE.metrics["acc"].stderr]
    assert None not in errors
    assert got.stderr == pytest.approx(math.hypot(0.2 * (errors[0] or 0), 0.8 * (errors[1] or 0)))
    expected = stratified_score([1, 6], [2, 8], [0.2, 0.8])
    assert got.ci95 == pytest.approx((expected.low, expected.high))
    assert got.chance == pytest.approx(0.25)
    assert (result.tasks, result.weighting) == (("a", "b"), "items")


def test_tasks_weigh_members_alike() -> None:
    got = aggregate_group(Group(name="g", members=("a", "b")), {"a": SMALL, "b": LARGE}).metrics["acc"]
    assert got.value == pytest.approx((0.5 + 0.75) / 2)


def test_value_equals_lm_eval() -> None:
    metrics = pytest.importorskip("lm_eval.api.metrics")
    expected = metrics.aggregate_subtask_metrics([0.5, 0.75], [2, 8], weight_by_size=True)
    got = aggregate_group(Group(name="g", members=("a", "b"), weighting="items"), {"a": SMALL, "b": LARGE})
    assert got.metrics["acc"].value == pytest.approx(expected, rel=1e-12)


def test_all_right_everywhere_is_not_certainty() -> None:
    right = task_result([1] * 10)
    got = aggregate_group(Group(name="g", members=("a", "b")), {"a": right, "b": right}).metrics["acc"]
    assert got.stderr == 0
    assert got.ci95 == pytest.approx((wilson(20, 20).low, 1.0))


def nested(inner: str, outer: str) -> Any:
    """(a, b) and c: 2, 8 and 10 documents."""
    groups = {
        "ab": SimpleNamespace(group=Group(name="ab", members=("a", "b"), weighting=inner), members=("a", "b")),  # type: ignore[arg-type]
        "all": SimpleNamespace(group=Group(name="all", members=("ab", "c"), weighting=outer), members=("ab", "c")),  # type: ignore[arg-type]
    }
    tasks = {"a": SMALL, "b": LARGE, "c": task_result([1] * 2 + [0] * 8)}
    return aggregate(groups, tasks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("items", "items", 9 / 20),
        ("tasks", "items", 9 / 20),  # items are counted over tasks, as in lm-eval
        ("tasks", "tasks", ((0.5 + 0.75) / 2 + 0.2) / 2),
        ("items", "tasks", (0.7 + 0.2) / 2),
    ],
)
def test_groups_within_groups(inner: str, outer: str, expected: float) -> None:
    got = nested(inner, outer)["all"]
    assert got.metrics["acc"].value == pytest.approx(expected)
    assert got.tasks == ("ab", "c")


def test_a_task_in_two_members_is_counted_as_one_source_of_error() -> None:
    groups = {
        "one": SimpleNamespace(group=Group(name="one", members=("a",)), members=("a",)),
        "two": SimpleNamespace(group=Group(name="two", members=("one", "a")), members=("one", "a")),
    }
    got = aggregate(groups, {"a": LARGE})["two"].metrics["acc"]  # type: ignore[arg-type]
    assert got.value == LARGE.metrics["acc"].value
    assert got.stderr == pytest.approx(LARGE.metrics["acc"].stderr)
    assert got.ci95 == LARGE.metrics["acc"].ci95


def test_each_member_its_metric() -> None:
    mixed = Group(name="g", members=("a", "b"), metrics={"a": "acc", "b": "mc2"}, metric_name="average")
    other = task_result([0.3, 0.6, 0.6], "mc2")
    got = aggregate_group(mixed, {"a": SMALL, "b": other})
    assert list(got.metrics) == ["average"]
    value = got.metrics["average"]
    assert value.value == pytest.approx(0.5)
    assert value.ci95 is not None
    limits = other.metrics["mc2"].ci95, SMALL.metrics["acc"].ci95
    assert limits[0] is not None
    assert limits[1] is not None
    assert value.ci95[1] - 0.5 == pytest.approx(math.hypot((limits[0][1] - 0.5) / 2, (limits[1][1] - 0.5) / 2))


def test_clustered_members_keep_their_own_limits() -> None:
    clustered = task_result([1, 1, 0, 0, 0, 1, 1, 1, 0, 1], clusters="aaabbcccdd")
    got = aggregate_group(Group(name="g", members=("a",)), {"a": clustered}).metrics["acc"]
    assert got.ci95 == clustered.metrics["acc"].ci95


def test_refusals() -> None:
    group = Group(name="g", members=("a",), metrics="acc_norm")
    with pytest.raises(UsageError, match="group g averages acc_norm, which its member a does not have"):
        aggregate_group(group, {"a": SMALL})
    with pytest.raises(UsageError, match="group g has no members"):
        aggregate_group(group, {})
    with pytest.raises(UsageError, match="names no metric for its member a"):
        aggregate_group(Group(name="g", members=("a",), metrics={"b": "acc"}), {"a": SMALL})
    text: TaskResult = text_result([-3, -4])
    mixed = Group(name="g", members=("a", "b"), metrics={"a": "acc", "b": "word_perplexity"})
    with pytest.raises(UsageError, match="better when higher, some when lower"):
        aggregate_group(mixed, {"a": SMALL, "b": text})


def test_a_nested_group_without_description_is_a_defect_of_the_caller() -> None:
    inner = aggregate_group(Group(name="ab", members=("a", "b")), {"a": SMALL, "b": LARGE})
    with pytest.raises(ValueError, match="ab is a group"):
        aggregate_group(Group(name="all", members=("ab",)), {"ab": inner})


def test_the_built_in_mmlu() -> None:
    """57 subjects in four categories, weighted by documents: the mean over all documents."""
    from evalkit.registry import select

    selection = select("mmlu")
    tasks = {name: task_result([i % 3 == 0 for i in range(2 + k)]) for k, name in enumerate(selection.tasks)}
    got = aggregate(selection.groups, tasks)["mmlu"].metrics["acc"]
    values = [sample.metrics["acc"] for result in tasks.values() for sample in result.samples]
    assert len(tasks) == 57
    assert got.value == pytest.approx(sum(values) / len(values))
    assert got.ci95 is not None
    pooled = wilson(sum(values), len(values))
    assert got.ci95 == pytest.approx((pooled.low, pooled.high), abs=0.004)
