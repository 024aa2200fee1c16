"""The comparison on clean items: the scores are those of a run of these items alone."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit import DataSource, MockModel, OpenQuestion, Task
from evalkit.comparing.compare import compare
from evalkit.comparing.consistency import check_consistency
from evalkit.requests import Generate
from evalkit.results import MetricValue, Run, Sample
from evalkit.sft.contamination import clean_comparison
from evalkit.sft.contamination.clean import clean_run
from evalkit.training_data import Contamination, Overlap, TaskContamination
from tests.gating.examples import flipped, model, values
from tests.result_examples import group, task_result, text_result


def contamination(dirty: Mapping[str, Sequence[str]]) -> Contamination:
    tasks = tuple(
        TaskContamination(name, 100, 13, tuple(Overlap(one, "question", 1.0, "x", ()) for one in ids), len(ids), 0, 0)
        for name, ids in dirty.items()
    )
    return Contamination("drop-train", 10, 1, tasks)


def ids(*places: int) -> list[str]:
    return [f"{place:016x}" for place in places]


BASE = values(100)
TUNED = flipped(BASE, 5, 15)


def test_means_are_those_of_the_clean_items() -> None:
    base, tuned = model("base", {"quiz": task_result(BASE)}), model("tuned", {"quiz": task_result(TUNED)})
    clean = clean_comparison(base, tuned, contamination({"quiz": ids(*range(40))}), margin=0.02)
    assert clean is not None
    alone = [model(name, {"quiz": task_result(them[40:])}) for name, them in (("base", BASE), ("tuned", TUNED))]
    expected = compare(*alone, margin=0.02).tasks["quiz"].change
    got = clean.tasks["quiz"].change
    assert replace(got, reason="") == replace(expected, reason="")
    assert got.n == 60
    assert got.margin == 0.02
    assert clean.notes[0] == "without the items that training rows hold: quiz 40 of 100"
    check_consistency(clean.before.run, "base.json")
    check_consistency(clean.after.run, "tuned.json")


def test_nothing_found() -> None:
    base, tuned = model("base", {"quiz": task_result(BASE)}), model("tuned", {"quiz": task_result(TUNED)})
    assert clean_comparison(base, tuned, contamination({})) is None
    assert clean_comparison(base, tuned, contamination({"quiz": [], "other": ids(1)})) is None
    assert clean_comparison(base, tuned, contamination({"quiz": ["no such id"]})) is None


def test_no_clean_item_is_left_anywhere() -> None:
    base, tuned = model("base", {"quiz": task_result(BASE)}), model("tuned", {"quiz": task_result(TUNED)})
    assert clean_comparison(base, tuned, contamination({"quiz": ids(*range(100))})) is None


def test_tasks_groups_and_options_that_are_gone_are_named() -> None:
    def run(name: str, scores: Sequence[float]) -> Run:
        tasks = {"a": task_result(scores[:40]), "b": task_result(scores[40:60]), "c": task_result(scores[60:])}
        pair = {"a": tasks["a"], "b": tasks["b"]}
        return model(name, tasks, {"ab": group("ab", pair, "items"), "b_only": group("b_only", {"b": tasks["b"]})})

    dirty = contamination({"a": ids(3, 5), "b": ids(*range(20))})
    options: dict[str, Any] = {"tasks": ["ab", "b", "c"], "margins": {"b": 0.1, "c": 0.2}}
    clean = clean_comparison(run("base", BASE), run("tuned", TUNED), dirty, **options)
    assert clean is not None
    assert set(clean.tasks) == {"ab", "a", "c"}
    assert clean.tasks["c"].change.margin == 0.2
    assert clean.notes[:2] == (
        "without the items that training rows hold: a 2 of 40, b 20 of 20",
        "no clean item is left of b; ab is over the other tasks",
    )
    assert clean.tasks["ab"].change.n == clean.tasks["a"].change.n == 38
    assert clean.tasks["ab"].change.after == pytest.approx(clean.tasks["a"].change.after)
    assert clean.tasks["c"].change.n == 40
    assert any("b_only" in note for note in clean.notes)


def test_perplexities_are_recomputed() -> None:
    rates = [-1.0 - place / 10 for place in range(12)]
    base, tuned = (
        model("base", {"text": text_result(rates)}),
        model("tuned", {"text": text_result([r / 2 for r in rates])}),
    )
    clean = clean_comparison(base, tuned, contamination({"text": ids(10, 11)}))
    assert clean is not None
    expected = text_result(rates[:10]).metrics
    for name in ("word_perplexity", "bits_per_byte"):
        assert clean.before.run.tasks["text"].metrics[name].value == pytest.approx(expected[name].value, rel=1e-12)
    assert clean.tasks["text"].change.before == pytest.approx(expected["word_perplexity"].value)
    assert clean.tasks["text"].change.n == 10


def generated(folder: Path, rows: Sequence[Mapping[str, str]], noise: int) -> Run:
    """A run whose metric is a score of the corpus."""
    name = f"{len(rows)}.jsonl"
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Task(
        name="say",
        data=DataSource(files={"test": name}, base=str(folder)),
        document=lambda row: OpenQuestion(row["question"], row["answer"]),
        metrics=("bleu", "chrf"),
    )
    known = {row["question"]: row["answer"].split() for row in rows}

    def answer(request: Generate) -> str:
        words = known[request.prompt]
        return " ".join(word for place, word in enumerate(words) if place % noise)

    return evalkit.run(model=MockModel(texts=answer, name=f"skips-{noise}"), tasks=[task])


def test_corpus_scores_are_recomputed(tmp_path: Path) -> None:
    drawn = random.Random(0)
    rows = [
        {"question": f"Say {n}", "answer": " ".join(drawn.choice("abcdefgh") * 3 for _ in range(12 + n))}
        for n in range(12)
    ]
    base, tuned = generated(tmp_path, rows, 3), generated(tmp_path, rows, 5)
    dirty = [sample.id for sample in base.tasks["say"].samples[8:]]
    clean = clean_comparison(base, tuned, contamination({"say": dirty}))
    assert clean is not None
    alone = [generated(tmp_path, rows[:8], noise) for noise in (3, 5)]
    expected = compare(*alone).tasks["say"]
    got = clean.tasks["say"]
    assert (got.change.before, got.change.after) == pytest.approx((expected.change.before, expected.change.after))
    assert got.change.interval == pytest.approx(expected.change.interval)
    for metric in ("bleu", "chrf"):
        left = clean.before.run.tasks["say"].metrics[metric].value
        assert left == pytest.approx(alone[0].tasks["say"].metrics[metric].value)
        assert left != pytest.approx(base.tasks["say"].metrics[metric].value, rel=1e-3)


def test_a_score_that_items_do_not_tell_is_left_out_and_named() -> None:
    def run(name: str, scores: Sequence[float]) -> Run:
        task = task_result(scores)
        samples = tuple(replace(one, metrics={**one.metrics, "mcc": 1.0}) for one in task.samples)
        metrics = {**task.metrics, **dict.fromkeys(("f1", "mcc"), MetricValue(0.123, None, None, True, None))}
        return model(name, {"quiz": replace(task, samples=samples, metrics=metrics), "other": task})

    clean = clean_comparison(run("base", BASE), run("tuned", TUNED), contamination({"quiz": ids(1)}))
    assert clean is not None
    assert list(clean.before.run.tasks["quiz"].metrics) == ["acc"]
    assert "left out, because single items do not tell the score: quiz f1, quiz mcc" in clean.notes


def test_items_that_could_not_be_scored() -> None:
    """One run scored nothing of what is left: the task is gone from both, and named."""
    base = model("base", {"quiz": task_result(BASE), "other": task_result(BASE)})
    task = task_result(TUNED)
    samples = [*task.samples[:99], Sample(task.samples[99].id, 99, None, "errored", {}, {})]
    broken = replace(task, samples=tuple(samples), outcomes={"errored": 1, "right": 1})
    tuned = model("tuned", {"quiz": broken, "other": task_result(TUNED)})
    clean = clean_comparison(base, tuned, contamination({"quiz": ids(*range(99))}))
    assert clean is not None
    assert set(clean.tasks) == {"other"}
    assert (clean.only_before, clean.only_after) == ((), ())
    assert "no clean item is left of quiz" in clean.notes


def test_a_run_is_unchanged_without_dirty_items() -> None:
    run = model("base", {"quiz": task_result(BASE)})
    assert clean_run(run, {}).run == run


def test_groups_of_groups() -> None:
    tasks = {"a": task_result(BASE[:50]), "b": task_result(BASE[50:])}
    inner = group("inner", tasks)
    outer = replace(group("outer", tasks), tasks=("inner",))
    run = model("base", tasks, {"inner": inner, "outer": outer})
    clean = clean_run(run, {"b": set(ids(*range(50)))})
    assert clean.run.groups["inner"].tasks == ("a",)
    assert clean.smaller_groups == ("inner", "outer")
    assert clean.run.groups["outer"].metrics["acc"].value == tasks["a"].metrics["acc"].value
    none = clean_run(run, {"a": set(ids(*range(50))), "b": set(ids(*range(50)))})
    assert not none.run.groups
    assert not none.run.tasks
