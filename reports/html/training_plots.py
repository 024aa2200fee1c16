"""How a training went, as pictures: losses and scores over its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.fine_tuning import Training
from evalkit.reports.html import figures
from evalkit.reports.html.charts import Chart, Layout, Spec, chart, values
from evalkit.reports.html.plots import titled
from evalkit.reports.text import visible

TASKS = 6
"""Tasks whose scores are drawn."""


def training_chart(training: Training) -> Chart:
    """Training loss and held-out loss over the steps, and the step whose weights were kept.

    Args:
        training: With at least one loss of either kind.
    """
    rows = [_point("training", step, loss) for step, loss in training.losses]
    rows += [_point("held-out", one.step, one.loss) for one in training.held_out]
    kept = next((one for one in training.held_out if one.step == training.best_step), None)
    unit = "nats a token" if training.objective == "sft" else "nats a pair"
    about = f"Loss by step, {unit}: on the rows trained on, and on rows that were held out."
    key = [("bar-before", "training loss")]
    if training.held_out:
        key.append(("bar-after", "held-out loss"))
    if kept is not None:
        loss = figures.plain(kept.loss)
        about += f" The weights of step {kept.step:,} were kept: their held-out loss, {loss}, is the lowest."
        key.append(("tick", "weights that were kept"))
    rule = [] if kept is None else [{"step": kept.step}]
    return chart("Loss", about, lambda layout: _losses(rows, rule, layout), key=key)


def _point(kind: str, step: int, loss: float) -> dict[str, Any]:
    return {"kind": kind, "step": step, "loss": loss, "about": f"step {step:,}: {kind} loss {figures.plain(loss)}"}


def _losses(rows: Sequence[Mapping[str, Any]], rule: Sequence[Mapping[str, Any]], layout: Layout) -> Spec:
    x, y = _steps(layout), {"field": "loss", "type": "quantitative", "axis": titled("loss", tickCount=5)}
    held_out = {"filter": "datum.kind == 'held-out'"}
    layers: list[Spec] = [
        {
            "data": values(rule),
            "mark": {"type": "rule", "stroke": "var(--chance)", "strokeWidth": 2, "aria": False},
            "encoding": {"x": x},
        },
        {
            "transform": [{"filter": "datum.kind == 'training'"}],
            "mark": {"type": "line", "stroke": "var(--before)", "strokeWidth": 2, "aria": False},
            "encoding": {"x": x, "y": y},
        },
        {
            "transform": [held_out],
            "mark": {"type": "line", "stroke": "var(--after)", "strokeWidth": 2, "aria": False},
            "encoding": {"x": x, "y": y},
        },
        {
            "transform": [held_out],
            "mark": {"type": "point", "filled": True, "fill": "var(--after)", "size": 40, "opacity": 1},
            "encoding": {"x": x, "y": y, "description": {"field": "about"}},
        },
    ]
    return {"data": values(rows), "width": layout.width - 60, "height": 240, "layer": layers if rule else layers[1:]}


def score_chart(training: Training) -> Chart:
    """Scores of the live model over the steps, a line a task.

    Args:
        training: With at least two evaluations.
    """
    names = list(dict.fromkeys(name for one in training.small for name in one.scores))[:TASKS]
    rows = [
        {
            "task": visible(name),
            "step": one.step,
            "score": one.scores[name],
            "about": f"{visible(name)}, step {one.step:,}: {figures.plain(one.scores[name])}, n {one.n.get(name, 0)}",
        }
        for one in training.small
        for name in names
        if name in one.scores
    ]
    about = "Main metric of each task on a small slice, with the live model: a sign of life, too small for a verdict."
    return chart("Scores during training", about, lambda layout: _scores(rows, layout))


def _scores(rows: Sequence[Mapping[str, Any]], layout: Layout) -> Spec:
    encoding = {
        "x": _steps(layout),
        "y": {"field": "score", "type": "quantitative", "axis": titled("score", tickCount=4)},
    }
    header = {"labelAngle": 0, "labelAnchor": "start", "labelOrient": "top"}
    return {
        "data": values(rows),
        "facet": {"row": {"field": "task", "type": "nominal", "title": None, "header": header}},
        "spec": {
            "width": layout.width - 60,
            "height": 90,
            "layer": [
                {
                    "mark": {"type": "line", "stroke": "var(--after)", "strokeWidth": 2, "aria": False},
                    "encoding": encoding,
                },
                {
                    "mark": {"type": "point", "filled": True, "fill": "var(--after)", "size": 40, "opacity": 1},
                    "encoding": {**encoding, "description": {"field": "about"}},
                },
            ],
        },
        "resolve": {"scale": {"y": "independent"}},
    }


def _steps(layout: Layout) -> Spec:
    axis = titled("step", tickCount=4 if layout.is_narrow else 8)
    return {"field": "step", "type": "quantitative", "axis": axis, "scale": {"nice": False}}
