from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparison import Comparison, Verdict
from evalkit.reports.html import figures, made, packing, write_comparison
from evalkit.reports.html.charts import NARROW, WIDE, draw, values
from evalkit.reports.html.diagnostics import diagnose
from evalkit.reports.html.forest import ForestRow, _lanes, forest
from evalkit.reports.html.heat import category_bars, heat_maps
from evalkit.reports.html.items import Item, comparison_items, judged, run_items
from evalkit.reports.html.packing import pack
from evalkit.reports.html.records import OUTPUT, Clipped, Record, clip, read_records, record, snippet
from evalkit.reports.html.room import left_out, most
from evalkit.reports.html.verdicts import panels, table
from evalkit.reports.text import visible_lines
from evalkit.results import Run, Sample, samples_path
from tests.reports.comparison_examples import example_comparison, row
from tests.result_examples import run, task_result, text_result


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return example_comparison(tmp_path_factory.mktemp("runs"))


# --- figures and text


@pytest.mark.parametrize(
    ("value", "share", "said"),
    [
        (0.0191, True, "+1.9"),
        (-0.005, True, "−0.5"),
        (0.0, True, "0.0"),
        (-0.0001, True, "0.0"),
        (-1.25, False, "−1.250"),
    ],
)
def test_differences(value: float, share: bool, said: str) -> None:
    assert figures.difference(value, share) == said


def test_other_figures() -> None:
    assert figures.limits((-0.012, 0.5), True) == "−1.2 to 50.0"
    assert figures.difference_limits((-0.012, 0.5), True) == "−1.2 to +50.0"
    assert figures.difference_limits(None, True) == ""
    assert figures.score(16.6213, False) == "16.62"
    assert figures.probability(0.0004) == "< 0.001"
    assert figures.probability(None) == ""
    assert figures.is_share((0.0, 1.0), True)
    assert not figures.is_share((0.0, 100.0), True, 0.5)
    assert not figures.is_share(None, True, 0.5, 12.0)


def test_lines_and_tabs_stay_what_they_are() -> None:
    assert visible_lines("a\tb\nc\r\n\x1b[0m\u202e水\u200b") == "a\tb\nc\\r\n\\x1b[0m\\u202e水\\u200b"
    assert visible_lines("plain\n") == "plain\n"
    assert visible_lines("\x7f") == "\\x7f"


# --- records


def test_long_texts_keep_both_ends_and_both_are_made_visible() -> None:
    text = "\x1bA" + "x" * 20_000 + "\u202eZ"
    found = clip(text, OUTPUT)
    assert found.start.startswith(r"\x1bAxxx")
    assert found.end.endswith(r"xxx\u202eZ")
    assert found.omitted == len(text) - sum(OUTPUT)
    assert clip("x" * sum(OUTPUT), OUTPUT).omitted == 0


def sample(identifier: str = "1") -> Sample:
    return Sample(identifier, 0, None, "right", {"acc": 1.0}, {})


def test_choices_within_the_prompt_are_what_prompts_differ_in() -> None:
    rows = [
        row("winogrande", sample(), place, f"Sarah thanked {name}", " because she was kind.", -3.0, "Maria", "Maria")
        for place, name in enumerate(("Maria", "Marta"))
    ]
    found = record(rows)
    assert found.prompt == Clipped("Sarah thanked ")
    assert [choice.start for choice in found.choices] == ["Maria because she was kind.", "Marta because she was kind."]


def test_further_completions_are_counted() -> None:
    rows = [row("gsm8k", sample(), 0, "2 + 2?", text, None, "4", text) for text in ("4", "5", "4")]
    found = record(rows)
    assert found.output == Clipped("4")
    assert found.more == 2


def test_the_line_of_a_document_is_its_question() -> None:
    assert snippet(Clipped("Q: one?\nA: 1\n\nQ: two\nlines?\nA:")) == "Q: two lines? A:"
    assert snippet(Clipped("A man walks")) == "A man walks"
    assert snippet(Clipped("examples", 500, "end of one\n\nQuestion: why?\nAnswer:")) == "Question: why? Answer:"


