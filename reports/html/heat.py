"""Where a difference is: a cell for each task of a large group, bars for each group within a group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.comparison import Change, Comparison, Verdict
from evalkit.reports.html import figures
from evalkit.reports.html.charts import INK, SOFT, Chart, Layout, Spec, chart, text_mark, values
from evalkit.reports.html.room import TABLE_ROWS
from evalkit.reports.html.verdicts import KIND, is_large, share

CELL_HEIGHT = 40
HEADING_HEIGHT = 30
STRONGEST = 0.48
"""Opacity of the largest difference's cell; words on it still have a contrast of more than 4.5."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One task of a large group."""

    category: str
    name: str
    change: Change


def heat_maps(comparison: Comparison) -> list[Chart]:
    """A map for each root group that holds a large group; only for metrics in percent."""
    found = []
    for root in comparison.roots:
        cells = list(_cells(comparison, root, root))
        if 0 < len(cells) <= TABLE_ROWS and all(share(cell.change) for cell in cells):
            found.append(_heat_map(root, cells))
    return found


def _cells(comparison: Comparison, name: str, root: str) -> Iterator[Cell]:
    task = comparison.tasks[name]
    if is_large(comparison, task):
        for member in task.members:
            if member in comparison.tasks and _is_compared(comparison.tasks[member].change):
                short = _short(member, root)
                yield Cell("" if name == root else _short(name, root), short, comparison.tasks[member].change)
    else:
        for member in task.members:
            if member in comparison.tasks:
                yield from _cells(comparison, member, root)


def _is_compared(change: Change) -> bool:
    return change.verdict is not Verdict.NOT_COMPARABLE


def _short(name: str, root: str) -> str:
    """`mmlu_high_school_physics` within `mmlu` as `high school physics`."""
    start = root.partition(":")[0] + "_"
    return name.removeprefix(start).replace("_", " ")


