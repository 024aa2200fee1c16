"""Whether scores follow from their samples, and samples from the log."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.aggregate import aggregate
from evalkit.errors import EvalkitError
from evalkit.metrics import METRICS, estimate
from evalkit.results import GroupResult, MetricValue, Run, Sample, TaskResult, mismatch
from evalkit.runner.answering import sample_of
from evalkit.runner.asking import Asked
from evalkit.runner.task_run import TaskRun
from evalkit.summaries import unreadable_range
from evalkit.verification import Check
from evalkit.verifying.log import Answered, Log
from evalkit.verifying.tasks import Rebuilt

TOLERANCE = 1e-9
"""Of a number, relative to it, by which the same computation may differ between machines and library versions."""

_PARTS = ("value", "stderr", "ci95", "chance", "unreadable")


def close(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same but for rounding."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    return bool(one == other)


def scores(run: Run, rebuilt: Rebuilt) -> Iterator[Check]:
    """Every metric of every task and group from the samples."""
    for name, task in run.tasks.items():
        yield _task_scores(name, task, rebuilt.runs.get(name))
    for name, group in run.groups.items():
        yield _group_scores(name, group, run, rebuilt)


def _task_scores(name: str, task: TaskResult, built: TaskRun | None) -> Check:
    differences = list(_counts(task))
    try:
        known = built.estimates(task.samples) if built is not None else _known_metrics(task)
    except EvalkitError as error:
        return Check.of(name, "scores", len(task.metrics), [*differences, error.message])
    for metric, value in known.items():
        if metric not in task.metrics:
            differences.append(f"{metric} is not in the result; the samples give {value.value:.6g}")
        else:
            differences += _metric_differences(metric, task.metrics[metric], value, task.samples)
    lacking = [metric for metric in task.metrics if metric not in known]
    if built is not None:
        differences += [f"{metric} is in the result; the task has no such metric" for metric in lacking]
    check = Check.of(name, "scores", len(known), differences)
    if built is None and lacking and check.status == "agrees":
        why = f"{', '.join(lacking)}: the task is not at hand, and other metrics need it"
        return (
            Check.skipped(name, "scores", why) if not known else Check(name, "scores", "agrees", len(known), 0, (why,))
        )
    return check


def _counts(task: TaskResult) -> Iterator[str]:
    counted = Counter(sample.outcome for sample in task.samples)
    outcomes = {outcome: count for outcome, count in task.outcomes.items() if outcome != "skipped"}
    if dict(counted) != {outcome: count for outcome, count in outcomes.items() if count}:
        yield f"outcomes are {outcomes}; the samples have {dict(sorted(counted.items()))}"
    if task.n != len(task.samples):
        yield f"n is {task.n}; there are {len(task.samples)} samples"


def _known_metrics(task: TaskResult) -> dict[str, MetricValue]:
    """Metrics that need nothing of the task."""
    plain = not any(value.spread for value in task.metrics.values())
    return {name: estimate(METRICS[name], task.samples) for name in task.metrics if name in METRICS and plain}


def _metric_differences(
    name: str, recorded: MetricValue, found: MetricValue, samples: Sequence[Sample]
) -> Iterator[str]:
    values = {part: getattr(found, part) for part in _PARTS}
    if recorded.bounds is not None:
        values["unreadable"] = unreadable_range(name, samples, found.value, recorded.bounds)
    for part, value in values.items():
        written = getattr(recorded, part)
        if part == "unreadable" and written is None:
            continue  # older versions did not write it
        if not close(written, value):
            yield f"{name}: {part} is {_shown(written)}; the samples give {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{_shown(value[0])} to {_shown(value[1])}"
    return "not known" if value is None else f"{value:.10g}"


def _group_scores(name: str, group: GroupResult, run: Run, rebuilt: Rebuilt) -> Check:
    if name not in rebuilt.groups:
        return Check.skipped(name, "scores", "the group's definition is not at hand; name its file with --tasks")
    needed = {key: one for key, one in rebuilt.groups.items() if key in run.groups}
    try:
        found = aggregate(needed, run.tasks)[name]
    except (EvalkitError, KeyError) as error:
        return Check.of(name, "scores", 1, [f"it cannot be computed again: {error}"])
    differences = []
    if tuple(group.tasks) != tuple(found.tasks):
        differences.append(f"it holds {', '.join(group.tasks)}; its definition {', '.join(found.tasks)}")
    for metric, value in found.metrics.items():
        if metric not in group.metrics:
            differences.append(f"{metric} is not in the result")
            continue
        for part in ("value", "stderr", "ci95", "chance"):
            written, now = getattr(group.metrics[metric], part), getattr(value, part)
            if not close(written, now):
                differences.append(f"{metric}: {part} is {_shown(written)}; its tasks give {_shown(now)}")
    differences += [
        f"{metric} is in the result; the group has no such metric"
        for metric in group.metrics
        if metric not in found.metrics
    ]
    return Check.of(name, "scores", len(found.metrics), differences)


def samples(run: Run, log: Log, path: Any, rebuilt: Rebuilt) -> Iterator[Check]:
    """Every sample from the rows of the log."""
    known = {(name, sample.id) for name, task in run.tasks.items() for sample in task.samples}
    strangers = [key for key in log.documents if key not in known]
    wrong = mismatch(run, path)
    for name, task in run.tasks.items():
        differences = [f"document {key[1]} stands in the log twice" for key in log.doubled if key[0] == name]
        differences += [
            f"the log has a document {key[1]} that the result does not have" for key in strangers if key[0] == name
        ]
        built = rebuilt.runs.get(name)
        items = {item.id: item for item in built.items} if built is not None else {}
        checked = 0
        for sample in task.samples:
            answered = log.documents.get((name, sample.id))
            if answered is None:
                differences.append(f"document {sample.id} is not in the log")
            elif built is not None and sample.id in items:
                checked += 1
                differences += _sample_differences(sample, answered, built, items[sample.id])
        if checked or differences:
            yield Check.of(name, "samples", max(checked, len(task.samples) if differences else 0), differences)
        elif wrong is not None:
            yield Check.of(name, "samples", len(task.samples), [wrong])
        else:
            why = rebuilt.missing.get(name, "none of its documents is in the data here")
            yield Check.skipped(name, "samples", f"{why} (log-probabilities and lengths agree)")


def _sample_differences(sample: Sample, answered: Answered, built: TaskRun, item: Any) -> Iterator[str]:
    asked = Asked(built, item, 0, answered.requests, int(sample.fields.get("dropped_shots", 0)))
    try:
        found = sample_of(asked, dict(enumerate(answered.replies)))
    except (EvalkitError, ValueError, TypeError, IndexError, KeyError) as error:
        yield f"document {sample.id}: its answers cannot be scored: {error}"
        return
    if found.outcome != sample.outcome:
        yield f"document {sample.id}: it is {sample.outcome}; its answers make it {found.outcome}"
    for part in ("index", "cluster"):
        if (was := getattr(sample, part)) != (is_ := getattr(found, part)):
            yield f"document {sample.id}: its {part} is {_brief(was)}; in the data it is {_brief(is_)}"
    fields = json.loads(json.dumps(dict(found.fields)))
    for recorded, now in ((sample.metrics, found.metrics), (sample.fields, fields)):
        for name in {**recorded, **now}:
            was, is_ = recorded.get(name), now.get(name)
            if not close(was, is_):
                yield f"document {sample.id}: {name} is {_brief(was)}; its answers give {_brief(is_)}"


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