def test_only_wanted_documents_are_read(comparison: Comparison) -> None:
    assert comparison.before.path is not None
    wanted = ("quiz", comparison.before.run.tasks["quiz"].samples[3].id)
    found = read_records(samples_path(comparison.before.path), [wanted])
    assert set(found) == {wanted}
    assert found[wanted].prompt.start.startswith("Answer the question.\n\nQuestion 3: ")


def test_what_both_runs_were_asked_is_held_once(comparison: Comparison) -> None:
    wanted = ("quiz", comparison.before.run.tasks["quiz"].samples[3].id)
    assert comparison.before.path is not None
    assert comparison.after.path is not None
    before = read_records(samples_path(comparison.before.path), [wanted])
    after = read_records(samples_path(comparison.after.path), [wanted], before)
    assert after[wanted].prompt is before[wanted].prompt
    assert after == read_records(samples_path(comparison.after.path), [wanted])


# --- items and packing


def test_what_changed_comes_first_and_what_needs_a_look(comparison: Comparison) -> None:
    items = comparison_items(comparison)
    flips = [item.is_flip for item in items]
    assert flips == sorted(flips, reverse=True)
    assert sum(flips) == sum(len(task.flips) for task in comparison.tasks.values())
    outcomes = [item.sides[0].outcome for item in run_items(comparison.after.run)]
    assert outcomes[0] == "unparsed"
    assert outcomes == sorted(outcomes, key=["unparsed", "wrong", "right"].index)


def written(n: int, size: int) -> tuple[list[Item], dict[tuple[str, str], Record]]:
    """Documents whose answers do not compress."""
    import random

    items = [Item("count", str(place), (sample(str(place)),), None, "") for place in range(n)]
    text = random.Random(0)
    answers = ["".join(chr(text.randrange(0x4E00, 0x9000)) for _ in range(size)) for _ in range(n)]
    records = {
        item.key: record([row("count", item.sides[0], 0, "?", answer, None, "", None)])
        for item, answer in zip(items, answers, strict=True)
    }
    return items, records


def test_texts_that_do_not_fit_are_left_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "SMALL", 300_000)
    monkeypatch.setattr(packing, "LARGE", 300_000)
    items, records = written(400, 400)
    found = pack(items, [records], ["model"], ["model.samples.parquet"])
    assert found.listed == found.total == 400
    assert 0 < found.texts < 400
    assert found.texts % packing.CHUNK == 0
    assert sum(map(len, found.chunks)) <= 300_000
    monkeypatch.setattr(packing, "LISTED", 100)
    assert (pack(items, [records], ["m"], [""]).listed, pack(items, [records], ["m"], [""]).total) == (100, 400)


def test_what_is_packed_has_no_character_of_markup() -> None:
    assert set(packing.compress({"</script>": "\ud800<!--"})) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    )


# --- charts


def forest_row(name: str = "task", **more: Any) -> ForestRow:
    values = {"depth": 0, "is_group": False, "value": 1.0, "limits": (0.0, 2.0), "kind": "better", "text": "+1.0"}
    return ForestRow(name=name, **{**values, "short": "+1.0", "about": f"{name} <b>: +1.0", **more})


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_drawings_have_the_pages_colours_and_words_for_every_mark(layout: Any) -> None:
    rows = [forest_row(), forest_row("\u202eother", kind="worse", limits=None, margin=1.0, chance=0.5)]
    svg = draw(forest(rows, layout, axis="points", zero=True), layout.name, "Title")
    assert f'class="drawing {layout.name}"' in svg
    assert "style=" not in svg
    assert "id=" not in svg
    assert "var(--better)" in svg
    assert "var(--worse)" in svg
    assert svg.count('class="mark"') == svg.count("<title>") == 2
    assert "<title>task &lt;b&gt;: +1.0</title>" in svg
    assert "\u202e" not in svg
    assert r"\u202eother" in svg
    width = float(svg.partition('width="')[2].partition('"')[0])
    assert width <= layout.width + 12


def test_data_of_a_chart_is_made_visible() -> None:
    assert values([{"a": "\x1b", "b": 1.5, "c": None}]) == {"values": [{"a": r"\x1b", "b": 1.5, "c": None}]}


