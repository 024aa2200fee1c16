"""A diagnosis on the terminal and as Markdown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from evalkit.doctor.diagnosis import Advice, Change, ChatFindings, Diagnosis, FirstTokens, FormPair, FormScore, Measured
from evalkit.reports.doctor import markdown, render

FIRST = FirstTokens((1, 1, 5), ("<s>", "<s>", "a\x1b[2J"), True)
CHANGE = Change(100, 0.4, 0.05, 0.5, 48, 1, 0.0155, 12, 11, False)
DIAGNOSIS = Diagnosis(
    model="tiny",
    parameters=135_000_000,
    device="cpu",
    dtype="float32",
    reference_dtype="float32",
    path="packed",
    questions={"arc_easy": 48},
    measured=(
        Measured("float32/default", "as evalkit run computes", "float32", "evalkit", "float32/alone", CHANGE),
        Measured("bfloat16/alone", "bfloat16, each prompt alone", "bfloat16", "evalkit", "float32/alone", CHANGE),
        Measured("bfloat16/left", "padded", "bfloat16", "others", "bfloat16/alone", None, "no *memory*"),
    ),
    chat=ChatFindings(True, FIRST, FIRST, FIRST, "refused", None, False, False, 3, 1),
    forms=(FormScore("letter", 12, 48, (0.15, 0.39), 0.25),),
    pairs=(FormPair("letter", "cloze", 15, 3, 48, (0.08, 0.4), 0.005),),
    advice=(Advice("problem", "batches flip 1 of 48"), Advice("fine", "the rest is fine")),
    seconds=12.0,
    evalkit_version="0.1.0",
)


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_everything_within_its_width(width: int) -> None:
    stream = io.StringIO()
    render(DIAGNOSIS, Console(file=stream, width=width))
    shown = stream.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines.index("problem batches flip 1 of 48") < lines.index("fine the rest is fine")
    assert "as evalkit run computes 0.4 0.05 0.5 1/48 0.015 12→11" in lines
    assert "not measured: bfloat16, padded: no *memory*" in lines
    assert "\x1b" not in shown
    assert "letter 12/48 25.0% 15.0–39.0 25.0%" in lines
    assert "letter → cloze +25.0 +8.0 to +40.0 15/3 0.005" in lines


def test_types_stand_apart_from_batches() -> None:
    text = markdown(DIAGNOSIS)
    within = text.index("Within float32, against each prompt alone")
    others = text.index("Other types, against float32")
    assert within < text.index("as evalkit run computes") < others < text.index("bfloat16, each prompt alone | 0.4")


def test_markdown_escapes_what_it_was_given() -> None:
    text = markdown(DIAGNOSIS)
    assert "- **problem**: batches flip 1 of 48" in text
    assert "no \\*memory\\*" in text
    assert "1 '\\<s\\>'" in text
    assert "\x1b" not in text
