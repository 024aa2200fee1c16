from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.comparing.amounts import number
from evalkit.comparing.compare import compare
from evalkit.comparing.verdict import decide
from evalkit.comparison import Change, Verdict
from tests.comparing.examples import model_run, paired, text_result


def change(right: int, fixed: int, broken: int, wrong: int, **options: float) -> Change:
    before, after = paired(right, fixed, broken, wrong)
    return compare(model_run("base", {"a": before}), model_run("tuned", {"a": after}), **options).tasks["a"].change  # type: ignore[arg-type]


def test_improved() -> None:
    found = change(400, 60, 20, 520)
    assert found.verdict is Verdict.IMPROVED
    assert found.reason.startswith("better by 4.0 points (95% interval +2.3 to +5.8, p < 0.001)")
    assert found.more_items is None


def test_regressed_by_the_margin_or_more() -> None:
    found = change(400, 20, 60, 520)
    assert found.verdict is Verdict.REGRESSED
    assert found.reason == "worse by 4.0 points (95% interval -5.8 to -2.3, p < 0.001), tolerated was 1.0 point"


def test_a_real_loss_within_the_margin_is_tolerated_and_said_to_be() -> None:
    found = change(4000, 10, 40, 5950)
    assert found.p_adjusted is not None
    assert found.p_adjusted < 0.05
    assert found.verdict is Verdict.WITHIN_MARGIN
    assert found.is_real_loss
    assert (
        "a real loss, but surely smaller than the tolerated 1.0 point (one-sided 95% limit: 0.4 points)" in found.reason
    )


def test_within_the_margin() -> None:
    found = change(900, 20, 20, 4060)
    assert found.verdict is Verdict.WITHIN_MARGIN
    assert not found.is_real_loss
    assert found.reason == "no loss of 1.0 point or more: at most 0.2 points may be lost (one-sided 95% limit)"


def test_a_gain_that_the_correction_leaves_open_is_called_no_loss() -> None:
    gained = decide(replace(change(4, 8, 0, 4), p_adjusted=0.06, margin=0.01))
    assert gained.verdict is Verdict.WITHIN_MARGIN
    assert gained.gain == 0.5
    assert gained.word == "no loss"
    assert replace(gained, interval=None).word == "no loss"
    # nothing moved: nothing was gained
    assert replace(gained, interval=None, fixed=0, broken=0, difference=0.0).word == "within margin"
    assert change(30, 0, 0, 0, margin=0.05).word == "undecided"
    assert change(80, 0, 0, 0, margin=0.04).word == "within margin"
    # of a metric where less is better, gains are negative differences
    assert gained.interval is not None
    turned = replace(gained, higher_is_better=False, difference=-0.5, interval=(-gained.interval[1], -0.2))
    assert turned.word == "no loss"
    assert replace(gained, margin=0.9).word == "within margin"
    assert change(900, 20, 20, 4060).word == "within margin"
    assert change(50, 6, 6, 38).word == "undecided"
    assert change(400, 60, 20, 520).word == "improved"


def test_an_interval_that_holds_zero_is_said_to_just_do_so_only_near_its_end() -> None:
    found = replace(change(400, 60, 20, 520), interval=(-0.001, 0.08))
    assert decide(found).reason.endswith("of another method than the test, just holds 0")
    wide = replace(found, interval=(-0.521, 0.524))
    assert decide(wide).reason.endswith("; the interval, of another method than the test, holds 0")
    assert "few clusters hold most documents" in decide(replace(wide, clusters=20)).reason
    told = decide(replace(wide, test="interval from the tasks' own and the whole range of one without, sign-flip test"))
    assert told.verdict is Verdict.IMPROVED
    assert "just" not in told.reason
    assert told.reason.endswith("a task without an interval of its own counts with the whole range that it can have")


def test_undecided_says_how_many_more() -> None:
    found = change(50, 6, 6, 38)
    assert found.verdict is Verdict.UNDECIDED
    assert found.more_items is not None
    # non-inferiority with 12 % discordance, margin 1 point: (1.645 + 0.842)² 0.12 / 0.01²
    assert found.more_items == pytest.approx(6.182 * 0.12 / 1e-4 - 100, rel=0.05)
    assert "the benchmark has no more" in found.reason


