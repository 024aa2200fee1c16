"""From two runs and a policy to a decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import evalkit
from evalkit.errors import NotComparableError, UsageError
from evalkit.gating.result import Check, GateResult, Reason, Status
from evalkit.results import Run, TaskResult
from tests.gating.examples import flipped, model, pair, policy, values
from tests.result_examples import group, task_result, text_result


def decide(before: Run, after: Run, text: str = "") -> GateResult:
    return evalkit.gate(before, after, policy(text))


def found(result: GateResult) -> list[tuple[str, Check, Status, Reason]]:
    return [(one.task, one.check, one.status, one.reason) for one in result.findings]


# 1,000 documents; half the width of the 90 % interval is about 0.9 points at 30 changed ones
@pytest.mark.parametrize(
    ("lost", "learned", "margin", "code", "status", "reason"),
    [
        (60, 20, "1pt", 1, Status.FAIL, Reason.REGRESSED),
        (30, 10, "3.5pt", 0, Status.WARN, Reason.TOLERATED_LOSS),
        (20, 10, "3pt", 0, Status.PASS, Reason.WITHIN_MARGIN),
        (10, 40, "1pt", 0, Status.PASS, Reason.IMPROVED),
        (30, 20, "1pt", 3, Status.UNDECIDED, Reason.UNCLEAR),
        (25, 10, "2pt", 3, Status.UNDECIDED, Reason.UNCLEAR),  # a real loss of 1.5 points, its size unclear
        (0, 0, "1pt", 0, Status.PASS, Reason.WITHIN_MARGIN),
        (20, 4, "0", 1, Status.FAIL, Reason.REGRESSED),
    ],
)
def test_one_task(lost: int, learned: int, margin: str, code: int, status: Status, reason: Reason) -> None:
    result = decide(*pair(lost, learned), f"defaults: {{margin: {margin}}}")
    assert found(result) == [("quiz", Check.LOSS, status, reason)]
    assert (result.exit_code, result.passed) == (code, code == 0)


def test_the_margin_is_shown_in_the_unit_of_the_metric() -> None:
    result = decide(*pair(30, 20), "defaults: {margin: 2pt}")
    assert result.rows[0].margin == 0.02
    assert result.rows[0].gain == pytest.approx(-0.01)
    assert (result.rows[0].fixed, result.rows[0].broken) == (20, 30)


@pytest.mark.parametrize(
    ("choice", "code", "status"), [("fail", 3, Status.UNDECIDED), ("warn", 0, Status.WARN), ("pass", 0, Status.PASS)]
)
def test_what_becomes_of_an_undecided_task_is_the_owners_choice(choice: str, code: int, status: Status) -> None:
    result = decide(*pair(30, 20), f"defaults: {{on_undecided: {choice}}}")
    assert (result.exit_code, result.findings[0].status) == (code, status)
    assert "more documents would settle it" in result.findings[0].sentence


def many(changes: dict[str, tuple[int, int]], n: int = 1000) -> tuple[Run, Run]:
    bases = {name: values(n, seed=place) for place, name in enumerate(changes)}
    return model("base", {name: task_result(base) for name, base in bases.items()}), model(
        "tuned", {name: task_result(flipped(bases[name], *change)) for name, change in changes.items()}
    )


def test_the_deciding_tasks_are_one_family_for_holm() -> None:
    # p is 0.02 alone: no regression among five tasks, and one where the others only inform
    changes = {"a": (30, 15), **{name: (12, 12) for name in "bcde"}}
    result = decide(*many(changes), "defaults: {on_undecided: warn}")
    assert result.exit_code == 0
    informational = "defaults: {on_undecided: warn}\ntasks: {a: {primary: true}}"
    assert decide(*many(changes), informational).exit_code == 1
    row = next(row for row in result.rows if row.task == "a")
    alone = next(row for row in decide(*many(changes), informational).rows if row.task == "a")
    assert row.p == pytest.approx(5 * alone.p)  # type: ignore[operator]


def test_a_task_that_cannot_be_compared_costs_the_others_nothing() -> None:
    before, after = many({"a": (30, 15), "b": (30, 20)})
    alone = decide(*(replace(run, tasks={"a": run.tasks["a"]}) for run in (before, after))).rows[0].p
    few = replace(after, tasks={"a": after.tasks["a"], "b": task_result(values(1000, seed=1)[:500])})
    assert next(row.p for row in decide(before, few).rows if row.task == "a") == alone


def test_an_informational_regression_is_shown_and_decides_nothing() -> None:
    result = decide(*many({"a": (0, 0), "b": (80, 10)}), "tasks: {b: {informational: true}}")
    assert result.exit_code == 0
    assert result.of(Status.FAIL, decides=False)[0].task == "b"
    assert [(row.task, row.decides) for row in result.rows][:2] == [("a", True), ("b", False)]


def test_a_regression_is_not_hidden_by_a_task_that_cannot_be_compared() -> None:
    before, after = many({"a": (80, 10), "b": (0, 0)})
    after = replace(after, tasks={"a": after.tasks["a"]})
    result = decide(before, after)
    assert result.exit_code == 1
    assert result.headline() == "failed on a; not comparable on b"
    assert found(result)[1] == ("b", Check.COMPARABLE, Status.NOT_COMPARABLE, Reason.MISSING_TASK)


def test_a_missing_task_is_not_comparable_and_a_new_one_is_mentioned() -> None:
    before, after = many({"a": (0, 0), "b": (0, 0)})
    assert decide(before, replace(after, tasks={"a": after.tasks["a"]})).exit_code == 4
    result = decide(replace(before, tasks={"a": before.tasks["a"]}), after)
    assert result.exit_code == 0
    assert any("only the candidate has b" in note for note in result.notes)
    with pytest.raises(NotComparableError, match="no task in common"):
        decide(replace(before, tasks={"a": before.tasks["a"]}), replace(after, tasks={"b": after.tasks["b"]}))


def test_a_policy_for_a_task_that_the_baseline_lacks() -> None:
    with pytest.raises(UsageError, match="no task of the baseline is named `quizz`"):
        decide(*pair(0, 0), "tasks: {quizz: {}}")


def test_another_metric_can_be_judged_and_must_be_there() -> None:
    before, after = pair(0, 0)
    value = before.tasks["quiz"].metrics["acc"]
    scored = changed(before.tasks["quiz"], metrics={"acc": value, "f1": value})
    result = decide(replace(before, tasks={"quiz": scored}), after, "tasks: {quiz: {metric: f1}}")
    assert (result.exit_code, result.findings[0].reason) == (4, Reason.MISSING_METRIC)
    assert result.findings[0].sentence == "the candidate has no f1 of quiz; both have acc"
    result = decide(after, replace(before, tasks={"quiz": scored}), "tasks: {quiz: {metric: f1}}")
    assert result.findings[0].sentence == "the baseline has no f1 of quiz; both have acc"


@pytest.mark.parametrize(("metric", "hint"), [("acc_nor", "did you mean `acc`?"), ("f1", "they have acc")])
def test_a_metric_that_neither_run_has_is_a_slip_of_the_policy(metric: str, hint: str) -> None:
    with pytest.raises(
        UsageError, match=f"gate.yaml, entry `quiz`: neither run has a metric {metric} of quiz"
    ) as caught:
        decide(*pair(0, 0), f"tasks: {{quiz: {{metric: {metric}}}}}")
    assert caught.value.hint == hint


@pytest.mark.parametrize(("floor", "hint"), [("40", "write 40% for percent"), ("140", "write a score within these")])
def test_a_floor_that_the_metric_cannot_reach_is_a_slip(floor: str, hint: str) -> None:
    with pytest.raises(UsageError, match=rf"task quiz: a score of {floor} is none .* \(0 to 1\)") as caught:
        decide(*pair(0, 0), f"defaults: {{floor: {floor}}}")
    assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["tasks: {quiz: {informational: true}}", "defaults: {informational: true}"])
def test_a_policy_by_which_nothing_decides_is_a_slip(text: str) -> None:
    with pytest.raises(UsageError, match=r"gate.yaml: no task decides, so that any candidate would pass"):
        decide(*pair(60, 10), text)


# 28 lost and 20 learned of 1,000: p is 0.25 alone and 0.02 in the mean of four
SPREAD = {name: (28, 15) for name in "abcd"}


def test_a_regression_of_the_mean_over_the_tasks_is_a_warning() -> None:
    result = decide(*many(SPREAD), "defaults: {on_undecided: pass}")
    mean = result.rows[-1]
    assert (mean.task, mean.verdict.value, mean.n, mean.decides) == ("mean of 4 tasks", "regressed", 4000, False)
    assert mean.gain == pytest.approx(-0.013)
    assert (result.exit_code, result.status) == (0, Status.WARN)
    assert result.headline() == "passed on 4 tasks, with warnings on mean of 4 tasks"
    assert found(result)[-1] == ("mean of 4 tasks", Check.LOSS, Status.WARN, Reason.REGRESSED)
    assert mean.p is not None
    assert mean.p < 0.05


@pytest.mark.parametrize(
    ("mean", "code", "headline"),
    [
        ("{informational: false}", 1, "failed on mean of 4 tasks"),
        ("{primary: true}", 1, "failed on mean of 4 tasks"),
        ("{primary: true, margin: 5pt}", 0, "passed on the mean of 4 tasks, with warnings on mean of 4 tasks"),
        ("{informational: false, margin: 5pt}", 0, "passed on 4 tasks and the mean of 4 tasks, with warnings on"),
        ("{informational: false, require_gain: 1pt}", 1, "failed on mean of 4 tasks"),
        ("{margin: 5pt}", 0, "passed on 4 tasks"),
    ],
)
def test_the_mean_decides_where_the_policy_says_so(mean: str, code: int, headline: str) -> None:
    result = decide(*many(SPREAD), f"defaults: {{on_undecided: pass}}\nmean: {mean}")
    assert result.exit_code == code
    assert result.headline().startswith(headline)


def test_no_mean_is_raised_by_leaving_things_out() -> None:
    before, after = many({"a": (0, 0), "b": (0, 0), "c": (80, 0)})
    fewer = replace(after, tasks={name: after.tasks[name] for name in "ab"})
    result = decide(before, fewer, "mean: {primary: true}")
    assert (result.exit_code, result.findings[-1].reason) == (4, Reason.MISSING_TASK)
    assert result.headline() == "not comparable on mean of 3 tasks"
    assert [row.task for row in result.rows] == ["a", "b"]  # no numbers of another mean under this one's name
    few = replace(after, tasks={**after.tasks, "c": task_result(values(1000, seed=2)[:500])})
    result = decide(before, few, "mean: {primary: true}")
    assert (result.exit_code, result.of(Status.NOT_COMPARABLE)[0].reason) == (4, Reason.LOW_OVERLAP)


def renamed(task: TaskResult, metric: str) -> TaskResult:
    samples = tuple(replace(one, metrics={metric: one.metrics["acc"]}) for one in task.samples)
    return replace(task, metrics={metric: task.metrics["acc"]}, samples=samples)


def without_scores(task: TaskResult) -> TaskResult:
    samples = tuple(replace(one, metrics={}, outcome="errored") for one in task.samples)
    return replace(task, metrics={}, samples=samples, outcomes={"errored": len(samples)})


@pytest.mark.parametrize(
    ("sides", "change", "sentence"),
    [
        ("after", "renamed", "the runs have no metric of c in common: the baseline has acc, the candidate f1"),
        ("after", "unscored", "the candidate has no score for c"),
        ("before", "unscored", "the baseline has no score for c"),
    ],
)
def test_no_mean_passes_without_a_task_that_has_another_metric_or_none(sides: str, change: str, sentence: str) -> None:
    runs = dict(zip(("before", "after"), many({"a": (0, 0), "b": (0, 0), "c": (80, 0)}), strict=True))
    task = runs[sides].tasks["c"]
    other = renamed(task, "f1") if change == "renamed" else without_scores(task)
    runs[sides] = replace(runs[sides], tasks={**runs[sides].tasks, "c": other})
    result = decide(runs["before"], runs["after"], "mean: {primary: true}")
    assert result.exit_code == 4
    assert result.headline() == "not comparable on mean of 3 tasks"
    assert {one.sentence for one in result.findings if one.task in ("c", "mean of 3 tasks")} == {sentence}


@pytest.mark.parametrize(
    ("members", "weighting", "sentence"),
    [
        ("abc", "documents", "weighs tasks alike before, weighs documents alike now"),
        ("ab", "tasks", "3 members, alone c before"),
        ("", "", "the candidate has no result for all"),
    ],
)
def test_no_mean_passes_where_a_group_falls_apart(members: str, weighting: str, sentence: str) -> None:
    """A loss of the fourth task would count a quarter instead of a half."""
    before, after = many({"a": (0, 0), "b": (0, 0), "c": (0, 0), "d": (30, 0)})
    before = replace(before, groups={"all": group("all", {name: before.tasks[name] for name in "abc"})})
    groups = {"all": group("all", {name: after.tasks[name] for name in members}, weighting)} if members else {}
    after = replace(after, groups=groups)
    result = decide(before, after, "mean: {primary: true, margin: 1pt}")
    assert (result.exit_code, result.headline()) == (4, "not comparable on mean of 2 tasks")
    assert all(sentence in one.sentence for one in result.findings if one.task in ("all", "mean of 2 tasks"))
    noted = [note for note in evalkit.compare(before, after).notes if note.startswith("the mean is over")]
    assert noted == ["the mean is over a, b, c, d, and not over all parts of the runs: all cannot be compared"]


def test_a_mean_with_one_task_left_is_not_comparable_and_hides_no_regression() -> None:
    before, after = many({"a": (80, 0), "b": (0, 0)})
    after = replace(after, tasks={"a": after.tasks["a"]})
    result = decide(before, after, "mean: {primary: true}")
    assert (result.exit_code, result.headline()) == (4, "not comparable on mean of 2 tasks")
    result = decide(before, after, "tasks: {a: {primary: true}}\nmean: {primary: true}")
    assert (result.exit_code, result.headline()) == (1, "failed on a; not comparable on mean of 2 tasks")
    assert not any(note.startswith("the mean") for note in evalkit.compare(*many({"a": (80, 0), "b": (0, 0)})).notes)


def test_metrics_of_which_less_is_better_have_no_mean() -> None:
    def less(run: Run) -> Run:
        return replace(run, tasks={name: lower(task) for name, task in run.tasks.items()})

    def lower(task: TaskResult) -> TaskResult:
        return replace(task, metrics={"acc": replace(task.metrics["acc"], higher_is_better=False, bounds=(0.0, 1.0))})

    before, after = many({"a": (0, 0), "b": (0, 0)})
    with pytest.raises(UsageError, match="as less is better of acc of a, acc of b"):
        decide(less(before), less(after), "mean: {primary: true}")


def test_a_mean_that_has_no_meaning_cannot_decide() -> None:
    with pytest.raises(UsageError, match="there is no mean over the tasks that could decide, as there is one task"):
        decide(*pair(0, 0), "mean: {primary: true}")
    assert len(decide(*pair(0, 0), "mean: {margin: 2pt}").rows) == 1


def changed(task: TaskResult, **fields: object) -> TaskResult:
    return replace(task, **fields)  # type: ignore[arg-type]


def test_different_prompts_are_not_comparable_unless_allowed() -> None:
    before, after = pair(0, 0)
    after = replace(after, tasks={"quiz": changed(after.tasks["quiz"], prompt_sha256="1" * 64)})
    result = decide(before, after)
    assert (result.exit_code, result.findings[0].reason) == (4, Reason.SETTINGS_DIFFER)
    assert "prompt" in result.findings[0].sentence
    assert decide(before, after, "allow: prompt").exit_code == 0
    with pytest.raises(UsageError, match="no field 'promt'"):
        decide(before, after, "allow: promt")


def test_too_few_common_documents_are_never_compared_silently() -> None:
    before, after = pair(0, 0)
    few = task_result(values(1000)[:900])
    result = decide(before, replace(after, tasks={"quiz": few}))
    assert (result.exit_code, result.findings[0].reason) == (4, Reason.LOW_OVERLAP)
    assert "900 of 1,000" in result.findings[0].sentence
    assert decide(before, replace(after, tasks={"quiz": few}), "defaults: {min_overlap: 80%}").exit_code == 0


def test_with_few_documents_only_a_sure_regression_is_told() -> None:
    result = decide(*pair(0, 0, n=300), "defaults: {min_items: 500, margin: 5pt}")
    assert (result.exit_code, result.findings[0].reason) == (3, Reason.TOO_FEW_ITEMS)
    assert decide(*pair(60, 5, n=300), "defaults: {min_items: 500}").exit_code == 1


@pytest.mark.parametrize(
    ("floor", "by", "code"),
    [("58pt", "value", 0), ("59pt", "value", 1), ("55pt", "limit", 0), ("60pt", "limit", 3), ("62pt", "limit", 1)],
)
def test_floors(floor: str, by: str, code: int) -> None:
    before, after = pair(0, 0)
    assert after.tasks["quiz"].metrics["acc"].value == 0.587
    result = decide(before, after, f"defaults: {{floor: {floor}, floor_by: {by}}}")
    assert result.exit_code == code


@pytest.mark.parametrize(
    ("lost", "learned", "code", "reason"),
    [
        (10, 50, 0, Reason.GAIN_SHOWN),
        (10, 12, 1, Reason.GAIN_MISSING),
        (30, 52, 3, Reason.UNCLEAR),
        (0, 0, 1, Reason.GAIN_MISSING),
    ],
)
def test_a_required_gain(lost: int, learned: int, code: int, reason: Reason) -> None:
    result = decide(*pair(lost, learned), "defaults: {require_gain: 2.5pt, margin: 3pt}")
    assert (result.exit_code, result.findings[-1].check, result.findings[-1].reason) == (code, Check.GAIN, reason)


def test_a_gain_that_is_large_enough_and_not_sure_is_not_shown() -> None:
    result = decide(*pair(1, 4, n=100), "defaults: {require_gain: 2pt, margin: 30pt}")
    assert (result.exit_code, result.findings[-1].reason) == (3, Reason.UNCLEAR)


def test_required_gains_are_one_family_for_holm() -> None:
    # a gain of 1.5 points where 3.4 are required: ruled out alone (the upper limit is 3.1), and not among five
    changes = {"a": (40, 55), **{name: (20, 60) for name in "bcde"}}
    asked = "defaults: {margin: 9pt, require_gain: 3.4pt, on_undecided: warn}"
    alone = asked + "\ntasks: {a: {primary: true}}"
    assert decide(*many(changes), alone).of(Status.FAIL)[0].reason is Reason.GAIN_MISSING
    assert decide(*many(changes), asked).exit_code == 0
    # among four that are ruled out, the fifth is as good as alone
    hopeless = {"a": (40, 55), **{name: (60, 20) for name in "bcde"}}
    failed = decide(*many(hopeless), asked).of(Status.FAIL)
    assert {one.task for one in failed if one.reason is Reason.GAIN_MISSING} == set("abcde")


def unreadable(task: TaskResult, count: int) -> TaskResult:
    samples = tuple(
        replace(one, outcome="unparsed") if place < count else one
        for place, one in enumerate(sorted(task.samples, key=lambda sample: sample.metrics["acc"]))
    )
    outcomes = {name: sum(one.outcome == name for one in samples) for name in ("right", "wrong", "unparsed")}
    return replace(task, samples=samples, outcomes=outcomes)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("max_unreadable_rate: 5%", 1),
        ("max_unreadable_rate: 6%", 0),
        ("max_unreadable_rise: 3pt", 1),
        ("max_unreadable_rise: 4pt", 0),
    ],
)
def test_unreadable_answers(rule: str, code: int) -> None:
    before, after = pair(0, 0)
    before = replace(before, tasks={"quiz": unreadable(before.tasks["quiz"], 20)})
    after = replace(after, tasks={"quiz": unreadable(after.tasks["quiz"], 60)})
    result = decide(before, after, f"defaults: {{{rule}}}")
    assert (result.exit_code, result.findings[-1].check) == (code, Check.UNREADABLE)
    assert result.findings[-1].sentence.startswith("6.0 % of the answers are unreadable, 2.0 % of the baseline's")


def test_a_group_is_judged_as_one_and_its_members_where_they_are_named() -> None:
    before, after = many({"law": (70, 10), "math": (0, 60)})
    before, after = (replace(run, groups={"exam": group("exam", run.tasks)}) for run in (before, after))
    result = decide(before, after, "defaults: {margin: 3pt}")
    assert [row.task for row in result.rows] == ["exam"]
    assert result.exit_code == 0
    assert result.broken[0].task == "law"
    assert decide(before, after, "tasks: {law: {margin: 3pt}}").exit_code == 1


def test_a_metric_that_is_better_when_lower() -> None:
    before, after = (
        model(name, {"text": text_result([-rate - 0.01 * (place % 3) for place in range(40)])})
        for name, rate in (("base", 2.0), ("tuned", 2.2))
    )
    result = decide(before, after)
    assert result.exit_code == 1
    assert result.rows[0].gain < 0
    assert result.rows[0].margin == pytest.approx(0.01 * result.rows[0].before)
    assert decide(after, before).exit_code == 0
    assert decide(before, after, "defaults: {margin: 50%}").exit_code == 0
    with pytest.raises(UsageError, match="no largest value"):
        decide(before, after, "defaults: {floor: 1pt}")


def test_alpha_of_a_task_is_its_own() -> None:
    assert decide(*pair(35, 18)).exit_code == 1
    assert decide(*pair(35, 18), "tasks: {quiz: {alpha: 0.001}}").exit_code == 3


def test_the_default_policy_and_a_file(tmp_path: Path) -> None:
    before, after = pair(60, 10)
    assert evalkit.gate(before, after).exit_code == 1
    (tmp_path / "gate.yaml").write_text("defaults: {margin: 9pt}")
    result = evalkit.gate(before, after, tmp_path / "gate.yaml")
    assert (result.exit_code, result.policy) == (0, str(tmp_path / "gate.yaml"))
    assert evalkit.gate(before, after, evalkit.Policy()).policy == "built-in"