def _heat_map(root: str, cells: Sequence[Cell]) -> Chart:
    decided = sum(cell.change.verdict.value in ("improved", "regressed") for cell in cells)
    few = sorted(cell.change.n for cell in cells)[len(cells) // 2]
    about = f"A cell a task, {len(cells)} in all, the difference in points; framed where it is more than chance"
    about += f" ({decided} of {len(cells)})."
    if few < 50:
        about += f" Half of the tasks have at most {few} documents here: look at the categories, not at single cells."
    key = [("worse-cell", "worse"), ("better-cell", "better")]
    return chart(f"{root}, task by task", about, lambda layout: _heat_spec(cells, layout), key=key)


def _heat_spec(cells: Sequence[Cell], layout: Layout) -> Spec:
    columns = 2 if layout.is_narrow else 6
    width = layout.width / columns
    largest = max((abs(cell.change.gain) for cell in cells), default=0.0) or 1.0
    top, headings, data = 0.0, [], []
    for category in dict.fromkeys(cell.category for cell in cells):
        members = sorted((cell for cell in cells if cell.category == category), key=lambda cell: -cell.change.gain)
        if category:
            headings.append({"x": 0, "y": top + HEADING_HEIGHT / 2, "text": category})
            top += HEADING_HEIGHT
        for place, cell in enumerate(members):
            left, row = place % columns * width, place // columns
            data.append(_cell(cell, largest, left, top + row * CELL_HEIGHT, width))
        top += CELL_HEIGHT * math.ceil(len(members) / columns) + 6
    return {"width": layout.width - 4, "height": top, "layer": _heat_layers(data, headings, layout, top)}


def _cell(cell: Cell, largest: float, left: float, top: float, width: float) -> dict[str, Any]:
    change = cell.change
    kind = KIND[change.verdict]
    paint = "var(--better)" if change.gain > 0 else "var(--worse)" if change.gain < 0 else "var(--line)"
    decided = kind in ("better", "worse")
    text = figures.difference(change.gain, True)
    about = f"{cell.name}: {text} points, interval {figures.difference_limits(change.gain_interval, True) or 'unknown'}"
    return {
        "x": left + 2,
        "x2": left + width - 2,
        "middle": left + 9,
        "y": top + 2,
        "y2": top + CELL_HEIGHT - 2,
        "name_y": top + 13,
        "value_y": top + 28,
        "fill": paint,
        "opacity": 0.06 + (STRONGEST - 0.06) * abs(change.gain) / largest if change.gain else 0.25,
        "stroke": paint if decided else "transparent",
        "name": cell.name,
        "text": text + (" ▲" if kind == "better" else " ▼" if kind == "worse" else ""),
        "about": f"{about}, {figures.count(change.n)} documents, {change.word}",
    }


def _heat_layers(
    data: list[dict[str, Any]], headings: list[dict[str, Any]], layout: Layout, height: float
) -> list[Spec]:
    def across(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "axis": None, "scale": {"domain": [0, layout.width - 4]}}

    def down(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "axis": None, "scale": {"domain": [height, 0]}}

    paint = {
        name: {"field": field, "type": kind, "scale": None}
        for name, field, kind in (
            ("fill", "fill", "nominal"),
            ("stroke", "stroke", "nominal"),
            ("fillOpacity", "opacity", "quantitative"),
        )
    }
    # the drawing's font is narrower than some that pages are read in
    size = 0.86 * (layout.width / (2 if layout.is_narrow else 6) - 16)
    cells = {"data": values(data)}
    return [
        {
            **cells,
            "mark": {"type": "rect", "cornerRadius": 4, "strokeWidth": 2},
            "encoding": {
                "x": across("x"),
                "x2": {"field": "x2"},
                "y": down("y"),
                "y2": {"field": "y2"},
                "description": {"field": "about"},
                **paint,
            },
        },
        _words(cells, across("middle"), down("name_y"), "name", fontSize=11.5, limit=size),
        _words(cells, across("middle"), down("value_y"), "text", fontSize=12.5, fontWeight=600),
        _words({"data": values(headings)}, across("x"), down("y"), "text", fontSize=13, fontWeight=600, fill=SOFT),
    ]


def _words(data: Spec, x: Spec, y: Spec, field: str, **look: Any) -> Spec:
    return {**data, "mark": text_mark(**{"fill": INK, **look}), "encoding": {"x": x, "y": y, "text": {"field": field}}}


def category_bars(comparison: Comparison) -> list[Chart]:
    """Before and after for each group within a group."""
    found = []
    for root in comparison.roots:
        members = [name for name in comparison.tasks[root].members if name in comparison.tasks]
        inner = [
            name for name in members if comparison.tasks[name].members and _is_compared(comparison.tasks[name].change)
        ]
        if inner and all(share(comparison.tasks[name].change) for name in inner):
            rows = [(_short(name, root), comparison.tasks[name].change) for name in inner]
            about = "The score of each category in both runs; the tick is what guessing gives."
            key = [("bar-before", "before"), ("bar-after", "after"), ("tick", "chance")]
            found.append(chart(f"{root} by category", about, _bars(rows), key=key))
    return found


def _bars(rows: Sequence[tuple[str, Change]]) -> Any:
    def spec(layout: Layout) -> Spec:
        height = 46
        data = []
        for place, (name, change) in enumerate(rows):
            for side, value in enumerate((change.before, change.after)):
                top = place * height + 5 + 18 * side
                word = ("before", "after")[side]
                data.append(
                    {
                        "name": name if side == 0 else "",
                        "name_y": place * height + height / 2,
                        "y": top,
                        "y2": top + 15,
                        "middle": top + 8,
                        "zero": 0,
                        "value": 100 * value,
                        "text": figures.score(value, True),
                        "fill": f"var(--{word})",
                        "chance": None if change.chance is None else 100 * change.chance,
                        "about": f"{name}, {word}: {figures.score(value, True)}, {figures.count(change.n)} documents",
                    }
                )
        return _bar_spec(data, layout.fitted([name for name, _ in rows]), height * len(rows))

    return spec


def _bar_spec(data: list[dict[str, Any]], layout: Layout, height: int) -> Spec:
    def across(field: str, **axis: Any) -> Spec:
        return {
            "field": field,
            "type": "quantitative",
            "scale": {"domain": [0, 100], "nice": False},
            "axis": {"title": "percent", "titleAnchor": "start", "tickCount": 5, **axis},
        }

    def down(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "axis": None, "scale": {"domain": [height, 0], "nice": False}}

    size = 12 if layout.is_narrow else 13
    names: Spec = {"align": "left", "fontSize": size, "limit": layout.names - 10}
    return {
        "data": values(data),
        "width": layout.plot,
        "height": height,
        "layer": [
            {
                "mark": {"type": "rect", "cornerRadiusEnd": 2},
                "encoding": {
                    "x": across("zero"),
                    "x2": {"field": "value"},
                    "y": down("y"),
                    "y2": {"field": "y2"},
                    "fill": {"field": "fill", "type": "nominal", "scale": None},
                    "description": {"field": "about"},
                },
            },
            {
                "transform": [{"filter": "datum.chance !== null"}],
                "mark": {"type": "rule", "stroke": "var(--chance)", "strokeWidth": 2, "aria": False},
                "encoding": {"x": across("chance"), "y": down("y"), "y2": {"field": "y2"}},
            },
            {
                "mark": text_mark(fontSize=12, fontWeight=600),
                "encoding": {"x": {"value": layout.plot + 8}, "y": down("middle"), "text": {"field": "text"}},
            },
            {
                "mark": text_mark(**names),
                "encoding": {"x": {"value": -layout.names}, "y": down("name_y"), "text": {"field": "name"}},
            },
        ],
    }
