"""What a gate found: the types behind `gate.json` (schema `evalkit.gate/1`).

GateResult                  one decision
├── rows: Row               a task: what was measured
├── findings: Finding       a task's rule: whether it holds, and why
├── conditions              what else differs between the runs
├── broken: BrokenItem      documents that got worse, with their texts
└── looks: Looks            how a sequential gate came to its end
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from evalkit.comparison import Verdict, verdict_word

SCHEMA = "evalkit.gate/1"


class Check(StrEnum):
    """What a rule is about: names that claim nothing, as they stand beside `fail` too."""

    COMPARABLE = "comparability"
    ITEMS = "number of documents"
    LOSS = "loss"
    FLOOR = "floor"
    GAIN = "gain"
    UNREADABLE = "unreadable answers"
    ANSWERED = "unanswered documents"


class Status(StrEnum):
    """Whether it holds."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why, as a code for programs."""

    IMPROVED = "improved"
    WITHIN_MARGIN = "within-margin"
    TOLERATED_LOSS = "tolerated-loss"
    REGRESSED = "regressed"
    TOO_FEW_ITEMS = "too-few-items"
    UNCLEAR = "unclear"
    NO_TEST = "no-test"
    FLOOR_HELD = "floor-held"
    FLOOR_BROKEN = "floor-broken"
    GAIN_SHOWN = "gain-shown"
    GAIN_MISSING = "gain-missing"
    READABLE = "readable"
    UNREADABLE = "unreadable"
    UNANSWERED = "unanswered"
    COMPARABLE = "comparable"
    MISSING_TASK = "missing-task"
    MISSING_METRIC = "missing-metric"
    LOW_OVERLAP = "low-overlap"
    SETTINGS_DIFFER = "settings-differ"
    NOT_EVALUATED = "not-evaluated"


EXIT_CODES: Mapping[Status, int] = {Status.FAIL: 1, Status.NOT_COMPARABLE: 4, Status.UNDECIDED: 3}
"""Exit code of each status that stops, the weightiest first: a sure regression is never hidden by a task that cannot be
compared, nor that by one that is undecided."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one task.

    Attributes:
        task: Name of the task or group.
        metric: The metric that is judged.
        is_share: Whether it is a share of 1, shown in percent.
        higher_is_better: Direction.
        decides: Whether the task counts for the exit code.
        verdict: In a word.
        n: Documents in both runs.
        before: The baseline's score on them.
        after: The candidate's.
        gain: The difference, positive where better.
        interval: Confidence limits of the gain at 1 - alpha; None where they cannot be known.
        margin: Loss that is tolerated, in the metric's unit.
        p: Two-sided p of no difference, after Holm's correction over the tasks that decide; None without a test. Of a
            task that a sequential gate settled or left at a look, it is 2 / the largest e-value against either direction,
            which may be read at any look.
        detectable: Smallest true difference that would be seen with a probability of 80 %; None where unknown.
        fixed: Documents that got better.
        broken: Documents that got worse.
        more_items: About how many more documents would settle it; None where that cannot be said.
        test: How interval and p were made.
        alpha: Level of the test; the interval is at 1 - alpha.
    """

    task: str
    metric: str
    is_share: bool
    higher_is_better: bool
    decides: bool
    verdict: Verdict
    n: int
    before: float
    after: float
    gain: float
    interval: tuple[float, float] | None
    margin: float
    p: float | None
    detectable: float | None
    fixed: int
    broken: int
    more_items: int | None
    test: str
    alpha: float

    @property
    def word(self) -> str:
        """The verdict as people read it: `no loss` for `within margin` where a gain beyond the margin is possible."""
        return verdict_word(self.verdict, self.interval, self.margin, moved=bool(self.fixed + self.broken or self.gain))


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of one task.

    Attributes:
        task: Name of the task or group.
        check: What is asked.
        status: Whether it holds.
        reason: Why, as a code.
        sentence: Why, for people.
        decides: Whether it counts for the exit code.
        pattern: The entry of the policy it comes from.
    """

    task: str
    check: Check
    status: Status
    reason: Reason
    sentence: str
    decides: bool
    pattern: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A setting in which the runs differ: name, the baseline's value, the candidate's, and whether it stops a verdict."""

    field: str
    before: str
    after: str
    tasks: tuple[str, ...]
    blocks: bool
    allowed: bool


