"""The rows of a comparison's table, the same for every format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from evalkit.comparing.amounts import is_share, number, p_value
from evalkit.comparing.words import unreadable
from evalkit.comparison import Change, Comparison, FieldDifference, Flip, TaskChange, Verdict
from evalkit.reports.rows import FOLDED_FROM
from evalkit.reports.text import visible

SHOWN_REASONS = 12
SHOWN_TASKS = 4

RANK = (Verdict.REGRESSED, Verdict.IMPROVED, Verdict.UNDECIDED, Verdict.WITHIN_MARGIN, Verdict.NOT_COMPARABLE)
"""What a reader wants to know first."""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One line of the table, each cell as text.

    Attributes:
        name: Task or group.
        depth: How many groups it is in.
        is_group: Whether it stands for several tasks.
        n: Pairs of documents.
        metric: Name of the metric.
        lower_is_better: Whether less is better.
        before: Percent for metrics that go from 0 to 1, else 4 significant digits.
        after: Likewise.
        difference: after - before, in points for percent.
        interval: Its confidence limits; empty where unknown.
        moved: "fixed/broken": documents that got better and worse.
        p: After Holm's correction; empty without a test.
        visible: The smallest difference that would be seen; empty where unknown.
        verdict: In a word, for people.
        change: The numbers themselves.
    """

    name: str
    depth: int
    is_group: bool
    n: str
    metric: str
    lower_is_better: bool
    before: str
    after: str
    difference: str
    interval: str
    moved: str
    p: str
    visible: str
    verdict: str
    change: Change


def change_rows(comparison: Comparison, *, expand: bool = False) -> list[ChangeRow]:
    """The table: tasks and groups in the order of the first run, members indented; last the mean over tasks.

    Args:
        comparison: Two runs.
        expand: Show the members of large groups too.
    """
    rows = [row for name in comparison.roots for row in _tree(comparison, name, 0, expand)]
    if comparison.overall is not None:
        rows.append(_row(f"mean of {len(comparison.roots)}", 0, True, comparison.overall))
    return rows


def is_folded(comparison: Comparison, name: str, *, expand: bool = False) -> bool:
    """Whether a group stands for its members: many tasks, no groups among them, and not asked for."""
    members = comparison.tasks[name].members
    large = len(members) > FOLDED_FROM and not any(comparison.tasks[member].members for member in members)
    return large and not expand


def _tree(comparison: Comparison, name: str, depth: int, expand: bool) -> Iterator[ChangeRow]:
    task = comparison.tasks[name]
    folded = is_folded(comparison, name, expand=expand)
    label = visible(name) + (f" ({len(task.members)} tasks)" if folded else "")
    yield _row(label, depth, bool(task.members), task.change)
    if not folded:
        for member in task.members:
            yield from _tree(comparison, member, depth + 1, expand)


def _row(name: str, depth: int, is_group: bool, change: Change) -> ChangeRow:
    limits = change.interval
    return ChangeRow(
        name=name,
        depth=depth,
        is_group=is_group,
        n=f"{change.n:,}",
        metric=visible(change.metric),
        lower_is_better=not change.higher_is_better,
        before=score(change, change.before),
        after=score(change, change.after),
        difference=step(change, change.difference),
        interval="" if limits is None else f"{step(change, limits[0])} to {step(change, limits[1])}",
        moved=f"{change.fixed:,}/{change.broken:,}",
        p="" if change.p_adjusted is None else p_value(change.p_adjusted).replace(" ", ""),
        visible="" if change.detectable is None else step(change, change.detectable).lstrip("+"),
        verdict=change.word,
        change=change,
    )


def score(change: Change, value: float) -> str:
    """A score in the unit of its metric."""
    return f"{100 * value:.1f}%" if is_share(change) else number(value)


def step(change: Change, value: float) -> str:
    """A difference with its sign: points for percent, else 3 significant digits."""
    return f"{100 * value:+.1f}" if is_share(change) else number(value, sign=True)


