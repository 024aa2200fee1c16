"""gate.json, written and read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import evalkit
from evalkit.errors import UsageError
from evalkit.gating.result import Check, GateResult, Looks, Status, TaskLooks
from evalkit.gating.result_json import read_gate, write_gate
from tests.gating.examples import pair, policy


@pytest.fixture
def result() -> GateResult:
    return evalkit.gate(*pair(60, 10), policy("defaults: {floor: 10pt, margin: 2pt}"))


def test_round_trip(result: GateResult, tmp_path: Path) -> None:
    tasks = {"quiz": TaskLooks(1000, 400, {"nothing is lost": 123.5}, Status.FAIL)}
    looks = Looks(7, "by hash", (50, 400), 1000, (0.025, 0.025), True, tasks)
    for one in (result, replace(result, looks=looks, notes=("caf\u00e9 \ud800",))):
        write_gate(one, tmp_path / "gate.json")
        assert read_gate(tmp_path / "gate.json") == one


def test_the_decision_stands_first(result: GateResult, tmp_path: Path) -> None:
    write_gate(result, tmp_path / "gate.json")
    document = json.loads((tmp_path / "gate.json").read_text())
    assert list(document)[:5] == ["schema", "passed", "exit_code", "status", "headline"]
    assert (document["schema"], document["exit_code"], document["status"]) == ("evalkit.gate/1", 1, "fail")


def test_infinite_evidence_has_a_number(result: GateResult, tmp_path: Path) -> None:
    tasks = {"quiz": TaskLooks(1000, 400, {"nothing is lost": float("inf")}, None)}
    looks = Looks(7, "by hash", (50,), 1000, (0.025, 0.025), True, tasks)
    write_gate(replace(result, looks=looks), tmp_path / "gate.json")
    found = read_gate(tmp_path / "gate.json").looks
    assert found is not None
    assert found.tasks["quiz"].evidence["nothing is lost"] > 1e308


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "evalkit.result/1"}, "the schema is 'evalkit.result/1'"),
        ({"rows": 3}, "rows is a whole number, expected a list"),
        ({"findings": [{"task": "a"}]}, r"findings\[0\].check is missing"),
    ],
)
def test_what_is_wrong_is_named(result: GateResult, tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "gate.json"
    path.write_text(json.dumps({**result.to_json(), **change}))
    with pytest.raises(UsageError, match=message):
        read_gate(path)


def test_an_unknown_status_is_named(result: GateResult, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(json.dumps(result.to_json()).replace('"regressed"', '"exploded"'))
    with pytest.raises(UsageError, match="is 'exploded', expected one of"):
        read_gate(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_gate(tmp_path / "none.json")


def test_the_names_of_rules_claim_nothing() -> None:
    names = ["comparability", "number of documents", "loss", "floor", "gain"]
    assert list(Check) == [*names, "unreadable answers", "unanswered documents"]
