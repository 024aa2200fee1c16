"""What verifying a result found, for the terminal and as Markdown: differences first, then what could not be checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evalkit.reports.markdown import escape
from evalkit.reports.text import visible
from evalkit.verification import Check, Verification

if TYPE_CHECKING:
    from rich.console import Console

WHAT = {
    "scores": "scores follow from the samples",
    "samples": "samples follow from the log",
    "prompts": "prompts are those of the tasks here",
    "data": "data and tasks are those here",
    "weights": "weights",
    "tokenizer": "tokenizer",
    "configuration": "configuration",
    "answers again": "the model answers the same again",
}
"""Check -> what it says."""

NAMED = 3
"""Tasks that a line names; of further ones it says how many."""


def headline(verification: Verification) -> str:
    """The outcome in one sentence."""
    differ = [check for check in verification.checks if check.status == "differs"]
    open_ = [check for check in verification.checks if check.status == "not checked"]
    if differ:
        return f"{visible(verification.result)}: {len(differ)} of {len(verification.checks)} checks differ"
    said = f"{visible(verification.result)}: everything that was checked agrees"
    return said + (f"; {len(open_)} checks could not be made" if open_ else "")


def lines(verification: Verification) -> Iterator[tuple[str, str, str]]:
    """(check, status, details): a line for each status of each kind of check, differences first within a kind."""
    for what, says in WHAT.items():
        own = [check for check in verification.checks if check.what == what]
        for status in ("differs", "not checked", "agrees"):
            some = [check for check in own if check.status == status]
            if some:
                yield says, status, _details(what, status, some, len(own))


def details(verification: Verification) -> Iterator[tuple[str, str]]:
    """(subject, sentence) of all that differs, could not be checked, or was measured."""
    for status in ("differs", "not checked", "agrees"):
        seen: dict[tuple[str, str], list[str]] = {}
        for check in verification.checks:
            if check.status == status:
                for sentence in check.said:
                    seen.setdefault((WHAT[check.what], sentence), []).append(check.subject)
        for (says, sentence), subjects in seen.items():
            about = "" if status == "differs" else f"{says}: "
            yield _names(subjects), about + visible(sentence)


def render(verification: Verification, console: Console) -> None:
    """Prints it."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(headline(verification), style="bold green" if verification.agrees else "bold red"))
    console.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("check", "", "of"):
        table.add_column(heading)
    colours = {"agrees": "green", "differs": "red", "not checked": "yellow"}
    for says, status, text in lines(verification):
        table.add_row(Text(says), Text(status, style=colours[status]), Text(text))
    console.print(table)
    found = list(details(verification))
    if found:
        console.print()
    for subject, sentence in found:
        console.print(Text.assemble((f"{subject}: ", "bold"), sentence))


def markdown(verification: Verification) -> str:
    """The same as a Markdown section."""
    rows = ["| check | | of |", "|---|---|---|"]
    rows += [f"| {escape(says)} | {status} | {escape(text)} |" for says, status, text in lines(verification)]
    notes = [f"- **{escape(subject)}**: {escape(sentence)}" for subject, sentence in details(verification)]
    return "\n".join([f"**{escape(headline(verification))}**", "", *rows, *(["", *notes] if notes else [])]) + "\n"


def _details(what: str, status: str, checks: Sequence[Check], own: int) -> str:
    """Whose checks these are, of `own` of the kind, and what was compared."""
    subjects = [check.subject for check in checks]
    named = "" if subjects == ["model"] else "all" if len(checks) == own > 1 else _names(subjects)
    units = {"scores": "metric", "samples": "document", "prompts": "document", "data": "document"}
    unit = units.get(what, "document" if what == "answers again" else "")
    if status == "not checked" or not unit:
        return named
    counted = _count(sum(check.checked for check in checks), unit)
    if status == "differs":
        counted += f", {_count(sum(check.found for check in checks), 'difference')}"
    return f"{named}: {counted}" if named else counted


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _names(subjects: Sequence[str]) -> str:
    names = list(dict.fromkeys(map(visible, subjects)))
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
