"""What was tampered with is found; what was not, agrees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from safetensors.torch import load_file, save_file

import evalkit
from evalkit.errors import UsageError
from evalkit.verification import Check, Verification
from evalkit.verifying.verify import verify
from tests.tiny_models import CHAT_TEMPLATE, tiny_model

QUIZ = [{"q": f"Number {n} of the list is", "c": [f"word {n % 3}", "no", "so be it"], "a": n % 3} for n in range(14)]
SUMS = [{"q": f"What is {n} plus {n % 4}?", "a": str(n + n % 4)} for n in range(6)]
TASKS = "all.yaml,sums.yaml,perplexity:book.txt"


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tasks, a model and a result."""
    folder = tmp_path_factory.mktemp("verify")
    shutil.copytree(tiny_model("llama", tmp_path_factory.getbasetemp(), chat_template=CHAT_TEMPLATE), folder / "model")
    lines(folder / "quiz.jsonl", QUIZ)
    lines(folder / "sums.jsonl", SUMS)
    (folder / "all.yaml").write_text(
        "- {task: one, data: quiz.jsonl, question: q, choices: c, answer: a}\n"
        "- {task: two, data: quiz.jsonl, question: '{{q}}:', choices: c, answer: a}\n"
        "- {group: both, members: [one, two], metrics: acc}\n"
    )
    (folder / "sums.yaml").write_text(
        "task: sums\nkind: generate\ndata: sums.jsonl\nquestion: q\nanswer: a\nmetrics: [exact_match, bleu]\n"
    )
    (folder / "book.txt").write_text(
        "It was a dark night.\n\nThe fox ran over the hill and was not seen again.\n\nEnd."
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        evalkit.run(model="model", tasks=TASKS, limit=10, max_new_tokens=4, output="base.json")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(copy)
    return Path(copy)


def checked(**options: Any) -> Verification:
    return verify("base.json", tasks=TASKS, **options)


def differing(found: Verification) -> dict[tuple[str, str], str]:
    return {(one.subject, one.what): " ".join(one.said) for one in found.checks if one.status == "differs"}


def edit(change: Callable[[Any], None]) -> None:
    document = json.loads(Path("base.json").read_text())
    change(document)
    Path("base.json").write_text(json.dumps(document))


def edit_log(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = "base.samples.parquet"
    table = parquet.read_table(path)
    rows = change(table.to_pylist())
    parquet.write_table(table.from_pylist(rows, schema=table.schema), path)


def test_an_honest_result_agrees_in_every_way(folder: Path) -> None:
    found = checked()
    assert differing(found) == {}
    assert [one for one in found.checks if one.status != "agrees"] == []
    kinds = {one.what for one in found.checks}
    assert kinds == {"scores", "samples", "prompts", "data", "weights", "tokenizer", "configuration", "answers again"}
    assert sum(one.checked for one in found.checks if one.what == "answers again") >= 10
    assert json.loads(json.dumps(found.to_json()))["agrees"] is True


def test_without_model_tasks_or_data_the_rest_is_checked_and_said(folder: Path) -> None:
    shutil.rmtree("model")
    found = checked()
    assert found.agrees
    open_ = {(one.subject, one.what): " ".join(one.said) for one in found.checks if one.status == "not checked"}
    assert open_.keys() == {("sums", "prompts"), ("model", "weights"), ("model", "answers again")}
    assert "chat turns" in open_["sums", "prompts"]
    alone = verify("base.json")  # tasks of files are not found by their names
    assert alone.agrees
    open_ = {(one.subject, one.what): " ".join(one.said) for one in alone.checks if one.status == "not checked"}
    assert "--tasks" in open_["one", "data"]
    assert ("both", "scores") in open_
    assert next(one for one in alone.checks if (one.subject, one.what) == ("one", "scores")).checked == 2
    assert verify("base.json", tasks=TASKS, rerun=False).agrees


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("tasks", "one", "metrics", "acc", "value"), 0.9, ("one", "scores")),
        (("tasks", "one", "metrics", "acc", "ci95"), [0.1, 0.2], ("one", "scores")),
        (("tasks", "sums", "metrics", "bleu", "stderr"), 0.5, ("sums", "scores")),
        (("tasks", "sums", "metrics", "bleu", "value"), 50.0, ("sums", "scores")),
        (("tasks", "book.txt", "metrics", "word_perplexity", "value"), 2.0, ("perplexity:book.txt", "scores")),
        (("tasks", "one", "outcomes"), {"right": 10}, ("one", "scores")),
        (("tasks", "one", "n"), 11, ("one", "scores")),
        (("groups", "both", "metrics", "acc", "value"), 0.9, ("both", "scores")),
        (("tasks", "one", "prompt_sha256"), "0" * 64, ("one", "prompts")),
        (("tasks", "two", "version"), 7, ("two", "data")),
        (("tasks", "two", "dataset", "sha256"), "0" * 64, ("two", "data")),
        (("model", "weights_sha256"), "0" * 64, ("model", "weights")),
        (("model", "tokenizer_sha256"), "0" * 64, ("model", "tokenizer")),
        (("model", "extra", "config_sha256"), "0" * 64, ("model", "configuration")),
        (("settings", "limit"), "9", ("one", "data")),
    ],
)
def test_an_edited_field_is_found(folder: Path, path: tuple[str, ...], value: Any, where: tuple[str, str]) -> None:
    def change(document: Any) -> None:
        for name in path[:-1]:
            document = document["perplexity:book.txt" if name == "book.txt" else name]
        document[path[-1]] = value

    edit(change)
    assert where in differing(checked(rerun=where[0] == "model"))


