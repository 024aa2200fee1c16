"""What a comparison of several runs found.

Ranking                          several runs by one score: who can be told from whom
├── standings: Standing          a run and its place
└── pairs: Change                of the score, from the worse to the better (`evalkit.comparison`)
Comparisons                      several runs: the comparison of every pair, and their ranking
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.comparison import Change, Comparison, Side


@dataclass(frozen=True, slots=True)
class Standing:
    """One run among several.

    Attributes:
        side: The run.
        score: What they are ranked by: the plain mean over the tasks that all runs have, as the first Open LLM Leaderboard
            averaged its benchmarks; over the documents that all runs have.
        interval: Its own 95 % limits; not what ties are decided by.
        scores: Column -> main metric's value over the same documents.
        normalized: Column -> value with chance taken out (0 at chance or below, 1 at best): of a group, the plain mean of
            its tasks' values, each normalised by itself.
        rank: 1 + the number of runs that are better beyond chance; runs in a tie can have the same rank.
        ties: Labels of the runs that the paired test cannot tell from this one.
        normalized_score: Plain mean of the ranked tasks' normalised values, as the second Open LLM Leaderboard averaged.
    """

    side: Side
    score: float
    interval: tuple[float, float] | None
    scores: Mapping[str, float]
    normalized: Mapping[str, float | None]
    rank: int
    ties: tuple[str, ...]
    normalized_score: float | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Several runs by one score, told apart by paired tests over the documents that all of them have.

    Attributes:
        standings: Best first.
        pairs: (better's label, worse's label) -> the change of the score from the worse to the better; every pair once.
        tasks: Tasks and groups that all runs have: what the score is the mean of.
        alpha: Level of the tests, after Holm's correction for all pairs.
        tie_groups: Labels of neighbouring runs none of whom can be told from another, best first; a run may be in two.
        missing: Label -> tasks of the other runs that it lacks.
        columns: Tasks and groups that have a score of their own in `Standing.scores`.
        n: Documents that all runs have, of the ranked tasks.
        left_out: Task or group that is in all runs, or in some -> why it is not in the mean.
        not_ranked: Label -> why a run is not ranked with the others.
        notes: Sentences that a reader must know beside the numbers.
    """

    standings: tuple[Standing, ...]
    pairs: Mapping[tuple[str, str], Change]
    tasks: tuple[str, ...]
    alpha: float
    tie_groups: tuple[tuple[str, ...], ...]
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    n: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    not_ranked: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The ranking as JSON values, without the runs' samples (schema `evalkit.ranking/1`)."""
        from evalkit.comparing.to_json import ranking_to_json

        return ranking_to_json(self)

    def to_html(self, path: str | Path) -> Path:
        """Writes one self-contained HTML file.

        Raises:
            OutputError: The place cannot be written.
        """
        from evalkit.reports.html import write_ranking

        return write_ranking(self, Path(path))

    def to_markdown(self) -> str:
        """The ranking as GitHub-flavoured Markdown."""
        from evalkit.reports.leaderboard import markdown

        return markdown(self)


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Three or more runs, every one against every other.

    Attributes:
        pairs: Every pair once, in the order of the files; p is adjusted for all pairs together.
        ranking: The runs by their mean over tasks; None where they share no scores that have a mean.
        unranked: Why there is no ranking; empty where there is one.
    """

    pairs: tuple[Comparison, ...]
    ranking: Ranking | None
    unranked: str = ""
