"""The ending of a file and what is written to it must say the same."""

from __future__ import annotations

from pathlib import Path

from evalkit.errors import UsageError

WHAT = {
    ".json": "JSON",
    ".jsonl": "JSON lines",
    ".html": "HTML",
    ".htm": "HTML",
    ".md": "Markdown",
    ".csv": "CSV",
    ".tex": "LaTeX",
    ".xml": "XML",
    ".parquet": "Parquet",
    ".pdf": "PDF",
}
"""Ending -> what a reader expects of such a file; others promise nothing."""


def check_ending(path: Path, what: str, hint: str) -> None:
    """Makes sure that the name does not promise something else.

    Args:
        path: The file to write.
        what: What is written, as in `WHAT`.
        hint: What to do where it does.

    Raises:
        UsageError: The ending is of another format.
    """
    promised = WHAT.get(path.suffix.lower())
    if promised is not None and promised != what:
        raise UsageError(f"{path} would hold {what}, and its name says {promised}", hint=hint)
