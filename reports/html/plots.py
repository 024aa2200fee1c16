"""Small charts: calibration, confusion, places, outcomes, loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.reports.html import figures
from evalkit.reports.html.charts import INK, SOFT, Chart, Layout, Spec, chart, text_mark, values

if TYPE_CHECKING:
    from evalkit.stats.calibration import Calibration
    from evalkit.stats.confusion import Confusion
    from evalkit.stats.positions import PositionBias

SMALL = Layout("only", 330, 44, 8)
"""Room of a chart that fits a phone and stands beside others at a desk."""

SIDES = ("before", "after")


@dataclass(frozen=True, slots=True)
class SideCalibration:
    """The calibration of one run."""

    label: str
    found: Calibration


def _paint(place: int, total: int) -> str:
    return "after" if total == 1 else SIDES[place]


def _key(labels: Sequence[str], *more: tuple[str, str]) -> list[tuple[str, str]]:
    signs = ["after"] if len(labels) == 1 else list(SIDES)
    return [*((f"bar-{sign}", label) for sign, label in zip(signs, labels, strict=True)), *more]


def _axis(title: str, **more: Any) -> Spec:
    return {"title": title, "titleAnchor": "start", **more}


# --- calibration


def calibration_chart(sides: Sequence[SideCalibration]) -> Chart:
    """Accuracy against confidence, a point a bin."""
    rows = [
        {
            "side": place,
            "confidence": 100 * one.confidence,
            "accuracy": 100 * one.accuracy,
            "n": one.n,
            "paint": f"var(--{_paint(place, len(sides))})",
            "about": f"{side.label}: {figures.count(one.n)} documents with confidence around "
            f"{100 * one.confidence:.0f}%, {100 * one.accuracy:.0f}% right",
        }
        for place, side in enumerate(sides)
        for one in side.found.bins
    ]
    about = (
        "Confidence is the picked choice's share of the probability of all choices. On the dashed line a model is right as "
        "often as it is sure; below it, it is surer than it should be. Larger dots stand for more documents."
    )
    return chart("Is it right when it is sure?", about, lambda layout: _calibration(rows), key=_key([s.label for s in sides]), layouts=(SMALL,))


def _calibration(rows: Sequence[Mapping[str, Any]]) -> Spec:
    def at(field: str, title: str) -> Spec:
        scale = {"domain": [0, 100], "nice": False}
        return {"field": field, "type": "quantitative", "scale": scale, "axis": _axis(title, tickCount=5)}

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


# --- places and confusion


def position_chart(biases: Sequence[PositionBias], labels: Sequence[str], n: int) -> Chart:
    """How often each place was right and was picked."""
    rows = []
    columns = [("right answers", "gold", biases[0].gold)]
    columns += [(label, _paint(place, len(biases)), bias.picked) for place, (label, bias) in enumerate(zip(labels, biases, strict=True))]
    for order, (label, paint, counts) in enumerate(columns):
        for place, number in enumerate(counts):
            letter = chr(ord("A") + place)
            about = f"{letter}, {label}: {figures.count(number)} of {figures.count(n)}"
            rows.append({"letter": letter, "order": order, "share": 100 * number / n, "paint": f"var(--{paint})", "about": about})
    text = f"How often each place of the choices is right and is picked, {figures.count(n)} questions. A is the first choice."
    key = [("bar-gold", "right answers"), *_key(labels)]
    return chart("Does it prefer a place?", text, lambda layout: _position(rows), key=key, layouts=(SMALL,))


def _position(rows: Sequence[Mapping[str, Any]]) -> Spec:
    return {
        "data": values(rows),
        "width": SMALL.plot,
        "height": 250,
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": {
            "x": {"field": "letter", "type": "nominal", "axis": _axis("", labelAngle=0), "scale": {"paddingInner": 0.25}},
            "xOffset": {"field": "order", "type": "ordinal"},
            "y": {"field": "share", "type": "quantitative", "axis": _axis("percent of questions", tickCount=5)},
            "fill": {"field": "paint", "type": "nominal", "scale": None},
            "description": {"field": "about"},
        },
    }


def confusion_chart(confusion: Confusion, label: str, n: int) -> Chart:
    """Right place against picked place, in percent of the row."""
    rows = []
    for gold, counts in zip(confusion.labels, confusion.counts, strict=True):
        total = sum(counts)
        for pick, number in zip(confusion.labels, counts, strict=True):
            part = number / total if total else 0.0
            about = f"{label}: right is {gold}, picked is {pick}: {number:,} of {total:,}"
            rows.append(_square(gold, pick, f"{100 * part:.0f}", 0.06 + 0.42 * part, "var(--accent)", about))
    text = f"Rows are the right place, columns the picked one, in percent of the row; {figures.count(n)} questions."
    return chart(f"Picked for right: {label}", text, lambda layout: _squares(rows), layouts=(SMALL,))


def confusion_change_chart(before: Confusion, after: Confusion) -> Chart:
    """What moved between the two tables, in documents."""
    moved = [
        (gold, pick, second - first)
        for gold, old, new in zip(before.labels, before.counts, after.counts, strict=True)
        for pick, first, second in zip(before.labels, old, new, strict=True)
    ]
    largest = max(abs(number) for _, _, number in moved) or 1
    rows = []
    for gold, pick, number in moved:
        good = (number > 0) == (gold == pick)
        paint = "var(--line)" if number == 0 else "var(--better)" if good else "var(--worse)"
        about = f"right is {gold}, picked is {pick}: {figures.difference(number, False)} documents"
        sign = "0" if number == 0 else f"{number:+d}".replace("-", figures.MINUS)
        rows.append(_square(gold, pick, sign, 0.06 + 0.42 * abs(number) / largest, paint, about))
    text = "After minus before, in documents: more on the diagonal and less beside it is better."
    key = [("worse-cell", "worse"), ("better-cell", "better")]
    return chart("What moved", text, lambda layout: _squares(rows), key=key, layouts=(SMALL,))


def _square(gold: object, pick: object, text: str, opacity: float, paint: str, about: str) -> dict[str, Any]:
    return {"gold": str(gold), "pick": str(pick), "text": text, "opacity": opacity, "paint": paint, "about": about}


def _squares(rows: Sequence[Mapping[str, Any]]) -> Spec:
    place = {"type": "nominal", "scale": {"padding": 0.04}}
    axes = {
        "x": {**place, "field": "pick", "axis": _axis("picked", labelAngle=0, orient="top", grid=False)},
        "y": {**place, "field": "gold", "axis": _axis("right", titleAngle=0, titleAlign="left", grid=False)},
    }
    return {
        "data": values(rows),
        "width": SMALL.plot - 20,
        "height": 240,
        "layer": [
            {
                "mark": {"type": "rect", "cornerRadius": 4},
                "encoding": {
                    **axes,
                    "fill": {"field": "paint", "type": "nominal", "scale": None},
                    "fillOpacity": {"field": "opacity", "type": "quantitative", "scale": None},
                    "description": {"field": "about"},
                },
            },
            {"mark": text_mark("center", fill=INK), "encoding": {**axes, "text": {"field": "text"}}},
        ],
    }


# --- outcomes


def outcome_chart(rows: Sequence[tuple[str, str, Mapping[str, int]]], order: Sequence[str]) -> Chart:
    """A bar for each task and run, of the shares of its outcomes."""
    data, words = [], {}
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
            data.append({"row": place, "start": start, "end": start + share, "paint": f"var(--outcome-{kind}, var(--soft))", "about": about, "text": f"{number:,}" if share >= 7 else "", "ink": "#ffffff" if kind in ("right", "errored") else "#14171a"})
            start += share
    names = [{"row": place, "name": f"{task}{' · ' + side if side else ''}"} for place, (task, side, _) in enumerate(rows)]
    seen = [kind for kind in order if kind in words]
    about = "What became of the documents of each task. Only right and wrong are answers that could be read."
    return chart("Outcomes", about, lambda layout: _outcomes(data, names, layout), key=[(f"outcome-{kind}", kind) for kind in seen])


def _outcomes(data: Sequence[Mapping[str, Any]], names: Sequence[Mapping[str, Any]], layout: Layout) -> Spec:
    layout = layout.fitted([str(one["name"]) for one in names])
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"padding": 0.25}}
    width = layout.width - layout.names - 14
    x = {"field": "start", "type": "quantitative", "scale": {"domain": [0, 100], "nice": False}, "axis": _axis("percent of documents", tickCount=5)}
    middle = "(datum.start + datum.end) / 2"
    return {
        "width": width,
        "height": {"step": 30},
        "layer": [
            {
                "data": values(data),
                "mark": {"type": "bar", "stroke": "var(--card)", "strokeWidth": 1},
                "encoding": {"x": x, "x2": {"field": "end"}, "y": y, "fill": {"field": "paint", "type": "nominal", "scale": None}, "description": {"field": "about"}},
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
    rows = [{"step": step, "loss": loss, "about": f"step {step:g}: loss {figures.plain(loss)}"} for step, loss in points]
    about = f"Mean loss on the training data, nats a token: {figures.plain(points[0][1])} at first, {figures.plain(points[-1][1])} at the end."
    return chart("Training loss", about, lambda layout: _loss(rows, layout))


def _loss(rows: Sequence[Mapping[str, Any]], layout: Layout) -> Spec:
    x = {"field": "step", "type": "quantitative", "axis": _axis("step", tickCount=4 if layout.is_narrow else 8), "scale": {"nice": False}}
    y = {"field": "loss", "type": "quantitative", "axis": _axis("loss", tickCount=5), "scale": {"zero": False}}
    return {
        "data": values(rows),
        "width": layout.width - 60,
        "height": 220,
        "layer": [
            {"mark": {"type": "line", "stroke": "var(--accent)", "strokeWidth": 2, "aria": False}, "encoding": {"x": x, "y": y}},
            {
                "mark": {"type": "point", "filled": True, "fill": "var(--accent)", "size": 24, "opacity": 1},
                "encoding": {"x": x, "y": y, "description": {"field": "about"}},
            },
        ],
    }
