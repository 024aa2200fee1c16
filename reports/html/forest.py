"""Forest plots: a row for each task or run, an estimate as a dot and its interval as a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.reports.html.charts import INK, SOFT, Layout, Spec, text_mark, values

STEP = 27
"""Pixels a row."""


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One row.

    Attributes:
        name: What is estimated.
        depth: How many groups it is in.
        is_group: Whether it stands for several.
        value: The estimate.
        limits: Its interval; None where unknown.
        kind: Which mark: a key of `KINDS`.
        text: What is written beside it where there is room.
        short: The same where there is little.
        about: All of it in a sentence, for a pointer, a finger and a screen reader.
        margin: Loss that is tolerated, drawn as a band from -margin to margin; None for none.
        chance: What guessing gives, drawn as a tick; None for none.
    """

    name: str
    depth: int
    is_group: bool
    value: float
    limits: tuple[float, float] | None
    kind: str
    text: str
    short: str
    about: str
    margin: float | None = None
    chance: float | None = None


KINDS = {
    # kind: (shape, fill, stroke)
    "better": ("triangle-right", "var(--better)", "var(--better)"),
    "worse": ("triangle-left", "var(--worse)", "var(--worse)"),
    "within": ("square", "var(--within)", "var(--within)"),
    "undecided": ("circle", "var(--card)", "var(--undecided)"),
    "none": ("cross", "var(--card)", "var(--undecided)"),
    "score": ("circle", "var(--accent)", "var(--accent)"),
}


def forest(
    rows: Sequence[ForestRow],
    layout: Layout,
    *,
    axis: str,
    zero: bool,
    domain: tuple[float, float] | None = None,
    brackets: Sequence[tuple[int, int]] = (),
) -> Spec:
    """The specification of a forest plot.

    Args:
        rows: From top to bottom.
        layout: Room.
        axis: Title of the horizontal axis.
        zero: Whether to draw a line at zero and to keep zero in sight.
        domain: Ends of the axis; from the data when None.
        brackets: First and last row of groups that are held together by a line on the right.
    """
    lanes = _lanes(brackets)
    aside = 6 * len(set(lanes))  # what the words on the right make room for
    texts = [row.short if layout.is_narrow else row.text for row in rows]
    layout = layout.fitted(["\u2003" * row.depth + row.name for row in rows], texts, aside)
    ends = domain or _domain(rows, zero)
    data = [_row(place, row) for place, row in enumerate(rows)]
    position: Spec = {"field": "row", "type": "quantitative", "axis": None}
    position["scale"] = {"domain": [len(rows) - 0.5, -0.5], "nice": False, "zero": False}
    ticks = 4 if layout.is_narrow else 8
    across = {"type": "quantitative", "scale": {"domain": list(ends), "nice": False, "zero": False}}
    value_axis = {"title": axis, "tickCount": ticks, "labelOverlap": True}
    shared = _Shared(position, {**across, "axis": value_axis}, layout)
    layers = [
        *_ground(rows, shared, zero),
        *_intervals(shared),
        *_words(shared, aside),
        *_brackets(brackets, lanes, shared),
    ]
    return {"data": values(data), "width": layout.plot, "height": STEP * len(rows), "layer": layers}


@dataclass(frozen=True, slots=True)
class _Shared:
    y: Spec
    x: Spec
    layout: Layout

    def at(self, field: str) -> Spec:
        return {**self.x, "field": field}


def _row(place: int, row: ForestRow) -> dict[str, Any]:
    low, high = row.limits or (row.value, row.value)
    shape, fill, stroke = KINDS[row.kind]
    return {
        "row": place,
        "top": place - 0.5,
        "bottom": place + 0.5,
        "name": "\u2003" * row.depth + row.name,
        "group": row.is_group,
        "value": row.value,
        "low": low,
        "high": high,
        "shape": shape,
        "fill": fill,
        "stroke": stroke,
        "text": row.text,
        "short": row.short,
        "about": row.about,
        "band_low": None if row.margin is None else -row.margin,
        "band_high": row.margin,
        "chance": row.chance,
    }


