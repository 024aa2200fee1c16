"""Several runs by one score: who is better than whom, and who cannot be told apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalkit.comparing.common_tasks import Common, common_tasks, comparable, main_metric, wanted_tasks
from evalkit.comparing.conditions import allowed_fields
from evalkit.comparing.estimate import check_alpha
from evalkit.comparing.pairwise import pairwise
from evalkit.comparing.ranked_scores import By, Chosen, Scores, benchmarks_of, columns_of, usable_tasks
from evalkit.comparing.sides import Source, load_sides
from evalkit.comparing.single_metric import single_metric
from evalkit.comparison import Change, Side, Verdict
from evalkit.errors import NotComparableError, UsageError
from evalkit.ranking import Ranking, Standing


def leaderboard(
    runs: Sequence[Source],
    *,
    tasks: Sequence[str] | None = None,
    by: By = "benchmark",
    alpha: float = 0.05,
    allow: Sequence[str] = (),
) -> Ranking:
    """Ranks runs by the mean over the tasks that all of them have, and says which cannot be told apart.

    Arguments and errors as in `rank`; of `runs`, two or more, or their files.
    """
    return rank(load_sides(runs), tasks=tasks, by=by, alpha=alpha, allow=allow)


def rank(
    sides: Sequence[Side],
    *,
    tasks: Sequence[str] | None = None,
    by: By = "benchmark",
    alpha: float = 0.05,
    allow: Sequence[str] = (),
) -> Ranking:
    """Ranks runs by the mean over the tasks that all of them have, over the documents that all of them have.

    Every task or group outside of groups counts alike. Runs are told apart by paired tests of that mean
    (`evalkit.comparing.pairwise`), not by whether their intervals overlap.

    Args:
        sides: Two runs or more, with labels of their own.
        tasks: Tasks and groups to rank by; by default all that the runs share.
        by: Columns: the ranked tasks and groups; groups' direct members in their place; or every single task.
        alpha: Level of the tests, between 0 and 0.5, after Holm's correction for all pairs.
        allow: Differences that would keep runs from being ranked together, but are allowed (`all` for all of them).

    Raises:
        UsageError: Fewer than two runs, an unknown task, a level out of range, or the runs share no task whose score is a
            share of 1.
        NotComparableError: No two runs answer the same questions.
    """
    if len(sides) < 2:
        raise UsageError("a ranking needs at least two runs", hint="give the result files of two models or more")
    check_alpha(alpha)
    allowed = allowed_fields(allow)
    wanted = None if tasks is None else wanted_tasks(sides, tasks)
    sources = {side.label: side.source for side in sides}
    ranked, not_ranked = comparable(sides, wanted, allowed)
    if len(ranked) < 2:
        label, reason = next(iter(not_ranked.items()))
        raise NotComparableError(
            f"no two runs answer the same questions: {sources[label]} has {reason}",
            hint="evaluate the models in the same way, or allow the difference with --allow FIELD",
        )
    common = common_tasks(ranked) if wanted is None else Common(wanted, {})
    chosen, left_out = usable_tasks([side.run for side in ranked], common)
    if chosen.roots:
        return _by_mean(ranked, chosen, common, left_out, not_ranked, by, alpha)
    found = _by_metric(ranked, common, left_out, not_ranked, alpha)
    if found is None:
        raise UsageError(_no_tasks(common, left_out, sources), hint="leave runs out, or name common tasks with --tasks")
    return found


def _no_tasks(common: Common, left_out: Mapping[str, str], sources: Mapping[str, str]) -> str:
    why = next((f": {name}: {reason}" for name, reason in left_out.items() if name in common.names), "")
    if not why and common.missing:
        label, names = max(common.missing.items(), key=lambda item: len(item[1]))
        why = f": {sources[label]} lacks {', '.join(names[:5])}"
    return f"the runs have no task in common that they could be ranked by{why}"


def _by_metric(
    sides: Sequence[Side], common: Common, left_out: Mapping[str, str], not_ranked: Mapping[str, str], alpha: float
) -> Ranking | None:
    """Ranked by the first task, where no score can be averaged: perplexities, BLEU."""
    runs = [side.run for side in sides]
    for name in common.names:
        if name in runs[0].groups or len({main_metric(run, name)[0] for run in runs}) > 1:
            continue
        found = single_metric(runs, name, alpha)
        if found is None:
            continue
        others = {task: why for task, why in left_out.items() if task != name}
        notes = [f"ranked by {main_metric(runs[0], name)[0]} of {name}, which is no share of 1, and so by it alone"]
        rows = [
            Standing(
                side=side,
                score=score,
                interval=main_metric(side.run, name)[1].ci95 if found.n == side.run.tasks[name].n else None,
                scores={name: score},
                normalized={},
                rank=1,
                ties=(),
            )
            for side, score in zip(sides, found.scores, strict=True)
        ]
        return _ordered(rows, found.pairs, common, others, not_ranked, notes, (name,), (name,), found.n, alpha)
    return None


def _by_mean(
    sides: Sequence[Side],
    chosen: Chosen,
    common: Common,
    left_out: Mapping[str, str],
    not_ranked: Mapping[str, str],
    by: By,
    alpha: float,
) -> Ranking:
    run = sides[0].run
    scores = Scores(run, chosen)
    benchmarks = benchmarks_of(run, chosen.roots, scores)
    columns = tuple(name for name in columns_of(run, benchmarks, by) if scores.weights(name))
    mean = scores.mean(chosen.roots)
    metric = main_metric(run, chosen.roots[0])[0] if len(chosen.roots) == 1 else "mean over tasks"
    pairs = pairwise(mean, metric, alpha)
    own_scores = mean.scores.tolist()
    by_column = {name: scores.mean([name]).scores for name in columns}
    normalized = {name: scores.normalized(name) for name in dict.fromkeys((*columns, *benchmarks))}
    rows = [
        Standing(
            side=side,
            score=own_scores[place],
            interval=mean.interval(place),
            scores={name: float(values[place]) for name, values in by_column.items()},
            normalized={name: normalized[name][place] for name in columns},
            rank=1,
            ties=(),
            normalized_score=math.fsum(normalized[name][place] for name in benchmarks) / len(benchmarks),
        )
        for place, side in enumerate(sides)
    ]
    notes = _notes(sides, chosen)
    return _ordered(rows, pairs, common, left_out, not_ranked, notes, chosen.roots, columns, mean.n, alpha)


def _ordered(
    rows: Sequence[Standing],
    pairs: Mapping[tuple[int, int], Change],
    common: Common,
    left_out: Mapping[str, str],
    not_ranked: Mapping[str, str],
    notes: Sequence[str],
    tasks: tuple[str, ...],
    columns: tuple[str, ...],
    n: int,
    alpha: float,
) -> Ranking:
    """The ranking, from each run's row and the changes of all pairs (places of better and worse)."""
    order = _order(pairs, len(rows))
    labels = [row.side.label for row in rows]
    better = Counter(worse for (_, worse), change in pairs.items() if _apart(change))
    tied: dict[int, set[int]] = {place: set() for place in order}
    for (one, other), change in pairs.items():
        if not _apart(change):
            tied[one].add(other)
            tied[other].add(one)
    standings = [
        replace(rows[place], rank=1 + better[place], ties=tuple(labels[one] for one in order if one in tied[place]))
        for place in order
    ]
    return Ranking(
        standings=tuple(standings),
        pairs={(labels[one], labels[other]): change for (one, other), change in pairs.items()},
        tasks=tasks,
        alpha=alpha,
        tie_groups=tuple(tuple(labels[place] for place in one) for one in _tie_groups(order, pairs)),
        missing=common.missing,
        columns=columns,
        n=n,
        left_out=left_out,
        not_ranked=not_ranked,
        notes=tuple(notes),
    )


