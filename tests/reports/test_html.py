from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparison import Change, Comparison, FieldDifference, Verdict
from evalkit.errors import OutputError, UsageError
from evalkit.reports.html import write_comparison, write_ranking, write_run
from evalkit.reports.html.packing import CHUNK
from evalkit.reports.html.page import render
from evalkit.results import Run, samples_path
from tests.reports.comparison_examples import HOSTILE, example_comparison, example_ranking, two_runs
from tests.result_examples import group, run, task_result, text_result

VOID = {"meta", "link", "input", "br", "img"}


class Reader(HTMLParser):
    """The elements of a page, checked for balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def packed(text: str, pattern: str) -> list[Any]:
    found = re.findall(rf"<script type=\"application/octet-stream\" {pattern}>([^<]*)</script>", text)
    return [json.loads(zlib.decompress(base64.b64decode(one))) for one in found]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return example_comparison(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def page(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pages") / "page.html"
    assert write_comparison(comparison, path) == path
    return path.read_text(encoding="utf-8")


def test_nothing_outside_the_file_is_named_or_run(page: str) -> None:
    reader = Reader(page)
    for tag, attributes in reader.elements:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert tag not in ("iframe", "object", "embed", "form") or "action" not in attributes
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)
    identifiers = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert "clip-path=" not in page  # would need ids, which are counted over all drawings of a process
    assert not re.search(r"url\((?!#)|@import|@font-face", page)


def test_the_policy_allows_exactly_this_script_and_this_style(page: str) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for name, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        (content,) = re.findall(pattern, page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy


def test_the_order_is_verdict_picture_table_places_documents_origin(page: str, comparison: Comparison) -> None:
    reader = Reader(page)
    sections = [attributes.get("id") for tag, attributes in reader.elements if tag == "section"]
    assert sections == ["verdict", "picture", "table", "where", "items", "made"]
    assert comparison.headline() in reader.text
    assert reader.text.index(comparison.headline()) < reader.text.index("Difference in points")
    for word in ("improved", "undecided", "95% interval", "evalkit compare", "quiz", "exam_a"):
        assert word in reader.text
    assert "</td>" in page.partition('<section id="where"')[0]  # the table is HTML, not data


def test_the_mean_is_in_the_table_and_beside_the_tally(page: str, comparison: Comparison) -> None:
    assert comparison.overall is not None
    assert page.count('<th scope="row">mean over tasks') == 1
    (mark,) = re.findall(r'<p class="overall">.*?</p>', page)
    assert comparison.overall.verdict.value in Reader(mark).text
    assert "<dt>mean over tasks" in page


def test_the_verdict_comes_right_after_the_task(page: str) -> None:
    first = page.index(">task</th>")
    assert (
        page.index(">verdict</th>", first) < page.index("difference</abbr>", first) < page.index(">before</th>", first)
    )


def test_what_cannot_be_compared_is_not_judged(comparison: Comparison, tmp_path: Path) -> None:
    def stopped(change: Change) -> Change:
        return replace(change, verdict=Verdict.NOT_COMPARABLE, interval=None, p=None, p_adjusted=None)

    tasks = {name: replace(task, change=stopped(task.change)) for name, task in comparison.tasks.items()}
    overall = None if comparison.overall is None else stopped(comparison.overall)
    text = write_comparison(replace(comparison, tasks=tasks, overall=overall), tmp_path / "page.html").read_text()
    (index,) = packed(text, 'id="index"')
    assert set(index["gain"]) == {None}
    assert index["causes"] == []
    shown = Reader(re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)).text
    for word in (
        "→",
        "task by task,",
        "What moved",
        "Difference in points",
        "exam, task by task",
        "What the difference",
    ):
        assert word not in shown
    assert "No task can be compared" in shown


def test_no_command_is_offered_that_does_not_exist(page: str, tmp_path: Path) -> None:
    from typer.main import get_command

    from evalkit.cli.main import app

    text = page + write_run(run({"quiz": task_result([1, 0])}), tmp_path / "run.html").read_text()
    offered = {word for word in re.findall(r"<code>evalkit ([a-z]+)", text)}
    assert offered <= set(get_command(app).commands)  # type: ignore[attr-defined]
    assert "compare" in offered


def test_another_runs_log_is_left_out_and_said(comparison: Comparison, tmp_path: Path) -> None:
    assert comparison.before.path is not None
    assert comparison.after.path is not None
    other = comparison.after.path.with_name("other.json")
    comparison.before.run.save(other)
    samples_path(other).write_bytes(samples_path(comparison.after.path).read_bytes())
    notes: list[str] = []
    text = write_run(comparison.before.run, tmp_path / "page.html", samples_path(other), notes.append).read_text()
    assert "is of another run and was left out" in Reader(text).text
    assert not packed(text, 'class="chunk"')
    assert len(notes) == 1
    own = write_run(comparison.before.run, tmp_path / "own.html", samples_path(comparison.before.path), notes.append)
    assert packed(own.read_text(), 'class="chunk"')
    assert len(notes) == 1


def test_what_models_write_is_text_only(page: str) -> None:
    assert "<script>window.hacked" not in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "\x00" not in page
    entries = [entry for chunk in packed(page, 'class="chunk"') for entry in chunk]
    (said,) = [
        entry["sides"][1]["output"]
        for entry in entries
        if entry["kind"] == "generate" and entry["sides"][0]["output"] == "The answer is 0."
    ]
    assert said.startswith("</script><script>window.hacked = true</script><img src=x")
    assert r"\x1b[31mred\x1b[0m \u202edesrever\u202c {{ 7 * 7 }} \x00 <!-- \ud800" in said


def test_names_and_settings_are_escaped(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>\u202e{{ 7 }}"
    hostile = run({name: task_result([1, 0, 1])}, limit="<b>9</b>", system=HOSTILE)
    hostile = replace(hostile, model=replace(hostile.model, name="<i>m</i>", extra={HOSTILE: HOSTILE}))
    text = write_run(hostile, tmp_path / "page.html").read_text()
    assert "<script>alert" not in text
    assert "<b>9" not in text
    assert "<i>" not in text
    assert "\u202e" not in text
    assert r"<script>alert(1)</script>\u202e{{ 7 }}" in Reader(text).text


def test_a_megabyte_is_cut_and_says_so(page: str) -> None:
    entries = [entry for chunk in packed(page, 'class="chunk"') for entry in chunk]
    (cut,) = [entry for entry in entries if entry.get("target") == "2" and entry["kind"] == "generate"]
    start, omitted, end = cut["sides"][1]["output"]
    assert len(start) + omitted + len(end) == 1_048_576 + 3
    assert end.endswith("END")
    assert max(map(len, re.findall(r">[^<]*<", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)))) < 5000


def test_index_and_texts_belong_together(page: str, comparison: Comparison) -> None:
    (index,) = packed(page, 'id="index"')
    chunks = packed(page, 'class="chunk"')
    assert index["chunk"] == CHUNK
    assert len(index["id"]) == index["texts"] == sum(map(len, chunks)) == 330
    flips = sum(len(task.flips) for task in comparison.tasks.values())
    assert [cause >= 0 for cause in index["cause"]] == [True] * flips + [False] * (330 - flips)
    tasks = [index["tasks"][place] for place in index["task"]]
    for place, (task, identifier) in enumerate(zip(tasks, index["id"], strict=True)):
        entry = chunks[place // CHUNK][place % CHUNK]
        samples = {sample.id: sample for sample in comparison.before.run.tasks[task].samples}
        sample = samples[identifier]
        assert index["gold"][place] == ([sample.fields["gold"]] if "gold" in sample.fields else [])
        assert index["outcomes"][index["outcome"][0][place]] == sample.outcome
        if task == "quiz":
            assert f"Question {sample.index}: " in entry["prompt"]
            assert entry["choices"][sample.fields["gold"]].strip() == entry["target"]
            assert len(entry["sides"][0]["logs"]) == 4


def test_without_logs_the_page_says_what_is_missing(comparison: Comparison, tmp_path: Path) -> None:
    bare = replace(comparison, before=replace(comparison.before, path=None), after=replace(comparison.after, path=None))
    path = write_comparison(bare, tmp_path / "bare.html")
    assert "The sample log of smol-base and smol-tuned was not there" in Reader(path.read_text()).text
    assert packed(path.read_text(), 'class="chunk"') == []
    assert path.stat().st_size < 500_000
    one = write_run(comparison.after.run, tmp_path / "run.html")
    assert "The sample log was not there" in Reader(one.read_text()).text


def test_conditions_are_chips(comparison: Comparison, tmp_path: Path) -> None:
    differences = (
        FieldDifference("prompt", "a" * 60, "b", ("quiz",), blocks=True),
        FieldDifference("dtype", "float32", "bfloat16", allowed=True),
    )
    path = write_comparison(replace(comparison, conditions=differences), tmp_path / "page.html")
    text = path.read_text()
    assert '<li class="chip stop">not comparable: prompt: ' in text
    assert '<li class="chip warn">dtype: float32 → bfloat16, allowed</li>' in text
    assert "only a part of the documents: limit 0.02" in text
    assert "3 answers unreadable after" in text


def test_run(tmp_path: Path) -> None:
    tuned = two_runs(tmp_path)[1]
    path = write_run(Run.load(tuned), tmp_path / "run.html", samples_path(tuned))
    reader = Reader(path.read_text())
    assert "smol-tuned: " in reader.text
    assert "Scores beside chance" in reader.text
    assert "Outcomes" in reader.text
    assert "All 330 documents" in reader.text
    (index,) = packed(path.read_text(), 'id="index"')
    assert index["outcomes"][index["outcome"][0][0]] == "unparsed"  # what needs a look is first


def test_run_with_scores_that_are_no_percentages_and_a_loss_curve(tmp_path: Path) -> None:
    pair = {"arc_easy": task_result([1, 0, 1, 1]), "arc_challenge": task_result([0, 0, 0, 1])}
    one = run({**pair, "wikitext": text_result([-3.1, -2.9])}, {"arc": group("arc", pair)})
    one = replace(one, timing={"loss_curve": [[1, 2.5], [2, 2.25], [3, 2.125]]})
    text = Reader(write_run(one, tmp_path / "page.html").read_text()).text
    assert "word perplexity" in text
    assert "2.500 at first, 2.125 at the end" in text
    without = Reader(write_run(replace(one, timing={}), tmp_path / "page.html").read_text()).text
    assert "Training loss" not in without


def test_ranking(tmp_path: Path) -> None:
    text = write_ranking(example_ranking(), tmp_path / "page.html").read_text()
    reader = Reader(text)
    assert "large is first." in reader.text
    assert "small <b>" in reader.text
    assert "<b>:" not in text
    assert "rows 2 to 3 are tied" in text
    assert "67.5" in reader.text  # chance-corrected
    assert not {"beyond chance", "place", "tied with"} & {word.strip() for word in reader.words}
    for word in ("rank", "average", "ties", "chance-corrected", "as the first Open LLM Leaderboard averaged"):
        assert word in reader.text
    assert "Each interval is for one pair alone" in reader.text
    assert text.count("not told from") >= 3


def test_a_leaderboard_of_one_perplexity_names_it(tmp_path: Path) -> None:
    from evalkit.comparing.ranking import leaderboard

    paths = [tmp_path / f"{name}.json" for name in "ab"]
    for place, rate in zip(paths, (1.0, 1.4), strict=True):
        run({"wiki": text_result([-rate - 0.01 * one for one in range(9)])}).save(place)
    words = Reader(write_ranking(leaderboard(paths), tmp_path / "page.html").read_text()).text
    assert "is first on wiki (word_perplexity)." in words
    assert "Less is better" in words
    assert "mean over" not in words
    assert "1 task and 9 documents" in words
    assert "the one pair" in words
    assert "all 1 pairs" not in words
    assert "chance-corrected" not in words


def test_the_same_results_give_the_same_page(comparison: Comparison, page: str, tmp_path: Path) -> None:
    assert write_comparison(comparison, tmp_path / "again.html").read_text() == page


def test_a_name_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(Exception, match="is undefined"):
        render("ranking.html", {"sections": []})


def test_places_that_cannot_be_written_and_damaged_logs(tmp_path: Path) -> None:
    one = run({"quiz": task_result([1, 0, 1])})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="page"):
        write_run(one, tmp_path / "file" / "page.html")
    log = tmp_path / "base.samples.parquet"
    log.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="cannot be read"):
        write_run(one, tmp_path / "page.html", log)
    with pytest.raises(UsageError, match="is missing"):
        write_run(one, tmp_path / "page.html", tmp_path / "other.parquet")


def test_two_thousand_documents_stay_below_five_megabytes(tmp_path: Path) -> None:
    one = example_comparison(tmp_path, n=280)
    assert 1900 < sum(task.pairing.paired for task in one.tasks.values() if not task.members) < 2400
    assert write_comparison(one, tmp_path / "page.html").stat().st_size < 5_000_000
