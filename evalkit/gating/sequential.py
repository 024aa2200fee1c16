"""A gate while the candidate is still being evaluated: it stops as soon as the verdict is certain.

Documents come in a random order that the seed fixes before anything is asked. After each look every deciding task is judged
by tests that may be looked at at any time, at half of its alpha; the other half is kept for the usual test once all
documents are asked, so that the chance of failing a candidate without a loss stays below alpha over both together. At a look
that holds for any loss within the margin too; the test at the end fails a loss that is real and, as measured, the margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from evalkit.comparing.amounts import signed
from evalkit.comparison import Side
from evalkit.errors import NotComparableError, UsageError
from evalkit.gating.checks import READABLE
from evalkit.gating.evidence import ORDER, Key, TaskEvidence
from evalkit.gating.hypotheses import FAILING, PASSING
from evalkit.gating.measure import leaves, roots_and_inner
from evalkit.gating.policy import Policy
from evalkit.gating.result import Looks, Status, TaskLooks
from evalkit.gating.watched import SEQUENTIAL_SHARE, Watched, watch
from evalkit.results import Run, Sample

FIRST_LOOK = 50
"""Documents of each task in the first look."""
GROWTH = 1.15
"""A look is made when this many times the documents of the last one are there: few looks, and little asked in vain."""
_PROMPT_FIELDS = frozenset({"prompt", "chat template", "system prompt", "shots"})


class Item(Protocol):
    """A document that can be asked."""

    @property
    def id(self) -> str:
        """As in the result file."""
        ...


class Offer(Protocol):
    """What can be asked of one task (`evalkit.runner.looks.Offer`)."""

    @property
    def items(self) -> Sequence[Item]:
        """Its documents."""
        ...

    @property
    def version(self) -> int:
        """Of the task."""
        ...

    @property
    def shots(self) -> int:
        """Few-shot examples."""
        ...

    @property
    def prompt_sha256(self) -> str:
        """Hash over all prompts."""
        ...


class SequentialGate:
    """Chooses what is asked (`evalkit.runner.looks.Chooser`) and knows when it is enough.

    Args:
        base: The baseline.
        policy: What is asked of the candidate.
        seed: Seed of the order.
        note: Told after each look how things stand, in a line.

    Raises:
        UsageError: The policy does not fit the baseline, or no task decides.
    """

    def __init__(self, base: Run, policy: Policy, seed: int = 0, note: Callable[[str], None] | None = None) -> None:
        self.base, self.policy, self.seed = base, policy, seed
        self._note = note or (lambda line: None)
        every = policy.judged(*roots_and_inner(base))
        if policy.judged_mean("mean", every).decides:
            raise UsageError(
                "the mean over the tasks cannot decide while the candidate is being evaluated",
                hint="leave `mean` out of the policy, or evaluate the candidate first: evalkit run, then evalkit gate",
            )
        judged = [one for one in every if one.decides]
        if not judged:
            raise policy.no_task_decides()
        self.judged = judged
        self.watched: dict[str, Watched] = {}
        self.prompts: dict[str, str] = {}
        self.notes: list[str] = []
        self._values: dict[Key, Mapping[str, float]] = {}
        self._unreadable: set[Key] = set()
        self._pending: dict[str, list[Key]] = {}
        self._asked: set[Key] = set()
        self.sizes: list[int] = []

    @property
    def tasks(self) -> list[str]:
        """What the candidate is evaluated on, by the names in the baseline."""
        return [one.task for one in self.judged]

    def described(self) -> dict[str, object]:
        """JSON values: how documents are chosen, for the candidate's settings."""
        return {"sequential": {"seed": self.seed, "order": ORDER}}

    def begin(self, offers: Mapping[str, Offer]) -> None:
        """Sets up the tests, over the documents that both have.

        Raises:
            NotComparableError: What can be asked is not what the baseline was asked.
        """
        there: dict[str, frozenset[str]] = {}
        for judged in self.judged:
            for leaf in leaves(self.base, judged.task):
                if leaf not in offers:
                    raise NotComparableError(f"task {leaf} of the baseline is not among those that can be evaluated")
                there[leaf] = self._comparable(leaf, offers[leaf], judged.rule.min_overlap)
        for judged in self.judged:
            self.watched[judged.task] = watch(self.base, judged, there, self.seed)
            if self.watched[judged.task].evidence is None:
                self.notes.append(f"{judged.task}: its score is no mean of bounded values, so it is asked whole")

    def _comparable(self, name: str, offer: Offer, min_overlap: float) -> frozenset[str]:
        """The documents of a task that both have; the prompts are checked before anything is asked."""
        from evalkit.comparing.conditions import allowed_fields

        task, allowed = self.base.tasks[name], allowed_fields(self.policy.allow)
        if task.version != offer.version and "task version" not in allowed:
            raise NotComparableError(
                f"task {name} is version {offer.version} now, the baseline was made with version {task.version}",
                hint="make the baseline anew with this version of evalkit",
            )
        if task.shots != offer.shots and "shots" not in allowed:
            raise NotComparableError(f"task {name} has {offer.shots} few-shot examples, {task.shots} in the baseline")
        before, now = [sample.id for sample in task.samples], [item.id for item in offer.items]
        common = frozenset(before) & frozenset(now)
        union = len(frozenset(before) | frozenset(now))
        if len(common) < min_overlap * union:
            raise NotComparableError(
                f"task {name}: only {len(common):,} of {union:,} documents are both in the baseline and in the data here",
                hint="use the data that the baseline was made with, or lower min_overlap in the policy",
            )
        if before != now or not task.prompt_sha256:
            self.notes.append(f"{name}: the prompts of the two runs could not be checked to be the same")
            self.prompts[name] = ""
        elif task.prompt_sha256 == offer.prompt_sha256:
            self.prompts[name] = ""
        elif allowed & _PROMPT_FIELDS:
            self.prompts[name] = task.prompt_sha256
        else:
            raise NotComparableError(
                f"task {name}: the candidate's prompts are not those of the baseline",
                hint="its chat template may differ; --allow prompt, or --allow 'chat template', compares all the same",
            )
        return common

    def choose(self, answered: Mapping[str, Sequence[Sample]]) -> Mapping[str, Collection[str]]:
        """Takes in the last look's answers; what to ask next, or nothing where all is certain or asked."""
        for task, samples in answered.items():
            self._values |= {(task, sample.id): sample.metrics for sample in samples}
            self._unreadable |= {(task, sample.id) for sample in samples if sample.outcome not in READABLE}
        for name, keys in self._pending.items():
            self._take_in(self.watched[name], keys)
        self._settle()
        if self._asked:
            self.sizes.append(len(self._asked))
            self._note(self._line())
        if any(one.settled is Status.FAIL for one in self.watched.values()):
            return {}
        self._pending = self._next()
        wanted_keys = {key for own in self._pending.values() for key in own}
        self._asked |= wanted_keys
        wanted: dict[str, list[str]] = {}
        for task, identity in sorted(wanted_keys):
            wanted.setdefault(task, []).append(identity)
        if wanted_keys and wanted_keys <= self._values.keys():  # a task and a group that it is in share documents
            return self.choose({})
        return wanted

    def _take_in(self, watched: Watched, keys: Sequence[Key]) -> None:
        if watched.evidence is None:
            return
        values = {
            (leaf, identity): self._values[leaf, identity][watched.metrics[leaf]]
            for leaf, identity in keys
            if watched.metrics[leaf] in self._values.get((leaf, identity), {})
        }
        watched.evidence.add(values, self._unreadable)

    def _next(self) -> dict[str, list[Key]]:
        """The next documents of every task that is not settled; those that cannot be bet on come last, and whole."""
        found: dict[str, list[Key]] = {}
        for name, one in self.watched.items():
            if one.evidence is not None and one.settled is None and not one.evidence.finished:
                asked = one.evidence.asked
                count = FIRST_LOOK if not asked else max(10, math.ceil(asked * (GROWTH - 1)))
                found[name] = one.evidence.next(count)
        if not found:
            for name, one in self.watched.items():
                if one.keys:
                    found[name], one.keys = one.keys, []
        return found

    def _settle(self) -> None:
        """What is certain by now; Holm's correction is over all hypotheses that a candidate could fail by."""
        from evalkit.stats.multiple import holm
        from evalkit.stats.sequential import always_valid_p

        every = [(one, name) for one in self._betting() for name in FAILING if name in self._evidence(one).bets]
        tested = [(one, name) for one, name in every if self._evidence(one).is_chance(name)]
        adjusted = holm([always_valid_p(self._evidence(one).against(name)) for one, name in tested])
        sure = [(one, name) for one, name in every if self._evidence(one).against(name) == math.inf]
        for (one, name), p in [*zip(tested, adjusted, strict=True), *((key, 0.0) for key in sure)]:
            if p <= one.alpha:
                one.settled = Status.FAIL
                one.refuted.add(name)
        for one in self._betting():
            evidence = self._evidence(one)
            # every one must be refuted, each at alpha by itself (Berger 1982)
            refuted = all(evidence.against(name) >= 1 / one.alpha for name in PASSING if name in evidence.bets)
            if one.settled is None and refuted and evidence.scored >= one.judged.rule.min_items:
                one.settled = Status.PASS

    def _betting(self) -> list[Watched]:
        return [one for one in self.watched.values() if one.evidence is not None]

    @staticmethod
    def _evidence(watched: Watched) -> TaskEvidence:
        assert watched.evidence is not None
        return watched.evidence

    @cached_property
    def total(self) -> int:
        """Documents there are, of all deciding tasks."""
        return len(
            {
                (leaf, one.id)
                for name in self.tasks
                for leaf in leaves(self.base, name)
                for one in self.base.tasks[leaf].samples
            }
        )

    def looks(self) -> Looks:
        """The record of what was looked at."""
        alpha = max(one.judged.rule.alpha for one in self.watched.values())
        return Looks(
            seed=self.seed,
            order=ORDER,
            sizes=tuple(self.sizes),
            total=self.total,
            alpha=(alpha * SEQUENTIAL_SHARE, alpha * (1 - SEQUENTIAL_SHARE)),
            stopped=not all(one.finished for one in self.watched.values()),
            tasks={name: self._task_looks(one) for name, one in self.watched.items()},
        )

    def _task_looks(self, watched: Watched) -> TaskLooks:
        evidence = watched.evidence
        if evidence is None:
            count = sum(len(self.base.tasks[leaf].samples) for leaf in leaves(self.base, watched.judged.task))
            return TaskLooks(count, 0 if watched.keys else count, {}, None)
        against = {name: evidence.against(name) for name in evidence.bets}
        return TaskLooks(evidence.total, evidence.asked, against, watched.settled)

    def _line(self) -> str:
        asked = self.sizes[-1]
        known = [f"{name} {one.settled.value}" for name, one in self.watched.items() if one.settled is not None]
        open_ones = [
            f"{name} {signed(evidence.gain, evidence.bounds == (0.0, 1.0))} so far"
            for name, one in self.watched.items()
            if one.settled is None and (evidence := one.evidence) is not None
        ]
        shown = [*known, *open_ones][:4]
        return (
            f"look {len(self.sizes)}: {asked:,} of {self.total:,} documents ({100 * asked / self.total:.1f} %); "
            + ", ".join(shown)
        )


def final_policy(gate: SequentialGate) -> Policy:
    """The policy for the test at the end of the data: the deciding tasks, at what is left of alpha."""
    rules = {
        one.task: replace(one.rule, alpha=one.rule.alpha * (1 - SEQUENTIAL_SHARE), informational=False)
        for one in gate.judged
    }
    return replace(gate.policy, rules=rules)


def final_sides(gate: SequentialGate, base: Side, candidate: Side) -> tuple[Side, Side]:
    """The baseline and the candidate, over the documents that the candidate was asked."""
    from evalkit.gating.subset import restricted, with_group_scores

    prompts = {name: gate.prompts.get(name) or task.prompt_sha256 for name, task in candidate.run.tasks.items()}
    settings = {name: value for name, value in candidate.run.settings.items() if name in gate.described()}
    run = restricted(base.run, candidate.run, prompts, settings)
    return replace(base, run=with_group_scores(run)), candidate
