"""Reads data sets from a folder laid out as on the Hugging Face hub, and a task's own files.

Files are read directly and never through `datasets.load_dataset`: its cache (seen in datasets 5.2) answers for a local
folder with the rows of another folder whose names are equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.data.formats import read_file
from evalkit.data.layout import Layout, find_layout
from evalkit.errors import DataError, UsageError

_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class Found(NamedTuple):
    """Rows of one split with the configuration that held them and the commit they are of."""

    rows: list[dict[str, Any]]
    config: str | None
    revision: str | None


class NotHere(Exception):
    """A place has no such dataset, configuration or split; the message is one clause that says so.

    Never shown to users by itself: the clauses of all places together make the `DataError`.

    Attributes:
        holds: Whether the place has the dataset, just not the configuration or split.
    """

    def __init__(self, clause: str, *, holds: bool = False) -> None:
        super().__init__(clause)
        self.holds = holds


def check_id(dataset_id: str) -> str:
    """Returns the id if it is of the form `org/name` or `name`, so that it cannot point out of a folder.

    Raises:
        UsageError: It is not.
    """
    if not _ID.fullmatch(dataset_id):
        raise UsageError(
            f"'{dataset_id}' is not a dataset id",
            hint="Write it as on the Hugging Face hub, org/name, for instance cais/mmlu.",
        )
    return dataset_id


def list_files(folder: Path) -> list[str]:
    """All files under a dataset's folder, relative to it, `/` between parts, sorted; hidden folders left out."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts))


def folder_layout(folder: Path) -> Layout:
    """The configurations and splits of a dataset's folder.

    Raises:
        DataError: Its README.md cannot be read.
    """
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else None
    try:
        return _layout(tuple(list_files(folder)), text)
    except DataError as error:
        raise DataError(f"dataset folder {folder}: {error.message}", hint=error.hint) from error


@lru_cache(maxsize=64)
def _layout(paths: tuple[str, ...], readme: str | None) -> Layout:
    """Kept by content: a benchmark of 57 configurations asks for the same layout more than a hundred times."""
    return find_layout(paths, readme)


def read_folder(folder: Path, config: str | None, split: str, columns: Mapping[str, Any]) -> Found:
    """Reads one split from a dataset's folder.

    Raises:
        NotHere: The folder does not exist, or lacks the configuration or the split.
        DataError: A file is broken.
    """
    if not folder.is_dir():
        raise NotHere("does not have it")
    layout = folder_layout(folder)
    try:
        files = layout.files(config, split)
    except KeyError as error:
        raise NotHere(str(error.args[0]), holds=True) from error
    rows = [row for name in files for row in read_file(folder / name, columns)]
    return Found(rows, config if config is not None else layout.default, downloaded_commit(folder, files[0]))


def commit_note(name: str) -> str:
    """Where `hf download --local-dir` notes the commit of a file."""
    return f".cache/huggingface/download/{name}.metadata"


def downloaded_commit(folder: Path, name: str) -> str | None:
    """The commit that `hf download --local-dir` notes beside its files; None where the folder was made otherwise."""
    note = folder / commit_note(name)
    if not note.is_file():
        return None
    lines = note.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0] if lines and re.fullmatch(r"[0-9a-f]{40}", lines[0]) else None
