"""A diagnosis for the terminal and as Markdown: the findings first, then what they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evalkit.doctor.advice import nats
from evalkit.doctor.diagnosis import ChatFindings, Diagnosis, FirstTokens, Level, Measured
from evalkit.reports.markdown import escape
from evalkit.reports.tables import Table
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_STYLES: dict[Level, str] = {"problem": "bold red", "care": "yellow", "fine": "green"}


def render(diagnosis: Diagnosis, console: Console) -> None:
    """Prints a diagnosis."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(_title(diagnosis), style="bold"))
    console.print(Text(_basis(diagnosis)))
    console.print()
    for advice in diagnosis.advice:
        grid = _grid()
        grid.add_row(Text(advice.level, style=_STYLES[advice.level]), Text(visible(advice.text)))
        console.print(grid)
    for table in _tables(diagnosis):
        console.print()
        console.print(Text(table.caption, style="bold"))
        console.print(Padding(_rich_table(table), (0, 0)))
    reasons = list(_reasons(diagnosis))
    if reasons:
        console.print()
    for reason in reasons:
        console.print(Text.assemble(("not measured: ", "yellow"), visible(reason)))
    console.print()
    for label, text in _chat_lines(diagnosis.chat):
        grid = _grid()
        grid.add_row(Text(label, style="bold"), Text(visible(text)))
        console.print(grid)


def markdown(diagnosis: Diagnosis) -> str:
    """The diagnosis as a Markdown section."""
    lines = [f"**{escape(_title(diagnosis))}**", "", escape(_basis(diagnosis)), ""]
    lines += [f"- **{advice.level}**: {escape(advice.text)}" for advice in diagnosis.advice]
    for table in _tables(diagnosis):
        right = ["---" if table.is_text(place) else "---:" for place in range(len(table.headings))]
        lines += ["", f"{escape(table.caption)}", "", _line(table.headings), _line(right)]
        lines += [_line([escape(cell) for cell in row]) for row in table.rows]
    if reasons := list(_reasons(diagnosis)):
        lines += ["", *(f"- not measured: {escape(reason)}" for reason in reasons)]
    lines += ["", *(f"- {label}: {escape(text)}" for label, text in _chat_lines(diagnosis.chat))]
    return "\n".join(lines) + "\n"


def _title(diagnosis: Diagnosis) -> str:
    millions = f"{diagnosis.parameters / 1e6:,.0f}M parameters"
    return f"{visible(diagnosis.model)}, {millions}, on {diagnosis.device}"


def _basis(diagnosis: Diagnosis) -> str:
    total = sum(diagnosis.questions.values())
    return (
        f"{total} questions of {', '.join(diagnosis.questions)}, in {diagnosis.seconds:.0f} s; the reference is each "
        f"prompt alone in {diagnosis.reference_dtype}"
    )


_HEADINGS = ("what is changed", "max token", "mean", "max answer", "flipped", "lead", "right")


def _tables(diagnosis: Diagnosis) -> Iterator[Table]:
    for caption in dict.fromkeys(map(_caption, diagnosis.measured)):
        rows = tuple(_row(one) for one in diagnosis.measured if _caption(one) == caption)
        yield Table(caption, _HEADINGS, rows)
    if diagnosis.forms:
        scores = tuple(
            (
                form.key,
                f"{form.right}/{form.questions}",
                f"{form.accuracy:.1%}",
                f"{form.ci95[0] * 100:.1f}–{form.ci95[1] * 100:.1f}",
                f"{form.chance:.1%}",
            )
            for form in diagnosis.forms
        )
        yield Table(
            "The same questions put in several ways", ("answers", "right", "acc", "95% interval", "chance"), scores
        )
    if diagnosis.pairs:
        pairs = tuple(
            (
                f"{pair.before} → {pair.after}",
                f"{pair.difference * 100:+.1f}",
                f"{pair.ci95[0] * 100:+.1f} to {pair.ci95[1] * 100:+.1f}",
                f"{pair.gained}/{pair.lost}",
                f"{pair.p:.2g}",
            )
            for pair in diagnosis.pairs
        )
        yield Table("and compared, in points", ("change", "points", "95% interval", "+/-", "p"), pairs)


def _caption(one: Measured) -> str:
    if one.key.endswith("/deterministic"):
        return f"With --deterministic in {one.dtype}, a part of the questions against the same among others (nats)"
    against = one.against.partition("/")[0]
    if one.key.endswith("/alone"):
        return f"Other types, against {against}, each prompt alone (nats)"
    return f"Within {against}, against each prompt alone (nats)"


def _row(one: Measured) -> tuple[str, ...]:
    if one.change is None:
        return (one.label, "–", "–", "–", "–", "–", "–")
    change = one.change
    return (
        one.label,
        nats(change.largest_token),
        nats(change.mean_token),
        nats(change.largest_answer),
        f"{change.flipped}/{change.questions}",
        "" if change.flipped_margin is None else nats(change.flipped_margin),
        f"{change.right_before}→{change.right_after}",
    )


def _reasons(diagnosis: Diagnosis) -> Iterator[str]:
    for one in diagnosis.measured:
        if one.change is None:
            label = one.label if one.label.startswith(one.dtype) else f"{one.dtype}, {one.label}"
            yield f"{label}: {one.reason}"


def _chat_lines(chat: ChatFindings) -> Iterator[tuple[str, str]]:
    yield "plain text", f"begins {_tokens(chat.plain)}"
    if not chat.template:
        yield "chat", "no template"
        return
    if chat.error is not None:
        yield "chat", chat.error
        return
    if chat.usual is not None:
        yield "chat", f"begins {_tokens(chat.usual)}"
    if chat.evalkit is not None and chat.usual is not None and chat.evalkit.ids != chat.usual.ids:
        yield "in evalkit", f"begins {_tokens(chat.evalkit)}"
    yield "system", _system(chat)
    yield "thinking", "switch enable_thinking known" if chat.thinking_switch else "no switch"
    can = "can" if chat.continues else "cannot"
    yield "answers", f"{chat.ended} of {chat.asked} ended by themselves; an answer's beginning {can} be given"


def _system(chat: ChatFindings) -> str:
    own = f"; without one it adds {chat.default_system!r}" if chat.default_system else ""
    words = {
        "own turn": "has a turn of its own",
        "in the user turn": "is put into the user turn by the template",
        "ignored": "is dropped without a word",
        "refused": "is refused",
    }
    return words[chat.system or "refused"] + own


def _tokens(first: FirstTokens) -> str:
    return " ".join(f"{number} {text!r}" for number, text in zip(first.ids, first.texts, strict=True))


def _grid() -> RichTable:
    from rich.table import Table as RichTable

    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(min_width=10, no_wrap=True)
    grid.add_column()
    return grid


def _rich_table(table: Table) -> RichTable:
    from rich.table import Table as RichTable

    shown = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, heading in enumerate(table.headings):
        left = place == 0
        shown.add_column(heading, justify="left" if left else "right", no_wrap=not left)
    for row in table.rows:
        shown.add_row(*map(visible, row))
    return shown


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
