"""What a run would take, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from evalkit.reports.markdown import escape
from evalkit.reports.rows import FOLDED_FROM
from evalkit.reports.sight import HEADINGS, sight_notes, sight_rows, sight_table
from evalkit.reports.text import visible
from evalkit.run_plan import Cost, RunPlan, TaskPlan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def render(plan: RunPlan, console: Console) -> None:
    """Prints a plan: a row for each task, what the whole takes, and what a comparison could see."""
    from rich.text import Text

    console.print(Text(f"{visible(plan.model)} on {plan.device or 'an unknown device'}", style="bold"))
    console.print()
    console.print(_task_table(plan))
    console.print()
    if plan.cost is None:
        console.print(_NO_COST)
    else:
        for label, text in _lines(plan, plan.cost):
            console.print(Text.assemble((f"{label:<9}", "bold"), text))
        if (advice := _advice(plan.cost)) is not None:
            console.print(Text.assemble(("note: ", "yellow"), advice))
    if plan.sights:
        console.print()
        console.print(sight_table(plan))
        console.print()
        for note in sight_notes(plan):
            console.print(Text.assemble(("note: ", "yellow"), note))


def markdown(plan: RunPlan) -> str:
    """The plan as a Markdown section."""
    lines = [f"**{escape(plan.model)}** on {escape(plan.device or 'an unknown device')}", ""]
    rows = [
        (escape(task.name), f"{task.documents:,}", f"{task.requests:,}", f"{task.tokens:,}") for task in _folded(plan)
    ]
    lines += [*_markdown_table(("task", "documents", "prompts", "tokens asked"), rows), ""]
    if plan.cost is None:
        lines.append(f"- {_NO_COST}")
    else:
        lines += [f"- {label}: {' '.join(text.split())}" for label, text in _lines(plan, plan.cost)]
        if (advice := _advice(plan.cost)) is not None:
            lines.append(f"- {advice}")
    if plan.sights:
        sights = [(escape(name), *cells) for name, *cells in sight_rows(plan)]
        lines += ["", *_markdown_table(HEADINGS, sights), "", *(f"- {escape(note)}" for note in sight_notes(plan))]
    return "\n".join(lines) + "\n"


_NO_COST = "this model is reached through a service: what it computes is not known here"


def _advice(cost: Cost) -> str | None:
    if cost.peak_bytes <= cost.available_bytes:
        return None
    return "that is more memory than there is: try a smaller --batch-tokens, --max-length or --dtype"


def _task_table(plan: RunPlan) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    for heading in ("documents", "prompts", "tokens asked"):
        table.add_column(heading, justify="right")
    for task in _folded(plan):
        table.add_row(visible(task.name), f"{task.documents:,}", f"{task.requests:,}", f"{task.tokens:,}")
    return table


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose first column is words, the others numbers."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _folded(plan: RunPlan) -> list[TaskPlan]:
    """The tasks, those of a large group as one."""
    tasks = {task.name: task for task in plan.tasks}
    for name, members in plan.groups.items():
        own = [tasks[member] for member in members if member in tasks]
        if len(own) == len(members) > FOLDED_FROM:
            folded = reduce(add, own, TaskPlan(f"{name} ({len(own)} tasks)", 0, 0, 0))
            # in place of the first member, so that the order is the one asked for
            tasks = {
                (name if key == members[0] else key): (folded if key == members[0] else task)
                for key, task in tasks.items()
                if key == members[0] or key not in members
            }
    return list(tasks.values())


def _lines(plan: RunPlan, cost: Cost) -> list[tuple[str, str]]:
    return [
        ("tokens", _tokens(cost)),
        ("batches", f"{cost.batches:,} of up to about {cost.batch_tokens:,} tokens"),
        ("scoring", f"{duration(cost.seconds)}, at {cost.tokens_per_second:,.0f} tokens a second measured just now"),
        ("before", f"{duration(plan.preparation_seconds)} to read data, load the model and tokenise"),
        ("memory", f"{size(cost.peak_bytes)} at the peak, the model included; {size(cost.available_bytes)} available"),
    ]


def _tokens(cost: Cost) -> str:
    if cost.new_tokens:
        shared = cost.tokens_computed - cost.new_tokens
        return (
            f"prompts {cost.tokens_asked:,}, {shared:,} after sharing; answers at most {cost.new_tokens:,}\n"
            f"{'':9}(every answer is assumed to run to its limit)"
        )
    saved = cost.tokens_asked / max(1, cost.tokens_computed)
    text = f"{cost.tokens_asked:,} asked, {cost.tokens_computed:,} to compute"
    return f"{text}: {saved:.1f} x fewer" if saved >= 1 else text


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, in two figures or so."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def size(number: int) -> str:
    """Bytes in GiB or MiB."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
