"""What a comparison found: the types that `compare`, `gate`, `leaderboard` and every report of them share.

    Comparison                       two runs
    ├── before, after: Side          whose results
    ├── conditions: FieldDifference  what else differs between them
    ├── tasks: name -> TaskChange    a task or a group of tasks
    │          ├── change: Change    the main metric: before, after, difference, p, verdict
    │          ├── others: Change    the other metrics, without a verdict of their own in the headline
    │          ├── pairing: Pairing  which documents both runs have
    │          └── flips: Flip       documents whose main metric changed
    └── overall: Change              mean over the tasks, where that has a meaning

Several runs: `evalkit.ranking`.

Signs: a `difference` is after - before as the metric counts; `gain` is the same with its sign turned where less is
better, so that a positive gain is always an improvement. Verdicts are about gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from evalkit.results import Run

SCHEMA = "evalkit.comparison/1"


class Verdict(StrEnum):
    """What can be said of a difference."""

    IMPROVED = "improved"
    REGRESSED = "regressed"
    WITHIN_MARGIN = "within margin"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"


NO_LOSS = "no loss"


def verdict_word(verdict: Verdict, gain_interval: tuple[float, float] | None, margin: float, *, moved: bool) -> str:
    """The verdict as people read it: `no loss` where a gain beyond the margin is as possible as none.

    `within margin` says that at most the margin is lost. Shown beside +50 points that the correction for several tests
    leaves undecided, it would read as "about the same".

    Args:
        verdict: By the rules.
        gain_interval: Limits of the gain; None where they cannot be known.
        margin: Loss that is tolerated.
        moved: Whether any document has another score; where none has, there is no gain to be hoped for.
    """
    if verdict is Verdict.WITHIN_MARGIN and moved and (gain_interval is None or gain_interval[1] > margin):
        return NO_LOSS
    return verdict.value


class Cause(StrEnum):
    """Why a document's score changed: `KNOWLEDGE` where both answers could be read, else what was wrong with one."""

    KNOWLEDGE = "knowledge"
    UNPARSED = "unparsed"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    ERRORED = "errored"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs.

    Attributes:
        label: Short name that tells it from the other: the model's name, or the file's where the models have the same.
        run: The run itself.
        path: Its file, when it came from one; the log of its samples lies beside it.
        origin: What wrote it: `evalkit`, `lm-eval`, `inspect`, `lighteval`.
    """

    label: str
    run: Run
    path: Path | None = None
    origin: str = "evalkit"

    @property
    def source(self) -> str:
        """What an error names: the file, or the label of a run that came from none."""
        return self.label if self.path is None else str(self.path)


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One thing besides the model that differs between two runs.

    Attributes:
        field: What, in the words of the command line: `data`, `prompt`, `shots`, `chat template`, `tokenizer`,
            `extraction`, `limit`, `dtype`, `decoding`, `metric`, `task version` ...
        before: Its value in the first run, as text.
        after: Its value in the second.
        tasks: Tasks that it touches; empty for all.
        blocks: Whether scores then answer different questions, so that no verdict is given unless the user allows it.
        allowed: Whether the user allowed it (`--allow FIELD`).
    """

    field: str
    before: str
    after: str
    tasks: tuple[str, ...] = ()
    blocks: bool = False
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which documents of a task both runs have, paired by the hash of their content.

    Attributes:
        paired: Documents that both have and scored.
        only_before: Ids that only the first run has.
        only_after: Ids that only the second has.
        unscored_before: Ids in both that the first could not score (`errored`, `skipped`).
        unscored_after: Ids in both that the second could not score.
    """

    paired: int
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    unscored_before: tuple[str, ...] = ()
    unscored_after: tuple[str, ...] = ()

    @property
    def dropped(self) -> int:
        """Documents that are in either run, but in no pair."""
        unscored = set(self.unscored_before) | set(self.unscored_after)
        return len(self.only_before) + len(self.only_after) + len(unscored)

    @property
    def coverage(self) -> float:
        """Share of all documents of either run that are in a pair."""
        total = self.paired + self.dropped
        return self.paired / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Attribution:
    """A difference in the mean, split by what happened to the answers; the parts sum to the difference.

    A document whose score changed counts under what was wrong with the worse of its two answers, and with that one alone:
    for a loss the answer after, for a gain the answer before. So of a loss exactly the unreadable part is that of
    documents which the second run answered worse and unreadably.

    Attributes:
        parts: Cause -> its part of the difference (after - before, in the metric's unit). `KNOWLEDGE` is the part of
            documents whose worse answer could be read.
        fixed: Cause -> documents that became right.
        broken: Cause -> documents that became wrong.
    """

    parts: Mapping[Cause, float]
    fixed: Mapping[Cause, int] = field(default_factory=dict)
    broken: Mapping[Cause, int] = field(default_factory=dict)

    @property
    def unreadable(self) -> float:
        """The part of the difference that is of unreadable answers, more of them or fewer."""
        return sum(part for cause, part in self.parts.items() if cause is not Cause.KNOWLEDGE)


@dataclass(frozen=True, slots=True)
class Change:
    """One metric, before and after, over the documents that both runs scored.

    Attributes:
        metric: Its name.
        higher_is_better: Direction.
        n: Pairs of documents.
        clusters: Groups of documents whose errors go together; equal to `n` where all are independent.
        before: Score of the first run on these documents.
        after: Score of the second.
        difference: after - before.
        stderr: Standard error of the difference; None where it cannot be known.
        interval: Confidence limits of the difference at level 1 - alpha, two-sided; None where they cannot be known.
        margin_interval: The same at level 1 - 2 alpha: its lower limit is the one-sided test against the margin.
        p: Two-sided p value of no difference; None where there is no test.
        p_adjusted: The same after Holm's correction for all rows of its family.
        test: How interval and p were made, in words: "Tango score interval, McNemar mid-p".
        fixed: Documents that got better.
        broken: Documents that got worse.
        detectable: Smallest true difference that would be seen with a probability of 80 % at this n; None where unknown.
        margin: Loss that is tolerated, in the metric's unit.
        verdict: In a word.
        reason: In a sentence, for people: what decides the verdict, and what would help where it is undecided.
        more_items: About how many more documents would settle it; None unless undecided, or where it cannot be said.
        attribution: Whose doing the difference is; None where documents have no values of their own.
        bounds: Range that the metric can have; None where unknown.
        chance: What guessing gives; None where it has no meaning.
        alpha: Level of its tests and intervals.
        identical: The same model, by known weights and tokenizer, gave every document the same score.
        available: Documents that the benchmark has; None where that is not known.
    """

    metric: str
    higher_is_better: bool
    n: int
    clusters: int
    before: float
    after: float
    difference: float
    stderr: float | None
    interval: tuple[float, float] | None
    margin_interval: tuple[float, float] | None
    p: float | None
    p_adjusted: float | None
    test: str
    fixed: int
    broken: int
    detectable: float | None
    margin: float
    verdict: Verdict
    reason: str
    more_items: int | None = None
    attribution: Attribution | None = None
    bounds: tuple[float, float] | None = None
    chance: float | None = None
    alpha: float = 0.05
    identical: bool = False
    available: int | None = None

    @property
    def gain(self) -> float:
        """The difference, positive where it is an improvement."""
        return self.difference if self.higher_is_better else -self.difference

    @property
    def gain_interval(self) -> tuple[float, float] | None:
        """The limits of the gain."""
        return self._gain(self.interval)

    @property
    def gain_margin_interval(self) -> tuple[float, float] | None:
        """The limits of the gain at the level of the test against the margin."""
        return self._gain(self.margin_interval)

    @property
    def word(self) -> str:
        """The verdict as people read it: `no loss` for `within margin` where a gain beyond the margin is possible."""
        return verdict_word(
            self.verdict, self.gain_interval, self.margin, moved=bool(self.fixed + self.broken or self.difference)
        )

    @property
    def is_real_loss(self) -> bool:
        """Whether there is a loss beyond chance, however small: the adjusted p is below the level of the test."""
        return self.gain < 0 and self.p_adjusted is not None and self.p_adjusted < self.alpha

    def _gain(self, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits is None or self.higher_is_better:
            return limits
        return (-limits[1], -limits[0])


@dataclass(frozen=True, slots=True)
class Flip:
    """A document whose main metric changed.

    Attributes:
        id: The sample's id in both runs.
        gain: Its change, positive where it got better.
        cause: Why.
        outcome_before: Outcome in the first run.
        outcome_after: Outcome in the second.
    """

    id: str
    gain: float
    cause: Cause
    outcome_before: str
    outcome_after: str


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task, or a group of tasks, in both runs.

    Attributes:
        name: Of the task or group, as in the runs.
        change: The main metric.
        others: Metric -> the other metrics that both runs have.
        pairing: Of the task's documents; of a group, of all its tasks'.
        flips: Documents whose main metric changed, the largest change first; empty for a group.
        members: Direct members of a group; empty for a task.
        outcomes_before: Outcome -> number of paired documents in the first run.
        outcomes_after: Outcome -> number of paired documents in the second.
    """

    name: str
    change: Change
    others: Mapping[str, Change]
    pairing: Pairing
    flips: tuple[Flip, ...] = ()
    members: tuple[str, ...] = ()
    outcomes_before: Mapping[str, int] = field(default_factory=dict)
    outcomes_after: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, task by task.

    Attributes:
        before: The first run.
        after: The second.
        alpha: Level of all tests.
        conditions: What else differs, blocking differences first.
        tasks: Name -> change, tasks and groups, in the order of the first run; groups before their members.
        roots: Names of those that are in no group: the headline's family, for which p is adjusted.
        overall: Mean over the root tasks' main metrics, each with the same weight; None where there is one task only, or
            where they are not all shares of 1.
        only_before: Tasks that only the first run has.
        only_after: Tasks that only the second has.
        notes: Sentences that a reader must know beside the numbers: that the models are the same, what few-shot seeds leave
            open, how many documents a limit leaves.
        same: Every document has the same score in both runs.
    """

    before: Side
    after: Side
    alpha: float
    conditions: tuple[FieldDifference, ...]
    tasks: Mapping[str, TaskChange]
    roots: tuple[str, ...]
    overall: Change | None = None
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    same: bool = False

    def counts(self) -> dict[Verdict, int]:
        """Verdict -> number of root tasks, all verdicts named."""
        found = dict.fromkeys(Verdict, 0)
        for name in self.roots:
            found[self.tasks[name].change.verdict] += 1
        return found

    def headline(self) -> str:
        """The verdict in one sentence: "tuned is better than base on 3 of 9 tasks, worse on 1, undecided on 5"."""
        from evalkit.comparing.words import headline

        return headline(self)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values, without the runs' samples (schema `evalkit.comparison/1`)."""
        from evalkit.comparing.to_json import comparison_to_json

        return comparison_to_json(self)

    def to_html(self, path: str | Path) -> Path:
        """Writes one self-contained HTML file.

        Raises:
            OutputError: The place cannot be written.
        """
        from evalkit.reports.html import write_comparison

        return write_comparison(self, Path(path))

    def to_markdown(self) -> str:
        """The comparison as GitHub-flavoured Markdown."""
        from evalkit.reports.comparison_markdown import markdown

        return markdown(self)
