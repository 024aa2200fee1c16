"""Writing what a command made to a file, or to standard output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import typer

from evalkit.errors import UsageError

READER_LEFT = 141
"""Exit code of a command whose reader stopped reading, as `head` does: what a shell reports of one that SIGPIPE ended."""
_OF_RUNS = {".json", ".jsonl", ".parquet", ".eval"}
"""Endings of the files in a folder that is given as a result."""


class Format(StrEnum):
    """How what a command found is printed."""

    terminal = "terminal"
    markdown = "markdown"
    json = "json"


def check_outputs(
    outputs: Mapping[str, Path | None], results: Sequence[Path] = (), others: Mapping[str, Path | None] | None = None
) -> list[Path]:
    """The files to write, once it is sure that each can be, and that none is read by the command or written twice.

    Args:
        outputs: The option that names it -> the file; None for none.
        results: Result files, or folders with one; the logs of their samples are kept too.
        others: What else is read: "the policy" -> its file.

    Raises:
        UsageError: A file is read as well, or named twice.
        OutputError: One cannot be written.
    """
    from evalkit.files import check_writable

    inputs = [("one of the results", path) for path in results for path in _files(path)]
    inputs += [("the log of a result's samples", path) for path in map(_log, results)]
    inputs += [(what, path) for what, path in (others or {}).items() if path is not None]
    wanted: dict[str, Path] = {option: path for option, path in outputs.items() if path is not None}
    for option, path in wanted.items():
        for what, read in inputs:
            if _same(path, read):
                raise UsageError(f"{path} is {what}, and would be overwritten", hint="write to another file")
        for other, earlier in wanted.items():
            if other == option:
                break
            if _same(path, earlier):
                raise UsageError(f"{other} and {option} both name {path}", hint="give each a file of its own")
    for path in wanted.values():
        check_writable(path)
    return list(wanted.values())


def _files(path: Path) -> Iterable[Path]:
    return [one for one in path.iterdir() if one.suffix in _OF_RUNS] if path.is_dir() else [path]


def _log(path: Path) -> Path:
    from evalkit.results import samples_path

    return samples_path(path)


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        if os.path.samefile(one, other):
            return True
    return one.resolve() == other.resolve()


def print_text(text: str) -> None:
    """Prints to standard output what is data, without a further line end."""
    typer.echo(text, nl=False)


@contextmanager
def reader_may_leave(code: int) -> Iterator[None]:
    """Ends the command with `code` where the reader of its standard output stops reading.

    Raises:
        typer.Exit: It did.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        drop_standard_output()
        raise typer.Exit(code) from None


def drop_standard_output() -> None:
    """Sends nowhere what is still to be printed, so that Python does not complain when it ends."""
    with suppress(OSError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def print_note(text: str) -> None:
    """Prints to standard error what the user should know beside the result."""
    typer.echo(f"note: {text}", err=True)


def print_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Prints a plain table to standard output, for people and for `cut`."""
    widths = [max(len(line[column]) for line in (header, *lines)) for column in range(len(header))]
    for line in (header, *lines):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
