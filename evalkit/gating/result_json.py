"""Writes and reads `gate.json`: the one module that knows the JSON form of a `GateResult`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from evalkit.comparison import Verdict
from evalkit.errors import UsageError
from evalkit.files import atomic_writer
from evalkit.gating.result import (
    SCHEMA,
    BrokenItem,
    Check,
    Condition,
    Finding,
    GateResult,
    Looks,
    Reason,
    Row,
    Status,
    TaskLooks,
)
from evalkit.json_node import Node, parse

Choice = TypeVar("Choice", bound=StrEnum)


def to_json(result: GateResult) -> dict[str, Any]:
    """The decision first, then everything it rests on."""
    plain = asdict(result)
    return {
        "schema": SCHEMA,
        "passed": result.passed,
        "exit_code": result.exit_code,
        "status": result.status.value,
        "headline": result.headline(),
        **_plain({name: plain[name] for name in plain}),
    }


def write_gate(result: GateResult, path: Path) -> None:
    """Writes the file, whole or not at all.

    Raises:
        OutputError: The place cannot be written.
    """
    text = json.dumps(to_json(result), indent=1, allow_nan=False)
    with atomic_writer(path) as stream:
        stream.write(text.encode("ascii") + b"\n")


def read_gate(path: Path) -> GateResult:
    """Reads such a file.

    Raises:
        UsageError: It is missing, not JSON, of another schema, or a field has the wrong type.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "give a file that evalkit gate --json wrote"
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    root = parse(path.name, content)
    if root["schema"].text() != SCHEMA:
        raise UsageError(
            f"{path}: the schema is {root['schema'].text()!r}, expected {SCHEMA}",
            hint="give a file that evalkit gate --json wrote",
        )
    return GateResult(
        before=root["before"].text(),
        after=root["after"].text(),
        policy=root["policy"].text(),
        rows=tuple(_row(node) for node in root["rows"].elements()),
        findings=tuple(_finding(node) for node in root["findings"].elements()),
        conditions=tuple(_condition(node) for node in root["conditions"].elements()),
        broken=tuple(_broken(node) for node in root["broken"].elements()),
        notes=tuple(node.text() for node in root["notes"].elements()),
        looks=root["looks"].optional(_looks),
        broken_total=root["broken_total"].whole(),
    )


def _plain(value: Any) -> Any:
    """JSON has no infinity: an e-value that a float cannot hold becomes the largest one that it can."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(1.7976931348623157e308, value)
    return value.value if isinstance(value, StrEnum) else value


def _choice(node: Node, kind: type[Choice]) -> Choice:
    text = node.text()
    if text not in list(kind):
        raise node.error(f"is {text!r}, expected one of {', '.join(kind)}")
    return kind(text)


def _limits(node: Node) -> tuple[float, float]:
    ends = [end.number() for end in node.elements()]
    if len(ends) != 2:
        raise node.error(f"has {len(ends)} elements, expected 2")
    return ends[0], ends[1]


def _row(node: Node) -> Row:
    return Row(
        task=node["task"].text(),
        metric=node["metric"].text(),
        is_share=node["is_share"].truth(),
        higher_is_better=node["higher_is_better"].truth(),
        decides=node["decides"].truth(),
        verdict=_choice(node["verdict"], Verdict),
        n=node["n"].whole(),
        before=node["before"].number(),
        after=node["after"].number(),
        gain=node["gain"].number(),
        interval=node["interval"].optional(_limits),
        margin=node["margin"].number(),
        p=node["p"].optional(Node.number),
        detectable=node["detectable"].optional(Node.number),
        fixed=node["fixed"].whole(),
        broken=node["broken"].whole(),
        more_items=node["more_items"].optional(Node.whole),
        test=node["test"].text(),
        alpha=node["alpha"].number(),
    )


def _finding(node: Node) -> Finding:
    return Finding(
        task=node["task"].text(),
        check=_choice(node["check"], Check),
        status=_choice(node["status"], Status),
        reason=_choice(node["reason"], Reason),
        sentence=node["sentence"].text(),
        decides=node["decides"].truth(),
        pattern=node["pattern"].text(),
    )


def _condition(node: Node) -> Condition:
    return Condition(
        field=node["field"].text(),
        before=node["before"].text(),
        after=node["after"].text(),
        tasks=tuple(task.text() for task in node["tasks"].elements()),
        blocks=node["blocks"].truth(),
        allowed=node["allowed"].truth(),
    )


def _broken(node: Node) -> BrokenItem:
    texts = {name: node[name].text() for name in ("task", "id", "cause", "prompt", "target")}
    before, after = (node[name].optional(Node.text) for name in ("before", "after"))
    return BrokenItem(gain=node["gain"].number(), before=before, after=after, **texts)


def _looks(node: Node) -> Looks:
    return Looks(
        seed=node["seed"].whole(),
        order=node["order"].text(),
        sizes=tuple(size.whole() for size in node["sizes"].elements()),
        total=node["total"].whole(),
        alpha=_limits(node["alpha"]),
        stopped=node["stopped"].truth(),
        tasks={name: _task_looks(task) for name, task in node["tasks"].items()},
    )


def _task_looks(node: Node) -> TaskLooks:
    return TaskLooks(
        total=node["total"].whole(),
        asked=node["asked"].whole(),
        evidence={name: value.number() for name, value in node["evidence"].items()},
        settled=node["settled"].optional(lambda one: _choice(one, Status)),
    )
