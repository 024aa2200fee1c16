"""The explorer of a page: its documents with what the logs say of them, and the first few in plain HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.reports.html import figures
from evalkit.reports.html.items import Item, by_change, judged
from evalkit.reports.html.packing import LISTED, Pack, pack
from evalkit.reports.html.records import Clipped, Record, read_records
from evalkit.reports.text import visible
from evalkit.results import Run, mismatch

SHOWN = 10
"""Documents in plain HTML, for paper and for readers without JavaScript."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PlainItem:
    """A document in plain HTML."""

    task: str
    id: str
    summary: str
    prompt: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class View:
    """What the template shows.

    Attributes:
        mode: `run` or `comparison`.
        lead: What is listed.
        remarks: What is missing, and where it is.
        first_title: Heading of `first`.
        first: The first few documents.
    """

    mode: str
    lead: str
    remarks: tuple[str, ...]
    first_title: str
    first: tuple[PlainItem, ...]


@dataclass(frozen=True, slots=True)
class Explorer:
    """The view, the data that its script reads, and what was read of the logs.

    Attributes:
        view: What the template shows.
        pack: What the script reads.
        items: The documents, with what their metrics see.
        records: For each run, what its log says.
        wrong_logs: That logs were left out that are of other runs.
    """

    view: View
    pack: Pack
    items: list[Item]
    records: tuple[Mapping[Key, Record], ...]
    wrong_logs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a run's samples.

    Attributes:
        path: The file; None where there is none, or not this run's.
        why_not: What speaks against the file that is there.
    """

    path: Path | None
    why_not: str = ""


def own_log(run: Run, path: Path | None) -> Log:
    """The log, unless it is another run's.

    Raises:
        UsageError: The log is missing or damaged.
    """
    why = None if path is None else mismatch(run, path)
    return Log(path) if why is None else Log(None, why)


def explore(items: Sequence[Item], labels: Sequence[str], found: Sequence[Log]) -> Explorer:
    """Reads the logs and packs the documents.

    Args:
        items: In order of importance.
        labels: Names of the runs.
        found: The log of each run.

    Raises:
        UsageError: A log is damaged.
    """
    logs = [log.path for log in found]
    wanted = [item.key for item in items[:LISTED]]
    records: tuple[Mapping[Key, Record], ...] = ()
    for log in logs:
        before = records[0] if records else None
        records = (*records, {} if log is None else read_records(log, wanted, before))
    known = judged(items, records)
    if len(labels) == 2:
        known = by_change(known)
    packed = pack(known, records, labels, [log.name if log else "" for log in logs])
    view = _view(known, labels, found, records, packed)
    wrong = tuple(_wrong_log(label, log) for label, log in zip(labels, found, strict=True) if log.why_not)
    return Explorer(replace(view, remarks=(*wrong, *view.remarks)), packed, known, records, wrong)


def _wrong_log(label: str, log: Log) -> str:
    """That the log beside a result is another run's."""
    whose = visible(label)
    return f"The sample log beside the result of {whose} is of another run and was left out: {visible(log.why_not)}."


def _view(
    items: Sequence[Item],
    labels: Sequence[str],
    logs: Sequence[Log],
    records: Sequence[Mapping[Key, Record]],
    packed: Pack,
) -> View:
    compared = len(labels) == 2
    flips = sum(item.is_flip for item in items)
    total = figures.count(packed.total)
    if compared:
        lead = f"{figures.count(flips)} of {total} documents that both runs answered have another score than before."
        if items and all(item.gain is None for item in items):
            lead = f"{total} documents that both runs have; which answer is better cannot be said."
    else:
        lead = f"All {total} documents, those without a readable answer and wrong ones first."
        if packed.total == 1:
            lead = "The one document."
    chosen = [item for item in items[:SHOWN] if item.is_flip or not compared]
    return View(
        mode="comparison" if compared else "run",
        lead=lead,
        remarks=tuple(_remarks(logs, labels, packed)),
        first_title=f"The {'largest changes' if compared else 'first documents'}",
        first=tuple(_plain(item, labels, [found.get(item.key) for found in records]) for item in chosen),
    )


def _remarks(logs: Sequence[Log], labels: Sequence[str], packed: Pack) -> list[str]:
    found = []
    missing = [visible(label) for label, log in zip(labels, logs, strict=True) if log.path is None and not log.why_not]
    if missing:
        whose = "" if len(labels) == 1 else f" of {' and '.join(missing)}"
        found.append(
            f"The sample log{whose} was not there when this page was written, so prompts and answers are missing."
        )
    if len(packed.units) > 1:
        found.append(
            f"Margins are in {' or '.join(packed.units)}, by the task's main metric; sorted, each unit by itself."
        )
    if packed.listed < packed.total:
        found.append(f"The first {figures.count(packed.listed)} are listed; the sample log has all.")
    if packed.texts < packed.listed and any(log.path for log in logs):
        names = " and ".join(dict.fromkeys(visible(log.path.name) for log in logs if log.path))
        found.append(
            f"Prompts and answers of the first {figures.count(packed.texts)} are in this page; the others are in {names}."
        )
    return found


def _plain(item: Item, labels: Sequence[str], records: Sequence[Record | None]) -> PlainItem:
    known = [one for one in records if one is not None]
    lines = [("target", known[0].target)] if known and known[0].target else []
    for place, (label, side, one) in enumerate(zip(labels, item.sides, records, strict=True)):
        text = side.outcome
        distance = item.margin(place)
        if distance is not None:
            text += f", margin {figures.difference(distance, False)} {item.unit}"
        if one is not None and one.output is not None:
            text += f": {_text(one.output, 600)}"
        elif one is not None and one.answer and next(iter(side.metrics), "") == "acc":
            # other metrics pick otherwise than the log says
            text += f": {one.answer}"
        lines.append((visible(label), text))
    outcomes = (" / " if item.gain is None else " → ").join(visible(side.outcome) for side in item.sides)
    cause = f", {item.cause}" if item.cause else ""
    prompt = _text(known[0].prompt, 600, end=True) if known else ""
    return PlainItem(visible(item.task), visible(item.id), outcomes + cause, prompt, tuple(lines))


def _text(clipped: Clipped, room: int, *, end: bool = False) -> str:
    text = (clipped.end or clipped.start) if end else clipped.start
    if len(text) <= room:
        return text
    return f"… {text[-room:]}" if end else f"{text[:room]} …"


def context(explorer: Explorer) -> dict[str, Any]:
    """What templates need of it."""
    return {"explorer": explorer.view, "pack": explorer.pack, "wrong_logs": explorer.wrong_logs}
