"""`evalkit cache`, and what runs take from it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import evalkit
from evalkit.decoding import Decoding
from evalkit.requests import Response
from evalkit.response_store import ResponseStore, Scope
from evalkit.results import Run
from tests.cli.commands import Done, command
from tests.tiny_models import tiny_model

Command = Callable[..., Done]


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("llama", tmp_path_factory.getbasetemp())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("EVALKIT_NO_CACHE")
    monkeypatch.chdir(tmp_path)
    rows = [{"q": f"what is {n} and {n % 5}", "a": [str(n), "no", "so be it"], "g": n % 3} for n in range(12)]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "quiz.yaml").write_text("task: quiz\ndata: quiz.jsonl\nquestion: q\nchoices: a\nanswer: g\n")
    return lambda *arguments: command(monkeypatch, capsys, *arguments, columns=120)


def reused(path: Path) -> int:
    return int(Run.load(path).timing.get("requests_reused", 0))


def test_the_same_run_is_computed_once_and_another_model_never_answers(
    run: Command, tiny_llama: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    tasks = ("--tasks", "quiz.yaml")
    first = run("run", "--model", model, *tasks, "-o", "one.json")
    assert first.code == 0, first.err
    again = run("run", "--model", model, *tasks, "-o", "two.json")
    assert "36 of 36 requests were answered before" in again.err
    assert (reused(tmp_path / "one.json"), reused(tmp_path / "two.json")) == (0, 36)
    assert Run.load(tmp_path / "two.json").timing["tokens_computed"] == 0
    assert Run.load(tmp_path / "two.json").tasks == Run.load(tmp_path / "one.json").tasks
    assert (tmp_path / "two.samples.parquet").read_bytes() == (tmp_path / "one.samples.parquet").read_bytes()

    shutil.move(model, tmp_path / "renamed")
    run("run", "--model", "renamed", *tasks, "-o", "renamed.json")
    assert reused(tmp_path / "renamed.json") == 36

    weights = load_file(tmp_path / "renamed/model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * 1.5
    save_file(weights, tmp_path / "renamed/model.safetensors", metadata={"format": "pt"})
    run("run", "--model", "renamed", *tasks, "-o", "retrained.json")
    assert reused(tmp_path / "retrained.json") == 0
    assert Run.load(tmp_path / "retrained.json").tasks != Run.load(tmp_path / "one.json").tasks

    for number, changed in enumerate(
        (["--limit", "8"], ["--dtype", "bfloat16"], ["--batch-tokens", "64"], ["--no-share-prefixes"], ["--no-cache"])
    ):
        run("run", "--model", tiny_llama, *tasks, "-o", f"{number}.json", *changed)
        assert reused(tmp_path / f"{number}.json") == 0, changed


def test_with_deterministic_any_run_finds_what_another_computed(run: Command, tiny_llama: Path, tmp_path: Path) -> None:
    common = ("--model", tiny_llama, "--tasks", "quiz.yaml", "--deterministic")
    run("run", *common, "--limit", "5", "-o", "few.json")
    all_of_them = run("run", *common, "-o", "all.json")
    assert all_of_them.code == 0, all_of_them.err
    assert reused(tmp_path / "all.json") == 15
    run("run", *common, "--no-cache", "-o", "fresh.json")
    assert (tmp_path / "all.samples.parquet").read_bytes() == (tmp_path / "fresh.samples.parquet").read_bytes()
    run("run", *common, "--dtype", "bfloat16", "-o", "half.json")
    assert reused(tmp_path / "half.json") == 0


def test_whether_it_is_a_turn_of_a_conversation_is_part_of_a_request(tiny_llama: Path) -> None:
    from evalkit.backends.local import LocalBackend
    from evalkit.models import load_model
    from evalkit.requests import Generate, Request, Score

    backend = LocalBackend(load_model(str(tiny_llama)))
    turn = ({"role": "user", "content": "The fox"},)
    asked: list[Request] = [
        Generate("The fox"),
        Generate("The fox", messages=turn),
        Generate("The fox", thinks=True),
        Generate("The fox", Decoding(seed=1)),
        Generate("The fox", Decoding(stop=("a",))),
        Generate("The fo"),
        Score("The", " fox"),
        Score("The fox", " ran"),
        Generate("The fox"),
    ]
    prepared = backend.prepare(asked)
    digests = [prepared.digest(index) for index in range(len(asked))]
    assert len(set(digests)) == len(asked) - 1
    assert digests[0] == digests[-1]


def test_a_model_put_together_in_memory_is_not_kept(
    run: Command, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evalkit.backends.local import LocalBackend
    from evalkit.models import load_model

    loaded = load_model(str(tiny_llama))
    scores = []
    for factor in (1.0, 1.5):  # as a training that goes on does: the hashes in `info` are those of the beginning
        loaded.model.model.norm.weight.data *= factor
        scores.append(evalkit.run(model=LocalBackend(loaded), tasks="quiz.yaml"))
        assert "requests_reused" not in scores[-1].timing
    assert scores[0].tasks != scores[1].tasks


def test_info_and_prune(run: Command, tiny_llama: Path, tmp_path: Path) -> None:
    assert "0 answers, 0.0 MB" in run("cache", "info").err
    assert run("cache", "prune", "--all").out == "0 answers removed (0.0 MB); 0.0 MB are left\n"
    run("run", "--model", tiny_llama, "--tasks", "quiz.yaml", "-o", "one.json")
    shown = run("cache", "info")
    header, line = shown.out.splitlines()
    assert header.split("  ")[0] == "MODEL"
    assert str(tiny_llama) in line
    assert "one run" in line
    assert "36 answers" in shown.err
    document = json.loads(run("cache", "info", "--json").out)
    assert [one["answers"] for one in document["holdings"]] == [36]
    assert run("cache", "prune").code == 2
    assert "--max-size 3 apples is no size" in run("cache", "prune", "--max-size", "3 apples").err
    assert run("cache", "prune", "--max-size", "1G", "--older-than", "30").out.startswith("0 answers removed")
    assert run("cache", "prune", "--max-size", "0.5K").out.startswith("36 answers removed")
    assert json.loads(run("cache", "info", "--json").out)["holdings"] == []


def test_a_damaged_description_is_one_sentence(run: Command, tiny_llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "cache/responses.sqlite"
    with ResponseStore(path) as store:
        store.put(Scope("key", {"model": "m"}), [(b"item", Response(-1.0, True, (-1.0,), 1))])
    with sqlite3.connect(path) as connection:
        connection.execute("update scopes set about = 'no json'")
    connection.close()
    done = run("cache", "info")
    assert done.code == 2
    assert "cannot be used" in done.err


def test_a_store_that_is_none_is_one_sentence(run: Command, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/responses.sqlite").write_bytes(b"nothing" * 1000)
    done = run("cache", "info")
    assert done.code == 2
    assert "cannot be used: file is not a database" in done.err
