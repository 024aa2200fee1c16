"""Charts of the places of picked and right choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.reports.html import figures
from evalkit.reports.html.charts import INK, Chart, Spec, chart, text_mark, values
from evalkit.reports.html.plots import SMALL, Pool, colour_of, sides_key, titled

if TYPE_CHECKING:
    from evalkit.stats.confusion import Confusion
    from evalkit.stats.positions import PositionBias


def position_chart(biases: Sequence[PositionBias], labels: Sequence[str], n: int, pool: Pool) -> Chart:
    """How often each place was right and was picked."""
    rows = []
    columns = [("right answers", "gold", biases[0].gold)]
    columns += [
        (label, colour_of(place, len(biases)), bias.picked)
        for place, (label, bias) in enumerate(zip(labels, biases, strict=True))
    ]
    for order, (label, paint, counts) in enumerate(columns):
        for place, number in enumerate(counts):
            letter = chr(ord("A") + place)
            about = f"{letter}, {label}: {figures.count(number)} of {figures.count(n)}"
            rows.append(
                {
                    "letter": letter,
                    "order": order,
                    "share": 100 * number / n,
                    "paint": f"var(--{paint})",
                    "about": about,
                }
            )
    text = f"How often each place is right and is picked, {figures.count(n)} questions. A is the first choice; "
    text += f"picked is what {pool.metric} takes as the answer.{pool.sentence}"
    key = [("bar-gold", "right answers"), *sides_key(labels)]
    return chart(
        f"Does it prefer a place?{pool.where.replace(',', '')}",
        text,
        lambda layout: _position(rows),
        key=key,
        layouts=(SMALL,),
    )


def _position(rows: Sequence[Mapping[str, Any]]) -> Spec:
    return {
        "data": values(rows),
        "width": SMALL.plot,
        "height": 250,
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": {
            "x": {
                "field": "letter",
                "type": "nominal",
                "axis": titled("", labelAngle=0),
                "scale": {"paddingInner": 0.25},
            },
            "xOffset": {"field": "order", "type": "ordinal"},
            "y": {
                "field": "share",
                "type": "quantitative",
                "stack": None,
                "axis": titled("percent of questions", tickCount=5),
            },
            "fill": {"field": "paint", "type": "nominal", "scale": None},
            "description": {"field": "about"},
        },
    }


def confusion_chart(confusion: Confusion, label: str, n: int, pool: Pool) -> Chart:
    """Right place against picked place, in percent of the row."""
    rows = []
    for gold, counts in zip(confusion.labels, confusion.counts, strict=True):
        total = sum(counts)
        for pick, number in zip(confusion.labels, counts, strict=True):
            part = number / total if total else 0.0
            about = f"{label}: right is {gold}, picked is {pick}: {number:,} of {total:,}"
            rows.append(_square(gold, pick, f"{100 * part:.0f}", 0.06 + 0.42 * part, "var(--accent)", about))
    text = f"Rows are the right place, columns the picked one, in percent of the row; {figures.count(n)} questions."
    return chart(f"Picked for right: {label}{pool.where}", text, lambda layout: _squares(rows), layouts=(SMALL,))


def confusion_change_chart(before: Confusion, after: Confusion, pool: Pool) -> Chart:
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
    return chart(f"What moved{pool.where}", text, lambda layout: _squares(rows), key=key, layouts=(SMALL,))


def _square(gold: object, pick: object, text: str, opacity: float, paint: str, about: str) -> dict[str, Any]:
    return {"gold": str(gold), "pick": str(pick), "text": text, "opacity": opacity, "paint": paint, "about": about}


def _squares(rows: Sequence[Mapping[str, Any]]) -> Spec:
    place = {"type": "nominal", "scale": {"padding": 0.04}}
    axes = {
        "x": {**place, "field": "pick", "axis": titled("picked", labelAngle=0, orient="top", grid=False)},
        "y": {**place, "field": "gold", "axis": titled("right", titleAngle=0, titleAlign="left", grid=False)},
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
