"""Everything that a report of a fine-tuning says beside the verdicts, in sections that all formats share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from evalkit.comparing import amounts
from evalkit.comparison import Change, Comparison
from evalkit.fine_tuning import FineTuning, PairAccuracy
from evalkit.reports.changes import score
from evalkit.reports.fine_tuning_making import cost, data, during, training, which
from evalkit.reports.fine_tuning_words import share, shown_score, targets_first, verdict_word
from evalkit.reports.tables import Section, Table
from evalkit.reports.text import visible

OVERLAPS = 8
"""Contaminated items that are shown."""


def sections(result: FineTuning) -> list[Section]:
    """The parts that have something to say, in the order that a reader wants them."""
    made = (
        _clean(result),
        _contamination(result),
        _pairs(result),
        _seeds(result),
        _stages(result),
        _retrieval(result),
        _drift(result),
        _outputs(result),
        training(result),
        during(result),
        data(result),
        cost(result),
    )
    return [section for section in made if section.lines or section.tables]


# --- the verdict from other sides


def _clean(result: FineTuning) -> Section:
    if result.clean is None:
        return Section("clean", "")
    line = "the same comparison over the items that no training row holds"
    return Section("clean", "On clean items", (line,), (change_table("Clean items", result.clean, result.targets),))


def change_table(caption: str, comparison: Comparison, targets: Sequence[str]) -> Table:
    """Roots with their scores, difference, interval and verdict, targets first and marked."""
    level = f"{100 * (1 - comparison.alpha):g}% interval"
    headings = ("task", "n", "before", "after", "change", level, "fixed/broken", "verdict")
    rows = (
        _change_cells(f"{name} (target)" if name in targets else name, comparison.tasks[name].change)
        for name in targets_first(comparison.roots, targets)
    )
    return Table(caption, headings, tuple(rows))


def _change_cells(name: str, change: Change) -> tuple[str, ...]:
    return (
        visible(name),
        f"{change.n:,}",
        score(change, change.before),
        score(change, change.after),
        amounts.step(change, change.difference),
        amounts.limits(change.interval, amounts.is_share(change)),
        f"{change.fixed:,}/{change.broken:,}",
        verdict_word(change),
    )


def _contamination(result: FineTuning) -> Section:
    found = result.contamination
    if found is None:
        return Section("contamination", "")
    done = {
        "drop-train": "they were left out of training",
        "flag-eval": "they were trained on; see the scores on clean items",
        "ignore": "they were trained on",
        "fail": "",
    }[found.policy]
    rows = f"{found.rows_found:,} of {found.rows:,} training rows hold benchmark items (items found: {found.found:,})"
    lines = [f"{rows}: {done}" if found.found else f"none of {found.rows:,} training rows holds an item"]
    unchecked = sum(task.unchecked for task in found.tasks)
    if unchecked:
        lines.append(f"too short for n-grams, and compared as a whole only: {unchecked:,}")
    headings = ("task", "items", "found", "question only", "unchecked", "n-gram words")
    counts = tuple(
        (
            visible(task.task),
            f"{task.n:,}",
            f"{len(task.overlaps):,}",
            f"{task.question_only:,}",
            f"{task.unchecked:,}",
            str(task.ngram),
        )
        for task in found.tasks
    )
    shown = [(task.task, overlap) for task in found.tasks for overlap in task.overlaps][:OVERLAPS]
    items = tuple(
        (
            visible(task),
            visible(overlap.id),
            overlap.evidence,
            share(overlap.coverage),
            visible(f"{overlap.rows[0][1] + 1} of {overlap.rows[0][0]}") if overlap.rows else "",
            visible(overlap.ngram),
        )
        for task, overlap in shown
    )
    caption = "Items found" if found.found <= OVERLAPS else f"The first {OVERLAPS} of {found.found:,} items found"
    tables = [Table("Benchmarks against training rows", headings, counts)]
    if items:
        tables.append(Table(caption, ("task", "item", "evidence", "covered", "training row", "words in both"), items))
    return Section("contamination", "Was the test in the training set?", tuple(lines), tuple(tables))


def _pairs(result: FineTuning) -> Section:
    rows = tuple(
        (which(one, result), _accuracy(one.pairs_before), _accuracy(one.pairs_after))
        for one in result.trainings
        if one.pairs_after is not None
    )
    if not rows:
        return Section("pairs", "")
    table = Table(
        "Held-out pairs in which the chosen answer comes first", ("training", "before", "after (95% interval)"), rows
    )
    return Section("pairs", "Preference pairs", (), (table,))


def _accuracy(pairs: PairAccuracy | None) -> str:
    if pairs is None:
        return ""
    low, high = pairs.ci95
    return f"{share(pairs.value)} of {pairs.n:,} ({100 * low:.1f} to {100 * high:.1f})"


def _seeds(result: FineTuning) -> Section:
    if not result.seeds:
        return Section("seeds", "")
    rows = []
    for one in result.seeds:
        values = list(one.after.values())
        shown = partial(shown_score, result, one.task)
        rows.append(
            (
                visible(one.task),
                visible(one.metric),
                shown(one.before),
                f"{shown(one.mean)} ± {shown(one.stddev)}",
                f"{shown(min(values))} to {shown(max(values))}",
                f"{one.differing:,} of {one.n:,}",
            )
        )
    headings = ("task", "metric", "base", "tuned, mean ± sd", "from to", "documents that differ")
    count = len(next(iter(result.seeds)).after)
    line = f"{count} trainings that differ in nothing but the seed; the verdicts above are of the first"
    return Section("seeds", "Another seed", (line,), (Table("Scores over training seeds", headings, tuple(rows)),))


def _stages(result: FineTuning) -> Section:
    matrix = result.stages
    if matrix is None:
        return Section("stages", "")
    headings = (
        "after",
        *(f"{visible(task)} {visible(name)}" for task, name in zip(matrix.tasks, matrix.metrics, strict=True)),
    )
    rows = [("base", *map(partial(shown_score, result), matrix.tasks, matrix.base))]
    rows += [
        (f"{number} {visible(name)}", *map(partial(shown_score, result), matrix.tasks, scores))
        for number, (name, scores) in enumerate(zip(matrix.stages, matrix.scores, strict=True), 1)
    ]
    summary = (
        ("ACC, mean over the targets at the end", matrix.accuracy),
        ("BWT, what later stages did to earlier targets", matrix.backward_transfer),
        ("FWT, what earlier stages did for later targets", matrix.forward_transfer),
        ("forgetting, from the best earlier score", matrix.forgetting),
    )
    lines = tuple(f"{name}: {value:.3f}" for name, value in summary if value is not None)
    if not lines:
        lines = ("no target was named for each stage (--targets), so that ACC, BWT, FWT and forgetting are not known",)
    return Section("stages", "Stage by stage", lines, (Table("Scores after each stage (R)", headings, tuple(rows)),))


def _retrieval(result: FineTuning) -> Section:
    table = result.retrieval
    if table is None:
        return Section("retrieval", "")
    rows = []
    for name in table.with_base.roots:
        if any(name not in one.tasks for one in (table.with_tuned, table.on_tuned)):
            continue
        base, tuned, both = (one.tasks[name].change for one in (table.with_base, table.with_tuned, table.on_tuned))
        rows.append(
            (
                visible(name),
                score(base, base.before),
                score(base, base.after),
                score(both, both.before),
                score(tuned, tuned.after),
                _moved(base),
                _moved(both),
            )
        )
    headings = ("task", "base", "base + passages", "tuned", "tuned + passages", "passages on base", "passages on tuned")
    line = (
        f"the {table.passages} best of {table.documents:,} passages of {visible(table.corpus)} (BM25) in each prompt, "
        "as the alternative to training"
    )
    return Section(
        "retrieval", "Retrieval instead?", (line,), (Table("With and without passages", headings, tuple(rows)),)
    )


def _moved(change: Change) -> str:
    return f"{amounts.step(change, change.difference)}, {verdict_word(change)}"


# --- what moved besides the scores


def _drift(result: FineTuning) -> Section:
    rows = tuple(
        (
            visible(one.text),
            f"{one.tokens:,}",
            f"{math.exp(one.nll_before):.2f}",
            f"{math.exp(one.nll_after):.2f}",
            f"{math.exp(one.nll_after - one.nll_before) - 1:+.1%}",
            f"{one.kl:.4f}",
            share(one.agreement),
        )
        for one in result.drift
    )
    line = (
        "KL: how far the distribution of the next token is from the base's, mean over the text; it sees change that no "
        "score shows"
    )
    headings = ("text", "tokens", "perplexity before", "after", "change", "KL, nats a token", "same next token")
    tables = (Table("How far the model moved on texts", headings, rows),) if rows else ()
    return Section("drift", "Drift", (line,) if rows else (), tables)


def _outputs(result: FineTuning) -> Section:
    rows = tuple(
        (
            visible(one.task),
            f"{one.n:,}",
            f"{one.tokens_before:g}",
            f"{one.tokens_after:g}",
            f"{one.unreadable_before:,}",
            f"{one.unreadable_after:,}",
        )
        for one in result.outputs
    )
    headings = ("task", "answers", "median tokens before", "after", "unreadable before", "after")
    tables = (Table("Length and form of the answers", headings, rows),) if rows else ()
    return Section("outputs", "Answers", (), tables)
