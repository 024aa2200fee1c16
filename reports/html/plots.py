"""Charts of calibration, outcomes and training loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.reports.html import figures
from evalkit.reports.html.charts import SOFT, Chart, Layout, Spec, chart, text_mark, values

if TYPE_CHECKING:
    from evalkit.stats.calibration import Calibration

SMALL = Layout("only", 330, 44, 8)
"""Room of a chart that fits a phone and stands beside others at a desk."""

SIDES = ("before", "after")


@dataclass(frozen=True, slots=True)
class SideCalibration:
    """The calibration of one run."""

    label: str
    found: Calibration


@dataclass(frozen=True, slots=True)
class Pool:
    """Whose documents a chart is about.

    Attributes:
        metric: The main metric of the tasks.
        tasks: How many there are.
        is_one_of_several: Whether other metrics have charts of their own.
    """

    metric: str
    tasks: int
    is_one_of_several: bool

    @property
    def where(self) -> str:
        """To be set behind a title: `, acc_norm`; empty where there is nothing to tell apart."""
        return f", {self.metric}" if self.is_one_of_several else ""

    @property
    def sentence(self) -> str:
        """That several tasks are taken together; empty for one."""
        return f" {self.tasks} tasks with {self.metric} taken together." if self.tasks > 1 else ""


def colour_of(place: int, total: int) -> str:
    """The name of a run's colour."""
    return "after" if total == 1 else SIDES[place]


def sides_key(labels: Sequence[str], *more: tuple[str, str]) -> list[tuple[str, str]]:
    """The marks of the runs, for the key of a chart."""
    signs = ["after"] if len(labels) == 1 else list(SIDES)
    return [*((f"bar-{sign}", label) for sign, label in zip(signs, labels, strict=True)), *more]


def titled(title: str, **more: Any) -> Spec:
    """An axis with a title at its start."""
    return {"title": title, "titleAnchor": "start", **more}


# --- calibration


def calibration_chart(sides: Sequence[SideCalibration], pool: Pool) -> Chart:
    """Accuracy against confidence, a point a bin."""
    rows = [
        {
            "side": place,
            "confidence": 100 * one.confidence,
            "accuracy": 100 * one.accuracy,
            "n": one.n,
            "paint": f"var(--{colour_of(place, len(sides))})",
            "about": f"{side.label}: {figures.count(one.n)} documents with confidence around "
            f"{100 * one.confidence:.0f}%, {100 * one.accuracy:.0f}% right",
        }
        for place, side in enumerate(sides)
        for one in side.found.bins
    ]
    about = (
        f"Confidence is the picked choice's share of the {_what(pool.metric)} of all choices. On the dashed line a model is "
        "right as often as it is sure; below it, it is surer than it should be. Larger dots stand for more documents."
        f"{pool.sentence}"
    )
    return chart(
        f"Is it right when it is sure?{pool.where.replace(',', '')}",
        about,
        lambda layout: _calibration(rows),
        key=sides_key([s.label for s in sides]),
        layouts=(SMALL,),
    )


def _what(metric: str) -> str:
    return {
        "acc_norm": "exponential of the log-probability per character",
        "acc_bytes": "exponential of the log-probability per byte",
    }.get(metric, "probability")


def _calibration(rows: Sequence[Mapping[str, Any]]) -> Spec:
    def at(field: str, title: str) -> Spec:
        scale = {"domain": [0, 100], "nice": False}
        return {"field": field, "type": "quantitative", "scale": scale, "axis": titled(title, tickCount=5)}

    x, y = at("confidence", "confidence, percent"), at("accuracy", "right, percent")
    paint = {"field": "paint", "type": "nominal", "scale": None}
    diagonal = values([{"confidence": 0, "accuracy": 0}, {"confidence": 100, "accuracy": 100}])
    size = {"field": "n", "type": "quantitative", "scale": {"range": [30, 260], "domainMin": 0}}
    return {
        "width": SMALL.plot,
        "height": 250,
        "layer": [
            {
                "data": diagonal,
                "mark": {"type": "line", "stroke": SOFT, "strokeDash": [4, 4], "strokeWidth": 1.5, "aria": False},
                "encoding": {"x": x, "y": y},
            },
            {
                "data": values(rows),
                "mark": {"type": "line", "strokeWidth": 2, "aria": False},
                "encoding": {"x": x, "y": y, "stroke": paint, "detail": {"field": "side", "type": "nominal"}},
            },
            {
                "data": values(rows),
                "mark": {"type": "point", "filled": True, "opacity": 1},
                "encoding": {"x": x, "y": y, "fill": paint, "size": size, "description": {"field": "about"}},
            },
        ],
    }


