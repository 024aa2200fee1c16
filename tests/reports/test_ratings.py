from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from evalkit.ratings.model import Rating
from evalkit.ratings.summary import RatingSummary
from evalkit.reports.ratings import markdown, render, verdict
from tests.ratings.test_summary import TUNED, choice, choices, score, summary_of


def printed(summary: RatingSummary, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    render(summary, Console(file=stream, width=width))
    stream.flush()
    return raw.getvalue().decode(encoding)


def everything() -> RatingSummary:
    ann: list[Rating] = [*choices(("tuned", 20), ("base", 5), ("tie", 4), ("both_bad", 1))]
    bob = [replace(one, rater="bob") for one in ann[:10]] + [choice(10, "base", "bob")]
    other = [replace(one, task="a_second_task_with_a_name") for one in ann[:6]]
    scored = [score(place, 2 + place % 2, 3 + place % 3, rater) for place in range(8) for rater in ("ann", "bob")]
    same = [choice(place, "tie", identical=True, left=None) for place in range(100, 103)]
    return summary_of([*ann, *bob, *other, *scored, *same])


def test_the_terminal() -> None:
    text = printed(everything())
    lines = [line.split() for line in text.splitlines()]
    by_name = {line[0]: line[1:] for line in reversed(lines) if line}
    assert text.startswith("People prefer tuned: on ")
    assert lines[1] == ["base:", "alpha;", "tuned:", "omega;", "2", "raters"]
    assert by_name["all"][:6] == ["tasks", "39", "36", "6", "7", "1"]
    assert by_name["questions"][:5] == ["33", "30", "6", "7", "1"]
    assert "fluency" in text
    assert "note: 3 documents with identical answers: ties, nobody was asked" in text
    assert "rater bob: 11 choices and 8 scored" in text
    assert "alpha is Krippendorff's" in text
    assert "raters agree on choices: alpha 0.00, over 11 texts" in text
    assert "raters agree in fluency: alpha 1.00 [1.00, 1.00], over 16 texts" in text


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_console(width: int) -> None:
    assert max(map(cell_len, printed(everything(), width).splitlines())) <= width


def test_ascii_output() -> None:
    assert printed(everything(), encoding="ascii").isascii()


def test_verdicts() -> None:
    assert verdict(summary_of(choices(("tuned", 28), ("base", 2)))) == (
        "People prefer tuned: on 93% of 30 documents, ties counted half."
    )
    assert verdict(summary_of(choices(("base", 28), ("tuned", 2)))).startswith(
        "People prefer base: tuned wins 7% of 30"
    )
    assert verdict(summary_of(choices(("base", 5), ("tuned", 6)))).startswith("Undecided")
    assert "1 document" in verdict(summary_of(choices(("tuned", 1))))
    scored = [score(place, 2 + place % 2, 4 + place % 2) for place in range(9)]
    scored[0] = score(0, 3, 3)
    assert verdict(summary_of(scored)).startswith("Tuned is better in fluency, better in coherence")
    alone = summary_of([score(place, 1 + place, None) for place in range(5)], tuned=None)
    assert verdict(alone).startswith("Scores of 5 documents, 1 to 5: fluency 3.00")


def test_one_run_alone() -> None:
    text = printed(summary_of([score(place, 1 + place, None) for place in range(5)], tuned=None))
    assert "difference" not in text
    assert "1.04 to 4.96" in text
    assert "note: one rater" in text


def test_markdown() -> None:
    text = markdown(everything())
    assert text.startswith("**People prefer tuned")
    assert "| **all tasks** | 39 |" in text
    assert "| a\\_second\\_task\\_with\\_a\\_name |" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {10, 9}


def test_what_a_file_says_is_not_obeyed() -> None:
    hostile = replace(TUNED, name="[red]x\x1b[2J</script>")
    ratings = [replace(one, rater="[bold]\x07ann") for one in choices(("tuned", 3))]
    summary = summary_of(ratings, tuned=hostile)
    text = printed(summary)
    assert "[red]x\\x1b[2J" in text
    assert "[bold]\\x07ann" in text
    assert re.search(r"[\x00-\x09\x0b-\x1f]", text) is None
    assert "</script>" not in markdown(summary).replace("\\<", "").replace("\\>", "") or "\\</script\\>" in markdown(
        summary
    )


def test_nobody_was_asked_where_all_answers_are_identical() -> None:
    same = [choice(place, "tie", identical=True, left=None) for place in range(3)]
    text = printed(replace(summary_of(same), raters={}))
    assert "tuned: omega; nobody was asked" in " ".join(text.split())
    assert "0 raters" not in text
