"""The list of tasks: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import typer

from evalkit.task import Group, Registered, Task

LARGE = 12
"""Groups with more members are shown in one line unless all is asked for."""

_HEADER = ("NAME", "SHOTS", "METRIC", "LANGUAGE", "ABOUT")


class Line(NamedTuple):
    """One line of the table."""

    name: str
    shots: str
    metric: str
    language: str
    about: str


def print_list(catalogue: Mapping[str, Registered], words: Sequence[str], everything: bool) -> None:
    """Prints the table: groups with their members indented, then tasks of no group."""
    lines = list(_lines(catalogue, words, everything))
    if not lines:
        typer.echo(f"No task has {' and '.join(words)} in its name, topic or language.", err=True)
        return
    if sys.stdout.isatty():
        _print_rich(lines)
    else:
        widths = [max(len(line[column]) for line in (_HEADER, *lines)) for column in range(len(_HEADER))]
        for line in (_HEADER, *lines):
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    typer.echo(
        "\nNAME:5shot asks with 5 examples, NAME:cot lets the model think first; lm-eval:NAME runs any task of lm-eval,\n"
        "perplexity:FILE a text file, translation:wmt22:en-de a test set or files of translations, summary:FILE summaries.\n"
        "`evalkit tasks show NAME` prints the exact prompts, `evalkit tasks new NAME` starts a task of your own.",
        err=True,
    )


def print_json(catalogue: Mapping[str, Registered], words: Sequence[str]) -> None:
    """Prints an array of all tasks and groups that match."""
    entries = [_described(entry) for entry in catalogue.values() if _matches(entry, words)]
    typer.echo(json.dumps(entries, ensure_ascii=False, indent=1))


def _lines(catalogue: Mapping[str, Registered], words: Sequence[str], everything: bool) -> Iterator[Line]:
    """Each entry once: under the first group that has it and is itself in none."""
    groups = [entry for entry in catalogue.values() if isinstance(entry, Group)]
    inner = {member for group in groups for member in group.members}
    # a selection of other families' tasks comes after those families, which would else miss some
    groups.sort(key=lambda group: any(":" in member for member in group.members))
    placed: set[str] = set()
    for group in groups:
        if group.name not in inner:
            yield from _branch(catalogue, group, words, everything, placed, "")
    for entry in catalogue.values():
        if entry.name not in placed and _matches(entry, words):
            yield _line(entry, "")


def _branch(
    catalogue: Mapping[str, Registered],
    entry: Registered,
    words: Sequence[str],
    everything: bool,
    placed: set[str],
    indent: str,
) -> Iterator[Line]:
    if entry.name in placed:
        return
    placed.add(entry.name)
    wanted = _matches(entry, words)
    if wanted:
        yield _line(entry, indent)
    if isinstance(entry, Group):
        # a family that was found stands for its members; looking for a member by name opens it
        folded = not everything and len(entry.members) >= LARGE and wanted
        for member in entry.members:
            # `arc_challenge:25shot` is a use of another family's task, which is listed there
            found = catalogue.get(member)
            if found is not None and folded:
                placed.add(found.name)
            elif found is not None:
                yield from _branch(catalogue, found, words, everything, placed, indent + "  " * wanted)


def _line(entry: Registered, indent: str) -> Line:
    if isinstance(entry, Task):
        return Line(indent + entry.name, str(entry.shots), entry.metrics[0], entry.language, entry.about)
    metrics = {entry.metrics} if isinstance(entry.metrics, str) else set(entry.metrics.values())
    metric = "" if not metrics else metrics.pop() if len(metrics) == 1 else "mean"
    return Line(f"{indent}{entry.name} ({len(entry.members)})", "", metric, "", entry.about)


def _matches(entry: Registered, words: Sequence[str]) -> bool:
    topics = (*entry.tags, entry.language, entry.citation) if isinstance(entry, Task) else ()
    text = " ".join((entry.name, entry.about, *topics)).lower()
    return all(word.lower() in text for word in words)


def _described(entry: Registered) -> dict[str, object]:
    common = {"name": entry.name, "about": entry.about, "version": entry.version}
    if isinstance(entry, Group):
        metrics = entry.metrics if isinstance(entry.metrics, str) else dict(entry.metrics)
        return {**common, "kind": "group", "members": entry.members, "metrics": metrics, "weighting": entry.weighting}
    return {
        **common,
        "kind": "task",
        "dataset": entry.data.id or None,
        "config": entry.data.config,
        "split": entry.data.split,
        "shots": entry.shots,
        "metrics": entry.metrics,
        "language": entry.language,
        "tags": entry.tags,
        "citation": entry.citation,
        "lm_eval": entry.lm_eval,
    }


def _print_rich(lines: Sequence[Line]) -> None:
    from rich.table import Table
    from rich.text import Text

    from evalkit.cli.progress import standard_output

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _HEADER:
        table.add_column(
            title, justify="right" if title == "SHOTS" else "left", no_wrap=title != "ABOUT", overflow="fold"
        )
    for line in lines:
        bold = line.shots == ""
        table.add_row(Text(line.name, style="bold" if bold else ""), *(Text(cell) for cell in line[1:]))
    standard_output().print(table)
