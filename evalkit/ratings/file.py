"""The ratings file: a line that names the runs, then a line a rating; only ever appended to while people rate."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, cast, get_args

from evalkit import __version__
from evalkit.errors import NotComparableError, OutputError, UsageError
from evalkit.files import atomic_writer, lock
from evalkit.json_node import Node, parse
from evalkit.ratings.model import (
    CRITERIA,
    HIGHEST,
    LOWEST,
    Choice,
    Mode,
    RatedRun,
    RatedTask,
    Rating,
    RatingKey,
    Ratings,
    Side,
)


def read_ratings(path: Path) -> Ratings:
    """Reads a ratings file. A last line that was torn off is left out: its rater was never told that it was saved.

    Raises:
        UsageError: The file is missing, of another schema, or a line is damaged; the message names line and field.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="make one with evalkit rate, or check the path"
        ) from error
    if _is_result(content):
        raise UsageError(
            f"{path} is a result file; --report takes ratings files (.jsonl)",
            hint=f"make one with evalkit rate {path} -o FILE.jsonl",
        )
    return _parse(path.name, content)[0]


def _is_result(content: bytes) -> bool:
    """Whether these are the first bytes of what `evalkit run` writes: its schema stands first."""
    return re.match(rb'\s*\{\s*"schema":\s*"evalkit\.result/', content) is not None


def merge(parts: Sequence[Ratings], names: Sequence[str]) -> Ratings:
    """Several raters' files as one; of two ratings of the same rater on the same document the later one counts.

    Args:
        parts: Contents of the files.
        names: Their names, for messages.

    Raises:
        NotComparableError: They rate different runs.
    """
    first = parts[0]
    for part, name in zip(parts[1:], names[1:], strict=True):
        if reason := difference(first, part.base, part.tuned):
            raise NotComparableError(
                f"{names[0]} and {name} rate different runs: {reason}",
                hint="merge ratings of the same two result files, given in the same order",
            )
    # sorting is stable: at the same moment the later file counts
    timed = sorted((rating for part in parts for rating in part.ratings), key=lambda rating: rating.time)
    ratings, replaced = _latest(timed)
    return Ratings(first.base, first.tuned, ratings, replaced + sum(part.replaced for part in parts))


def write_ratings(ratings: Ratings, path: Path) -> None:
    """Writes a ratings file whole or not at all.

    Raises:
        OutputError: The place cannot be written.
    """
    with atomic_writer(path) as stream:
        stream.write(_header(ratings.base, ratings.tuned))
        stream.writelines(map(_line, ratings.ratings))


def difference(ratings: Ratings, base: RatedRun, tuned: RatedRun | None) -> str | None:
    """What makes the rated runs others than these two; None where they are the same."""
    if (ratings.tuned is None) != (tuned is None):
        return "one run in one of them, two in the other"
    reason = ratings.base.difference(base)
    if reason is None and ratings.tuned is not None and tuned is not None:
        reason = ratings.tuned.difference(tuned)
    return reason


class RatingLog:
    """A ratings file open for a session: every rating is on the disk before the next is asked for.

    Args:
        path: The file; made with its header where there is none.
        base: The first run.
        tuned: The second; None where one alone is scored.

    Attributes:
        ratings: What the file held at the start.

    Raises:
        OutputError: The place cannot be written, or another session has the file open.
        UsageError: The file is damaged, or holds ratings of other runs.
    """

    def __init__(self, path: Path, base: RatedRun, tuned: RatedRun | None) -> None:
        self.path = path
        self.ratings = Ratings(base, tuned, ())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._begin(base, tuned)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, base: RatedRun, tuned: RatedRun | None) -> None:
        if lock(self._file) is False:
            raise OutputError(
                f"{self.path} is open in another session", hint="finish that one, or choose another file with -o"
            )
        self._file.seek(0)
        content = self._file.read()
        if not content.strip() or _is_torn_header(content):
            self._file.truncate(0)
            self._append(_header(base, tuned))
            return
        self.ratings, good_bytes = _parse(self.path.name, content)
        if reason := difference(self.ratings, base, tuned):
            raise UsageError(
                f"{self.path} holds ratings of other runs: {reason}",
                hint="choose another file with -o, or give the result files that it was made with, in that order",
            )
        if good_bytes < len(content):
            self._file.truncate(good_bytes)
        elif not content.endswith(b"\n"):
            self._append(b"\n")

    def __enter__(self) -> RatingLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, ratings: Iterable[Rating]) -> None:
        """Appends ratings and waits until the disk has them.

        Raises:
            OutputError: They cannot be written.
        """
        if lines := b"".join(map(_line, ratings)):
            self._append(lines)

    def _append(self, lines: bytes) -> None:
        try:
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path} cannot be written: {error.strerror}", hint="choose another place with -o")


# --- to JSON