def _apart(change: Change) -> bool:
    return change.verdict is Verdict.IMPROVED


def _order(pairs: Mapping[tuple[int, int], Change], runs: int) -> list[int]:
    """Places of the runs, best first: the first of a pair is never the worse one."""
    wins = Counter(better for better, _ in pairs)
    return sorted(range(runs), key=lambda place: -wins[place])


def _tie_groups(order: Sequence[int], pairs: Mapping[tuple[int, int], Change]) -> list[list[int]]:
    """The longest stretches of neighbours of whom none can be told from another, of two runs or more."""
    found: list[list[int]] = []
    start = 0
    for end in range(len(order)):
        while any(_apart(pairs[order[one], order[end]]) for one in range(start, end)):
            start += 1
        stretch = list(order[start : end + 1])
        if found and found[-1] == stretch[:-1]:
            found[-1] = stretch
        elif len(stretch) > 1:
            found.append(stretch)
    return found


def _notes(sides: Sequence[Side], chosen: Chosen) -> list[str]:
    dropped = {task: matrix.dropped for (task, _), matrix in chosen.matrices.items() if matrix.dropped}
    found = []
    if dropped:
        names = ", ".join(list(dropped)[:3]) + (f" and {len(dropped) - 3:,} more" if len(dropped) > 3 else "")
        found.append(f"{sum(dropped.values()):,} documents that are not scored in all runs are left out ({names})")
    weights: dict[str, list[str]] = {}
    for side in sides:
        weights.setdefault(side.run.model.weights_sha256, []).append(side.label)
    found += [
        f"{', '.join(labels)} have the same weights" for sha, labels in weights.items() if sha and len(labels) > 1
    ]
    return found
