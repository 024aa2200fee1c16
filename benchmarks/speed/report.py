"""The measurements as a Markdown table, and where the engines' scores disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import median

from benchmarks.speed.cases import Case
from benchmarks.speed.measurement import Measurement

# One document more or less changes an accuracy by far more; probabilities of mc2 and perplexities follow the
# log-likelihoods, which differ between engines by float32 rounding.
SCORE_BOUND = 1e-4


@dataclass(frozen=True, slots=True)
class Record:
    """One command that was run, or could not be.

    Attributes:
        case: What it did.
        engine: The engine's title.
        repeat: Number of the repeat, from 0.
        command: Its command line.
        environment: The variables that decide its speed.
        whole_seconds: From its start to its end.
        measurement: Its own account; None when it failed or was not run.
        note: Why it failed or was not run, or how it was set up.
        failed: Whether it ended with an error.
    """

    case: Case
    engine: str
    repeat: int
    command: Sequence[str]
    environment: Mapping[str, str]
    whole_seconds: float
    measurement: Measurement | None
    note: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One engine on one case, over all repeats.

    Attributes:
        case: What was done.
        engine: Its title, with the note.
        whole: Median seconds of the whole command.
        scoring: Median seconds of tokenising and scoring.
        measurement: Of the last repeat; None when none came to its end.
    """

    case: Case
    engine: str
    whole: float
    scoring: float
    measurement: Measurement | None


def rows_of(records: Sequence[Record]) -> list[Row]:
    """A row for each case and engine, in the order of the records."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.case.name, record.engine), []).append(record)
    rows = []
    for (_, engine), group in groups.items():
        done = [(record.whole_seconds, record.measurement) for record in group if record.measurement is not None]
        note = group[-1].note
        rows.append(
            Row(
                case=group[0].case,
                engine=f"{engine} ({note})" if note else engine,
                whole=median(seconds for seconds, _ in done) if done else nan,
                scoring=median(measurement.scoring_seconds for _, measurement in done) if done else nan,
                measurement=done[-1][1] if done else None,
            )
        )
    return rows


def table(records: Sequence[Record]) -> list[str]:
    """Lines of Markdown. Ratios are an engine's median seconds over evalkit's."""
    rows = rows_of(records)
    base = {row.case.name: row for row in rows if row.engine == "evalkit" and row.measurement}
    lines = [
        "| case | shots | n | engine | whole command s | ratio | tokenising and scoring s | ratio "
        "| tokens through the model | tokens/s | metric | value |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for row in rows:
        own, reference = row.measurement, base.get(row.case.name)
        if own is None:
            lines.append(f"| {row.case.name} | {row.case.shots} | | {row.engine} | | | | | | | | |")
            continue
        values = " / ".join(f"{own.metrics[task][row.case.metric]:.6f}" for task in row.case.tasks)
        lines.append(
            f"| {row.case.name} | {row.case.shots} | {own.documents} | {row.engine} "
            f"| {row.whole:.1f} | {_ratio(row.whole, reference and reference.whole)} "
            f"| {row.scoring:.1f} | {_ratio(row.scoring, reference and reference.scoring)} "
            f"| {own.tokens_computed:,} | {own.tokens_computed / row.scoring:,.0f} | {row.case.metric} | {values} |"
        )
    return lines


def _ratio(seconds: float, reference: float | None) -> str:
    return f"{seconds / reference:.1f} ×" if reference else ""


def disagreements(records: Sequence[Record]) -> list[str]:
    """A line for each metric on which two engines, or two repeats of one, differ by more than rounding explains."""
    found = []
    first: dict[str, tuple[str, Measurement]] = {}
    for record in records:
        own = record.measurement
        if own is None:
            continue
        name, reference = first.setdefault(record.case.name, (record.engine, own))
        if own.documents != reference.documents:
            found.append(f"{record.case.name} documents: {record.engine} {own.documents}, {name} {reference.documents}")
        for task in record.case.tasks:
            for metric, value, expected in _common(own.metrics[task], reference.metrics[task]):
                if abs(value - expected) > SCORE_BOUND * max(1.0, abs(expected)):
                    found.append(f"{task} {metric}: {record.engine} {value!r}, {name} {expected!r}")
    return found


def _common(values: Mapping[str, float], expected: Mapping[str, float]) -> list[tuple[str, float, float]]:
    return [(name, values[name], expected[name]) for name in values if name in expected]
