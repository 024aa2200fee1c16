"""Decisions of a gate for tests of their reports, with texts that try to break out of every format."""

from __future__ import annotations

from dataclasses import replace

import evalkit
from evalkit.gating.result import BrokenItem, Check, Finding, GateResult, Looks, Reason, Status, TaskLooks
from tests.gating.examples import flipped, model, pair, policy, values
from tests.result_examples import task_result

HOSTILE = (
    "</failure>]]>&amp;<script>alert(1)</script>\x00\x1b[31mred\x08\x0b\ufffe\ud800\u202e\n"
    "::error::forged\r\n| a | b |\n``` ```` </details> %0A,:"
)
"""Markup of XML, HTML and Markdown, workflow commands, fences, and characters that XML 1.0 cannot hold."""


def regressed() -> GateResult:
    """A real decision: one task that lost 5 points."""
    return evalkit.gate(*pair(60, 10), policy("defaults: {floor: 10pt}"))


def mean_warns() -> GateResult:
    """A real decision: two tasks pass, and their mean regressed, which only warns."""
    bases = {name: values(1000, seed=place) for place, name in enumerate("ab")}
    base = model("base", {name: task_result(one) for name, one in bases.items()})
    tuned = model("tuned", {name: task_result(flipped(one, 30, 15)) for name, one in bases.items()})
    return evalkit.gate(base, tuned, policy("defaults: {alpha: 0.04, margin: 1pt, on_undecided: pass}"))


def passed() -> GateResult:
    """A real decision: nothing changed."""
    return evalkit.gate(*pair(0, 0))


def finding(status: Status, *, task: str = "quiz", decides: bool = True, sentence: str = "why") -> Finding:
    return Finding(task, Check.LOSS, status, Reason.UNCLEAR, sentence, decides, "defaults")


def every_status() -> GateResult:
    """One finding of each status, once deciding and once not."""
    found = tuple(finding(status, task=status.value, decides=decides) for status in Status for decides in (True, False))
    return replace(regressed(), findings=found)


def hostile() -> GateResult:
    """Everything that comes from outside is `HOSTILE`."""
    found = regressed()
    row = replace(found.rows[0], task=HOSTILE, metric=HOSTILE)
    item = BrokenItem(HOSTILE, HOSTILE, -1.0, "knowledge", HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    return replace(
        found,
        before=HOSTILE,
        after=HOSTILE,
        policy=HOSTILE,
        rows=(row,),
        findings=(finding(Status.FAIL, task=HOSTILE, sentence=HOSTILE), finding(Status.WARN, sentence=HOSTILE)),
        broken=(item,),
        notes=(HOSTILE,),
    )


def sequential() -> GateResult:
    """A decision that stopped early."""
    tasks = {"quiz": TaskLooks(1000, 230, {"the loss is within the margin": 41.0}, Status.FAIL)}
    return replace(regressed(), looks=Looks(3, "by hash", (50, 230), 1000, (0.025, 0.025), True, tasks))
