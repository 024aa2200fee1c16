from __future__ import annotations

import pytest

from evalkit.comparing.amounts import amount, number, p_value, points, rough, span
from evalkit.comparing.compare import compare
from tests.comparing.examples import generated, model_run, paired, text_result

IMPROVED, REGRESSED, WITHIN, UNDECIDED = (400, 60, 20, 520), (400, 20, 60, 520), (900, 20, 20, 4060), (5, 2, 1, 5)


def headline(*tables: tuple[int, int, int, int]) -> str:
    both = {f"task{place}": paired(*table) for place, table in enumerate(tables)}
    runs = [
        model_run(name, {task: pair[place] for task, pair in both.items()}) for place, name in enumerate(("a", "b"))
    ]
    return compare(*runs).headline()


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([IMPROVED], "b is better than a on task0 by 4.0 points"),
        ([REGRESSED], "b is worse than a on task0 by 4.0 points"),
        ([WITHIN], "b loses no more than the margin against a on task0"),
        ([UNDECIDED], "whether b is better or worse than a on task0 is undecided"),
        ([UNDECIDED, UNDECIDED], "b against a: undecided on 2 of 2 tasks"),
        ([IMPROVED, REGRESSED, UNDECIDED], "b is better than a on 1 of 3 tasks, worse on 1, undecided on 1"),
        (
            [REGRESSED, WITHIN],
            "b is worse than a on 1 of 2 tasks, within the margin on 1; worse by 2.0 points in the mean",
        ),
        ([WITHIN, UNDECIDED], "b is within the margin of a on 1 of 2 tasks, undecided on 1"),
    ],
)
def test_headlines(tables: list[tuple[int, int, int, int]], expected: str) -> None:
    assert headline(*tables) == expected


def test_the_mean_sees_what_no_task_does_alone() -> None:
    found = headline(*[(20, 1, 7, 22)] * 5)
    assert found == "b against a: undecided on 5 of 5 tasks; worse by 12.0 points in the mean"


def test_amounts() -> None:
    before, after = paired(1, 1, 1, 1)
    share = compare(model_run("a", {"x": before}), model_run("b", {"x": after})).tasks["x"].change
    assert [amount(share, value) for value in (0.01, 0.0123, 0.00012, 0.0)] == [
        *("1.0 point", "1.2 points", "0.012 points", "0.0 points"),
    ]
    assert amount(share, -0.01, sign=True) == "-1.0 point"
    assert span(share, -0.0123, 0.2) == "-1.2 to +20.0"
    assert span(share, -0.0123, 0.2, unit=True) == "-1.2 to +20.0 points"
    text = text_result([-2.0, -3.0])
    plain = compare(model_run("a", {"x": text}), model_run("b", {"x": text})).tasks["x"].change
    assert amount(plain, 0.01234) == "0.0123"
    assert span(plain, 1.0, 20.0) == "+1.00 to +20.0"
    assert [number(value) for value in (1234567.0, 77771.2, 9876.5)] == ["1.23e+06", "7.78e+04", "9876"]


def test_zero_has_no_sign() -> None:
    assert [points(value, sign=True) for value in (0.0, -0.0, 1e-12, -0.0004, 0.01)] == [
        *("0.0", "0.0", "0.0", "-0.04", "+1.0"),
    ]
    assert number(0.0, sign=True) == number(0.0) == "0.000"


def test_p_values_are_never_0() -> None:
    assert [p_value(p) for p in (1e-300, 0.0012, 0.0456, 0.5, 1.0, None)] == [
        *("< 0.001", "0.001", "0.046", "0.50", "1.00", "unknown"),
    ]


def test_counts_are_rough() -> None:
    assert [rough(count) for count in (7, 99, 862, 1234567)] == ["7", "99", "860", "1,200,000"]


def test_flips_of_a_generation_task_name_their_cause() -> None:
    runs = [
        model_run("a", {"x": generated(["right", "right", "unparsed"])}),
        model_run("b", {"x": generated(["empty", "wrong", "right"])}),
    ]
    flips = compare(*runs).tasks["x"].flips
    assert sorted((flip.cause.value, flip.gain) for flip in flips) == [
        ("empty", -1.0),
        ("knowledge", -1.0),
        ("unparsed", 1.0),
    ]
