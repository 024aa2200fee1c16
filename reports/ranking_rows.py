"""The rows of a leaderboard, the same for the terminal, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.comparison import Verdict
from evalkit.ranking import Ranking, Standing
from evalkit.reports.text import visible

AVERAGE = "average"
CORRECTED = "chance-corrected"


@dataclass(frozen=True, slots=True)
class RankingRow:
    """One run, each cell as text.

    Attributes:
        rank: 1 + the runs that are better beyond chance.
        run: Its label.
        score: The average, in percent.
        interval: Its 95 % limits.
        ties: Letters: runs that share one cannot be told apart.
        corrected: The average of the scores with chance taken out, in percent.
        scores: One a column (`shown_columns`).
        share: The average as a part of 1, for a bar; None where it is no share of 1.
    """

    rank: str
    run: str
    score: str
    interval: str
    ties: str
    corrected: str
    scores: tuple[str, ...]
    share: float | None


def shown_columns(ranking: Ranking) -> tuple[str, ...]:
    """The ranking's columns, but for a single one that is the average itself."""
    return () if ranking.columns == ranking.tasks and len(ranking.tasks) == 1 else ranking.columns


def ranking_rows(ranking: Ranking) -> list[RankingRow]:
    """A row for each run, in the order of the standings."""
    letters = tie_letters(ranking)
    return [_row(one, shown_columns(ranking), letters.get(one.side.label, "")) for one in ranking.standings]


def _row(one: Standing, columns: Sequence[str], ties: str) -> RankingRow:
    is_share = one.normalized_score is not None

    def text(value: float) -> str:
        return _percent(value) if is_share else f"{value:.4g}"

    return RankingRow(
        rank=str(one.rank),
        run=visible(one.side.label),
        score=text(one.score),
        interval="" if one.interval is None else f"{text(one.interval[0])}–{text(one.interval[1])}",
        ties=ties,
        corrected="" if one.normalized_score is None else _percent(one.normalized_score),
        scores=tuple(text(one.scores[name]) if name in one.scores else "" for name in columns),
        share=one.score if is_share else None,
    )


def tie_letters(ranking: Ranking) -> dict[str, str]:
    """Label -> letters; a letter for each group of neighbours who cannot be told apart, and for each run alone.

    This is the compact letter display of multiple comparisons (Piepho 2004), of neighbours only.
    """
    place = {one.side.label: number for number, one in enumerate(ranking.standings)}
    grouped = {label for group in ranking.tie_groups for label in group}
    groups = [*ranking.tie_groups, *((label,) for label in place if label not in grouped)]
    groups.sort(key=lambda group: min(place[label] for label in group))
    letters: dict[str, str] = dict.fromkeys(place, "")
    for number, group in enumerate(groups):
        for label in group:
            letters[label] += _letter(number)
    return letters


def ranking_notes(ranking: Ranking) -> list[str]:
    """How to read the table, and what is not in it."""
    pairs = f"{len(ranking.pairs):,} {'pair' if len(ranking.pairs) == 1 else 'pairs'}"
    found = [
        f"ties: runs that share a letter cannot be told apart on these {ranking.n:,} documents (paired tests, Holm over "
        f"{pairs}, alpha {ranking.alpha:g}); whether intervals overlap does not say it",
        *_other_ties(ranking),
        *_averages(ranking),
        *(visible(note) for note in ranking.notes),
    ]
    for name, why in ranking.left_out.items():
        lacking = [label for label, names in ranking.missing.items() if name in names]
        if lacking:
            why = f"not in {_names(lacking)}"
        found.append(f"not in the average: {visible(name)}: {visible(why)}")
    return found + [f"not ranked: {visible(label)}: {visible(why)}" for label, why in ranking.not_ranked.items()]


def _averages(ranking: Ranking) -> list[str]:
    """What the two averages are."""
    if ranking.standings[0].normalized_score is None:
        return []
    corrected = "with 0 for guessing and 100 for the best"
    if len(ranking.tasks) == 1:
        name = visible(ranking.tasks[0])
        return [f"{AVERAGE}: the score of {name}", f"{CORRECTED}: the same {corrected}"]
    return [
        f"{AVERAGE}: plain mean of {_names(ranking.tasks)}, as the first Open LLM Leaderboard averaged",
        f"{CORRECTED}: the same of scores {corrected}, as the second one averaged",
    ]


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(visible, names[:6])) + (f" and {len(names) - 6:,} more" if len(names) > 6 else "")


def _other_ties(ranking: Ranking) -> list[str]:
    """Pairs that cannot be told apart though some run between them can be told from one of them."""
    letters = tie_letters(ranking)
    others = [
        f"{visible(better)} and {visible(worse)}"
        for (better, worse), change in ranking.pairs.items()
        if change.verdict is not Verdict.IMPROVED and not set(letters[better]) & set(letters[worse])
    ]
    return [f"nor can {', '.join(others[:5])}{' and further pairs' if len(others) > 5 else ''}"] if others else []


def _letter(number: int) -> str:
    """A to z, then A to Z, then (53), (54) ..."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return alphabet[number] if number < len(alphabet) else f"({number + 1})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
