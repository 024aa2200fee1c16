"""The page of a leaderboard: who is first, and who cannot be told from whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import evalkit
from evalkit.comparison import Change, Ranking, Standing
from evalkit.reports.html import figures, made
from evalkit.reports.html.charts import Chart, chart
from evalkit.reports.html.diagnostics import Table
from evalkit.reports.html.forest import ForestRow, forest
from evalkit.reports.html.verdicts import share
from evalkit.reports.rows import is_percentage
from evalkit.reports.text import visible
from evalkit.results import Run


@dataclass(frozen=True, slots=True)
class StandingRow:
    """One run's line of the table.

    Attributes:
        rank: 1 + the runs that are better beyond chance.
        label: Its name.
        score: Mean over tasks.
        interval: Of the score.
        chance_corrected: Mean over tasks with chance taken out; empty where it is not known.
        tied: Names of the runs that it cannot be told from.
        scores: One a task.
        sort: Numbers that columns are sorted by.
    """

    rank: str
    label: str
    score: str
    interval: str
    chance_corrected: str
    tied: str
    scores: tuple[str, ...]
    sort: dict[str, float]


def ranking_context(ranking: Ranking) -> dict[str, Any]:
    """Everything that the template of a leaderboard shows."""
    percent = _is_percent(ranking)
    runs = [standing.side.run for standing in ranking.standings]
    return {
        "title": "Leaderboard",
        "version": evalkit.__version__,
        "sections": [("verdict", "Verdict"), ("picture", "Picture"), ("table", "Numbers"), ("made", "How it was made")],
        "headline": _headline(ranking),
        "subline": f"{len(ranking.standings)} runs; all have these {len(ranking.tasks)} tasks and {ranking.n:,} documents",
        "remarks": list(_remarks(ranking)),
        "forest": _forest(ranking, percent),
        "tasks": list(map(visible, _columns(ranking))),
        "rows": [_row(ranking, standing, percent) for standing in ranking.standings],
        "tables": [_pairs(ranking)] if ranking.pairs else [],
        "made": {
            "labels": [visible(standing.side.label) for standing in ranking.standings],
            "commands": _commands(ranking),
            "facts": made.facts(runs),
            "tasks": made.task_facts(runs[0]),
            "notes": [],
        },
        "pack": None,
    }


def _is_percent(ranking: Ranking) -> bool:
    """Whether the score is a share of 1; it is a mean over tasks, so all of them are, or none is."""
    changes = list(ranking.pairs.values())
    return all(map(share, changes)) if changes else all(0 <= one.score <= 1 for one in ranking.standings)


def _headline(ranking: Ranking) -> str:
    if not ranking.standings:
        return "No runs to rank."
    best = [visible(one.side.label) for one in ranking.standings if one.rank == 1]
    first = next((group for group in ranking.tie_groups if ranking.standings[0].side.label in group), ())
    if len(best) == 1 and len(first) < 2:
        return f"{best[0]} is first."
    tied = [visible(label) for label in first] if len(first) > 1 else best
    names = (
        f"{', '.join(tied[:-1])} and {tied[-1]}"
        if len(tied) <= 4
        else f"{', '.join(tied[:3])} and {len(tied) - 3} more"
    )
    return f"{names} share the first place: their difference is not more than chance."


def _remarks(ranking: Ranking) -> Iterator[str]:
    yield (
        f"Runs are told apart by tests over the same documents, at level {ranking.alpha:g} after allowing for all "
        f"{len(ranking.pairs)} pairs; a run's own interval does not decide a tie."
    )
    for label, missing in ranking.missing.items():
        if missing:
            names = ", ".join(map(visible, missing[:5])) + (" …" if len(missing) > 5 else "")
            yield f"{visible(label)} lacks {names}, which the score therefore leaves out."
    for label, why in ranking.not_ranked.items():
        yield f"{visible(label)} is not ranked with the others: {visible(why)}."
    for task, why in ranking.left_out.items():
        if why != "not in all runs":
            yield f"{visible(task)} is not in the score: {visible(why)}."
    yield from (f"{visible(note)}." for note in ranking.notes)


def _columns(ranking: Ranking) -> tuple[str, ...]:
    """What has a column of its own."""
    return ranking.columns or ranking.tasks


# --- the picture


def _forest(ranking: Ranking, percent: bool) -> Chart:
    rows = [_forest_row(standing, percent) for standing in ranking.standings]
    order = {standing.side.label: place for place, standing in enumerate(ranking.standings)}
    brackets = []
    for group in ranking.tie_groups:
        places = [order[label] for label in group if label in order]
        if len(places) > 1:
            brackets.append((min(places), max(places)))
    about = "Each dot is a run's mean over the tasks that all runs have; the line through it is its own interval."
    key = [("score", "score")]
    if brackets:
        about += " Runs beside the same upright line cannot be told from one another."
        key.append(("bracket", "tied"))
    axis = "percent" if percent else "score"
    return chart(
        "Ranking", about, lambda layout: forest(rows, layout, axis=axis, zero=False, brackets=brackets), key=key
    )


def _forest_row(standing: Standing, percent: bool) -> ForestRow:
    scale = 100 if percent else 1
    text = figures.score(standing.score, percent)
    ends = figures.limits(standing.interval, percent)
    tied = f", tied with {', '.join(standing.ties)}" if standing.ties else ""
    label = standing.side.label
    return ForestRow(
        name=f"{standing.rank}.  {label}",
        depth=0,
        is_group=standing.rank == 1,
        value=scale * standing.score,
        limits=None if standing.interval is None else (scale * standing.interval[0], scale * standing.interval[1]),
        kind="score",
        text=text,
        short=text,
        about=f"{label}: place {standing.rank}, {text}{f', interval {ends}' if ends else ''}{tied}",
    )


# --- the tables


def _row(ranking: Ranking, standing: Standing, percent: bool) -> StandingRow:
    mean = standing.normalized_score
    scores = [standing.scores.get(task) for task in _columns(ranking)]
    shares = [_is_share(standing.side.run, task) for task in _columns(ranking)]
    sort = {"rank": float(standing.rank), "score": standing.score, "chance": -9.0 if mean is None else mean}
    sort |= {f"task{place}": -9.0 if value is None else value for place, value in enumerate(scores)}
    return StandingRow(
        rank=str(standing.rank),
        label=visible(standing.side.label),
        score=figures.score(standing.score, percent),
        interval=figures.limits(standing.interval, percent),
        chance_corrected="" if mean is None else f"{100 * mean:.1f}".replace("-", figures.MINUS),
        tied=", ".join(map(visible, standing.ties)),
        scores=tuple(figures.score(value, is_share) for value, is_share in zip(scores, shares, strict=True)),
        sort=sort,
    )


def _is_share(run: Run, name: str) -> bool:
    """Whether a task's or group's main metric is shown in percent."""
    result = run.groups.get(name) or run.tasks.get(name)
    return result is not None and is_percentage(next(iter(result.metrics.values())))


def _pairs(ranking: Ranking) -> Table:
    rows = tuple(_pair(pair, change) for pair, change in ranking.pairs.items())
    headings = ("better", "worse", "difference", "interval", "p", "told apart")
    return Table("Every pair of runs", headings, rows)


def _pair(pair: tuple[str, str], change: Change) -> tuple[str, ...]:
    percent = share(change)
    apart = change.p_adjusted is not None and change.p_adjusted < change.alpha
    return (
        visible(pair[0]),
        visible(pair[1]),
        figures.difference(change.difference, percent),
        figures.difference_limits(change.interval, percent),
        figures.probability(change.p_adjusted),
        "yes" if apart else "no",
    )


def _commands(ranking: Ranking) -> list[dict[str, str]]:
    paths: Sequence[Any] = [standing.side.path for standing in ranking.standings]
    return (
        [{"about": "This leaderboard again", "text": made.command("leaderboard", *paths)}]
        if paths and all(paths)
        else []
    )
