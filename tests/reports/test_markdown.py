from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from evalkit.reports.markdown import escape, markdown
from tests.result_examples import group, run, task_result, text_result


def test_table() -> None:
    pair = {"arc_easy": task_result([1, 0, 1, 1] * 300), "arc_challenge": task_result([0, 0, 0, 1] * 50)}
    text = markdown(run({**pair, "wikitext": text_result([-3.1, -2.9])}, {"arc": group("arc", pair)}, limit=10))
    lines = text.splitlines()
    assert lines[2] == "| task | version | shots | n | metric | value | 95 % interval | chance |"
    assert lines[3] == "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |"
    assert lines[5] == r"| &emsp;arc\_easy | 1 | 0 | 1,200 | acc | 75.0% | 72.5–77.4 | 25.0% |"
    assert lines[4].startswith("| **arc** |  | 0 | 1,400 | acc | 50.0% |")
    assert lines[-1] == "- not the default: limit: 10"
    assert {line.count("|") for line in lines[2:9]} == {9}


def test_hostile_names_stay_in_their_cell() -> None:
    hostile = run({"a|b\n<script>*x*`": task_result([1, 0])})
    line = markdown(replace(hostile, model=replace(hostile.model, name="<img>"))).splitlines()[4]
    assert line.startswith(r"| a\|b\\n\<script\>\*x\*\` |")
    assert escape("a b: c. d-1 # 2 www") == r"a b: c. d-1 \# 2 www"
    assert escape("[a](b)") == r"\[a\]\(b\)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@octocat", "@<!-- -->octocat"),
        ("me@example.org", "me@<!-- -->example.org"),
        ("see #12, o/r#3, GH-4", r"see \#<!-- -->12, o/r\#<!-- -->3, GH-<!-- -->4"),
        ("https://a.b and WWW.a.b", "https:<!-- -->//a.b and WWW<!-- -->.a.b"),
    ],
)
def test_nobody_is_pinged_and_nothing_is_linked(text: str, shown: str) -> None:
    assert escape(text) == shown
    # what a parser of GFM makes of it: the same text, in two pieces
    assert html.unescape(re.sub(r"\\(.)|<!-- -->", r"\1", shown)) == text
    hostile = run({text: task_result([1, 0])})
    assert f"| {shown} |" in markdown(replace(hostile, model=replace(hostile.model, name=text)))