def test_brackets_that_share_a_row_stand_side_by_side() -> None:
    assert _lanes([(0, 1), (2, 4)]) == [0, 0]
    assert _lanes([(0, 2), (2, 4), (4, 6), (3, 5)]) == [0, 1, 0, 2]


def test_large_groups_get_a_map_and_stand_for_their_tasks_in_the_plot(comparison: Comparison) -> None:
    (found,) = heat_maps(comparison)
    assert found.title == "exam, task by task"
    assert found.drawings[0].count('class="mark"') == 9
    assert category_bars(comparison) == []
    (panel,) = panels(comparison)
    assert [one.name for one in panel.rows] == ["mean over tasks", "quiz", "exam", "count"]
    assert [(one.name, one.parent) for one in table(comparison)][:3] == [
        ("mean over tasks", ""),
        ("exam", ""),
        ("exam_a", "exam"),
    ]


def test_the_word_for_a_possible_gain_is_no_loss(comparison: Comparison) -> None:
    tasks = dict(comparison.tasks)
    likely = replace(tasks["quiz"].change, verdict=Verdict.WITHIN_MARGIN, interval=(-0.001, 0.08), margin=0.01)
    tasks["quiz"] = replace(tasks["quiz"], change=likely)
    found = replace(comparison, tasks=tasks)
    (line,) = [line for line in table(found) if line.name == "quiz"]
    assert line.verdict == "no loss"
    assert next(row.text for panel in panels(found) for row in panel.rows if row.name == "quiz").endswith("no loss")


# --- many tasks


def test_very_many_rows_are_cut_to_those_that_say_most() -> None:
    assert most([3, 1, 2], 2, lambda one: (float(one),)) == [3, 2]
    assert left_out(2, 2, "x") == ""
    assert left_out(10_000, 500, "the first") == (
        "500 of 10,000 rows: the first; `evalkit report --format csv` has all."
    )


