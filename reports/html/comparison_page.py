"""The page of a comparison: the verdict, the picture, the table, where it happens, the documents, how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evalkit
from evalkit.comparison import Comparison, FieldDifference, Side, Verdict
from evalkit.reports.html import figures, made
from evalkit.reports.html.charts import Chart, chart
from evalkit.reports.html.diagnostics import diagnose, outcomes, unusual
from evalkit.reports.html.explorer import Explorer, context, explore, own_log
from evalkit.reports.html.forest import forest
from evalkit.reports.html.heat import category_bars, heat_maps
from evalkit.reports.html.items import comparison_items, leaves
from evalkit.reports.html.plots import loss_chart
from evalkit.reports.html.room import PLOT_ROWS, TABLE_ROWS, left_out
from evalkit.reports.html.verdicts import KIND, WHICH, Panel, is_large, other_rows, panels, share, shown_rows, table
from evalkit.reports.notes import notes
from evalkit.reports.tables import Table
from evalkit.reports.text import visible
from evalkit.results import samples_path


@dataclass(frozen=True, slots=True)
class Chip:
    """A short warning: `kind` is `warn`, `stop` or `plain`."""

    kind: str
    text: str


def comparison_context(comparison: Comparison, words: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Everything that the template of a comparison shows.

    Args:
        comparison: Two runs.
        words: Verdict -> what the picture calls it, where that is not its own name.

    Raises:
        UsageError: The sample log beside a result file is damaged.
    """
    sides = (comparison.before, comparison.after)
    items = comparison_items(comparison)
    explorer = explore(items, [side.label for side in sides], [own_log(side.run, _log(side)) for side in sides])
    charts, tables = _where(comparison, explorer)
    arrow = "→" if _compared(comparison) else "and"
    rows, others = table(comparison), other_rows(comparison)
    return {
        "title": f"{visible(comparison.before.label)} {arrow} {visible(comparison.after.label)}",
        "arrow": arrow,
        "version": evalkit.__version__,
        "sections": _sections(bool(charts or tables)),
        "headline": _sentence(visible(comparison.headline())),
        "before": visible(comparison.before.label),
        "after": visible(comparison.after.label),
        "subline": _subline(comparison),
        "chips": list(_chips(comparison)),
        "tally": list(_tally(comparison)),
        "overall": _overall(comparison),
        "overall_mark": _overall_mark(comparison),
        "remarks": list(map(visible, comparison.notes)),
        "forests": list(_forests(comparison, words or {})),
        "level": _level(comparison),
        "rows": shown_rows(rows),
        "rows_left": left_out(len(rows), TABLE_ROWS, WHICH),
        "others": shown_rows(others),
        "others_left": left_out(len(others), TABLE_ROWS, WHICH),
        "charts": charts,
        "tables": tables,
        "made": _made(comparison),
        **context(explorer),
    }


def _compared(comparison: Comparison) -> list[str]:
    """Tasks that can be compared."""
    return [name for name in leaves(comparison) if comparison.tasks[name].change.verdict is not Verdict.NOT_COMPARABLE]


def _sentence(text: str) -> str:
    """With a full stop, and a capital where it does not begin with a model's name."""
    return (text[0].upper() + text[1:] if text.startswith("whether ") else text) + "."


def _sections(where: bool) -> list[tuple[str, str]]:
    found = [("verdict", "Verdict"), ("picture", "Picture"), ("table", "Numbers")]
    found += [("where", "Where")] if where else []
    return [*found, ("items", "Documents"), ("made", "How it was made")]


def _log(side: Side) -> Path | None:
    """The log beside the run's file, where there is one."""
    if side.path is None:
        return None
    path = samples_path(side.path)
    return path if path.is_file() else None


def _level(comparison: Comparison) -> str:
    return f"{100 * (1 - comparison.alpha):g}%"


# --- the verdict


