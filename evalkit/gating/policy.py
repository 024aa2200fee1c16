"""What a gate asks of a candidate: a rule for every task.

Policy
├── defaults: Rule         for tasks that nothing else names
├── rules: pattern -> Rule for tasks by name or glob
├── mean: Rule             for the mean over the tasks
└── allow                  settings that may differ between the runs
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from evalkit.errors import UsageError
from evalkit.gating.amount import Amount


class OnUndecided(StrEnum):
    """What becomes of a task that has too few documents to tell.

    `fail` ends the gate with exit code 3, `warn` lets it pass with a warning, `pass` without one.
    """

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"


class FloorBy(StrEnum):
    """What must not be below a floor: the score as it is, or what can be said of it for sure (its 95 % limits)."""

    VALUE = "value"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is asked of one task or group.

    Attributes:
        metric: The metric that decides; None for the task's main one.
        margin: Loss that is tolerated; None for 1 point, or 1 % of the baseline's score where a metric has no range.
        floor: Score that the candidate must reach; None for none.
        floor_by: Whether its score or its 95 % limits must.
        require_gain: Gain that the candidate must show, and be surely better at all; None for none.
        min_items: Documents below which nothing is decided but a regression.
        min_overlap: Share of the documents of both runs that must be in both and scored.
        alpha: Level of the tests.
        max_unreadable_rate: Share of the candidate's answers that may be unreadable; None for any.
        max_unreadable_rise: By how much that share may be above the baseline's; None for any.
        primary: The task decides, and those that are not primary do not.
        informational: The task is shown and decides nothing.
        on_undecided: What becomes of it when there are too few documents to tell.
    """

    metric: str | None = None
    margin: Amount | None = None
    floor: Amount | None = None
    floor_by: FloorBy = FloorBy.VALUE
    require_gain: Amount | None = None
    min_items: int = 1
    min_overlap: float = 0.95
    alpha: float = 0.05
    max_unreadable_rate: float | None = None
    max_unreadable_rise: float | None = None
    primary: bool = False
    informational: bool = False
    on_undecided: OnUndecided = OnUndecided.FAIL


MEAN = "mean"
"""The policy's entry for the mean over the tasks."""


def mean_rule(defaults: Rule) -> Rule:
    """The rule of the mean over the tasks where the policy has none: as for tasks, and a regression only warns."""
    return Rule(
        margin=defaults.margin,
        min_overlap=defaults.min_overlap,
        alpha=defaults.alpha,
        on_undecided=defaults.on_undecided,
        informational=True,
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """A task that the policy judges.

    Attributes:
        task: Name of the task or group; of the mean over the tasks, what it is shown as.
        rule: By what.
        pattern: Which entry of the policy that is; `defaults` where no other.
        decides: Whether it counts for the exit code.
    """

    task: str
    rule: Rule
    pattern: str
    decides: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule for every task.

    Attributes:
        defaults: The rule of tasks that no entry names.
        rules: Pattern -> rule, each complete (what an entry leaves out is that of `defaults`).
        mean: The rule of the mean over the tasks; None for that of `mean_rule`.
        allow: Fields that may differ between the runs (`evalkit.comparison.FieldDifference.field`).
        source: The file, for messages; empty for the built-in policy.
    """

    defaults: Rule = field(default_factory=Rule)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    mean: Rule | None = None
    allow: tuple[str, ...] = ()
    source: str = ""

    def changed(self, **changes: object) -> Policy:
        """The policy with some fields of every rule set, as options of the command line do."""
        if not changes:
            return self
        rules = {pattern: replace(rule, **changes) for pattern, rule in self.rules.items()}  # type: ignore[arg-type]
        mean = self.mean and replace(self.mean, **changes)  # type: ignore[arg-type]
        return replace(self, defaults=replace(self.defaults, **changes), rules=rules, mean=mean)  # type: ignore[arg-type]

    def every_rule(self) -> tuple[Rule, ...]:
        """All rules there are, those of `defaults` and of the mean too."""
        return self.defaults, *self.rules.values(), self._mean

    @property
    def _mean(self) -> Rule:
        return self.mean or mean_rule(self.defaults)

    def judged(self, roots: Sequence[str], inner: Sequence[str]) -> list[Judged]:
        """Which tasks are judged, by which rule.

        Every root is. A pattern stands for the roots it matches, and only where it matches none for what is within groups,
        so that `*` does not mean each of MMLU's subjects. An exact name wins over globs, of globs the one with the most
        characters that are no wildcards, of equals the first. Where a task is `primary`, only such tasks decide.

        Args:
            roots: Tasks and groups of the baseline that are in no group.
            inner: The others.

        Raises:
            UsageError: A pattern matches no task.
        """
        chosen: dict[str, str] = {}
        for pattern in sorted(self.rules, key=_specificity, reverse=True):
            found = _matching(pattern, roots) or _matching(pattern, inner)
            if not found:
                raise self._unmatched(pattern, [*roots, *inner])
            for name in found:
                chosen.setdefault(name, pattern)
        names = [name for name in (*roots, *inner) if name in chosen or name in set(roots)]
        rules = {name: self.rules[chosen[name]] if name in chosen else self.defaults for name in names}
        primary = self._mean.primary or any(rule.primary for rule in rules.values())
        return [
            Judged(
                name,
                rule,
                chosen.get(name, "defaults"),
                decides=rule.primary if primary else not rule.informational,
            )
            for name, rule in rules.items()
        ]

    def judged_mean(self, name: str, tasks: Sequence[Judged]) -> Judged:
        """How the mean over the tasks is judged.

        Args:
            name: What it is shown as.
            tasks: The tasks that are judged: where one of them is primary, the mean must be so too to decide.
        """
        rule = self._mean
        primary = rule.primary or any(one.rule.primary for one in tasks)
        return Judged(name, rule, MEAN, decides=rule.primary if primary else not rule.informational)

    def no_task_decides(self) -> UsageError:
        """A gate by which everything passes is a slip."""
        return UsageError(
            f"{self.source or 'the policy'}: no task decides, so that any candidate would pass",
            hint="leave `informational` out for one at least, or make it primary",
        )

    def _unmatched(self, pattern: str, names: Sequence[str]) -> UsageError:
        near = difflib.get_close_matches(pattern, names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"the baseline has {_some(names)}"
        return UsageError(f"{self.source or 'the policy'}: no task of the baseline is named `{pattern}`", hint=hint)


def _specificity(pattern: str) -> tuple[bool, int]:
    """An exact name before globs, then by the number of characters that stand for themselves."""
    literal = re.sub(r"\[[^\]]*\]|[*?]", "", pattern)
    return literal == pattern, len(literal)


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name == pattern or fnmatchcase(name, pattern)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
