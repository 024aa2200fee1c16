"""Why a task or group of the baseline is not compared, naming the side that it is due to."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.comparison import Comparison
from evalkit.gating.result import Reason


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a task cannot be compared: a code and a sentence."""

    reason: Reason
    sentence: str


def why_absent(name: str, comparison: Comparison) -> Obstacle:
    """Why the comparison lacks a task or group that the baseline has."""
    before, after = comparison.before.run, comparison.after.run
    if name not in after.tasks and name not in after.groups:
        return Obstacle(Reason.MISSING_TASK, f"the candidate has no result for {name}")
    if (name in before.groups) != (name in after.groups):
        kinds = ["a group" if name in run.groups else "a task" for run in (before, after)]
        return Obstacle(Reason.SETTINGS_DIFFER, f"{name} is {kinds[0]} of the baseline and {kinds[1]} of the candidate")
    for one in comparison.conditions:
        if one.field == "metric" and name in one.tasks:
            return Obstacle(Reason.MISSING_METRIC, _metrics(name, one.before, one.after))
        if one.field == "group" and name in one.tasks:
            sentence = f"{name} is not the same group in both runs ({one.before} before, {one.after} now)"
            return Obstacle(Reason.SETTINGS_DIFFER, sentence)
    for leaf in before.leaves(name) if name in before.groups else ():
        if leaf not in comparison.tasks:
            return why_absent(leaf, comparison)
    return Obstacle(Reason.SETTINGS_DIFFER, f"the runs have no {name} that could be compared")


def _metrics(name: str, before: str, after: str) -> str:
    if not after:
        return f"the candidate has no score for {name}"
    if not before:
        return f"the baseline has no score for {name}"
    return f"the runs have no metric of {name} in common: the baseline has {before}, the candidate {after}"
