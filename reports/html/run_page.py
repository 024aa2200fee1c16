"""The page of a run: scores with their intervals and chance, outcomes, answers, documents, how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evalkit
from evalkit.reports.html import figures, made
from evalkit.reports.html.charts import Chart, chart
from evalkit.reports.html.diagnostics import diagnose, outcomes, run_outcomes
from evalkit.reports.html.explorer import Explorer, context, explore, own_log
from evalkit.reports.html.forest import ForestRow, forest
from evalkit.reports.html.items import run_items
from evalkit.reports.html.plots import loss_chart
from evalkit.reports.html.room import PLOT_ROWS, TABLE_ROWS, left_out
from evalkit.reports.notes import notes
from evalkit.reports.rows import ScoreRow, is_large, is_percentage, score_rows
from evalkit.reports.tables import Table
from evalkit.reports.text import visible
from evalkit.results import MetricValue, Run


@dataclass(frozen=True, slots=True)
class RunRow:
    """A line of the table of scores, with the name of the group it is in."""

    score: ScoreRow
    name: str
    parent: str
    sort: dict[str, float | str]


def run_context(run: Run, samples_log: Path | None) -> dict[str, Any]:
    """Everything that the template of a run shows.

    Raises:
        UsageError: The sample log is missing or damaged.
    """
    items = run_items(run)
    name = visible(_label(run))
    explorer = explore(items, [name], [own_log(run, samples_log)])
    charts, tables = _answers(run, explorer)
    rows = _table(run)
    return {
        "title": name,
        "version": evalkit.__version__,
        "sections": _sections(bool(charts or tables)),
        "headline": _headline(run),
        "model": _model(run),
        "subline": _subline(run),
        "standing": _standing(run),
        "notes": notes(run),
        "forests": list(_forests(run)),
        "rows": rows[:TABLE_ROWS],
        "rows_left": left_out(len(rows), TABLE_ROWS, "the first"),
        "seeds": any(value.spread for task in run.tasks.values() for value in task.metrics.values()),
        "charts": charts,
        "tables": tables,
        "made": _made(run, samples_log),
        **context(explorer),
    }


def _label(run: Run) -> str:
    """The model's name; of a path its last part."""
    return run.model.name.rstrip("/").rpartition("/")[2] or run.model.name


def _sections(answers: bool) -> list[tuple[str, str]]:
    found = [("verdict", "Summary"), ("picture", "Picture"), ("table", "Numbers")]
    found += [("where", "Answers")] if answers else []
    return [*found, ("items", "Documents"), ("made", "How it was made")]


# --- the summary


def _headline(run: Run) -> str:
    """The scores in one sentence: of up to three tasks or groups, or how many there are."""
    roots = _roots(run)
    name = visible(_label(run))
    if len(roots) > 3:
        above, level, tested = _against_chance(run, roots)
        if tested:
            return f"{name} is above chance on {above} of {tested} tasks" + (
                f", not told from it on {level}." if level else "."
            )
        return f"{name} on {len(roots)} tasks."
    said = []
    for root in roots:
        metric, value = _main(run, root)
        said.append(f"{figures.score(value.value, is_percentage(value))} on {visible(root)} ({visible(metric)})")
    return f"{name}: {', '.join(said)}."


def _against_chance(run: Run, roots: Sequence[str]) -> tuple[int, int, int]:
    """Tasks above chance, not told from chance, and all that have a chance level."""
    values = [value for root in roots for value in [_main(run, root)[1]] if value.chance is not None and value.ci95]
    above = sum(value.ci95[0] > value.chance for value in values if value.ci95 and value.chance is not None)
    level = sum(
        value.ci95[0] <= value.chance <= value.ci95[1] for value in values if value.ci95 and value.chance is not None
    )
    return above, level, len(values)


def _standing(run: Run) -> str:
    """Which scores are above guessing: what a newcomer must know before any number."""
    better, level = [], []
    for root in _roots(run):
        value = _main(run, root)[1]
        if value.chance is None or value.ci95 is None:
            continue
        if value.ci95[0] > value.chance:
            better.append(visible(root))
        elif value.ci95[1] >= value.chance:
            level.append(visible(root))
    said = [f"better than guessing on {_list(better)}"] if better else []
    said += [f"not told from guessing on {_list(level)}"] if level else []
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _list(names: Sequence[str]) -> str:
    if len(names) > 6:
        return f"{len(names)} tasks"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _roots(run: Run) -> list[str]:
    inner = {member for group in run.groups.values() for member in group.tasks}
    roots = [name for name in (*run.groups, *run.tasks) if name not in inner]
    order = {name: place for place, name in enumerate(run.tasks)}
    return sorted(roots, key=lambda name: min((order[leaf] for leaf in _leaves(run, name)), default=len(order)))


def _leaves(run: Run, name: str) -> tuple[str, ...]:
    return run.leaves(name) if name in run.groups else (name,)


def _main(run: Run, name: str) -> tuple[str, MetricValue]:
    metrics = run.groups[name].metrics if name in run.groups else run.tasks[name].metrics
    return next(iter(metrics.items()))