@pytest.mark.parametrize(("kind", "name"), [("tasks", "one"), ("groups", "both")])
def test_an_invented_metric_is_found(kind: str, name: str, folder: Path) -> None:
    def change(document: Any) -> None:
        metrics = document[kind][name]["metrics"]
        metrics["invented"] = metrics["acc"]

    edit(change)
    assert "invented is in the result" in differing(checked(rerun=False))[name, "scores"]


def test_a_sample_of_another_place_or_cluster_is_found(folder: Path) -> None:
    def change(document: Any) -> None:
        document["tasks"]["one"]["samples"][3]["cluster"] = "elsewhere"

    edit(change)
    assert 'its cluster is "elsewhere"; in the data it is null' in differing(checked(rerun=False))["one", "samples"]


def test_a_sample_made_right_with_its_score_is_found_in_the_log(folder: Path) -> None:
    def change(document: Any) -> None:
        task = document["tasks"]["one"]
        sample = next(one for one in task["samples"] if one["acc"] == 0.0)
        sample |= {"acc": 1.0, "picked": sample["gold"], "outcome": "right"}
        run = evalkit.Run.load("base.json").tasks["one"]
        count = sum(one.metrics["acc"] for one in run.samples) + 1
        task["outcomes"] = {"right": int(count), "wrong": 10 - int(count)}

    edit(change)
    found = differing(checked(rerun=False))
    assert "acc is 1.0; its answers give 0.0" in found["one", "samples"]


@pytest.mark.parametrize("kind", ["score", "generate", "roll"])
def test_an_edited_answer_is_found_in_the_log_or_by_asking_again(folder: Path, kind: str) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        row = next(one for one in rows if one["kind"] == kind)
        if kind == "generate":
            row["continuation"] = row["target"]
        else:
            row["log_probability"] += 9.0
            row["token_log_probabilities"] = [one + 9.0 / row["tokens"] for one in row["token_log_probabilities"]]
        return rows

    edit_log(change)
    found = differing(checked(share=1.0))
    task = {"score": "one", "generate": "sums", "roll": "perplexity:book.txt"}[kind]
    assert {(task, "samples"), (task, "answers again")} <= found.keys()


def test_a_total_that_its_tokens_do_not_give_is_found_by_asking_again(folder: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if row["task"] == "one":
                row["log_probability"] -= 3.0  # all alike: picked answers stay
        return rows

    edit_log(change)
    assert ("one", "answers again") in differing(checked(share=1.0))


def test_answers_of_another_run_that_are_consistent_are_found_by_asking_again(folder: Path) -> None:
    weights = load_file("model/model.safetensors")
    changed = {name: one * 1.3 if "norm" in name else one for name, one in weights.items()}
    save_file(changed, "model/model.safetensors", metadata={"format": "pt"})
    found = differing(checked())
    assert ("model", "weights") in found
    assert ("one", "answers again") in found
    assert not {where for where in found if where[1] in ("scores", "samples", "prompts", "data")}


@pytest.mark.parametrize("how", ["removed", "doubled", "foreign"])
def test_rows_that_are_missing_doubled_or_foreign_are_found(folder: Path, how: str) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first = [row for row in rows if row["id"] == rows[0]["id"] and row["task"] == rows[0]["task"]]
        if how == "removed":
            return rows[len(first) :]
        return [*rows, *([{**row, "id": "0" * 16} for row in first] if how == "foreign" else first)]

    edit_log(change)
    said = differing(checked(rerun=False))["one", "samples"]
    assert {"removed": "not in the log", "doubled": "twice", "foreign": "has a document 0000"}[how] in said


def test_changed_data_and_changed_prompts_are_found(folder: Path) -> None:
    lines(Path("quiz.jsonl"), [{**QUIZ[0], "q": "Another"}, *QUIZ[1:]])
    found = differing(checked(rerun=False))
    assert "the rows of" in found["one", "data"]
    lines(Path("quiz.jsonl"), QUIZ)
    Path("all.yaml").write_text(Path("all.yaml").read_text().replace("{{q}}:", "{{q}} ="))
    said = differing(checked(rerun=False))
    assert said.keys() == {("two", "prompts")}
    assert "here it would be" in said["two", "prompts"]


def test_a_missing_or_foreign_file_is_one_sentence(folder: Path) -> None:
    Path("base.samples.parquet").unlink()
    with pytest.raises(UsageError, match=r"base\.samples\.parquet is missing"):
        verify("base.json")
    with pytest.raises(UsageError, match="--share is 0"):
        verify("base.json", share=0)
    Path("other.json").write_text('{"results": {}}')
    with pytest.raises(UsageError, match="schema is missing"):
        verify("other.json")


def test_seeds_clusters_deterministic_and_samples_agree(folder: Path) -> None:
    options = {"limit": 6, "output": "base.json", "model": "model"}
    evalkit.run(tasks="all.yaml", shots=2, shots_seeds=2, shots_sampler="random", **options)
    found = verify("base.json", tasks="all.yaml")
    assert [one for one in found.checks if one.status != "agrees"] == []
    assert "one:2shot" in {one.subject for one in found.checks}
    evalkit.run(tasks="sums.yaml,all.yaml", temperature=0.8, samples=3, deterministic=True, max_new_tokens=3, **options)
    found = verify("base.json", tasks="sums.yaml,all.yaml")
    assert differing(found) == {}
    again = [one for one in found.checks if one.what == "answers again"]
    assert any("drawn again with the same seeds" in sentence for one in again for sentence in one.said)


def test_checks_keep_some_differences_in_words() -> None:
    check = Check.of("one", "samples", 20, [f"document {n}" for n in range(9)])
    assert (check.status, check.found, check.said[-1], len(check.said)) == ("differs", 9, "and 4 more", 6)
    assert Check.of("one", "samples", 20, []).status == "agrees"