def _domain(rows: Sequence[ForestRow], zero: bool) -> tuple[float, float]:
    seen = [end for row in rows for end in (row.value, *(row.limits or ()))]
    seen += [end for row in rows if row.margin for end in (-row.margin, row.margin)]
    seen += [row.chance for row in rows if row.chance is not None]
    if zero:
        seen.append(0.0)
    low, high = min(seen), max(seen)
    room = (high - low or abs(high) or 1.0) * 0.05
    return low - room, high + room


def _ground(rows: Sequence[ForestRow], shared: _Shared, zero: bool) -> list[Spec]:
    layers: list[Spec] = []
    if any(row.margin for row in rows):
        layers.append(
            {
                "mark": {"type": "rect", "fill": "var(--band)", "aria": False},
                "encoding": {
                    "x": shared.at("band_low"),
                    "x2": {"field": "band_high"},
                    "y": {**shared.y, "field": "top"},
                    "y2": {"field": "bottom"},
                },
            }
        )
    if zero:
        layers.append(
            {
                "mark": {"type": "rule", "stroke": INK, "strokeWidth": 1.5, "aria": False},
                "encoding": {"x": {**shared.x, "datum": 0}},
            }
        )
    if any(row.chance is not None for row in rows):
        layers.append(
            {
                "mark": {"type": "rule", "stroke": "var(--chance)", "strokeWidth": 2.5, "aria": False},
                "transform": [{"filter": "datum.chance !== null"}],
                "encoding": {
                    "x": shared.at("chance"),
                    "y": {**shared.y, "field": "top"},
                    "y2": {"field": "bottom"},
                },
            }
        )
    return layers


def _intervals(shared: _Shared) -> list[Spec]:
    paint = {
        "stroke": {"field": "stroke", "type": "nominal", "scale": None},
        "fill": {"field": "fill", "type": "nominal", "scale": None},
        "shape": {"field": "shape", "type": "nominal", "scale": None},
    }
    return [
        {
            "mark": {"type": "rule", "strokeWidth": 2.5, "strokeCap": "round", "aria": False},
            "encoding": {
                "y": shared.y,
                "x": shared.at("low"),
                "x2": {"field": "high"},
                "stroke": paint["stroke"],
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 95, "strokeWidth": 2, "opacity": 1},
            "encoding": {"y": shared.y, "x": shared.at("value"), **paint, "description": {"field": "about"}},
        },
    ]


def _words(shared: _Shared, aside: int) -> list[Spec]:
    layout = shared.layout
    size = 12 if layout.is_narrow else 13
    field = "short" if layout.is_narrow else "text"
    names: Spec = {"limit": layout.names - 10, "fontSize": size}
    # the weight of a font is no channel of Vega-Lite, so groups have a layer of their own
    layers = [
        {
            "transform": [{"filter": f"{'' if bold else '!'}datum.group"}],
            "mark": text_mark(**names, fontWeight=600 if bold else 400),
            "encoding": {"y": shared.y, "x": {"value": -layout.names}, "text": {"field": "name"}},
        }
        for bold in (True, False)
    ]
    layers.append(
        {
            "mark": text_mark(fontSize=size, fill=SOFT),
            "encoding": {"y": shared.y, "x": {"value": layout.plot + 12 + aside}, "text": {"field": field}},
        }
    )
    return layers


def _lanes(brackets: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each bracket, the first that no earlier bracket with one of its rows is in."""
    lanes: list[int] = []
    for place, (first, last) in enumerate(brackets):
        taken = {
            lane for lane, (start, end) in zip(lanes, brackets[:place], strict=True) if start <= last and first <= end
        }
        lanes.append(next(lane for lane in range(place + 1) if lane not in taken))
    return lanes


def _brackets(brackets: Sequence[tuple[int, int]], lanes: Sequence[int], shared: _Shared) -> list[Spec]:
    """A line beside the rows of each group."""
    found = []
    for (first, last), lane in zip(brackets, lanes, strict=True):
        data = [{"row": first - 0.3, "to": last + 0.3, "about": f"rows {first + 1} to {last + 1} are tied"}]
        found.append(
            {
                "data": values(data),
                "mark": {"type": "rule", "stroke": SOFT, "strokeWidth": 3, "strokeCap": "round"},
                "encoding": {
                    "x": {"value": shared.layout.plot + 8 + 6 * lane},
                    "y": shared.y,
                    "y2": {"field": "to"},
                    "description": {"field": "about"},
                },
            }
        )
    return found
