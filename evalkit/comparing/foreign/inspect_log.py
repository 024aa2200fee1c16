"""Inspect's logs as runs: NAME.eval (a zip archive of JSON documents), or the same in one NAME.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.comparing.foreign.archive import Archive, open_archive
from evalkit.comparing.foreign.building import agrees, finite, mean_score, read_bounded, task_result
from evalkit.comparing.foreign.inspect_samples import Attempt, find_judge, grouped, join_epochs, read_attempt
from evalkit.data import DatasetInfo
from evalkit.errors import UsageError
from evalkit.json_node import Node, parse
from evalkit.results import MetricValue, ModelInfo, Run, Sample, TaskResult

HINT = "give a log that `inspect eval` wrote and that is complete"

_GENERATION = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "max_tokens",
        "seed",
        "stop_seqs",
        "num_choices",
        "best_of",
        "system_message",
        "frequency_penalty",
        "presence_penalty",
        "reasoning_effort",
        "reasoning_tokens",
        "response_schema",
    }
)
"""What of Inspect's configuration of a model can change its answers; the rest is about connections and retries."""


def read_inspect(path: Path) -> Run | None:
    """The run in an Inspect log, or in a folder of logs of different tasks by one model.

    Scores are means over samples, a sample's over its epochs; of a scorer that gives something else than numbers or
    Inspect's letters there is none. More is taken to be better: the log does not say.

    Returns:
        The run; None where the path is no log of Inspect's.

    Raises:
        UsageError: The log is damaged, the evaluation did not finish, or it has no samples.
    """
    if path.is_dir():
        logs = sorted(path.glob("*.eval"))
        return _joined(path, [_read_archive(log) for log in logs]) if logs else None
    if path.suffix == ".eval":
        return _read_archive(path)
    return _read_json(path) if path.suffix == ".json" else None


def _read_archive(path: Path) -> Run:
    with open_archive(path, HINT) as archive:
        header = _header(archive, path)
        return _run(header, path.name, _members(archive, path))


def _header(archive: Archive, path: Path) -> Node:
    if "header.json" not in archive.names:
        started = any(name.startswith("_journal/") for name in archive.names)
        what = "the evaluation did not finish" if started else "it holds no header.json"
        raise UsageError(f"{path.name} cannot be compared: {what}", hint=HINT)
    return parse(f"{path.name}, header.json", archive.read("header.json"), hint=HINT, non_finite=True)


def _members(archive: Archive, path: Path) -> Iterator[Node]:
    for name in sorted(archive.names):
        if name.startswith("samples/") and name.endswith(".json"):
            yield parse(f"{path.name}, {name}", archive.read(name), hint=HINT, non_finite=True)


def _read_json(path: Path) -> Run | None:
    content = read_bounded(path, HINT)
    if b'"eval_id"' not in content and b'"run_id"' not in content:
        return None
    root = parse(path.name, content, hint=HINT, non_finite=True)
    return _run(root, path.name, root.get("samples").optional(Node.elements) or [])


def _run(header: Node, file: str, samples: Iterable[Node]) -> Run:
    _check_finished(header, file)
    task = _task(header, file, [read_attempt(sample) for sample in samples])
    evaluation = header["eval"]
    packages = evaluation.get("packages").value
    return Run(
        created=evaluation["created"].text(),
        evalkit_version="",
        model=_model(evaluation),
        settings={"limit": _limit(evaluation["config"].get("limit"))},
        environment={"file": file, **(packages if isinstance(packages, dict) else {})},
        tasks={evaluation["task"].text(): task},
        groups={},
        timing={},
    )


def _check_finished(header: Node, file: str) -> None:
    status = header["status"].text()
    if status != "success":
        raise UsageError(
            f"{file} cannot be compared: the evaluation did not finish (status {status})",
            hint="finish it with `inspect eval-retry`",
        )


def _task(header: Node, file: str, attempts: Sequence[Attempt]) -> TaskResult:
    _check_complete(header, file, len(attempts))
    by_name = grouped(attempts, file, HINT)
    order = _order(header["eval"], by_name)
    metrics = _metric_names(header, attempts, file)
    judge = find_judge(metrics, attempts)
    samples = [join_epochs(by_name[name], index, metrics, judge) for index, name in enumerate(order)]
    firsts = [min(by_name[name], key=lambda attempt: attempt.epoch) for name in order]
    return task_result(
        version=_version(header["eval"].get("task_version")),
        dataset=_dataset(header["eval"]),
        shots=0,
        prompt_sha256=hashlib.sha256("".join(first.prompt for first in firsts).encode()).hexdigest(),
        metrics={name: _score(header, name, samples, file) for name in metrics},
        samples=samples,
        settings=_task_settings(header, [len(by_name[name]) for name in order]),
    )


def _check_complete(header: Node, file: str, found: int) -> None:
    if found == 0:
        raise UsageError(f"{file} holds no samples", hint="run Inspect again without --no-log-samples")
    expected = header["results"]["total_samples"].whole()
    if expected != found:
        raise UsageError(
            f"{file} holds {found} samples, but its results.total_samples says {expected} were evaluated", hint=HINT
        )