# --- outcomes


def outcome_chart(rows: Sequence[tuple[str, str, Mapping[str, int]]], order: Sequence[str]) -> Chart:
    """A bar for each task and run, of the shares of its outcomes."""
    data: list[dict[str, Any]] = []
    words: dict[str, None] = {}
    for place, (task, side, counts) in enumerate(rows):
        kinds = [*order, *(kind for kind in counts if kind not in order and kind not in ("skipped", "scored"))]
        total = sum(counts.get(kind, 0) for kind in kinds)
        start = 0.0
        for kind in kinds:
            number = counts.get(kind, 0)
            if not number:
                continue
            words[kind] = None
            share = 100 * number / total
            about = f"{task}{', ' + side if side else ''}: {number:,} of {total:,} {kind}"
            data.append(
                {
                    "row": place,
                    "start": start,
                    "end": start + share,
                    "paint": f"var(--outcome-{kind}, var(--soft))",
                    "about": about,
                    "text": f"{number:,}" if share >= 7 else "",
                    "ink": "#ffffff" if kind in ("right", "errored") else "#14171a",
                }
            )
            start += share
    names = [
        {"row": place, "name": f"{task}{' · ' + side if side else ''}"} for place, (task, side, _) in enumerate(rows)
    ]
    seen = [kind for kind in order if kind in words]
    about = "What became of the documents of each task. Only right and wrong are answers that could be read."
    return chart(
        "Outcomes",
        about,
        lambda layout: _outcomes(data, names, layout),
        key=[(f"outcome-{kind}", kind) for kind in seen],
    )


def _outcomes(data: Sequence[Mapping[str, Any]], names: Sequence[Mapping[str, Any]], layout: Layout) -> Spec:
    layout = layout.fitted([str(one["name"]) for one in names])
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"padding": 0.25}}
    width = layout.width - layout.names - 14
    x = {
        "field": "start",
        "type": "quantitative",
        "scale": {"domain": [0, 100], "nice": False},
        "axis": titled("percent of documents", tickCount=5),
    }
    middle = "(datum.start + datum.end) / 2"
    return {
        "width": width,
        "height": {"step": 30},
        "layer": [
            {
                "data": values(data),
                "mark": {"type": "bar", "stroke": "var(--card)", "strokeWidth": 1},
                "encoding": {
                    "x": x,
                    "x2": {"field": "end"},
                    "y": y,
                    "fill": {"field": "paint", "type": "nominal", "scale": None},
                    "description": {"field": "about"},
                },
            },
            {
                "data": values(data),
                "transform": [{"calculate": middle, "as": "middle"}],
                "mark": text_mark("center", fontSize=12),
                "encoding": {
                    "x": {**x, "field": "middle"},
                    "y": y,
                    "text": {"field": "text"},
                    "fill": {"field": "ink", "type": "nominal", "scale": None},
                },
            },
            {
                "data": values(names),
                "mark": text_mark(fontSize=12 if layout.is_narrow else 13, limit=layout.names - 10),
                "encoding": {"x": {"value": -layout.names}, "y": y, "text": {"field": "name"}},
            },
        ],
    }


# --- training


def loss_chart(points: Sequence[tuple[float, float]]) -> Chart:
    """Loss over training steps.

    Args:
        points: (step, loss in nats a token), in order; at least one.
    """
    rows = [
        {"step": step, "loss": loss, "about": f"step {step:g}: loss {figures.plain(loss)}"} for step, loss in points
    ]
    first, last = (figures.plain(points[place][1]) for place in (0, -1))
    about = f"Mean loss on the training data, nats a token: {first} at first, {last} at the end."
    return chart("Training loss", about, lambda layout: _loss(rows, layout))


def _loss(rows: Sequence[Mapping[str, Any]], layout: Layout) -> Spec:
    x = {
        "field": "step",
        "type": "quantitative",
        "axis": titled("step", tickCount=4 if layout.is_narrow else 8),
        "scale": {"nice": False},
    }
    y = {"field": "loss", "type": "quantitative", "axis": titled("loss", tickCount=5), "scale": {"zero": False}}
    return {
        "data": values(rows),
        "width": layout.width - 60,
        "height": 220,
        "layer": [
            {
                "mark": {"type": "line", "stroke": "var(--accent)", "strokeWidth": 2, "aria": False},
                "encoding": {"x": x, "y": y},
            },
            {
                "mark": {"type": "point", "filled": True, "fill": "var(--accent)", "size": 24, "opacity": 1},
                "encoding": {"x": x, "y": y, "description": {"field": "about"}},
            },
        ],
    }