def _subline(comparison: Comparison) -> str:
    paired = sum(comparison.tasks[name].pairing.paired for name in leaves(comparison))
    tasks = len(leaves(comparison))
    after = comparison.after.run
    shots = sorted({after.tasks[name].shots for name in leaves(comparison)})
    parts = [
        f"{figures.count(paired)} document{'' if paired == 1 else 's'} paired",
        f"{tasks} task{'' if tasks == 1 else 's'}",
    ]
    if shots:
        parts.append(
            f"{shots[0] if len(shots) == 1 else f'{shots[0]} to {shots[-1]}'} shot{'' if shots == [1] else 's'}"
        )
    return ", ".join([*parts, visible(after.created[:10])])


def _chips(comparison: Comparison) -> Iterator[Chip]:
    for difference in comparison.conditions:
        stops = difference.blocks and not difference.allowed
        text = _difference(difference)
        yield Chip("stop", f"not comparable: {text}") if stops else Chip("warn", text)
    limit = comparison.after.run.settings.get("limit")
    if limit not in (None, "none") and not any(one.field == "limit" for one in comparison.conditions):
        yield Chip("warn", f"only a part of the documents: limit {visible(str(limit))}")
    dropped = sum(comparison.tasks[name].pairing.dropped for name in leaves(comparison))
    if dropped:
        said = "document is" if dropped == 1 else "documents are"
        yield Chip("warn", f"{figures.count(dropped)} {said} in no pair")
    for side, word in ((comparison.before.run, "before"), (comparison.after.run, "after")):
        counts = [side.tasks[name].outcomes for name in leaves(comparison)]
        kinds = ("unparsed", "empty", "truncated", "refused", "errored")
        unread = sum(count.get(kind, 0) for count in counts for kind in kinds)
        if unread:
            yield Chip("warn", f"{figures.count(unread)} answer{'' if unread == 1 else 's'} unreadable {word}")
    missing = [*comparison.only_before, *comparison.only_after]
    if missing:
        yield Chip("warn", f"in one run only: {', '.join(map(visible, missing[:3]))}{' …' if len(missing) > 3 else ''}")


def _difference(one: FieldDifference) -> str:
    where = f" ({', '.join(map(visible, one.tasks[:2]))}{' …' if len(one.tasks) > 2 else ''})" if one.tasks else ""
    values = [_shortened(value) for value in (one.before, one.after)]
    allowed = ", allowed" if one.allowed else ""
    between = "/" if one.blocks and not one.allowed else "→"
    return f"{visible(one.field)}: {values[0]} {between} {values[1]}{where}{allowed}"


