"""Runs of several windows against the same run in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit import MockModel, OpenQuestion
from evalkit.backends.local import LocalBackend, LocalOptions
from evalkit.data import DataOptions
from evalkit.errors import InterruptedRunError, NonFiniteError
from evalkit.models import ModelOptions, open_model
from evalkit.requests import Request, Score
from evalkit.runner import windows
from evalkit.runner.asking import ask
from evalkit.runner.evaluate import Stopwatch, prepare
from evalkit.runner.progress import Silent, Status
from evalkit.runner.settings import RunSettings
from evalkit.task import Row
from tests.runner.test_evaluate import ROWS, knows_small_sums, quiz
from tests.tiny_models import tiny_model


def question(row: Row) -> OpenQuestion:
    return OpenQuestion(row["question"], row["choices"][0])


def tasks(folder: Path) -> list[Any]:
    """20 documents of 3 requests, and 20 of 1 that is a text."""
    (folder / "open").mkdir(exist_ok=True)
    return [quiz(folder, shots=1), quiz(folder / "open", name="open", document=question, metrics=("exact_match",))]


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return {name: one for name, one in found.items() if name not in {"created", "timing", "environment"}}


@pytest.mark.parametrize("window", [1, 7, 30, 79])
def test_the_result_is_that_of_one_window(window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    model = open_model(str(tiny_model("llama", tmp_path)), ModelOptions(device="cpu"))
    given: dict[str, Any] = {"tasks": tasks(tmp_path), "max_new_tokens": 5}
    options = LocalOptions(deterministic=True)  # otherwise what is computed together has a part in the last digits
    evalkit.run(model=LocalBackend(model, options), **given, output=tmp_path / "whole.json")
    monkeypatch.setattr(windows, "WINDOW", window)
    evalkit.run(model=LocalBackend(model, options), **given, output=tmp_path / "parts.json")
    assert content(tmp_path / "parts.json") == content(tmp_path / "whole.json")
    whole, parts = (parquet.read_table(tmp_path / f"{name}.samples.parquet") for name in ("whole", "parts"))
    assert parts.equals(whole)


def test_no_more_than_a_window_of_prompts_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW", 30)
    most = 0

    class Counting(MockModel):
        def prepare(self, requests: Any) -> Any:
            nonlocal most
            most = max(most, len(requests))
            return super().prepare(requests)

    selection, *_ = evalkit.Evaluation(model=MockModel(), tasks=[quiz(tmp_path)]).parts()
    ready = prepare(selection, lambda: Counting(), DataOptions(), RunSettings(), Silent(), Stopwatch())
    assert 27 <= most <= 30
    assert all(one.held is None for one in ready.asked)
    assert isinstance(ready.prepared, windows.Windows)
    assert [ready.prepared.range(place) for place in range(len(ready.prepared))] == [range(30), range(30, 60)]
    # the same requests, whether one by one or all in turn
    assert [ready.prepared.requests[index] for index in range(60)] == list(ready.prepared.requests)
    assert ready.prepared.requests[-1] == list(ready.prepared.requests)[59]
    assert ready.prepared.requests[3:9:2] == list(ready.prepared.requests)[3:9:2]
    small = ask(ready.runs[:0], ready.presentations, ready.backend, RunSettings(), Silent())
    assert len(small.prepared.requests) == 0


def test_a_run_cut_in_the_second_window_continues_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"tasks": tasks(tmp_path)}
    monkeypatch.setattr(windows, "WINDOW", 20)

    class Cut(Silent):
        def update(self, status: Status) -> None:
            if status.requests >= 45:
                raise KeyboardInterrupt

    asked: list[Request] = []

    def answer(request: Request) -> float:
        asked.append(request)
        return knows_small_sums(request)

    model = MockModel(answer, texts=lambda _: "4")
    with pytest.raises(InterruptedRunError):
        evalkit.run(model=model, **given, output=tmp_path / "cut.json", progress=Cut())
    first = len(asked)
    evalkit.run(model=model, **given, output=tmp_path / "cut.json")
    assert len(asked) < 60 + first
    assert len(asked) - first <= 60 - 45 + 20
    evalkit.run(model=model, **given, output=tmp_path / "whole.json")
    assert content(tmp_path / "cut.json") == content(tmp_path / "whole.json")


def test_what_is_not_finite_is_named_in_any_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**row, "question": row["question"] + (" ß" if place == 13 else "")} for place, row in enumerate(ROWS)]
    loaded = LocalBackend(open_model(str(tiny_model("llama", tmp_path)), ModelOptions(device="cpu")))
    loaded.loaded.model.get_input_embeddings().weight.data[loaded.loaded.tokenizer.encode("ß")[-1]] = float("nan")
    monkeypatch.setattr(windows, "WINDOW", 12)
    with pytest.raises(NonFiniteError, match=r"task quiz, document 13 \(id .*\), request [012]"):
        evalkit.run(model=loaded, tasks=[quiz(tmp_path, rows)])


def test_a_plan_extrapolates_from_the_first_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LocalBackend(open_model(str(tiny_model("llama", tmp_path)), ModelOptions(device="cpu")))
    whole = evalkit.plan(model=backend, tasks=[quiz(tmp_path)])
    monkeypatch.setattr(windows, "WINDOW", 24)
    monkeypatch.setattr("evalkit.runner.planning.PROBE_SECONDS", 0.1)
    parts = evalkit.plan(model=backend, tasks=[quiz(tmp_path)])
    assert parts.cost is not None
    assert whole.cost is not None
    assert parts.cost.tokens_asked == whole.cost.tokens_asked
    assert parts.cost.tokens_computed == pytest.approx(whole.cost.tokens_computed, rel=0.5)
    assert parts.tasks == whole.tasks


def test_digests_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LocalBackend(open_model(str(tiny_model("llama", tmp_path)), ModelOptions(device="cpu")))

    class Document:
        def __init__(self, number: int) -> None:
            self.count, self.requests = 2, (Score(f"{number} is", " one"), Score(f"{number} is", " two"))

    documents = [Document(number) for number in range(9)]
    whole = backend.prepare([request for one in documents for request in one.requests])
    monkeypatch.setattr(windows, "WINDOW", 5)
    parts = windows.prepare(documents, backend)
    assert isinstance(parts, windows.Windows)
    assert [parts.digest(index) for index in range(18)] == [whole.digest(index) for index in range(18)]
    assert (list(parts.lengths), list(parts.tokens)) == (list(whole.lengths), list(whole.tokens))
