"""`benchmarks.speed`: commands, ratios and the comparison of scores, on made-up measurements."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.speed import engines
from benchmarks.speed.__main__ import main
from benchmarks.speed.cases import CASES, Case
from benchmarks.speed.engines import ENGINES, Engine, Setting
from benchmarks.speed.measurement import Measurement
from benchmarks.speed.report import Record, disagreements, table

CASE = Case("mmlu", ("mmlu_anatomy",), 5, 100, "acc")
SETTING = Setting(Path("/models/small"), "/data", 2)


def measurement(scoring: float, accuracy: float = 0.25, documents: int = 100) -> Measurement:
    return Measurement(scoring, 1000, {"mmlu_anatomy": {"acc": accuracy}}, documents, {}, {})


def record(engine: str, whole: float, own: Measurement | None, note: str = "") -> Record:
    return Record(CASE, engine, 0, ["command"], {}, whole, own, note)


def test_ratios_are_of_medians_over_evalkit() -> None:
    ours = [record("evalkit", whole, measurement(scoring)) for whole, scoring in ((10, 2), (90, 80), (11, 4))]
    theirs = [record("lm-eval hf", 44, measurement(20), "batch size 8")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(ours + theirs)[2:]]
    assert rows[0][3:] == ["evalkit", "11.0", "1.0 ×", "4.0", "1.0 ×", "1,000", "250", "acc", "0.250000"]
    hf = ["lm-eval hf (batch size 8)", "44.0", "4.0 ×", "20.0", "5.0 ×", "1,000", "50", "acc", "0.250000"]
    assert rows[1] == ["mmlu", "5", "100", *hf]


def test_an_engine_that_did_not_run_says_why_and_compares_with_nothing() -> None:
    records = [record("evalkit", 10, measurement(2)), record("vLLM", float("nan"), None, "not run: `make .venv-vllm`")]
    assert "vLLM (not run: `make .venv-vllm`)" in table(records)[-1]
    assert disagreements(records) == []


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (measurement(2, accuracy=0.26), "mmlu_anatomy acc: lm-eval hf 0.26, evalkit 0.25"),
        (measurement(2, documents=99), "mmlu documents: lm-eval hf 99, evalkit 100"),
    ],
)
def test_one_document_more_or_less_is_a_disagreement(own: Measurement, words: str) -> None:
    assert disagreements([record("evalkit", 10, measurement(2)), record("lm-eval hf", 10, own)]) == [words]


def test_rounding_is_no_disagreement() -> None:
    assert not disagreements([record("evalkit", 1, measurement(1)), record("hf", 1, measurement(1, accuracy=0.25002))])


def test_evalkit_is_asked_for_the_case() -> None:
    case = next(case for case in CASES if case.name == "wikitext")
    command = ENGINES["evalkit"].command(case, SETTING, 8, Path("out.json"))
    assert command[1:4] == ["-m", "evalkit", "run"]
    options = dict(pairwise(command))
    assert options["--tasks"] == "wikitext"
    assert options["--limit"] == f"first:{case.documents}"
    assert options["--max-length"] == "1024"
    assert options["--dtype"] == "float32"


@pytest.mark.parametrize("name", ["hf", "lm-eval-vllm", "vllm"])
def test_the_other_engines_are_given_the_same_case(name: str) -> None:
    command = ENGINES[name].command(CASE, SETTING, 4, Path("out.json"))
    options = dict(pairwise(command))
    given = json.loads(options["--case"])
    assert Case(**(given | {"tasks": tuple(given["tasks"])})) == CASE
    assert options["--pretrained"] == "/models/small"
    assert options["--data-dir"] == "/data"


def test_vllm_gets_every_core_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    assert ENGINES["vllm"].environment(SETTING)["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "auto")
    assert ENGINES["vllm"].environment(SETTING)["VLLM_CPU_OMP_THREADS_BIND"] == "auto"
    assert "VLLM_CPU_KVCACHE_SPACE" not in ENGINES["hf"].environment(SETTING)


def test_a_missing_environment_and_a_failing_command_leave_the_others_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    monkeypatch.setattr(engines, "VLLM_READY", tmp_path / "absent")
    output = tmp_path / "speed.json"
    arguments = [
        "--model-directory",
        str(model),
        "--tasks",
        "mmlu",
        "--engines",
        "evalkit,vllm",
        "--output",
        str(output),
    ]
    monkeypatch.setattr(sys, "argv", ["speed", *arguments])
    failing = Engine("evalkit", "evalkit", lambda *_: [sys.executable, "-c", "raise SystemExit(5)"], Measurement.read)
    monkeypatch.setitem(ENGINES, "evalkit", failing)
    assert main() == 1
    notes = [entry["note"] for entry in json.loads(output.read_text())["measurements"]]
    assert notes == ["failed, exit code 5", "not run: `make .venv-vllm` first"]
    assert "make .venv-vllm" in capsys.readouterr().out
