"""The report of a fine-tuning for the terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from evalkit.comparing.compare import compare
from evalkit.comparison import Comparison, Verdict
from evalkit.fine_tuning import FineTuning, Retention
from evalkit.reports.fine_tuning import render
from evalkit.reports.fine_tuning_words import headline, shown_score, verdict_rows, verdict_word
from tests.comparing.examples import model_run, paired, text_result
from tests.reports.fine_tuning_examples import compared, everything, reward, training


def printed(found: FineTuning, width: int = 100, encoding: str = "utf-8", folder: Path | None = None) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    render(found, Console(file=stream, width=width), folder)
    stream.flush()
    return raw.getvalue().decode(encoding)


def changes(**both: tuple[int, int, int]) -> Comparison:
    """Tasks by (fixed, broken, unchanged)."""
    tasks = {name: paired(sum(counts), *counts[:2], counts[2]) for name, counts in both.items()}
    return compare(
        model_run("base", {name: pair[0] for name, pair in tasks.items()}),
        model_run("tuned", {name: pair[1] for name, pair in tasks.items()}),
    )


def result(**both: tuple[int, int, int]) -> FineTuning:
    return FineTuning("2026-11-26", "0.1.0", "base", "tuned", "evalkit sft", {}, comparison=changes(**both))


def test_the_headline_names_what_was_gained_forgotten_and_what_is_open() -> None:
    found = result(taught=(60, 5, 335), lost=(5, 60, 335), kept=(0, 0, 900), open=(6, 5, 40))
    verdicts = found.verdicts()
    assert verdicts == {
        "taught": Retention.GAINED,
        "lost": Retention.FORGOTTEN,
        "kept": Retention.KEPT,
        "open": Retention.UNDECIDED,
    }
    text = headline(found)
    assert text.startswith("gained: taught (+")
    assert "; forgotten: lost (-" in text
    assert text.endswith("; kept: kept; undecided: open")


def test_nothing_shown_is_not_nothing_lost() -> None:
    text = headline(result(open=(6, 5, 40)))
    assert text == "gained: nothing that could be shown; forgotten: nothing that could be shown; undecided: open"


def test_an_undecided_task_says_what_could_have_been_seen() -> None:
    change = changes(open=(6, 5, 40)).tasks["open"].change
    assert change.verdict is Verdict.UNDECIDED
    assert change.detectable is not None
    assert verdict_word(change) == f"undecided (visible from {100 * change.detectable:.1f})"


def test_targets_come_first_and_the_mean_over_them_is_left_out() -> None:
    found = changes(one=(6, 5, 40), two=(60, 5, 335))
    assert [row.name for row in verdict_rows(found, ())] == ["one", "two", "mean of 2"]
    rows = verdict_rows(found, ("two",))
    assert [row.name for row in rows] == ["two (target)", "one"]
    assert [row.verdict for row in rows] == ["gained", "undecided"]


def test_a_target_that_is_a_large_group_is_marked_and_first_too(tmp_path: Path) -> None:
    found = everything(tmp_path, hostile="")
    assert found.comparison is not None
    assert found.comparison.roots[0] == "exam"
    assert next(row.name for row in verdict_rows(found.comparison, ("exam",))) == "exam (9 tasks) (target)"
    assert [row.name for row in verdict_rows(found.comparison, ("count",))][:2] == ["count (target)", "exam (9 tasks)"]


def test_scores_have_the_unit_of_their_metric() -> None:
    texts = [text_result(rates) for rates in ([-2.0, -2.5, -3.0], [-2.1, -2.4, -3.2])]
    compared = compare(*(model_run(name, {"wiki": one}) for name, one in zip(("base", "tuned"), texts, strict=True)))
    found = replace(result(quiz=(6, 5, 40)), comparison=compared)
    assert shown_score(found, "wiki", 0.95) == "0.950"
    assert shown_score(found, "elsewhere", 0.95) == "95.0%"
    assert shown_score(result(quiz=(6, 5, 40)), "quiz", 0.95) == "95.0%"


def test_a_failed_gate_says_what_it_hangs_on(tmp_path: Path) -> None:
    found = everything(tmp_path, hostile="")
    assert found.gate is not None
    text = re.sub(r"\s+", " ", printed(found))
    failed = [one for one in found.gate.findings if one.status.value == "fail"]
    assert failed
    assert all(re.sub(r"\s+", " ", one.sentence) in text for one in failed)


def test_rows_that_lost_their_end_are_counted() -> None:
    tokens = replace(training().tokens, lost_end=7)
    assert "7: they teach the model not to stop" in printed(replace(reward(), trainings=(training(tokens=tokens),)))
    tokens = replace(tokens, lost_end=0)
    assert "lost their end" not in printed(replace(reward(), trainings=(training(tokens=tokens),)))


SECTIONS = {
    "clean": "On clean items",
    "contamination": "Was the test in the training set?",
    "seeds": "Another seed",
    "stages": "Stage by stage",
    "retrieval": "Retrieval instead?",
    "drift": "Drift",
    "outputs": "Answers",
    "data": "Training data",
    "cost": "Cost",
}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_stands_exactly_where_there_is_something(tmp_path: Path, name: str) -> None:
    whole = everything(tmp_path, hostile="")
    heading = f"\n{SECTIONS[name]}\n"
    assert heading in printed(whole)
    empty = () if isinstance(getattr(whole, name), tuple) else {} if name == "cost" else None
    assert heading not in printed(replace(whole, **{name: empty}))


def test_the_numbers_are_there(tmp_path: Path) -> None:
    text = re.sub(r"\s+", " ", printed(everything(tmp_path, hostile=""), width=160, folder=tmp_path))
    for part in (
        "ALARM: general text has become harder to predict",
        "LoRA, rank 16",
        "4,900,000 of 135,000,000 (3.63%)",
        "60 of 8 rows, 1.50 epochs (the held-out loss no longer fell)",
        "1.9000 before, 0.4000 at step 40, whose weights were kept (nats a token)",
        "2 min, 36,000 tokens, 300 a second",
        "2.0 GiB",
        "62.5% ± 17.7%",
        "9 of 40",
        "ACC, mean over the targets at the end: 0.775",
        "15 duplicate, 5 contaminated",
        "300 en, 20 zh",
        "5 of 340 training rows hold benchmark items (items found: 1): they were left out of training",
        "too short for n-grams, and compared as a whole only: 2",
        "gate:",
        str(tmp_path / "report.html"),
    ):
        assert part in text, part
    # perplexity: exp(3.3) and exp(3.5), and their ratio
    assert "27.11" in text
    assert "33.12" in text
    assert "+22.1%" in text


def test_two_models_without_training_have_no_training_sections(tmp_path: Path) -> None:
    text = printed(compared(tmp_path))
    assert "gained: quiz" in text
    assert "Training" not in text
    assert "org/base → org/tuned" in text


def test_a_reward_model_tells_its_pairs() -> None:
    text = printed(reward(), width=160)
    assert text.startswith("puts the chosen answer first in 83 of 100 held-out pairs (83.0%)")
    assert "50.0% of 100 (40.0 to 60.0)" in text
    assert "83.0% of 100 (74.5 to 89.2)" in text
    assert "nats a pair" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_none_is_cut(tmp_path: Path, width: int) -> None:
    text = printed(everything(tmp_path, hostile=""), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text


def test_hostile_texts_steer_nothing(tmp_path: Path) -> None:
    text = printed(everything(tmp_path), 200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x00" not in text


def test_ascii_where_the_output_has_nothing_else(tmp_path: Path) -> None:
    text = printed(everything(tmp_path, hostile=""), encoding="ascii")
    assert "org/base -> peft:out/model" in text


def test_full_training_is_named_so() -> None:
    found = replace(reward(), trainings=(training(settings={**training().settings, "lora_rank": 0}),))
    assert "fine-tuning on answers, all weights" in printed(found)