def _shortened(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= 40 else f"{shown[:37]}…"


def _tally(comparison: Comparison) -> Iterator[tuple[str, int, str]]:
    for verdict, number in comparison.counts().items():
        judged = verdict in (Verdict.IMPROVED, Verdict.REGRESSED, Verdict.UNDECIDED) and _compared(comparison)
        if number or judged:
            yield KIND[verdict], number, verdict.value


def _overall(comparison: Comparison) -> str:
    change = comparison.overall
    if change is None or change.verdict is Verdict.NOT_COMPARABLE:
        return ""
    percent = share(change)
    text = f"Mean over the {len(comparison.roots)} tasks: {figures.score(change.before, percent)} before, "
    text += f"{figures.score(change.after, percent)} after, {figures.difference(change.difference, percent)}"
    text += " points" if percent else ""
    ends = figures.difference_limits(change.interval, percent)
    return text + (f" ({_level(comparison)} interval {ends})." if ends else ".")


def _overall_mark(comparison: Comparison) -> tuple[str, str]:
    """Mark and word of the verdict on the mean, which the tally of tasks does not count."""
    change = comparison.overall
    return ("none", "") if change is None else (KIND[change.verdict], change.word)


# --- the picture


def _forests(comparison: Comparison, words: Mapping[str, str]) -> Iterator[Chart]:
    for panel in panels(comparison, words):
        if not panel.metric:
            yield _forest(comparison, words, "Difference in points", panel, "points")
        elif panel.is_relative:
            name = visible(panel.metric).replace("_", " ")
            axis = "percent (100 times the logarithm of after / before)"
            yield _forest(comparison, words, f"Relative change of {name}", panel, axis)
        else:
            name = visible(panel.metric).replace("_", " ")
            yield _forest(comparison, words, f"Difference in {name}", panel, name)


def _forest(comparison: Comparison, words: Mapping[str, str], title: str, panel: Panel, axis: str) -> Chart:
    rows = panel.rows
    better = "left" if panel.lower_is_better else "right"
    about = "Less is better. " if panel.lower_is_better else ""
    about += f"Each dot is a task: {better} of the line the second run is better. "
    about += f"The line through it is the {_level(comparison)} interval."
    kinds = {row.kind for row in rows}
    key = [(KIND[verdict], words.get(verdict.value, verdict.value)) for verdict in Verdict if KIND[verdict] in kinds]
    if any(row.text.endswith("no loss") for row in rows):
        key = [(kind, f"{word} or no loss" if word == Verdict.WITHIN_MARGIN.value else word) for kind, word in key]
    if any(row.margin for row in rows):
        about += " The shaded band is the tolerated margin."
        key.append(("band", "tolerated margin"))
    if panel.total > len(rows):
        about += f" {left_out(panel.total, len(rows), WHICH)}"
    if any(is_large(comparison, task) for task in comparison.tasks.values()):
        about += " Large groups stand for their tasks."
    return chart(title, about, lambda layout: forest(rows, layout, axis=axis, zero=True), key=key)


# --- where it happens


def _where(comparison: Comparison, explorer: Explorer) -> tuple[list[Chart], list[Table]]:
    charts = [*heat_maps(comparison), *category_bars(comparison)]
    told = [
        (name, word, counts)
        for name in comparison.roots
        for word, counts in (
            ("before", comparison.tasks[name].outcomes_before),
            ("after", comparison.tasks[name].outcomes_after),
        )
        if counts
    ]
    if unusual(counts for _, _, counts in told) and (found := outcomes(told[:PLOT_ROWS])):
        charts.append(found)
    curve = made.loss_curve(comparison.after.run)
    if curve:
        charts.append(loss_chart(curve))
    known = set(_compared(comparison))
    items = [item for item in explorer.items if item.task in known]
    more, tables = diagnose(items, explorer.records, ("before", "after"))
    causes = _causes(comparison)
    return charts + more, [*([causes] if causes else []), *tables]


def _causes(comparison: Comparison) -> Table | None:
    """What each difference is made of, where answers that could not be read have a part in it."""
    rows = []
    for name in comparison.roots:
        change = comparison.tasks[name].change
        parts = change.attribution.parts if change.attribution else {}
        if change.verdict is Verdict.NOT_COMPARABLE or len([part for part in parts.values() if part]) < 2:
            continue
        fixed, broken = (change.attribution.fixed, change.attribution.broken) if change.attribution else ({}, {})
        for cause, part in parts.items():
            amount = figures.difference(part, share(change))
            rows.append((visible(name), cause.value, amount, str(fixed.get(cause, 0)), str(broken.get(cause, 0))))
    if not rows:
        return None
    headings = ("task", "cause", "part of the difference", "fixed", "broken")
    caption = "What the difference is made of: knowledge, or answers that could not be read"
    return Table(caption, headings, tuple(rows[:TABLE_ROWS]))


# --- how it was made


def _made(comparison: Comparison) -> dict[str, Any]:
    sides = (comparison.before, comparison.after)
    paths = [side.path for side in sides]
    commands = [
        {"about": "This comparison again", "text": made.command("compare", *paths, "--html", "comparison.html")}
    ]
    found = {f"Notes on {visible(side.label)}": notes(side.run) for side in sides}
    return {
        "labels": [visible(side.label) for side in sides],
        "commands": commands if all(paths) else [],
        "facts": made.facts([side.run for side in sides]),
        "tasks": made.task_facts(comparison.after.run)[:TABLE_ROWS],
        "tasks_left": left_out(len(comparison.after.run.tasks), TABLE_ROWS, "the first"),
        "notes": [(heading, lines) for heading, lines in found.items() if lines],
    }
