"""Writing what a command made to a file, or to standard output."""

from __future__ import annotations

from pathlib import Path

import typer


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file whole or not at all, its line ends as they are.

    Raises:
        OutputError: The place cannot be written.
    """
    from evalkit.files import atomic_writer

    with atomic_writer(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def print_text(text: str) -> None:
    """Prints to standard output what is data, without a further line end."""
    typer.echo(text, nl=False)


def print_note(text: str) -> None:
    """Prints to standard error what the user should know beside the result."""
    typer.echo(f"note: {text}", err=True)