def _model(run: Run) -> str:
    model = run.model
    parts = [model.name, f"{model.parameters:,} parameters" if model.parameters else "", model.dtype, model.source]
    parts.append(f"adapter {model.adapter}" if model.adapter else "")
    return visible(", ".join(part for part in parts if part))


def _subline(run: Run) -> str:
    n = sum(task.n for task in run.tasks.values())
    tasks = len(run.tasks)
    documents = f"{figures.count(n)} document{'' if n == 1 else 's'}"
    return f"{documents}, {tasks} task{'' if tasks == 1 else 's'}, {visible(run.created[:10])}"


# --- the picture


def _forests(run: Run) -> Iterator[Chart]:
    rows = [row for root in _roots(run) for row in _forest_branch(run, root, 0)]
    percent = [row for _, is_share, row in rows if is_share]
    if percent:
        about = (
            "Each dot is a score in percent, the line through it its 95% interval: the true score is likely within it. "
        )
        about += f"The tick is what guessing gives. {left_out(len(percent), PLOT_ROWS, 'the first')}".rstrip()
        percent = percent[:PLOT_ROWS]
        key = [("score", "score"), ("tick", "chance")]
        title = "Scores beside chance"
        yield chart(
            title, about, lambda layout: forest(percent, layout, axis="percent", zero=False, domain=(0, 100)), key=key
        )
    for metric in dict.fromkeys(metric for metric, is_share, _ in rows if not is_share):
        yield _other_forest(metric, [row for name, is_share, row in rows if name == metric and not is_share])


def _other_forest(metric: str, rows: Sequence[ForestRow]) -> Chart:
    """Scores that are no percentages, of one metric, which has a unit of its own."""
    name = visible(metric).replace("_", " ")
    about = "Each dot is a score, the line through it its 95% interval."
    about = f"{about} {left_out(len(rows), PLOT_ROWS, 'the first')}".rstrip()
    rows = rows[:PLOT_ROWS]
    return chart(name, about, lambda layout: forest(rows, layout, axis=name, zero=False), key=[("score", "score")])


def _forest_branch(run: Run, name: str, depth: int) -> Iterator[tuple[str, bool, ForestRow]]:
    """(metric, whether it is in percent, row) of a task or group and, unless there are many, of its members."""
    metric, value = _main(run, name)
    is_group = name in run.groups
    n = sum(run.tasks[leaf].n for leaf in _leaves(run, name))
    yield metric, is_percentage(value), _forest_row(name, depth, is_group, metric, value, n)
    if is_group and not is_large(run, run.groups[name]):
        for member in run.groups[name].tasks:
            yield from _forest_branch(run, member, depth + 1)


def _forest_row(name: str, depth: int, is_group: bool, metric: str, value: MetricValue, n: int) -> ForestRow:
    percent = is_percentage(value)
    scale = 100 if percent else 1
    ends = figures.limits(value.ci95, percent)
    text = figures.score(value.value, percent)
    about = f"{visible(metric)} of {name}: {text}" + (f", 95% interval {ends}" if ends else "")
    about += f", chance {figures.score(value.chance, percent)}" if value.chance is not None else ""
    return ForestRow(
        name=name,
        depth=depth,
        is_group=is_group,
        value=scale * value.value,
        limits=None if value.ci95 is None else (scale * value.ci95[0], scale * value.ci95[1]),
        kind="score",
        text=f"{text}  {visible(metric)}",
        short=text,
        about=f"{about}, {figures.count(n)} documents",
        chance=None if value.chance is None else scale * value.chance,
    )


# --- the table


def _table(run: Run) -> list[RunRow]:
    """Rows with the name of what they are in: their group, or for a further metric the task itself."""
    found: list[RunRow] = []
    path: list[str] = []
    for row in score_rows(run, expand=True):
        if row.name:
            del path[row.depth :]
            parent = path[-1] if path else ""
            path.append(row.name)
        else:
            parent = path[-1]
        value = -1.0 if row.share is None else row.share
        name = row.name or f"{parent} {row.metric}"
        found.append(RunRow(row, name, parent, {"n": row.n.replace(",", ""), "value": value}))
    return found


# --- answers


def _answers(run: Run, explorer: Explorer) -> tuple[list[Chart], list[Table]]:
    found = outcomes(run_outcomes(run)[:PLOT_ROWS])
    charts = [found] if found else []
    curve = made.loss_curve(run)
    if curve:
        charts.append(loss_chart(curve))
    more, tables = diagnose(explorer.items, explorer.records, [visible(_label(run))])
    return charts + more, tables


def _made(run: Run, samples_log: Path | None) -> dict[str, Any]:
    commands = []
    if samples_log is not None:
        result = samples_log.with_name(samples_log.name.replace(".samples.parquet", ".json"))
        commands = [
            {
                "about": "Compare with another run",
                "text": made.command("compare", result, "other.json", "--html", "comparison.html"),
            },
        ]
    return {
        "labels": [visible(_label(run))],
        "commands": commands,
        "facts": made.facts([run]),
        "tasks": made.task_facts(run)[:TABLE_ROWS],
        "tasks_left": left_out(len(run.tasks), TABLE_ROWS, "the first"),
        "notes": [],
    }
