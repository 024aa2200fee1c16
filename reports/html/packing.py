"""The explorer's data: packed into the page so that a browser unpacks only what is looked at."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.comparing.picked import golds
from evalkit.reports.html.items import Item
from evalkit.reports.html.judging import BY_LENGTH, NATS
from evalkit.reports.html.records import Record, snippet
from evalkit.reports.text import visible

CHUNK = 64
"""Documents that are compressed, and unpacked, together."""
LISTED = 100_000
"""Documents that a page lists."""
SMALL, LARGE = 3_500_000, 24_000_000
"""Bytes for texts: the first for up to some 4,000 documents, the second however many they are."""
A_DOCUMENT = 800
"""Bytes for texts that each document adds, between the two."""

UNITS = (NATS, *(unit for unit, _ in BY_LENGTH.values()), "")
"""Units of margins, in the order that they are sorted in."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Pack:
    """What the page's script reads.

    Attributes:
        index: A column a fact, for all documents; compressed.
        chunks: The texts of `CHUNK` documents each, in the index's order; compressed.
        listed: Documents in the index.
        total: Documents that there are.
        texts: Documents whose texts are here.
        units: Of the documents' margins.
    """

    index: str
    chunks: tuple[str, ...] = field(default=())
    listed: int = 0
    total: int = 0
    texts: int = 0
    units: tuple[str, ...] = ()


def pack(
    items: Sequence[Item], records: Sequence[Mapping[Key, Record]], labels: Sequence[str], logs: Sequence[str]
) -> Pack:
    """Packs documents, most important first.

    Args:
        items: In order of importance.
        records: For each run, what its log says; empty where there is no log.
        labels: Names of the runs.
        logs: Names of the files that have the texts in full; empty where there is none.
    """
    listed = items[:LISTED]
    room = min(LARGE, max(SMALL, A_DOCUMENT * len(listed)))
    chunks: list[str] = []
    texts = 0
    for start in range(0, len(listed), CHUNK):
        part = listed[start : start + CHUNK]
        entries = [_entry(item, [found.get(item.key) for found in records]) for item in part]
        if not any(entries):
            break
        packed = compress(entries)
        room -= len(packed)
        if room < 0:
            break
        chunks.append(packed)
        texts += len(part)
    index = {**_index(listed, records), "labels": list(map(visible, labels)), "logs": list(map(visible, logs))}
    packed = compress({**index, "chunk": CHUNK, "texts": texts})
    return Pack(packed, tuple(chunks), len(listed), len(items), texts, tuple(filter(None, index["units"])))


def compress(value: Any) -> str:
    """JSON, deflated (zlib's format), in base64: no character of it means anything in HTML."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8", "backslashreplace"), 9)).decode("ascii")


def _index(items: Sequence[Item], records: Sequence[Mapping[Key, Record]]) -> dict[str, Any]:
    """Columns, with names replaced by numbers where they repeat."""
    tasks = _Names(item.task for item in items)
    outcomes = _Names(side.outcome for item in items for side in item.sides)
    causes = _Names(item.cause for item in items if item.cause)
    units = _Names(sorted({item.unit for item in items}, key=UNITS.index))
    sides = range(len(items[0].sides) if items else 1)
    return {
        "tasks": tasks.names,
        "outcomes": outcomes.names,
        "causes": causes.names,
        "units": units.names,
        "unit": [units[item.unit] for item in items],
        "task": [tasks[item.task] for item in items],
        "id": [visible(item.id) for item in items],
        "gain": [_short(item.gain) for item in items],
        "cause": [causes[item.cause] if item.cause else -1 for item in items],
        "outcome": [[outcomes[item.sides[side].outcome] for item in items] for side in sides],
        "margin": [[_short(item.margin(side)) for item in items] for side in sides],
        "picked": [[item.picked(side) for item in items] for side in sides],
        "gold": [golds(item.sides[0]) for item in items],
        "metrics": [[_metrics(item, side) for item in items] for side in sides],
        "line": [_line(item, records) for item in items],
    }


class _Names:
    """Names and their numbers, in order of first appearance."""

    def __init__(self, names: Any) -> None:
        self._places = {name: place for place, name in enumerate(dict.fromkeys(names))}

    @property
    def names(self) -> list[str]:
        return [visible(name) for name in self._places]

    def __getitem__(self, name: str) -> int:
        return self._places[name]


def _metrics(item: Item, side: int) -> str:
    return ", ".join(f"{visible(name)} {value:.4g}" for name, value in list(item.sides[side].metrics.items())[:4])


def _line(item: Item, records: Sequence[Mapping[Key, Record]]) -> str:
    one = next((found[item.key] for found in records if item.key in found), None)
    return "" if one is None else snippet(one.prompt)


def _short(value: float | None) -> float | None:
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None


def _entry(item: Item, sides: Sequence[Record | None]) -> dict[str, Any]:
    """The texts of one document, what both runs share said once; `{}` where no log has it."""
    known = [side for side in sides if side is not None]
    if not known:
        return {}
    first = known[0]
    prompts = [side.prompt.to_json() for side in known]
    entry: dict[str, Any] = {"kind": first.kind, "target": first.target, "prompt": prompts[0]}
    if prompts[-1] != prompts[0]:
        entry["prompts"] = prompts
    if first.choices:
        entry["choices"] = [choice.to_json() for choice in first.choices]
    entry["sides"] = [_side(side) for side in sides]
    if item.unit not in ("", NATS):
        for side, one in zip(entry["sides"], item.judged, strict=True):
            if side and one:
                side["scores"] = [round(score, 5) for score in one.scores]
    return entry


def _side(side: Record | None) -> dict[str, Any] | None:
    if side is None:
        return None
    found: dict[str, Any] = {"answer": side.answer, "tokens": side.tokens}
    if side.output is not None:
        found |= {"output": side.output.to_json(), "finish": side.finish}
    elif any(value is not None for value in side.log_probabilities):
        found["logs"] = [None if value is None else round(value, 3) for value in side.log_probabilities]
    if side.more:
        found["more"] = side.more
    return found
