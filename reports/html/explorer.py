"""The explorer of a page: its documents with what the logs say of them, and the first few in plain HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.reports.html import figures
from evalkit.reports.html.items import Item, margin
from evalkit.reports.html.packing import LISTED, Pack, pack
from evalkit.reports.html.records import Clipped, Record, read_records
from evalkit.reports.text import visible

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
    """The view, and the data that its script reads."""

    view: View
    pack: Pack
    records: tuple[Mapping[Key, Record], ...]


def explore(items: Sequence[Item], labels: Sequence[str], logs: Sequence[Path | None]) -> Explorer:
    """Reads the logs and packs the documents.

    Args:
        items: In order of importance.
        labels: Names of the runs.
        logs: The log of each run; None for one that has none.

    Raises:
        UsageError: A log is damaged.
    """
    wanted = [item.key for item in items[:LISTED]]
    records = tuple({} if log is None else read_records(log, wanted) for log in logs)
    packed = pack(items, records, labels, [log.name if log else "" for log in logs])
    return Explorer(_view(items, labels, logs, records, packed), packed, records)


def _view(
    items: Sequence[Item],
    labels: Sequence[str],
    logs: Sequence[Path | None],
    records: Sequence[Mapping[Key, Record]],
    packed: Pack,
) -> View:
    compared = len(labels) == 2
    flips = sum(item.is_flip for item in items)
    total = figures.count(packed.total)
    if compared:
        lead = f"{figures.count(flips)} of {total} documents that both runs answered have another score than before."
    else:
        lead = f"All {total} documents, those without a readable answer and wrong ones first."
    chosen = [item for item in items[:SHOWN] if item.is_flip or not compared]
    return View(
        mode="comparison" if compared else "run",
        lead=lead,
        remarks=tuple(_remarks(logs, labels, packed)),
        first_title=f"The {'largest changes' if compared else 'first documents'}",
        first=tuple(_plain(item, labels, [found.get(item.key) for found in records]) for item in chosen),
    )


def _remarks(logs: Sequence[Path | None], labels: Sequence[str], packed: Pack) -> list[str]:
    found = []
    missing = [visible(label) for label, log in zip(labels, logs, strict=True) if log is None]
    if missing:
        whose = "" if len(labels) == 1 else f" of {' and '.join(missing)}"
        found.append(
            f"The sample log{whose} was not there when this page was written, so prompts and answers are missing."
        )
    if packed.listed < packed.total:
        found.append(f"The first {figures.count(packed.listed)} are listed; the sample log has all.")
    if packed.texts < packed.listed and any(logs):
        names = " and ".join(dict.fromkeys(visible(log.name) for log in logs if log))
        found.append(
            f"Prompts and answers of the first {figures.count(packed.texts)} are in this page; the others are in {names}."
        )
    return found


def _plain(item: Item, labels: Sequence[str], records: Sequence[Record | None]) -> PlainItem:
    known = [one for one in records if one is not None]
    lines = [("target", known[0].target)] if known and known[0].target else []
    for label, side, one in zip(labels, item.sides, records, strict=True):
        text = side.outcome
        distance = margin(side)
        if distance is not None:
            text += f", margin {figures.difference(distance, False)} nats"
        if one is not None and one.output is not None:
            text += f": {_text(one.output, 600)}"
        elif one is not None and one.answer and next(iter(side.metrics), "") == "acc":
            # other metrics pick otherwise than the log says
            text += f": {one.answer}"
        lines.append((visible(label), text))
    outcomes = " → ".join(visible(side.outcome) for side in item.sides)
    cause = f", {item.cause}" if item.cause else ""
    prompt = _text(known[0].prompt, 600, end=True) if known else ""
    return PlainItem(visible(item.task), visible(item.id), outcomes + cause, prompt, tuple(lines))


def _text(clipped: Clipped, room: int, *, end: bool = False) -> str:
    text = (clipped.end or clipped.start) if end else clipped.start
    if len(text) <= room:
        return text
    return f"… {text[-room:]}" if end else f"{text[:room]} …"


def context(explorer: Explorer | None) -> dict[str, Any]:
    """What templates need of it."""
    return {"explorer": explorer.view if explorer else None, "pack": explorer.pack if explorer else None}
