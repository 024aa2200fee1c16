"""The page of a leaderboard: who is first, and who cannot be told from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import evalkit
from evalkit.comparison import Change
from evalkit.ranking import Ranking, Standing
from evalkit.reports.html import figures, made
from evalkit.reports.html.charts import Chart, chart
from evalkit.reports.html.forest import ForestRow, forest
from evalkit.reports.html.room import TABLE_ROWS, left_out
from evalkit.reports.html.verdicts import share
from evalkit.reports.ranking_rows import AVERAGE, CORRECTED, ranking_notes, shown_columns, tie_letters
from evalkit.reports.rows import is_percentage
from evalkit.reports.text import visible
from evalkit.results import Run


@dataclass(frozen=True, slots=True)
class StandingRow:
    """One run's line of the table.

    Attributes:
        rank: 1 + the runs that are better beyond chance.
        label: Its name.
        score: The average: the mean over tasks.
        interval: Of the score.
        chance_corrected: Mean over tasks with chance taken out; empty where it is not known.
        ties: Letters: runs that share one cannot be told apart.
        tied: Names of the runs that it cannot be told from.
        scores: One a task.
        sort: Numbers that columns are sorted by.
    """

    rank: str
    label: str
    score: str
    interval: str
    chance_corrected: str
    ties: str
    tied: str
    scores: tuple[str, ...]
    sort: dict[str, float]


def ranking_context(ranking: Ranking) -> dict[str, Any]:
    """Everything that the template of a leaderboard shows."""
    percent = _is_percent(ranking)
    letters = tie_letters(ranking)
    rows = [_row(ranking, standing, percent, letters) for standing in ranking.standings]
    runs = [standing.side.run for standing in ranking.standings]
    return {
        "title": "Leaderboard",
        "version": evalkit.__version__,
        "sections": [("verdict", "Verdict"), ("picture", "Picture"), ("table", "Numbers"), ("made", "How it was made")],
        "headline": _headline(ranking),
        "subline": _subline(ranking),
        "remarks": [_sentence(note) for note in (ranking_notes(ranking) if ranking.standings else ())],
        "forest": _forest(ranking, percent),
        "average": AVERAGE,
        "corrected": CORRECTED if any(row.chance_corrected for row in rows) else "",
        "intervals": any(row.interval for row in rows),
        "tasks": list(map(visible, shown_columns(ranking))),
        "rows": rows,
        "pairs": [_pair(pair, change) for pair, change in ranking.pairs.items()],
        "level": f"{100 * (1 - ranking.alpha):g}%",
        "alpha": f"{ranking.alpha:g}",
        "made": {
            "labels": [visible(standing.side.label) for standing in ranking.standings],
            "commands": _commands(ranking),
            "facts": made.facts(runs),
            "tasks": made.task_facts(runs[0])[:TABLE_ROWS],
            "tasks_left": left_out(len(runs[0].tasks), TABLE_ROWS, "the first"),
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
    metric = _metric(ranking)
    what = f" on {visible(ranking.tasks[0])} ({visible(metric)})" if metric else ""
    if len(best) == 1 and len(first) < 2:
        return f"{best[0]} is first{what}."
    tied = [visible(label) for label in first] if len(first) > 1 else best
    names = (
        f"{', '.join(tied[:-1])} and {tied[-1]}"
        if len(tied) <= 4
        else f"{', '.join(tied[:3])} and {len(tied) - 3} more"
    )
    return f"{names} share the first place{what}: they cannot be told apart on these documents."


def _metric(ranking: Ranking) -> str:
    """The metric of the only task; empty for several tasks."""
    return _main_metric(ranking)[0] if len(ranking.tasks) == 1 and ranking.standings else ""


def _main_metric(ranking: Ranking) -> tuple[str, bool]:
    """Name of the first task's main metric, and whether less of it is better."""
    run = ranking.standings[0].side.run
    result = run.groups.get(ranking.tasks[0]) or run.tasks[ranking.tasks[0]]
    name, value = next(iter(result.metrics.items()))
    return name, not value.higher_is_better


def _less_is_better(ranking: Ranking) -> bool:
    change = next(iter(ranking.pairs.values()), None)
    if change is not None:
        return not change.higher_is_better
    return bool(ranking.standings) and len(ranking.tasks) == 1 and _main_metric(ranking)[1]


