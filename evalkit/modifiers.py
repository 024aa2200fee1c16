"""What may follow a task's name: `mmlu:5shot`, `mmlu:cot`, `mmlu:cot:5shot`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evalkit.errors import UsageError
from evalkit.task import Task

_SHOTS = re.compile(r"(\d+)[-_ ]?shots?")


def _chain_of_thought(task: Task) -> Task:
    from evalkit.chain_of_thought import with_chain_of_thought

    return with_chain_of_thought(task)


FORMS: Mapping[str, Callable[[Task], Task]] = {"cot": _chain_of_thought}
"""Modifiers that ask a task's questions in another form. Their tasks are scored by the first metric of what they give."""

KNOWN = ("Nshot", *FORMS)


@dataclass(frozen=True, slots=True)
class Modifiers:
    """The modifiers of one spec, whatever their order.

    Attributes:
        shots: Number of few-shot examples; None leaves it open.
        forms: Names in `FORMS`, in its order.
    """

    shots: int | None = None
    forms: tuple[str, ...] = ()

    def within(self, outer: Modifiers) -> Modifiers:
        """These on a member of a group that has `outer`: the nearer number of shots counts."""
        shots = outer.shots if self.shots is None else self.shots
        return Modifiers(shots, tuple(form for form in FORMS if form in self.forms or form in outer.forms))

    def reformed(self, task: Task) -> Task:
        """The task in the forms asked for.

        Raises:
            UsageError: It cannot be asked so.
        """
        for form in self.forms:
            task = FORMS[form](task)
        return task

    @property
    def suffix(self) -> str:
        """What the forms add to a name: `:cot`."""
        return "".join(f":{form}" for form in self.forms)


def parse_spec(spec: str) -> tuple[str, Modifiers]:
    """Takes the known modifiers off the end of a spec; what is left is the name, which may hold colons of its own.

    Raises:
        UsageError: Two numbers of shots.
    """
    shots: int | None = None
    forms: set[str] = set()
    name = spec
    while ":" in name:
        rest, _, last = name.rpartition(":")
        match = _SHOTS.fullmatch(last)
        if not rest or not (match or last in FORMS):
            break
        if match and shots is not None:
            raise UsageError(f"{spec} asks for {match[1]} and for {shots} few-shot examples", hint="ask for one number")
        if match:
            shots = int(match[1])
        else:
            forms.add(last)
        name = rest
    return name, Modifiers(shots, tuple(form for form in FORMS if form in forms))


def unknown_modifier(name: str, modifier: str) -> UsageError:
    """That a known task or group is followed by something that is no modifier."""
    near = difflib.get_close_matches(modifier, KNOWN, n=1, cutoff=0.5)
    meant = f"did you mean `{name}:{near[0]}`? " if near and near[0] in FORMS else ""
    return UsageError(
        f"{name} takes no modifier {modifier!r}",
        hint=f"{meant}there are `:Nshot` (as `{name}:5shot`) and {', '.join(f'`:{form}`' for form in FORMS)}",
    )
