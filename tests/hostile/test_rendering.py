"""Text from elsewhere, in every place that it can stand and in every format: shown, and nothing more."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from evalkit.reports import verification as verification_report
from evalkit.reports.annotations import error_command
from evalkit.reports.csv import run_csv
from evalkit.reports.html import write_run
from evalkit.reports.latex import run_latex
from evalkit.reports.markdown import markdown
from evalkit.reports.run_junit import run_junit
from evalkit.results import Run
from evalkit.verification import Check, Verification
from tests.reports.test_terminal import printed
from tests.result_examples import DATASET, run, task_result

NASTY = (
    "<script>window.hacked = true</script>",
    "</script><img src=x onerror=alert(1)>",
    "]]></failure><failure>",
    "::error file=x::hacked%0A::set-output name=a::b",
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "a\u202eb\u2066c\u200f",
    "a|b\n| c | d |\n---\n# heading\n```\n[x](javascript:alert(1))",
    "=HYPERLINK(1)",
    "@SUM(1)",
    r"\input{/etc/passwd} $x$ % & # _ ^ ~",
    "[red]not markup[/red] [link=http://x]y[/link]",
    "a\u2028b\u2029c\r\nd\x00e\x85f",
    "{{ 7 * 7 }}{% raw %}",
    "\ud800 \uffff \ufdd0",
)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f]")


def hostile(text: str) -> Run:
    """A run that has the text wherever one can come from outside."""
    task = replace(
        task_result([1, 0, 1, 1]),
        dataset=replace(DATASET, id=text, config=text, split=text, source=text),
        settings={
            "decoding": {"max_new_tokens": 3, "stop": [text]},
            "signatures": {"acc": text},
            "chat_template": {"why": text},
        },
        outcomes={"right": 2, "errored": 1, text: 1},
    )
    first, *others = task.samples
    failed = replace(first, outcome="errored", metrics={}, cluster=text, fields={"error": text, "answers": [text]})
    made = run({text: replace(task, samples=(failed, *others))}, limit=text, system=text, engine=text)
    model = replace(made.model, name=text, revision=text, adapter=text, extra={"architecture": text, text: text})
    return replace(made, model=model, environment={"device": text, text: text})


@pytest.fixture(params=NASTY, ids=range(len(NASTY)))
def nasty(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_terminal_gets_no_control_characters_and_no_markup(nasty: str) -> None:
    shown = printed(hostile(nasty), 120)
    assert not CONTROL.search(shown)
    if "[red]" in nasty:
        assert "[red]not markup[/red]" in shown.replace("\n", "")


def test_a_markdown_table_keeps_its_lines_and_holds_no_html(nasty: str) -> None:
    text, plain = markdown(hostile(nasty)), markdown(hostile("plain"))
    assert not CONTROL.search(text)
    assert len(text.splitlines()) == len(plain.splitlines())
    bare = re.sub(r"\\.", "", text)
    assert "<script" not in bare
    assert "<img" not in bare
    assert "](javascript" not in bare
    assert not any(line.startswith("#") and "heading" in line for line in bare.splitlines())


def test_cells_of_csv_are_no_formulas(nasty: str) -> None:
    rows = list(csv.reader(io.StringIO(run_csv(hostile(nasty)))))
    assert len({len(row) for row in rows}) == 1
    for cell in (cell for row in rows for cell in row):
        assert not CONTROL.search(cell)
        assert not cell.lstrip().startswith(("=", "@", "+")), cell


def test_xml_has_the_elements_that_it_would_have(nasty: str) -> None:
    def shape(text: str) -> list[str]:
        return [element.tag for element in ElementTree.fromstring(run_junit(hostile(text))).iter()]

    assert shape(nasty) == shape("plain")


def test_latex_has_no_commands_of_the_texts(nasty: str) -> None:
    text = run_latex(hostile(nasty))
    assert "\\input" not in text
    assert not re.search(r"(?<!\\)\$x", text)
    assert not CONTROL.search(text)


def test_an_annotation_is_one_line_and_one_command(nasty: str) -> None:
    line = error_command(nasty)
    assert "\n" not in line.strip("\n")
    assert "\r" not in line
    assert line.startswith("::error title=evalkit gate::")


class _Shape(HTMLParser):
    """Elements with the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attributes)))


def elements(text: str, path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    write_run(hostile(text), path)
    parser = _Shape()
    parser.feed(path.read_text(encoding="utf-8"))
    yield from parser.found


@pytest.mark.parametrize("text", [NASTY[0], NASTY[1], NASTY[5], NASTY[11], NASTY[12]])
def test_a_page_has_the_elements_that_it_would_have(text: str, tmp_path: Path) -> None:
    allowed = {("script", ()), ("script", ("type",)), ("script", ("type", "id"))}
    found = {one for one in elements(text, tmp_path / "a.html") if one[0] in ("script", "img", "iframe", "object")}
    known = {one for one in elements("plain", tmp_path / "b.html") if one[0] in ("script", "img", "iframe", "object")}
    assert found <= known | allowed
    assert not any(name.startswith("on") for _, names in elements(text, tmp_path / "c.html") for name in names)
    assert "49" not in _titles((tmp_path / "c.html").read_text(encoding="utf-8"))


def _titles(page: str) -> str:
    return "".join(re.findall(r"<(?:title|h1)[^>]*>(.*?)<", page))


def test_a_verification_is_shown_as_it_is(nasty: str) -> None:
    checks = (Check.of(nasty, "scores", 1, [nasty]), Check.skipped(nasty, "data", nasty))
    found = Verification(nasty, nasty, checks)
    stream = io.StringIO()
    verification_report.render(found, Console(file=stream, width=100))
    assert not CONTROL.search(stream.getvalue())
    text = verification_report.markdown(found)
    assert not CONTROL.search(text)
    assert "<script" not in re.sub(r"\\.", "", text)
