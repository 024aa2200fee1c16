"""Rules of a sequential gate besides the margin: unreadable answers, and documents that could not be answered."""

from __future__ import annotations

import random

import pytest

import evalkit
from evalkit.comparison import Verdict
from evalkit.gating.result import Check, GateResult, Reason, Status
from evalkit.results import Run
from tests.gating.examples import answered, looked, model, policy


def unreadable_pair(now: int, before: int = 0, n: int = 1000, seed: int = 1) -> tuple[Run, Run]:
    """A clear gain, with so many of the documents unreadable in the candidate, and in the baseline."""
    rng = random.Random(seed)
    after = ["unparsed"] * now + ["right"] * round(0.8 * n) + ["wrong"] * (n - now - round(0.8 * n))
    rng.shuffle(after)
    first = ["wrong" if one == "unparsed" or rng.random() < 0.4 else one for one in after]
    for place in [place for place, one in enumerate(first) if one == "wrong"][:before]:
        first[place] = "unparsed"
    return model("base", {"quiz": answered(first)}), model("tuned", {"quiz": answered(after)})


def of(result: GateResult, check: Check) -> tuple[Status, Reason]:
    found = next(one for one in result.findings if one.check is check)
    return found.status, found.reason


RATE = policy("defaults: {margin: 2pt, max_unreadable_rate: 5%}")


@pytest.mark.parametrize(("now", "code"), [(40, 0), (70, 1)])
def test_unreadable_answers_are_not_judged_on_the_first_documents(now: int, code: int) -> None:
    for seed in range(12):
        before, after = unreadable_pair(now, seed=seed)
        assert evalkit.gate(before, after, RATE).exit_code == code
        assert looked(before, after, RATE, seed).exit_code == code


def test_hardly_any_unreadable_answers_stop_early_and_pass() -> None:
    result = looked(*unreadable_pair(2), RATE)
    assert result.looks is not None
    assert (result.exit_code, result.looks.stopped) == (0, True)
    assert of(result, Check.UNREADABLE) == (Status.PASS, Reason.READABLE)
    assert result.looks.tasks["quiz"].evidence["more answers are unreadable than allowed"] >= 40


def test_many_unreadable_answers_stop_early_and_fail() -> None:
    result = looked(*unreadable_pair(200), RATE)
    assert result.looks is not None
    assert (result.exit_code, result.looks.asked < 500) == (1, True)
    assert of(result, Check.UNREADABLE) == (Status.FAIL, Reason.UNREADABLE)
    assert of(result, Check.LOSS) == (Status.SKIPPED, Reason.NOT_EVALUATED)


def test_none_may_be_unreadable() -> None:
    none = policy("defaults: {margin: 2pt, max_unreadable_rate: 0}")
    clean = looked(*unreadable_pair(0), none)
    assert clean.looks is not None
    assert (clean.exit_code, clean.looks.asked) == (0, 1000)
    assert looked(*unreadable_pair(20), none).exit_code == 1


@pytest.mark.parametrize(
    ("now", "before", "code", "stopped"), [(60, 50, 0, True), (200, 20, 1, True), (110, 20, 1, False)]
)
def test_a_rise_of_unreadable_answers(now: int, before: int, code: int, stopped: bool) -> None:
    asked = policy("defaults: {margin: 2pt, max_unreadable_rise: 8pt}")
    result = looked(*unreadable_pair(now, before), asked)
    assert result.looks is not None
    assert (result.exit_code, result.looks.stopped) == (code, stopped)


def test_failing_on_something_else_leaves_unreadable_answers_open() -> None:
    before, after = unreadable_pair(2)
    result = looked(after, before, RATE)
    assert of(result, Check.LOSS) == (Status.FAIL, Reason.REGRESSED)
    assert of(result, Check.UNREADABLE) == (Status.SKIPPED, Reason.NOT_EVALUATED)


def test_a_gain_is_called_one_and_p_is_two_sided() -> None:
    before, after = unreadable_pair(0)
    asked = policy("defaults: {margin: 2pt}")
    result = looked(before, after, asked)
    row = result.rows[0]
    assert (row.verdict, of(result, Check.LOSS)) == (Verdict.IMPROVED, (Status.PASS, Reason.IMPROVED))
    assert of(evalkit.gate(before, after, asked), Check.LOSS) == (Status.PASS, Reason.IMPROVED)
    assert result.looks is not None
    against = result.looks.tasks["quiz"].evidence
    assert row.p == pytest.approx(2 / against["nothing is gained"])
    assert row.p < 0.025
    worse = looked(after, before, asked)
    assert worse.looks is not None
    assert worse.rows[0].p == pytest.approx(2 / worse.looks.tasks["quiz"].evidence["nothing is lost"])


def test_p_at_a_look_is_corrected_for_the_tasks_that_decide() -> None:
    before, after = unreadable_pair(0)
    names = ("a", "b", "c")
    three = [model(run.model.name, {name: run.tasks["quiz"] for name in names}) for run in (before, after)]
    result = looked(three[0], three[1], policy("defaults: {margin: 2pt}"))
    assert result.looks is not None
    for row in result.rows:
        alone = 2 / result.looks.tasks[row.task].evidence["nothing is gained"]
        assert row.p == pytest.approx(3 * alone)


def test_a_real_loss_that_is_tolerated_is_told() -> None:
    before, after = unreadable_pair(0, n=2000)
    result = looked(after, before, policy("defaults: {margin: 60pt, min_items: 200}"))
    assert of(result, Check.LOSS) == (Status.WARN, Reason.TOLERATED_LOSS)
    assert result.rows[0].verdict is Verdict.WITHIN_MARGIN