def _subline(ranking: Ranking) -> str:
    runs, tasks = len(ranking.standings), len(ranking.tasks)
    return (
        f"{runs} run{'' if runs == 1 else 's'}, {tasks} task{'' if tasks == 1 else 's'} and {ranking.n:,} "
        f"document{'' if ranking.n == 1 else 's'} that all of them have"
    )


def _sentence(text: str) -> str:
    """A note with a full stop; its first letter stays, for it may be a name."""
    return text if text.endswith(".") else f"{text}."


# --- the picture


def _forest(ranking: Ranking, percent: bool) -> Chart:
    rows = [_forest_row(standing, percent) for standing in ranking.standings]
    order = {standing.side.label: place for place, standing in enumerate(ranking.standings)}
    brackets = []
    for group in ranking.tie_groups:
        places = [order[label] for label in group if label in order]
        if len(places) > 1:
            brackets.append((min(places), max(places)))
    metric = _metric(ranking)
    what = f"{visible(metric)} on {visible(ranking.tasks[0])}" if metric else "mean over the tasks that all runs have"
    about = f"Each dot is a run's {what}"
    about += "; the line through it is its own interval." if any(row.limits for row in rows) else "."
    if _less_is_better(ranking):
        about += " Less is better."
    key = [("score", "score")]
    if brackets:
        about += " Runs beside the same upright line cannot be told from one another."
        key.append(("bracket", "ties: not told apart on these documents"))
    axis = "percent" if percent else visible(metric).replace("_", " ") or "score"
    return chart(
        "Ranking", about, lambda layout: forest(rows, layout, axis=axis, zero=False, brackets=brackets), key=key
    )


def _forest_row(standing: Standing, percent: bool) -> ForestRow:
    scale = 100 if percent else 1
    text = figures.score(standing.score, percent)
    ends = figures.limits(standing.interval, percent)
    tied = f", not told from {', '.join(standing.ties)}" if standing.ties else ""
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
        about=f"{label}: rank {standing.rank}, {text}{f', interval {ends}' if ends else ''}{tied}",
    )


# --- the tables


def _row(ranking: Ranking, standing: Standing, percent: bool, letters: Mapping[str, str]) -> StandingRow:
    mean = standing.normalized_score
    scores = [standing.scores.get(task) for task in shown_columns(ranking)]
    shares = [_is_share(standing.side.run, task) for task in shown_columns(ranking)]
    sort = {"rank": float(standing.rank), "score": standing.score, "chance": -9.0 if mean is None else mean}
    sort |= {f"task{place}": -9.0 if value is None else value for place, value in enumerate(scores)}
    return StandingRow(
        rank=str(standing.rank),
        label=visible(standing.side.label),
        score=figures.score(standing.score, percent),
        interval=figures.limits(standing.interval, percent),
        chance_corrected="" if mean is None else f"{100 * mean:.1f}".replace("-", figures.MINUS),
        ties=letters.get(standing.side.label, ""),
        tied=", ".join(map(visible, standing.ties)),
        scores=tuple(figures.score(value, is_share) for value, is_share in zip(scores, shares, strict=True)),
        sort=sort,
    )


def _is_share(run: Run, name: str) -> bool:
    """Whether a task's or group's main metric is shown in percent."""
    result = run.groups.get(name) or run.tasks.get(name)
    return result is not None and is_percentage(next(iter(result.metrics.values())))


@dataclass(frozen=True, slots=True)
class PairRow:
    """One pair of runs."""

    better: str
    worse: str
    difference: str
    interval: str
    p: str
    apart: str
    sort: dict[str, float]


def _pair(pair: tuple[str, str], change: Change) -> PairRow:
    percent = share(change)
    apart = change.p_adjusted is not None and change.p_adjusted < change.alpha
    return PairRow(
        visible(pair[0]),
        visible(pair[1]),
        figures.difference(change.difference, percent),
        figures.difference_limits(change.interval, percent),
        figures.probability(change.p_adjusted),
        "yes" if apart else "no",
        {
            "difference": change.gain,
            "p": 2.0 if change.p_adjusted is None else change.p_adjusted,
            "apart": float(apart),
        },
    )


def _commands(ranking: Ranking) -> list[dict[str, str]]:
    paths: Sequence[Any] = [standing.side.path for standing in ranking.standings]
    return (
        [{"about": "This leaderboard again", "text": made.command("leaderboard", *paths, "-o", "leaderboard.html")}]
        if paths and all(paths)
        else []
    )
