"""`--require-gain` and `--max-forget` as a policy of `evalkit gate`, which decides; nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.errors import UsageError
from evalkit.gating.amount import Amount
from evalkit.gating.policy import Policy, Rule


def policy(
    require_gain: Sequence[str], max_forget: Sequence[str], targets: Sequence[str], tasks: Sequence[str]
) -> Policy | None:
    """What is asked of the tuned model; None where nothing is.

    Args:
        require_gain: `AMOUNT`, for every target, or `TASK:AMOUNT`: a gain that must be shown.
        max_forget: `AMOUNT`, for every task that is not a target, or `TASK:AMOUNT`: a loss that is tolerated. A loss of so
            much or more must be ruled out, else the decision is `undecided`.
        targets: Tasks that the training is for.
        tasks: The tasks and groups that are evaluated and are in no group.

    Raises:
        UsageError: An amount or a task is none, or a gain is asked of nothing.
    """
    if not require_gain and not max_forget:
        return None
    gains = _amounts("--require-gain", require_gain, targets, tasks)
    others = [task for task in tasks if task not in targets]
    losses = _amounts("--max-forget", max_forget, others or tasks, tasks)
    rules = {
        task: Rule(
            margin=losses.get(task),
            require_gain=gains.get(task),
            informational=task not in gains and task not in losses,
        )
        for task in tasks
    }
    return Policy(Rule(informational=True), rules, source="--require-gain and --max-forget")


def _amounts(option: str, given: Sequence[str], default: Sequence[str], tasks: Sequence[str]) -> dict[str, Amount]:
    """Task -> amount; what names a task wins."""
    general: dict[str, Amount] = {}
    named: dict[str, Amount] = {}
    for text in given:
        task, colon, amount = text.rpartition(":")
        if not colon:
            if not default:
                raise UsageError(
                    f"{option} {text} names no task, and no target is named",
                    hint=f"write {option} TASK:{text}, or name the tasks the training is for: --targets TASK",
                )
            general |= dict.fromkeys(default, _size(option, text, amount))
        elif task not in tasks:
            raise UsageError(
                f"{option} {text}: {task} is none of the tasks that are evaluated",
                hint=f"the tasks are: {', '.join(tasks)}",
            )
        else:
            named[task] = _size(option, text, amount)
    return general | named


def _size(option: str, text: str, amount: str) -> Amount:
    try:
        return Amount.size(amount)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no amount", hint=str(error)) from None
