"""Documents that the candidate could not answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

import evalkit
from evalkit.gating.result import Check, Finding, GateResult, Reason, Status
from evalkit.results import Run
from tests.gating.examples import answered, looked, model, policy
from tests.result_examples import group, text_result


def runs(lost: int, n: int = 1000, right: int = 700) -> tuple[Run, Run]:
    """The same answers, but for so many of the baseline's right ones that the candidate could not give."""
    outcomes = ["right" if place * 7 % n < right else "wrong" for place in range(n)]
    places = [place for place, one in enumerate(outcomes) if one == "right"][:lost]
    after = ["errored" if place in set(places) else one for place, one in enumerate(outcomes)]
    return model("base", {"quiz": answered(outcomes)}), model("tuned", {"quiz": answered(after)})


def of(result: GateResult, check: Check) -> Finding:
    return next(one for one in result.findings if one.check is check)


def test_a_pass_must_stand_whatever_could_not_be_answered() -> None:
    result = evalkit.gate(*runs(50))
    found = of(result, Check.ANSWERED)
    assert (result.exit_code, found.status, found.reason) == (3, Status.UNDECIDED, Reason.UNANSWERED)
    assert found.sentence == (
        "the candidate could not answer 50 of 1,000 documents that the baseline scored: the gain is 0.0 points without "
        "them, -5.0 points with the worst score for each; that no more than 1.0 point is lost is not shown then"
    )
    assert of(result, Check.LOSS).status is Status.PASS


@pytest.mark.parametrize(("choice", "code"), [("fail", 3), ("warn", 0), ("pass", 0)])
def test_the_owner_decides_and_is_warned_at_least(choice: str, code: int) -> None:
    result = evalkit.gate(*runs(50), policy(f"defaults: {{on_undecided: {choice}}}"))
    assert (result.exit_code, of(result, Check.ANSWERED).status.value) == (code, "undecided" if code else "warn")


def test_a_few_that_change_nothing_are_a_warning() -> None:
    result = evalkit.gate(*runs(3))
    assert (result.exit_code, of(result, Check.ANSWERED).status) == (0, Status.WARN)
    assert not any(one.check is Check.ANSWERED for one in evalkit.gate(*runs(0)).findings)


def test_what_the_baseline_could_not_answer_either_is_no_loss() -> None:
    _, after = runs(50)
    assert evalkit.gate(replace(after, model=model("base", {}).model), after).exit_code == 0


def test_a_floor_holds_at_the_worst_only() -> None:
    before, after = runs(30)  # 670 of 970 are 69.1 %
    for floor, code in (("66pt", 0), ("68pt", 3), ("69.5pt", 1)):
        result = evalkit.gate(before, after, policy(f"defaults: {{margin: 20pt, floor: {floor}}}"))
        assert result.exit_code == code
    result = evalkit.gate(before, after, policy("defaults: {margin: 20pt, floor: 68pt}"))
    assert of(result, Check.FLOOR).reason is Reason.UNANSWERED
    assert of(result, Check.FLOOR).sentence == (
        "69.1%, the floor is 68.0%; with the worst score for what it could not answer, it would be 67.0%"
    )


def test_a_required_gain_must_stand_too() -> None:
    before, _ = runs(0)
    after = ["right" if place * 7 % 1000 < 740 else "wrong" for place in range(1000)]
    asked = policy("defaults: {margin: 20pt, require_gain: 2pt}")
    assert evalkit.gate(before, model("tuned", {"quiz": answered(after)}), asked).exit_code == 0
    after[:50] = ["errored" if one == "right" else one for one in after[:50]]
    result = evalkit.gate(before, model("tuned", {"quiz": answered(after)}), asked)
    assert of(result, Check.GAIN).status is Status.PASS
    assert (result.exit_code, of(result, Check.ANSWERED).status) == (3, Status.UNDECIDED)


def test_documents_that_were_skipped_as_too_long_count_too() -> None:
    before, after = runs(50)
    kept = tuple(one for one in after.tasks["quiz"].samples if one.outcome != "errored")
    outcomes = {"right": 650, "skipped": 50, "wrong": 300}
    task = replace(after.tasks["quiz"], samples=kept, n=950, outcomes=outcomes)
    result = evalkit.gate(before, replace(after, tasks={"quiz": task}), policy("allow: all"))
    assert (result.exit_code, of(result, Check.ANSWERED).status) == (3, Status.UNDECIDED)
    assert "50 of 1,000 documents" in of(result, Check.ANSWERED).sentence


def test_a_score_that_is_no_mean_is_undecided() -> None:
    rates = [-2.0 - 0.01 * (place % 3) for place in range(40)]
    task = text_result(rates)
    lost = replace(task.samples[0], outcome="errored", metrics={})
    outcomes = {"errored": 1, "scored": 39}
    better = text_result([rate + 0.05 + 0.01 * (place % 5) for place, rate in enumerate(rates)])
    metrics = text_result([rate + 0.05 + 0.01 * (place % 5) for place, rate in enumerate(rates)][1:]).metrics
    other = replace(better, samples=(lost, *better.samples[1:]), outcomes=outcomes, metrics=metrics)
    result = evalkit.gate(model("base", {"text": task}), model("tuned", {"text": other}))
    found = of(result, Check.ANSWERED)
    assert (result.exit_code, found.status) == (3, Status.UNDECIDED)
    assert "what they would change cannot be said of this score" in found.sentence


def test_groups() -> None:
    before, after = runs(50)
    tasks = [{"a": run.tasks["quiz"], "b": before.tasks["quiz"]} for run in (before, after)]
    first, second = (
        model(name, its, {"exam": group("exam", its)}) for name, its in zip(("base", "tuned"), tasks, strict=True)
    )
    result = evalkit.gate(first, second)
    found = of(result, Check.ANSWERED)
    assert (found.task, result.exit_code) == ("exam", 3)
    assert "50 of 2,000 documents" in found.sentence
    assert "-2.5 points" in found.sentence


def test_a_sequential_gate_does_not_pass_what_was_not_answered() -> None:
    before, after = runs(48, right=1000)
    wide = policy("defaults: {margin: 3pt}")
    asked = {seed: looked(before, after, wide, seed) for seed in range(5)}
    assert {one.exit_code for one in asked.values()} == {3}
    clean = looked(*runs(0), wide)
    few = looked(*runs(2), wide)
    assert few.looks is not None
    assert (clean.exit_code, few.exit_code, few.looks.stopped) == (0, 0, True)
