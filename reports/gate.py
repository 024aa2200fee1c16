"""A gate's decision for the terminal and as Markdown: for a CI log, a step summary, a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.comparing.amounts import limits, score, signed
from evalkit.gating.result import BrokenItem, Finding, GateResult, Looks, Row, Status
from evalkit.reports.markdown import escape
from evalkit.reports.terminal import _characters, _is_ascii
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MARKER = "<!-- evalkit:gate -->"
"""First line of the Markdown: a bot finds its own comment by it and replaces it."""
LARGEST = 90_000
"""Bytes of Markdown; GitHub takes a step summary up to 1 MiB and shows no comment above 65,536 characters whole."""
ROWS = 100
BROKEN_IN_TERMINAL = 10

_STYLES = {
    Status.PASS: "green",
    Status.WARN: "yellow",
    Status.FAIL: "red",
    Status.UNDECIDED: "yellow",
    Status.NOT_COMPARABLE: "magenta",
}


def render(result: GateResult, console: Console, paths: Sequence[Path] = ()) -> None:
    """Prints a decision: the headline, a row a task, why, some documents that got worse, and where the files are."""
    from rich.text import Text

    plain = _is_ascii(console)

    def line(*parts: str | tuple[str, str]) -> None:
        safe = [_characters(p, plain) if isinstance(p, str) else (_characters(p[0], plain), p[1]) for p in parts]
        console.print(Text.assemble(*safe), soft_wrap=True)

    line((visible(result.headline()), f"bold {_STYLES[result.status]}"))
    line(visible(f"{result.after} against {result.before}, policy: {result.policy}"))
    if result.looks is not None:
        line(looks_sentence(result.looks))
    if result.rows:
        console.print()
        console.print(_table(result, plain))
    console.print()
    for finding in _telling(result):
        line((f"{_label(finding)}: ", _STYLES.get(finding.status, "")), visible(_reason(finding)))
    for condition in _conditions(result):
        line(("note: ", "yellow"), condition)
    for item in result.broken[:BROKEN_IN_TERMINAL]:
        line(("broken: ", "cyan"), _one_line(item))
    if len(result.broken) > BROKEN_IN_TERMINAL:
        line(f"and more of them in the Markdown and JSON: {_share_of(len(result.broken), result.broken_total)}")
    elif len(result.broken) < result.broken_total:
        line(f"these are {_share_of(len(result.broken), result.broken_total)}")
    for path in paths:
        line((visible(str(path)), "cyan"))


def markdown(result: GateResult) -> str:
    """The decision as GitHub-flavoured Markdown, below 100 kB: what does not fit is left out, and said to be."""
    lines = [
        MARKER,
        f"## Evaluation gate {escape(result.headline())}",
        "",
        f"**{escape(result.after)}** against **{escape(result.before)}**, policy: {escape(result.policy)}",
        "",
    ]
    if result.looks is not None:
        lines += [escape(looks_sentence(result.looks)), ""]
    lines += _markdown_table(result)
    lines += [f"- **{escape(_label(one))}** {escape(_reason(one))}" for one in _telling(result)[:ROWS]]
    lines += [f"- note: {escape(condition)}" for condition in _conditions(result)]
    text = "\n".join(lines) + "\n"
    return text + _details(result.broken, result.broken_total, LARGEST - len(text.encode()))


def looks_sentence(looks: Looks) -> str:
    """How far a sequential gate went."""
    share = 100 * looks.asked / looks.total if looks.total else 0.0
    end = "stopped early, certain" if looks.stopped else "went through all documents"
    count = f"{len(looks.sizes)} look{'' if len(looks.sizes) == 1 else 's'}"
    asked = f"{looks.asked:,} of {looks.total:,} documents ({share:.1f} %)"
    return f"sequential: {end}, after {asked} in {count}, seed {looks.seed}"


def _telling(result: GateResult) -> list[Finding]:
    """Findings that say more than the table: all but those that simply hold, the weightiest first."""
    order = [Status.FAIL, Status.NOT_COMPARABLE, Status.UNDECIDED, Status.WARN, Status.SKIPPED]
    told = [one for one in result.findings if one.status in order]
    return sorted(told, key=lambda one: (not one.decides, order.index(one.status)))


def _label(finding: Finding) -> str:
    role = "" if finding.decides else " (informational)"
    return f"{finding.status.value}{role}"


def _reason(finding: Finding) -> str:
    return f"{finding.task}: {finding.check.value}: {finding.sentence}"


def _conditions(result: GateResult) -> list[str]:
    notes = list(result.notes)
    for one in result.conditions:
        where = f" ({', '.join(one.tasks[:3])}{' ...' if len(one.tasks) > 3 else ''})" if one.tasks else ""
        effect = " (allowed)" if one.allowed else ""
        notes.append(f"{one.field} differs{where}: {one.before} before, {one.after} now{effect}")
    return [visible(note) for note in notes]


def _cells(row: Row) -> tuple[str, ...]:
    arrow = "" if row.higher_is_better else " ↓"
    return (
        visible(f"{row.task} {row.metric}{arrow}"),
        f"{row.n:,}",
        score(row.before, row.is_share),
        score(row.after, row.is_share),
        # as the metric counts: a gain of a perplexity is a fall
        signed(row.gain if row.higher_is_better else -row.gain, row.is_share),
        limits(_interval(row), row.is_share),
        f"{row.fixed:,}/{row.broken:,}",
        row.word + ("" if row.decides else " (informational)"),
    )


def _interval(row: Row) -> tuple[float, float] | None:
    """The limits of the difference, as the metric counts."""
    if row.interval is None or row.higher_is_better:
        return row.interval
    return -row.interval[1], -row.interval[0]


def _headings(result: GateResult) -> list[str]:
    """The words of `evalkit compare`."""
    levels = {row.alpha for row in result.rows}
    level = f"{100 * (1 - levels.pop()):g}% interval" if len(levels) == 1 else "interval"
    return ["task", "n", "before", "after", "change", level, "+/-", "verdict"]


def _table(result: GateResult, plain: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)
    first, *middle, last = _headings(result)
    table.add_column(first, overflow="fold", min_width=10)
    for heading in middle:
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column(last, overflow="fold", min_width=9)
    for row in result.rows[:ROWS]:
        table.add_row(*(Text(_characters(cell, plain)) for cell in _cells(row)))
    return table


def _markdown_table(result: GateResult) -> list[str]:
    if not result.rows:
        return []
    right = "---:"
    lines = [
        f"| {' | '.join(_headings(result)).replace('+/-', 'fixed / broken')} |",
        f"| {' | '.join(['---', *[right] * 6, '---'])} |",
        *(f"| {' | '.join(escape(cell) for cell in _cells(row))} |" for row in result.rows[:ROWS]),
    ]
    if len(result.rows) > ROWS:
        lines += ["", f"{len(result.rows) - ROWS} more tasks are in the JSON file."]
    return [*lines, ""]


def _share_of(shown: int, total: int) -> str:
    """`20 of 130 documents that got worse`."""
    some = f"{shown:,} of {total:,}" if shown < total else f"{shown:,}"
    return f"{some} document{'' if max(shown, total) == 1 else 's'} that got worse"


def _details(items: Sequence[BrokenItem], total: int, room: int) -> str:
    """The documents that got worse, folded; as many as there is room for."""
    blocks: list[str] = []
    for item in items:
        block = "\n".join(_block(item))
        room -= len(block.encode()) + 1
        if room < 200:
            break
        blocks.append(block)
    if not blocks:
        return ""
    left = len(items) - len(blocks)
    more = f"\n{left} more are in the JSON file.\n" if left else ""
    count = _share_of(len(blocks), max(total, len(items)))
    return f"\n<details><summary>{count}</summary>\n\n" + "\n".join(blocks) + f"{more}\n</details>\n"


def _block(item: BrokenItem) -> Iterator[str]:
    yield f"**{escape(item.task)}** {escape(item.id)} ({escape(_why(item))})"
    yield ""
    parts = (
        *(("prompt", item.prompt or None), ("target", item.target or None)),
        *(("baseline", item.before), ("candidate", item.after)),
    )
    texts = [(label, text) for label, text in parts if text is not None]
    if not texts:
        return
    body = "\n".join(f"{label}: {_lines(text)}".rstrip() for label, text in texts)
    # longer than any run of backticks in it, so that no text can end the block
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    yield f"{fence}text\n{body}\n{fence}"
    yield ""


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))


def _why(item: BrokenItem) -> str:
    """The cause, and how much was lost where that is not all of a document's one point."""
    return item.cause if item.gain == -1 else f"{item.cause}, {item.gain:+.3g}"


def _one_line(item: BrokenItem) -> str:
    answers = ((item.before, "before"), (item.after, "now"))
    known = [f"{answer!r} {when}" for answer, when in answers if answer is not None]
    said = f": {', '.join(known)}" if known else ""
    right = f", right is {item.target!r}" if item.target else ""
    text = visible(f"{item.task} {item.id} ({_why(item)}){said}{right}")
    return text if len(text) <= 200 else f"{text[:200]} ..."
