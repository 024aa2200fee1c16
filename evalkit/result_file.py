"""Writes and reads `base.json`: the one module that knows the JSON form of a `Run`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.files import atomic_writer
from evalkit.json_node import Node, parse
from evalkit.results import SCHEMA, GroupResult, MetricValue, ModelInfo, Run, Sample, Spread, TaskResult

OUTCOMES = ("right", "wrong", "mixed", "scored", "unparsed", "empty", "truncated", "refused", "errored")
"""Order of the outcomes in the file; others follow by name."""

_RESERVED = frozenset({"id", "index", "cluster", "outcome"})


def write_run(run: Run, path: Path) -> None:
    """Writes a run: fixed key order, shortest exact floats, UTF-8, a sample a line, whole or not at all.

    Raises:
        OutputError: The place cannot be written.
        ValueError: A number is NaN or infinite, or a sample's field has the name of a metric: a defect of the caller.
    """
    document = _run_to_json(run)
    with atomic_writer(path) as stream:
        for piece in _layout(document, depth=0):
            stream.write(piece)
        stream.write(b"\n")


def read_run(path: Path) -> Run:
    """Reads a run.

    Raises:
        UsageError: The file is missing, not JSON, of another schema, or a field has the wrong type.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="give a file that evalkit run wrote"
        ) from error
    root = parse(path.name, content)
    _check_schema(root)
    run = Run(
        created=root["created"].text(),
        evalkit_version=root["evalkit_version"].text(),
        model=_model(root["model"]),
        settings=root["settings"].mapping(),
        environment=root["environment"].mapping(),
        tasks={name: _task(node) for name, node in _named(root["tasks"])},
        groups={name: _group(node) for name, node in _named(root["groups"])},
        timing=root["timing"].mapping(),
    )
    _check_groups(run, root["groups"])
    return run


def _check_schema(root: Node) -> None:
    schema = root["schema"].text()
    if schema == SCHEMA:
        return
    family, _, version = schema.rpartition("/")
    if family == SCHEMA.rpartition("/")[0] and version.isdecimal():
        raise UsageError(
            f"{root.file}: the schema is {schema}, this version of evalkit reads {SCHEMA}",
            hint="another version of evalkit wrote it: read it with that version",
        )
    raise UsageError(
        f"{root.file}: the schema is {schema!r}, expected {SCHEMA}", hint="give a file that evalkit run wrote"
    )


def _check_groups(run: Run, groups: Node) -> None:
    """Every member is a task or group of this file, and no group is within itself."""
    finished: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        for member in run.groups[name].tasks:
            if member in above or member == name:
                raise groups[name]["tasks"].error(f"holds {member}, which is the group itself or holds it")
            if member not in run.tasks and member not in run.groups:
                raise groups[name]["tasks"].error(f"holds {member}, which is not in the file")
            if member in run.groups and member not in finished:
                visit(member, (*above, name))
        finished.add(name)

    for name in run.groups:
        visit(name, ())


# --- to JSON


def _run_to_json(run: Run) -> dict[str, Any]:
    return {
        "schema": run.schema,
        "created": run.created,
        "evalkit_version": run.evalkit_version,
        "model": asdict(run.model) | {"extra": _sorted(run.model.extra)},
        "settings": _sorted(run.settings),
        "environment": _sorted(run.environment),
        "tasks": {name: _task_to_json(task) for name, task in run.tasks.items()},
        "groups": {name: _group_to_json(group) for name, group in run.groups.items()},
        "timing": _sorted(run.timing),
    }


def _task_to_json(task: TaskResult) -> dict[str, Any]:
    names = (*OUTCOMES, *sorted(set(task.outcomes) - set(OUTCOMES)))
    return {
        "version": task.version,
        "dataset": asdict(task.dataset),
        "shots": task.shots,
        "prompt_sha256": task.prompt_sha256,
        "n": task.n,
        **({"settings": _sorted(task.settings)} if task.settings else {}),
        "metrics": {name: _metric_to_json(value) for name, value in task.metrics.items()},
        "outcomes": {name: task.outcomes[name] for name in names if name in task.outcomes},
        "samples": [_sample_to_json(sample, task.metrics) for sample in task.samples],
    }


