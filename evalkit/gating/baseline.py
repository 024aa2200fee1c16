"""Files of another commit (`git:REF:PATH`), read without a checkout: a baseline, or a policy."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import NotComparableError, UsageError
from evalkit.results import samples_path

PREFIX = "git:"
FETCH = "`git fetch origin BRANCH` first, or `fetch-depth: 0` for GitHub's checkout action"
_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline's file.

    Attributes:
        path: The file, or a copy of it that lasts as long as the context.
        label: What to call it.
    """

    path: Path
    label: str


@contextmanager
def open_baseline(text: str) -> Iterator[Baseline]:
    """The baseline that a user named.

    Args:
        text: A file, or `git:REF:PATH`; the path counts from the top of the repository, or from here where it begins with
            `./`. The log of samples beside it comes along where the commit has it.

    Raises:
        NotComparableError: There is no such file, here or in that commit, or no such commit: nothing to compare with.
        UsageError: The text is no baseline, or there is no repository.
    """
    if not text.startswith(PREFIX):
        path = Path(text)
        if not path.exists():
            raise missing(text)
        yield Baseline(path, path.name)
        return
    reference, place = _parts(text, "--baseline")
    commit, why = _commit(reference)
    content = None if commit is None else _blob(commit, place)
    if commit is None or content is None:
        raise missing(f"{place} in {reference}" if commit else f"{place}: {why}", place, reference)
    with tempfile.TemporaryDirectory(prefix="evalkit-baseline-") as folder:
        path = Path(folder) / (Path(place).stem + ".json")
        path.write_bytes(_no_pointer(content, text))
        log = _blob(commit, str(samples_path(Path(place))))
        if log is not None and not log.startswith(_LFS):
            samples_path(path).write_bytes(log)
        yield Baseline(path, f"{Path(place).name} of {reference}, {commit[:10]}")


def read_committed(text: str, option: str) -> bytes:
    """A file as it is in another commit.

    Args:
        text: `git:REF:PATH`, as of `open_baseline`.
        option: What the user wrote it after, for messages.

    Raises:
        UsageError: The text is none, there is no repository, or no such commit or file.
    """
    reference, place = _parts(text, option)
    commit, why = _commit(reference)
    if commit is None:
        raise UsageError(f"{option} {text}: {why}", hint=FETCH)
    content = _blob(commit, place)
    if content is None:
        raise UsageError(f"{option} {text}: that commit has no file {place}", hint="commit it there first")
    return _no_pointer(content, text)


def _parts(text: str, option: str) -> tuple[str, str]:
    """Reference and path."""
    reference, colon, place = text.removeprefix(PREFIX).partition(":")
    if not (reference and colon and place):
        ending = "gate.yaml" if option == "--policy" else "base.json"
        raise UsageError(f"{option} {text} is not git:REF:PATH", hint=f"example: git:origin/main:evals/{ending}")
    return reference, place


def missing(what: str, place: str | None = None, reference: str | None = None) -> NotComparableError:
    """No baseline: there is nothing to compare with, which must never pass for a success."""
    where = "commit it" if reference is None else f"commit it on {reference}; {FETCH} where it is there already"
    return NotComparableError(
        f"there is no baseline {what}",
        hint=f"make one: evalkit run --model BASE --tasks TASKS -o {place or what}, and {where}",
    )


def _commit(reference: str) -> tuple[str | None, str]:
    """The commit that a reference names, in 40 hexadecimal digits, or why there is none.

    Nothing else of the user's reaches git as an option.

    Raises:
        UsageError: There is no repository here.
    """
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
    if found.returncode == 0:
        return found.stdout.decode("ascii").strip(), ""
    inside = _git("rev-parse", "--is-inside-work-tree", "--is-shallow-repository")
    if inside.returncode:
        said = inside.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(
            f"git:{reference} needs a git repository here: {said[0].removeprefix('fatal: ') if said else 'git failed'}",
            hint="run it within the repository, or give a file",
        )
    shallow = inside.stdout.split()[-1:] == [b"true"]
    return None, f"git knows no commit {reference!r}" + (", and this clone is shallow" if shallow else "")


def _blob(commit: str, place: str) -> bytes | None:
    """The content of a file in a commit; None where it has none of that name."""
    found = _git("cat-file", "blob", f"{commit}:{place}")
    return found.stdout if found.returncode == 0 else None


def _no_pointer(content: bytes, text: str) -> bytes:
    if content.startswith(_LFS):
        raise UsageError(
            f"{text} is kept in Git LFS, and the commit holds only a pointer to it",
            hint="check that commit out with LFS and give the file, or keep it outside LFS",
        )
    return content


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False, env=environment)
    except OSError as error:
        raise UsageError(
            "git cannot be started, which git:REF:PATH needs", hint="install git, or give a file"
        ) from error