def _order(evaluation: Node, found: Iterable[str]) -> list[str]:
    """The samples in the dataset's order, as far as the log says it."""
    listed = evaluation["dataset"].get("sample_ids").value
    places = {str(name): place for place, name in enumerate(listed)} if isinstance(listed, list) else {}
    return sorted(found, key=lambda name: (places.get(name, len(places)), len(name), name))


def _metric_names(header: Node, attempts: Sequence[Attempt], file: str) -> list[str]:
    """Scorers that give numbers only, Inspect's headline first, then in the order of its results."""
    seen = dict.fromkeys(name for attempt in attempts for name in attempt.marks)
    marks = {name: [attempt.marks[name] for attempt in attempts if name in attempt.marks] for name in seen}
    usable = [
        name
        for name in seen
        if all(mark.readable for mark in marks[name]) and any(mark.value is not None for mark in marks[name])
    ]
    if not usable:
        raise UsageError(f"{file}: no scorer gives a number", hint="only scores that are numbers can be compared")
    results = header["results"]
    headline = results.get("headline")
    main = headline.get("scorer").value if isinstance(headline.value, dict) else None
    listed = [score.get("scorer").value for score in results.get("scores").optional(Node.elements) or []]
    ranked = [name for name in (main, *listed) if isinstance(name, str)]
    places = {name: place for place, name in reversed(list(enumerate(ranked)))}
    return sorted(usable, key=lambda name: places.get(name.partition("/")[0], len(places)))


def _score(header: Node, name: str, samples: Sequence[Sample], file: str) -> MetricValue:
    value = mean_score(name, samples, higher_is_better=True)
    reported = _reported(header, name)
    if reported is not None and not agrees(finite(reported), value.value):
        raise UsageError(
            f"{file}: {reported.path} is {reported.value}, but the samples give {value.value}",
            hint="the log was edited, or its scorer counts in a way of its own; score it again with `inspect score`",
        )
    return value


def _reported(header: Node, name: str) -> Node | None:
    """What Inspect says the mean is; None where it reduced epochs, or summed samples up, in another way."""
    reducers = header["eval"]["config"].get("epochs_reducer").value
    if reducers not in (None, [], ["mean"]):
        return None
    for score in header["results"].get("scores").optional(Node.elements) or []:
        if score.get("scorer").value != name or score.get("reducer").value not in (None, "mean"):
            continue
        metrics = score["metrics"]
        for metric in ("accuracy", "mean"):
            if metrics.get(metric).value is not None:
                return metrics[metric]["value"]
    return None


def _dataset(evaluation: Node) -> DatasetInfo:
    """What Inspect says of it; its log has no hash of the content."""
    dataset = evaluation["dataset"]
    name = dataset.get("name").optional(Node.text) or dataset.get("location").optional(Node.text) or ""
    return DatasetInfo(name, None, "", None, "inspect", "")


def _task_settings(header: Node, epochs: Sequence[int]) -> dict[str, Any]:
    plan = header.get("plan")
    plan = plan if isinstance(plan.value, dict) else Node(plan.file, plan.path, {}, plan.hint)
    steps = plan.get("steps").optional(Node.elements) or []
    scorers = header["eval"].get("scorers").optional(Node.elements) or []
    generation = {
        **(header["eval"].get("model_generate_config").optional(Node.mapping) or {}),
        **(plan.get("config").optional(Node.mapping) or {}),
    }
    return {
        "solvers": [{"name": one["solver"].value, "params": one.get("params_passed").value or {}} for one in steps],
        "extractors": {one["name"].text(): json.dumps(one.get("options").value, sort_keys=True) for one in scorers},
        "decoding": {name: value for name, value in generation.items() if name in _GENERATION},
        **({"epochs": max(epochs)} if max(epochs) > 1 else {}),
    }


def _model(evaluation: Node) -> ModelInfo:
    """The model's name; Inspect knows nothing of weights or number formats."""
    return ModelInfo(evaluation["model"].text(), "inspect", None, None, "", "", "", None, {})


def _limit(node: Node) -> str | None:
    """`first:N`, or from which to which."""
    if isinstance(node.value, list):
        return "-".join(str(one.whole()) for one in node.elements())
    count = node.optional(Node.whole)
    return None if count is None else f"first:{count}"


def _version(node: Node) -> int:
    """Inspect's versions are numbers or texts."""
    try:
        return int(float(node.value))
    except (TypeError, ValueError, OverflowError):
        return 0


def _joined(folder: Path, runs: Sequence[Run]) -> Run:
    """The logs of a folder as one run, where they are different tasks by one model."""
    models = {run.model.name for run in runs}
    names = [name for run in runs for name in run.tasks]
    if len(models) > 1 or len(set(names)) < len(names):
        shown = ", ".join(str(run.environment["file"]) for run in runs[:3])
        raise UsageError(
            f"the folder {folder} holds {len(runs)} logs, of several runs: {shown}", hint="give one of them"
        )
    first = runs[0]
    return replace(first, tasks={name: task for run in runs for name, task in run.tasks.items()})