def reasons(comparison: Comparison) -> list[str]:
    """What decides each root's verdict, a sentence each: losses first, then gains, then what is open."""
    names = sorted(comparison.roots, key=lambda name: RANK.index(comparison.tasks[name].change.verdict))
    found = [_reason(f"{name} {comparison.tasks[name].change.metric}", comparison.tasks[name].change) for name in names]
    left = len(found) - SHOWN_REASONS
    found = [*found[:SHOWN_REASONS], *([f"and {left} tasks more"] if left > 0 else [])]
    if comparison.overall is not None:
        found.append(_reason(f"mean of {len(comparison.roots)}", comparison.overall))
    return found


def _reason(name: str, change: Change) -> str:
    return f"{visible(name)}: {change.word}: {visible(change.reason)}"


def remarks(comparison: Comparison) -> list[str]:
    """What else a reader must know: unreadable answers, other conditions, documents and tasks that are not compared."""
    before, after = comparison.before.label, comparison.after.label
    found = [text for name in comparison.roots if (text := unreadable(name, comparison.tasks[name].change))]
    found += [text for name in comparison.roots if (text := _members(comparison, name))]
    found += [condition(one) for one in comparison.conditions]
    found += comparison.notes
    for label, names in ((before, comparison.only_before), (after, comparison.only_after)):
        if names:
            found.append(f"only {label} has {_listed(names)}")
    return [visible(text) for text in found]


def condition(difference: FieldDifference) -> str:
    """A differing field in a line."""
    where = f" ({_listed(difference.tasks)})" if difference.tasks else ""
    text = f"{difference.field} differs{where}: {difference.before}; {difference.after}"
    if not difference.blocks:
        return text
    return text + (
        " [compared all the same: --allow]"
        if difference.allowed
        else f' [not compared; --allow "{difference.field}" does]'
        if difference.field != "group"
        else " [not compared]"
    )


def _members(comparison: Comparison, name: str) -> str:
    """How the members of a group that stands for them fared."""
    members = comparison.tasks[name].members
    if not members or not is_folded(comparison, name):
        return ""
    verdicts = [comparison.tasks[member].change.verdict for member in members]
    said = []
    for verdict in RANK:
        names = [member for member, one in zip(members, verdicts, strict=True) if one is verdict]
        if names:
            told = f" ({_listed(tuple(names))})" if verdict in (Verdict.REGRESSED, Verdict.IMPROVED) else ""
            said.append(f"{verdict.value} {len(names)}{told}")
    return f"{name}, task by task: {', '.join(said)} (--expand)"


def _listed(names: tuple[str, ...]) -> str:
    left = len(names) - SHOWN_TASKS
    return ", ".join(names[:SHOWN_TASKS]) + (f" and {left} more" if left > 0 else "")


def listed_flips(comparison: Comparison, count: int) -> list[tuple[str, Flip]]:
    """Documents whose outcome changed, in turn from each root: (task, flip).

    Roots that got worse come first, then those that got better; of each, what goes with its change before what goes
    against it, and what changed most first. Of tasks without right and wrong, whose every document moves a little, none
    are listed, nor of those that cannot be compared.
    """
    roots = [name for name in comparison.roots if comparison.tasks[name].change.verdict is not Verdict.NOT_COMPARABLE]
    roots.sort(key=lambda name: RANK.index(comparison.tasks[name].change.verdict))
    return _in_turn([_of_root(comparison, name) for name in roots])[:count]


def _of_root(comparison: Comparison, name: str) -> list[tuple[str, Flip]]:
    """The flips of a root, of a group's tasks in turn."""
    task = comparison.tasks[name]
    if task.members:
        found = _in_turn([_of_root(comparison, member) for member in task.members])
    else:
        found = [(name, flip) for flip in task.flips if flip.outcome_before != flip.outcome_after]
    return sorted(found, key=lambda one: one[1].gain * task.change.gain < 0)


def _in_turn(queues: list[list[tuple[str, Flip]]]) -> list[tuple[str, Flip]]:
    return [flip for flips in zip_longest(*queues) for flip in flips if flip is not None]


def unpaired(task: TaskChange) -> list[tuple[str, str]]:
    """(what, id) of every document of a task that is in no pair."""
    pairing = task.pairing
    return [
        (what, identity)
        for what, ids in (
            ("only in the first", pairing.only_before),
            ("only in the second", pairing.only_after),
            ("not scored in the first", pairing.unscored_before),
            ("not scored in the second", pairing.unscored_after),
        )
        for identity in ids
    ]
