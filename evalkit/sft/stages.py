"""From the data a user names to the rows that each stage trains on: read, cleaned, decontaminated, split, mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evalkit.errors import TrainingDataError, UsageError
from evalkit.fine_tuning import Objective
from evalkit.sft.contamination import find_contamination
from evalkit.sft.data import Dropped, mix, read_training_data, replay, split
from evalkit.sft.rows import TrainingRow
from evalkit.training_data import Contamination, DataReport, SourceReport

if TYPE_CHECKING:
    from evalkit.data import DataOptions
    from evalkit.sft.contamination import BenchmarkItems
    from evalkit.sft.request import FineTuningRequest

_MIX_SEED = 0
"""Which rows a mix or a replay draws; not a training seed, so that all seeds train on the same rows."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage trains on.

    Attributes:
        number: From 1 on.
        sources: The files or datasets that were named for it.
        rows: To train on, in the order of the sources; the training shuffles them.
        held_out: Held out of training.
        objective: `sft`, `dpo` or `reward`.
    """

    number: int
    sources: tuple[str, ...]
    rows: tuple[TrainingRow, ...]
    held_out: tuple[TrainingRow, ...]
    objective: Objective


@dataclass(frozen=True, slots=True)
class Prepared:
    """All stages, and what is known of the data before any training.

    Attributes:
        stages: In order.
        report: What was read and dropped.
        dropped: Rows left out.
        contamination: None where it was not sought.
    """

    stages: tuple[Stage, ...]
    report: DataReport
    dropped: tuple[Dropped, ...]
    contamination: Contamination | None


def prepare(request: FineTuningRequest, options: DataOptions, items: Sequence[BenchmarkItems] | None) -> Prepared:
    """Reads every source, leaves out what cannot or must not be trained on, and makes the stages.

    Rows are held out before sources are mixed and repeated, so that none is on both sides.

    Args:
        request: What was asked.
        options: Where data may come from.
        items: The benchmark items to look for; None looks for none.

    Raises:
        TrainingDataError: A source cannot be read, or nothing is left of it; under `fail` a row holds a benchmark item.
        UsageError: The rows do not fit the method.
    """
    names = list(dict.fromkeys(name for sources in request.stages for name in sources))
    if request.replay is not None and request.replay[0] not in names:
        names.append(request.replay[0])
    data = read_training_data(names, request.mapping, options, request.cleaning)
    rows, dropped, report = data.rows, data.dropped, data.report
    contamination = None
    if items is not None:
        everything = [row for name in names for row in rows[name]]
        contamination, found = find_contamination(everything, items, request.contamination)
        if request.contamination == "drop-train" and found:
            rows, report = _without(rows, found, report)
            dropped = (*dropped, *(_contaminated(row) for row in everything if (row.source, row.index) in found))
    parts = {name: split(rows[name], request.spec.held_out) for name in names}
    if request.tuned is not None:
        return Prepared((), report, dropped, contamination)
    drawn: dict[str, int] = {}
    stages = tuple(_stage(request, number, sources, parts, drawn) for number, sources in enumerate(request.stages, 1))
    return Prepared(stages, replace(report, drawn=drawn), dropped, contamination)


def _without(
    rows: Mapping[str, Sequence[TrainingRow]], found: frozenset[tuple[str, int]], report: DataReport
) -> tuple[dict[str, tuple[TrainingRow, ...]], DataReport]:
    left = {name: tuple(row for row in given if (row.source, row.index) not in found) for name, given in rows.items()}
    for name, kept in left.items():
        if not kept:
            raise TrainingDataError(
                f"every row of {name} holds an item of the benchmarks that are scored",
                hint="train on other data, evaluate on other tasks, or see --contamination",
            )
    return left, replace(report, sources=tuple(_counted(one, rows, left) for one in report.sources))


def _counted(
    source: SourceReport, rows: Mapping[str, Sequence[TrainingRow]], left: Mapping[str, Sequence[TrainingRow]]
) -> SourceReport:
    gone = len(rows[source.name]) - len(left[source.name])
    if not gone:
        return source
    return replace(source, kept=source.kept - gone, dropped={**source.dropped, "contaminated": gone})


def _contaminated(row: TrainingRow) -> Dropped:
    return Dropped.of(row, "contaminated", "it holds an item of a benchmark that is scored")


def _stage(
    request: FineTuningRequest,
    number: int,
    sources: tuple[str, ...],
    parts: Mapping[str, tuple[tuple[TrainingRow, ...], tuple[TrainingRow, ...]]],
    drawn: dict[str, int],
) -> Stage:
    training = {name: parts[name][0] for name in sources}
    held_out = tuple(row for name in sources for row in parts[name][1])
    if request.mix:
        rows, counts = mix(training, request.mix, _MIX_SEED)
        drawn |= counts
    else:
        rows = training[sources[0]]
    objective = _objective(request, rows, sources)
    if request.replay is not None:
        general, share = request.replay
        rows, count = replay(rows, parts[general][0], share, _MIX_SEED)
        drawn[general] = drawn.get(general, 0) + count
        held_out = (*held_out, *parts[general][1])
    return Stage(number, sources, rows, held_out, objective)


def _objective(request: FineTuningRequest, rows: Sequence[TrainingRow], sources: Sequence[str]) -> Objective:
    """What these rows are for: preference pairs for `dpo` and `reward`, all others for `sft`.

    Raises:
        UsageError: They are of both kinds, or not of the kind that the method takes.
    """
    pairs = sum(row.kind == "preference" for row in rows)
    name = ", ".join(sources)
    if 0 < pairs < len(rows):
        raise UsageError(
            f"{name} holds preference pairs and other rows", hint="give each kind a file, and train on them as stages"
        )
    if request.method == "auto":
        return "dpo" if pairs else "sft"
    if (request.method == "sft") == bool(pairs):
        kind = "preference pairs (chosen and rejected)" if pairs else "no preference pairs (chosen and rejected)"
        raise UsageError(
            f"{name} holds {kind}, which --method {request.method} cannot train on",
            hint="leave --method out" if pairs else "give pairs, or leave --method out",
        )
    return request.method