def _group_to_json(group: GroupResult) -> dict[str, Any]:
    metrics = {name: _metric_to_json(value) | {"weighting": group.weighting} for name, value in group.metrics.items()}
    return {"tasks": list(group.tasks), "metrics": metrics}


def _metric_to_json(value: MetricValue) -> dict[str, Any]:
    return {
        "value": float(value.value),
        "stderr": None if value.stderr is None else float(value.stderr),
        "ci95": None if value.ci95 is None else [float(end) for end in value.ci95],
        "higher_is_better": value.higher_is_better,
        "chance": None if value.chance is None else float(value.chance),
        **({} if value.spread is None else {"spread": _spread_to_json(value.spread)}),
        # JSON has no infinity: an end that is open is null
        **({} if value.bounds is None else {"bounds": [float(e) if math.isfinite(e) else None for e in value.bounds]}),
        **({} if value.unreadable is None else {"unreadable": [float(end) for end in value.unreadable]}),
    }


def _spread_to_json(spread: Spread) -> dict[str, Any]:
    return {
        "seeds": list(spread.seeds),
        "values": [float(value) for value in spread.values],
        "stddev": spread.stddev,
        "min": spread.low,
        "max": spread.high,
    }


def _sample_to_json(sample: Sample, metrics: Mapping[str, MetricValue]) -> dict[str, Any]:
    """One flat object: what is not `id`, `index`, `cluster`, `outcome` or a metric of the task is a field."""
    unknown = set(sample.metrics) - set(metrics)
    clash = set(sample.fields) & (_RESERVED | set(metrics)) | set(metrics) & _RESERVED
    if unknown or clash:
        raise ValueError(
            f"sample {sample.id}: not a metric of the task: {sorted(unknown)}; name used twice: {sorted(clash)}"
        )
    return {
        "id": sample.id,
        "index": sample.index,
        "cluster": sample.cluster,
        **{name: float(sample.metrics[name]) for name in metrics if name in sample.metrics},
        "outcome": sample.outcome,
        **sample.fields,
    }


def _sorted(value: Any) -> Any:
    """Mappings by key: what the caller happened to insert first must not change the file."""
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _layout(value: Any, depth: int) -> Iterator[bytes]:
    """JSON with a key a line where a person reads, and one line a sample where `diff` does."""
    is_list = isinstance(value, list)
    items = [(b"", item) for item in value] if is_list else [(_dump(key) + b": ", value[key]) for key in value]
    opening, closing = (b"[", b"]") if is_list else (b"{", b"}")
    line = b"\n" + b"  " * depth
    yield opening
    for position, (label, item) in enumerate(items):
        yield (b"," if position else b"") + line + b"  " + label
        if _spreads(item, depth + 1, within_list=is_list):
            yield from _layout(item, depth + 1)
        else:
            yield _dump(item)
    yield line + closing


def _spreads(value: Any, depth: int, *, within_list: bool) -> bool:
    if within_list or not value or not isinstance(value, dict | list):
        return False
    holds_objects = any(isinstance(item, dict) for item in (value.values() if isinstance(value, dict) else value))
    return holds_objects or (isinstance(value, dict) and depth < 3)