@dataclass(frozen=True, slots=True)
class BrokenItem:
    """A document that got worse.

    Attributes:
        task: Its task.
        id: The sample's id in both runs.
        gain: By how much, negative.
        cause: Why (`evalkit.comparison.Cause`).
        prompt: What the models were given, its end where it is long; empty where no log of samples is there.
        target: The right answer.
        before: The baseline's answer; None where it is not known, as without a log of samples.
        after: The candidate's, likewise.
    """

    task: str
    id: str
    gain: float
    cause: str
    prompt: str = ""
    target: str = ""
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class TaskLooks:
    """How one task fared in a sequential gate.

    Attributes:
        total: Documents there are.
        asked: Documents that the candidate was asked.
        evidence: Hypothesis, in words -> the largest e-value against it.
        settled: What is certain: a status, and after how many documents; None where nothing is.
    """

    total: int
    asked: int
    evidence: Mapping[str, float]
    settled: Status | None


@dataclass(frozen=True, slots=True)
class Looks:
    """How a sequential gate came to its end.

    Attributes:
        seed: Seed of the order.
        order: The rule by which documents were drawn, in words.
        sizes: Documents asked in all, look by look.
        total: Documents there are.
        alpha: Level of the sequential part and of the test at the end of the data.
        stopped: Whether it ended before the data did.
        tasks: Task -> how it fared.
    """

    seed: int
    order: str
    sizes: tuple[int, ...]
    total: int
    alpha: tuple[float, float]
    stopped: bool
    tasks: Mapping[str, TaskLooks]

    @property
    def asked(self) -> int:
        """Documents that the candidate was asked."""
        return self.sizes[-1] if self.sizes else 0


@dataclass(frozen=True, slots=True)
class GateResult:
    """One decision.

    Attributes:
        before: Name of the baseline, with where it comes from.
        after: Name of the candidate.
        policy: Where the policy comes from.
        rows: What was measured, those that decide first.
        findings: Every rule of every task.
        conditions: What else differs between the runs.
        broken: Some documents that got worse, of the tasks that failed first.
        broken_total: How many got worse in all.
        notes: What a reader must know besides.
        looks: How a sequential gate came to its end; None for one over finished runs.
    """

    before: str
    after: str
    policy: str
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    conditions: tuple[Condition, ...] = ()
    broken: tuple[BrokenItem, ...] = ()
    notes: tuple[str, ...] = ()
    looks: Looks | None = None
    broken_total: int = 0

    @property
    def status(self) -> Status:
        """The weightiest status among the findings that decide."""
        found = {finding.status for finding in self.findings if finding.decides}
        for status in (*EXIT_CODES, Status.WARN):
            if status in found:
                return status
        return Status.PASS

    @property
    def exit_code(self) -> int:
        """0 passed, 1 regression or a floor broken, 3 undecided, 4 not comparable."""
        return EXIT_CODES.get(self.status, 0)

    @property
    def passed(self) -> bool:
        """Whether the candidate may be merged."""
        return self.exit_code == 0

    def of(self, status: Status, *, decides: bool = True) -> list[Finding]:
        """The findings with a status."""
        return [one for one in self.findings if one.status is status and one.decides is decides]

    def headline(self) -> str:
        """The decision in one sentence."""
        from evalkit.gating.words import headline

        return headline(self)

    def to_json(self) -> dict[str, Any]:
        """The decision as JSON values (schema `evalkit.gate/1`)."""
        from evalkit.gating.result_json import to_json

        return to_json(self)

    def to_markdown(self) -> str:
        """The decision as GitHub-flavoured Markdown, below 100 kB."""
        from evalkit.reports.gate import markdown

        return markdown(self)