def _header(base: RatedRun, tuned: RatedRun | None) -> bytes:
    runs = {"base": asdict(base), "tuned": None if tuned is None else asdict(tuned)}
    return _dump({"schema": Ratings.schema, "evalkit_version": __version__, "runs": runs})


def _line(rating: Rating) -> bytes:
    """One line: what was asked, and of the rest only what says something."""
    values = asdict(rating)
    always = {"rater", "mode", "task", "document", "seconds", "time"}
    return _dump({name: value for name, value in values.items() if name in always or value not in (None, False)})


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"


# --- from JSON


def _parse(name: str, content: bytes) -> tuple[Ratings, int]:
    """The ratings, and how many bytes of the file are whole lines."""
    lines = content.split(b"\n")
    if lines[-1] and not _is_json(lines[-1]):
        lines[-1] = b""  # torn off while it was written
        content = b"\n".join(lines)
    try:
        header = parse(f"{name} line 1", lines[0])
    except UsageError as error:
        raise UsageError(error.message, hint="a ratings file is made with evalkit rate") from error
    _check_schema(header)
    runs = header["runs"]
    found = [_rating(parse(f"{name} line {number}", line)) for number, line in enumerate(lines[1:], 2) if line.strip()]
    ratings, replaced = _latest(found)
    return Ratings(_run(runs["base"]), runs["tuned"].optional(_run), ratings, replaced), len(content)


def _latest(given: Iterable[Rating]) -> tuple[tuple[Rating, ...], int]:
    """The last rating of each rater on each document, without those taken back, and how many were replaced."""
    kept: dict[RatingKey, Rating] = {}
    replaced = 0
    for rating in given:
        earlier = kept.pop(rating.key, None)
        replaced += earlier is not None and not rating.withdrawn and earlier != rating
        if not rating.withdrawn:
            kept[rating.key] = rating
    return tuple(kept.values()), replaced


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _is_torn_header(content: bytes) -> bool:
    """Whether a session ended while it wrote the first line."""
    start = b'{"schema": "evalkit.ratings/'
    return b"\n" not in content and content[: len(start)] == start[: len(content)] and not _is_json(content)


def _check_schema(header: Node) -> None:
    schema = header["schema"].text()
    if schema == Ratings.schema:
        return
    family, _, version = schema.rpartition("/")
    if family == Ratings.schema.rpartition("/")[0] and version.isdecimal():
        raise UsageError(
            f"{header.file}: the schema is {schema}, this version of evalkit reads {Ratings.schema}",
            hint="another version of evalkit wrote it: read it with that version",
        )
    raise UsageError(
        f"{header.file}: the schema is {schema!r}, expected {Ratings.schema}",
        hint="make one with evalkit rate, or check the path",
    )


def _run(node: Node) -> RatedRun:
    return RatedRun(
        name=node["name"].text(),
        adapter=node["adapter"].optional(Node.text),
        weights_sha256=node["weights_sha256"].text(),
        tasks={
            name: RatedTask(task["n"].whole(), task["prompt_sha256"].text(), task["outputs_sha256"].text())
            for name, task in node["tasks"].items()
        },
    )


def _rating(node: Node) -> Rating:
    present = node.mapping()

    def flag(name: str) -> bool:
        return node[name].truth() if name in present else False

    rating = Rating(
        rater=node["rater"].text(),
        mode=cast(Mode, _one_of(node["mode"], get_args(Mode))),
        task=node["task"].text(),
        document=node["document"].text(),
        cluster=node["cluster"].text() if "cluster" in present else None,
        choice=cast(Choice, _one_of(node["choice"], get_args(Choice))) if "choice" in present else None,
        scores=_scores(node["scores"]) if "scores" in present else None,
        left=cast(Side, _one_of(node["left"], get_args(Side))) if "left" in present else None,
        identical=flag("identical"),
        reference=flag("reference"),
        seconds=node["seconds"].number(),
        time=node["time"].text(),
        withdrawn=flag("withdrawn"),
    )
    if not rating.withdrawn:
        needed = "choice" if rating.mode == "choice" else "scores"
        node[needed]  # an error that names the field where it is missing
    return rating


def _scores(node: Node) -> Mapping[Side, Mapping[str, int]]:
    found: dict[Side, Mapping[str, int]] = {}
    for side, scores in node.items():
        if side not in get_args(Side):
            raise scores.error("is the score of no run: expected base or tuned")
        for criterion in CRITERIA:
            if not LOWEST <= scores[criterion].whole() <= HIGHEST:
                raise scores[criterion].error(f"is not between {LOWEST} and {HIGHEST}")
        found[cast(Side, side)] = {criterion: scores[criterion].whole() for criterion in CRITERIA}
    return found


def _one_of(node: Node, allowed: Sequence[str]) -> str:
    if node.text() not in allowed:
        raise node.error(f"is {node.text()!r}, expected one of {', '.join(allowed)}")
    return node.text()