def test_a_loss_of_unclear_size() -> None:
    found = change(80, 1, 8, 211)
    assert found.verdict is Verdict.REGRESSED
    wide = decide(replace(found, margin=0.05))
    assert wide.verdict is Verdict.WITHIN_MARGIN
    between = decide(replace(found, margin=0.03))
    assert between.verdict is Verdict.UNDECIDED
    assert between.reason.startswith(
        "a loss, size unclear: worse by 2.3 points (95% interval -4.9 to -0.5, p 0.021), tolerated is 3.0 points"
    )


def test_a_large_loss_that_may_be_chance_is_undecided() -> None:
    # the upper limit at 90 % is below -margin, but p after the correction for other tasks is not below 0.05
    found = change(0, 2, 20, 178)
    assert found.gain_margin_interval is not None
    assert found.gain_margin_interval[1] < -found.margin
    assert decide(replace(found, p_adjusted=0.049)).verdict is Verdict.REGRESSED
    held = decide(replace(found, p_adjusted=0.051))
    assert held.verdict is Verdict.UNDECIDED
    assert held.reason.startswith("anything from -14.1 to -4.9 points is possible (p < 0.001 alone, 0.051 after Holm")


@pytest.mark.parametrize(
    "table", [(7, 1, 6, 6), (80, 1, 8, 211), (50, 6, 6, 38), (400, 60, 20, 520), (900, 20, 20, 4060)]
)
def test_the_sentence_has_the_interval_of_the_table_and_its_signs(table: tuple[int, int, int, int]) -> None:
    found = change(*table)
    assert found.interval is not None
    low, high = (f"{100 * end:+.1f}" for end in found.interval)
    if found.verdict is Verdict.WITHIN_MARGIN:
        assert "one-sided 95% limit" in found.reason
    else:
        assert f"{low} to {high}" in found.reason
    assert ("a loss, size unclear" in found.reason) <= found.is_real_loss


def test_a_loss_of_which_p_says_that_it_may_be_chance_is_not_called_one() -> None:
    # arc_easy of the example in docs/comparing.md: 20 documents, p of 0.28 after the correction
    found = decide(replace(change(7, 1, 6, 6), p_adjusted=0.28), family=4)
    assert found.reason.startswith("anything from -48.8 to +1.1 points is possible")


def test_a_rising_perplexity_has_the_tables_signs_too() -> None:
    rates = [-2.0 - 0.01 * place for place in range(60)]
    before, worse = text_result(rates), text_result([rate - 0.2 - 0.001 * (i % 7) for i, rate in enumerate(rates)])
    found = compare(model_run("base", {"a": before}), model_run("tuned", {"a": worse})).tasks["a"].change
    assert found.interval is not None
    assert found.interval[0] > 0
    assert f"(95% interval {number(found.interval[0], sign=True)} to " in found.reason


def test_a_correction_is_named_where_the_interval_alone_says_more() -> None:
    found = change(50, 12, 3, 35)
    assert found.interval is not None
    assert found.interval[0] > 0
    held = decide(replace(found, p_adjusted=0.2), family=9)
    assert held.verdict is Verdict.UNDECIDED or held.verdict is Verdict.WITHIN_MARGIN
    assert "after Holm's correction for 9 tests" in held.reason


def test_less_is_better_for_perplexities() -> None:
    rates = [-2.0 - 0.01 * place for place in range(60)]
    before, better = text_result(rates), text_result([rate + 0.2 + 0.001 * (i % 7) for i, rate in enumerate(rates)])
    found = compare(model_run("base", {"a": before}), model_run("tuned", {"a": better})).tasks["a"].change
    assert found.difference < 0 < found.gain
    assert found.verdict is Verdict.IMPROVED
    worse = compare(model_run("base", {"a": better}), model_run("tuned", {"a": before})).tasks["a"].change
    assert worse.verdict is Verdict.REGRESSED


def test_no_change_is_settled_by_enough_documents() -> None:
    few, enough = change(50, 0, 0, 50), change(150, 0, 0, 150)
    assert few.verdict is Verdict.UNDECIDED
    assert few.more_items is not None
    assert 150 < few.more_items < 200
    assert enough.verdict is Verdict.WITHIN_MARGIN


def test_a_margin_of_nothing() -> None:
    found = change(50, 6, 6, 38, margin=0.0)
    assert found.verdict is Verdict.UNDECIDED
    assert found.more_items is None
    assert change(50, 0, 0, 50, margin=0.0).more_items is None


def test_not_comparable_stays_so() -> None:
    found = replace(change(400, 60, 20, 520), verdict=Verdict.NOT_COMPARABLE, reason="prompt differs")
    assert decide(found) == found