def _dump(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode()  # half of a surrogate pair has no UTF-8 form


# --- from JSON


def _named(node: Node) -> list[tuple[str, Node]]:
    """The fields of an object whose keys are names that people read."""
    found = node.items()
    if any(not name.strip() for name, _ in found):
        raise node.error("holds an empty name")
    return found


def _model(node: Node) -> ModelInfo:
    return ModelInfo(
        name=node["name"].text(),
        source=node["source"].text(),
        revision=node["revision"].optional(Node.text),
        parameters=node["parameters"].optional(Node.whole),
        dtype=node["dtype"].text(),
        weights_sha256=node["weights_sha256"].text(),
        tokenizer_sha256=node["tokenizer_sha256"].text(),
        adapter=node["adapter"].optional(Node.text),
        extra=node["extra"].mapping(),
    )


def _task(node: Node) -> TaskResult:
    from evalkit.data import DatasetInfo

    dataset = node["dataset"]
    metrics = {name: _metric_value(value) for name, value in _named(node["metrics"])}
    return TaskResult(
        version=node["version"].whole(),
        dataset=DatasetInfo(
            id=dataset["id"].text(),
            config=dataset["config"].optional(Node.text),
            split=dataset["split"].text(),
            revision=dataset["revision"].optional(Node.text),
            source=dataset["source"].text(),
            sha256=dataset["sha256"].text(),
        ),
        shots=node["shots"].whole(),
        prompt_sha256=node["prompt_sha256"].text(),
        n=node["n"].whole(),
        metrics=metrics,
        outcomes={name: count.whole() for name, count in node["outcomes"].items()},
        samples=tuple(_samples(node["samples"], metrics)),
        settings=node["settings"].mapping() if "settings" in node.mapping() else {},
    )


def _metric_value(node: Node) -> MetricValue:
    return MetricValue(
        value=node["value"].number(),
        stderr=node["stderr"].optional(Node.number),
        ci95=node["ci95"].optional(_pair),
        higher_is_better=node["higher_is_better"].truth(),
        chance=node["chance"].optional(Node.number),
        spread=_spread(node["spread"]) if "spread" in node.mapping() else None,
        bounds=_bounds(node["bounds"]) if "bounds" in node.mapping() else None,
        unreadable=node.get("unreadable").optional(_pair),
    )


def _spread(node: Node) -> Spread:
    values = tuple(value.number() for value in node["values"].elements())
    seeds = tuple(seed.whole() for seed in node["seeds"].elements())
    if len(seeds) != len(values) or len(values) < 2:
        raise node.error(f"has {len(seeds)} seeds and {len(values)} values, expected two or more of each")
    return Spread(seeds, values)


def _bounds(node: Node) -> tuple[float, float]:
    low, high = (end.optional(Node.number) for end in _two(node))
    return -math.inf if low is None else low, math.inf if high is None else high


def _pair(node: Node) -> tuple[float, float]:
    low, high = _two(node)
    return low.number(), high.number()


def _two(node: Node) -> list[Node]:
    ends = list(node.elements())
    if len(ends) != 2:
        raise node.error(f"has {len(ends)} elements, expected 2")
    return ends


def _samples(node: Node, metrics: Mapping[str, MetricValue]) -> Iterator[Sample]:
    """The samples of a task, by the ten thousand: a node for every value would take longer than all else."""
    not_fields = _RESERVED | metrics.keys()
    if not isinstance(node.value, list):
        node.elements()  # says what it is instead
    for position, values in enumerate(node.value):
        sample = _plain_sample(values, metrics, not_fields)
        yield _sample(Node(node.file, f"{node.path}[{position}]", values), metrics) if sample is None else sample


def _plain_sample(values: Any, metrics: Mapping[str, MetricValue], not_fields: Set[str]) -> Sample | None:
    """A sample without anything wrong; None where `_sample` is to say what is."""
    if type(values) is not dict:
        return None
    identity, index, cluster, outcome = (values.get(name) for name in ("id", "index", "cluster", "outcome"))
    if not (type(identity) is type(outcome) is str and type(index) is int and "cluster" in values):
        return None
    if cluster is not None and type(cluster) is not str:
        return None
    numbers = {}
    for name in metrics:
        if name in values:
            number = values[name]
            if type(number) is int and abs(number) < 1e15:
                number = float(number)
            if type(number) is not float:
                return None
            numbers[name] = number
    fields = {name: value for name, value in values.items() if name not in not_fields}
    return Sample(identity, index, cluster, outcome, numbers, fields)


def _sample(node: Node, metrics: Mapping[str, MetricValue]) -> Sample:
    """The same with an error for everything that is wrong."""
    values = node.mapping()
    return Sample(
        id=node["id"].text(),
        index=node["index"].whole(),
        cluster=node["cluster"].optional(Node.text),
        outcome=node["outcome"].text(),
        metrics={name: node[name].number() for name in metrics if name in values},
        fields={name: value for name, value in values.items() if name not in _RESERVED and name not in metrics},
    )


def _group(node: Node) -> GroupResult:
    metrics = _named(node["metrics"])
    weightings = {value["weighting"].text() for _, value in metrics}
    if len(weightings) != 1:
        raise node["metrics"].error("has no weighting, or several")
    return GroupResult(
        tasks=tuple(member.text() for member in node["tasks"].elements()),
        metrics={name: _metric_value(value) for name, value in metrics},
        weighting=weightings.pop(),
    )