def test_a_page_of_many_tasks_is_small(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a.json", "b.json")]
    for number, place in enumerate(places):
        run({f"task_{one}": task_result([1, 0, number, one % 2]) for one in range(600)}).save(place)
    text = write_comparison(compare(*places), tmp_path / "page.html").read_text()
    assert text.count('<tr class="task') == 499  # and the mean
    assert "500 of 601 rows" in text
    assert "120 of 601 rows" in text
    assert text.count('class="mark"') < 400


# --- differences of several units


def texts(rates: dict[str, float]) -> Run:
    return run({name: text_result([-rate + 0.01 * place for place in range(8)]) for name, rate in rates.items()})


def test_perplexities_are_ratios_with_the_tables_sign(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a.json", "b.json")]
    for place, factor in zip(places, (1.0, 0.9), strict=True):
        texts({"easy": 1.0 * factor, "hard": 6.0 * factor}).save(place)
    found = compare(*places)
    (panel,) = panels(found)
    assert (panel.metric, panel.lower_is_better, panel.is_relative) == ("word_perplexity", True, True)
    assert [one.name for one in panel.rows] == ["hard", "easy"]
    for one in panel.rows:
        change = found.tasks[one.name].change
        assert one.value == pytest.approx(100 * math.log(change.after / change.before))
        assert one.limits is not None
        assert one.limits[0] < one.value < one.limits[1] < 0
        (line,) = [line for line in table(found) if line.name == one.name]
        assert line.difference[0] == one.text[0] == "\u2212"


def test_metrics_of_different_units_have_plots_of_their_own(comparison: Comparison) -> None:
    tasks = dict(comparison.tasks)
    odd = replace(tasks["count"].change, metric="bleu", bounds=(0.0, 100.0), before=20.0, after=25.0, difference=5.0)
    tasks["count"] = replace(tasks["count"], change=odd)
    assert [panel.metric for panel in panels(replace(comparison, tasks=tasks))] == ["", "bleu"]


def test_the_longest_label_has_room() -> None:
    rows = [forest_row(), forest_row(text="\u221212.9  not comparable")]
    spec = forest(rows, WIDE, axis="points", zero=True)
    assert WIDE.width - spec["width"] - WIDE.fitted(["task"]).names >= 20 + 8 * len(rows[1].text)
    svg = draw(spec, "wide", "Title", WIDE.width)
    assert int(re.findall(r' width="(\d+)"', svg)[0]) >= WIDE.width


# --- diagnoses


def test_calibration_and_places_are_those_of_the_statistics(comparison: Comparison) -> None:
    items = judged(comparison_items(comparison), [{}, {}])
    charts, tables = diagnose(items, [{}, {}], ("before", "after"))
    assert [chart.title for chart in charts] == [
        "Does it prefer a place?",
        "Picked for right: before",
        "Picked for right: after",
        "What moved",
    ]
    (places,) = tables
    assert places.rows[0][:2] == ("before", "290")
    assert comparison.before.path is not None
    records = read_records(samples_path(comparison.before.path), [item.key for item in items])
    one = judged([replace(item, sides=item.sides[:1]) for item in items], [records])
    charts, tables = diagnose(one, [records], ["smol-base"])
    assert charts[0].title == "Is it right when it is sure?"
    quiz = comparison.before.run.tasks
    n = sum(task.n for name, task in quiz.items() if name != "count")
    assert tables[0].rows[0][:2] == ("smol-base", str(n))
    assert tables[-1].rows[0][0] == "count"


def test_too_few_documents_have_no_diagnosis() -> None:
    assert diagnose(judged(run_items(run({"quiz": task_result([1, 0, 1])})), [{}]), [{}], ["m"]) == ([], [])


# --- what a metric sees


def by_length(metric: str, value: float) -> Item:
    """The long choice is right: less probable as a whole, more probable per character."""
    fields = {"picked": 1, "gold": 0, "choices": 2, "margin": -2.0}
    return Item("arc", "1", (Sample("1", 0, None, "right" if value else "wrong", {metric: value}, fields),), None, "")


LENGTHS = {
    ("arc", "1"): record(
        [
            row("arc", sample(), place, "Q?", text, log, "", None)
            for place, (text, log) in enumerate(((" twenty characters ...", -6.0), (" four", -4.0)))
        ]
    )
}


def test_margin_and_pick_are_the_main_metrics() -> None:
    (found,) = judged([by_length("acc_norm", 1.0)], [LENGTHS])
    assert found.picked(0) == 0
    assert found.margin(0) == pytest.approx(-6 / 21 + 4 / 4)
    assert found.unit == "nats a character"
    (found,) = judged([by_length("acc", 0.0)], [LENGTHS])
    assert (found.picked(0), found.margin(0), found.unit) == (1, -2.0, "nats")


def test_what_contradicts_the_metric_or_lacks_a_log_is_not_told() -> None:
    for item, records in ((by_length("acc_norm", 0.0), LENGTHS), (by_length("acc_norm", 1.0), {})):
        (found,) = judged([item], [records])
        assert (found.picked(0), found.margin(0), found.unit) == (None, None, "")


# --- how it was made


def test_facts_are_side_by_side_and_say_what_differs() -> None:
    one = run({"quiz": task_result([1])}, decoding={"temperature": 0.7})
    other = replace(one, model=replace(one.model, dtype="bfloat16"))
    parts = {part.heading: {fact.name: fact for fact in part.facts} for part in made.facts([one, other])}
    assert parts["Model"]["dtype"].values == ("float32", "bfloat16")
    assert parts["Model"]["dtype"].differs
    assert not parts["Model"]["weights sha256"].differs
    assert parts["Settings"]["decoding temperature"].values == ("0.7", "0.7")
    assert parts["Settings"]["limit"].values == ("none", "none")


def test_commands_can_be_pasted() -> None:
    assert made.command("compare", Path("my runs/base.json")) == "evalkit compare 'my runs/base.json'"


@pytest.mark.parametrize(
    ("curve", "points"),
    [([[1, 2.5], [2, 2]], [(1.0, 2.5), (2.0, 2.0)]), (None, []), ("x", []), ([[1, "x"], [1], [True, 2]], [])],
)
def test_loss_curves(curve: Any, points: list[tuple[float, float]]) -> None:
    assert made.loss_curve(replace(run({"quiz": task_result([1])}), timing={"loss_curve": curve})) == points
