"""Disks that are full, read-only, or give back something else."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.counting import Bench, Row, Trial
from benchmarks.faults.kills import _begun
from benchmarks.faults.process import Injection, journalled
from benchmarks.faults.workload import OUTPUT, Files


def cut_writes(bench: Bench, injections: int, seed: int) -> Row:
    """No file may grow beyond a random size: a write is cut short in the middle, as on a disk that fills up."""
    row = Row("no room: a write is cut short at a random byte")
    draw = random.Random(seed)
    while row.injections < injections:
        trial, size = bench.trial(), int(10 ** draw.uniform(1.5, 4.3))
        child = trial.start(_limit(size))
        ended = child.ended()
        if not ended.code:
            continue  # all files were smaller
        row.injections += 1
        trial.refused(row, ended, 2, "cannot")
        row.lost += trial.lost(child)
        trial.finish(row)
    return row


def _limit(size: int) -> Injection:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def full_disk(bench: Bench, injections: int, seed: int) -> Row:
    """A real file system of random size that fills up; then there is room."""
    row = Row("disk full (a file system of its own)")
    draw = random.Random(seed)
    while row.injections < injections:
        trial = bench.trial()
        with _file_system(trial.folder / "disk", f"size={draw.randrange(1, 12) * 4096}") as mounted:
            if not mounted:
                row.skipped = "needs the right to mount"
                return row
            trial.output = mounted / OUTPUT
            trial.more = ("-o", str(trial.output))
            child = trial.start()
            ended = child.ended()
            if not ended.code:
                continue
            row.injections += 1
            trial.refused(row, ended, 2, "cannot be written" if "cannot be written" in ended.said else "cannot write")
            row.lost += trial.lost(child)
            subprocess.run(["mount", "-o", "remount,size=4m", str(mounted)], check=True)
            _finish_elsewhere(trial, row)
    return row


def read_only(bench: Bench, injections: int, seed: int) -> Row:
    """A real file system that becomes read-only under way; then it can be written again."""
    row = Row("output becomes read-only")
    draw = random.Random(seed)
    while row.injections < injections:
        trial = bench.trial()
        with _file_system(trial.folder / "disk", "size=4m") as mounted:
            if not mounted:
                row.skipped = "needs the right to mount"
                return row
            trial.output = mounted / OUTPUT
            trial.more = ("-o", str(trial.output))
            if row.injections % 3:  # under way: what a process has open for writing must be closed before
                child = trial.start()
                if not _begun(trial.output, child, draw.randrange(1, 12)):
                    continue
                child.kill()
                child.ended()
                row.lost += trial.lost(child)
            subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
            ended = trial.start().ended()
            row.injections += 1
            trial.refused(row, ended, 2, "Read-only file system")
            subprocess.run(["mount", "-o", "remount,rw", str(mounted)], check=True)
            _finish_elsewhere(trial, row)
    return row


def _finish_elsewhere(trial: Trial, row: Row) -> None:
    """As `Trial.finish`; the folder is removed only after its file system is."""
    keep = trial.folder
    trial.folder = trial.output.parent
    child_folder = trial.folder
    for name in ("quiz.yaml", "quiz.jsonl", "sums.yaml", "sums.jsonl", "book.txt"):
        shutil.copy(keep / name, child_folder / name)
    known = journalled(trial.output)
    from benchmarks.faults.process import Child

    ended = Child(trial.workload.command(trial.output), keep).ended()
    row.resumed += bool(known) and f"continuing: {len(known)} of" in ended.said
    if ended.code or Files.of(trial.output) != trial.straight:
        row.error(f"exit code {ended.code}, or files that differ: {ended.said[-300:]}")
    trial.folder = keep


@contextmanager
def _file_system(folder: Path, options: str) -> Iterator[Path | None]:
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def torn_journal(bench: Bench, injections: int, seed: int) -> Row:
    """The journal of a killed run loses its end at a random byte: what a disk may do that was told of no sync."""
    return _damaged(bench, injections, seed, "journal torn at a random byte", _tear)


def damaged_journal(bench: Bench, injections: int, seed: int) -> Row:
    """Bits flip, zeros, repeated and foreign lines in the journal of a killed run."""
    return _damaged(bench, injections, seed, "journal damaged: bits, zeros, lines", _damage)


def _damaged(bench: Bench, injections: int, seed: int, name: str, harm) -> Row:  # noqa: ANN001
    row = Row(name)
    draw = random.Random(seed)
    while row.injections < injections:
        trial = bench.trial()
        child = trial.start()
        if not _begun(trial.output, child, draw.randrange(1, 40)):
            continue
        child.kill()
        child.ended()
        row.lost += trial.lost(child)
        journal = trial.output.with_name(f"{OUTPUT}.journal")
        before = journal.read_bytes()
        journal.write_bytes(harm(bytearray(before), draw))
        row.injections += 1
        ended = trial.start().ended()
        row.resumed += "continuing:" in ended.said
        for aside in trial.folder.glob(f"{OUTPUT}.*.journal"):
            aside.unlink()  # a first line that cannot be read belongs to a run that is not known
        trial.judge(row, ended)
    return row


def _tear(content: bytearray, draw: random.Random) -> bytes:
    return bytes(content[: draw.randrange(len(content))])


def _damage(content: bytearray, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    lines = bytes(content).splitlines(keepends=True)
    kind = draw.randrange(5)
    if kind == 0:
        for _ in range(draw.randrange(1, 9)):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        return bytes(content)
    if kind == 1:
        content[start : start + draw.randrange(1, 600)] = bytes(draw.randrange(1, 600))
        return bytes(content)
    if kind == 2:
        draw.shuffle(lines)
        return b"".join(lines)
    if kind == 3:
        return b"".join([*lines, *draw.choices(lines, k=3)])
    digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    for place in draw.choices(digits, k=5):
        content[place] = draw.randrange(48, 58)
    return bytes(content)


def damaged_store(bench: Bench, injections: int, seed: int) -> Row:
    """Bytes of the response store change, pages are zeroed, its end is missing; then runs ask it."""
    row = Row("response store damaged: bytes, pages, end")
    draw = random.Random(seed)
    trial = bench.trial()
    cache = trial.folder / "cache"
    with_store = _with_store(cache)
    assert not trial.start(with_store).ended().code
    whole = (cache / "responses.sqlite").read_bytes()
    while row.injections < injections:
        again = bench.trial()
        shutil.rmtree(cache)
        cache.mkdir()
        (cache / "responses.sqlite").write_bytes(_damage_pages(bytearray(whole), draw))
        row.injections += 1
        ended = again.start(with_store).ended()
        row.resumed += "were answered before" in ended.said
        again.judge(row, ended)
    return row


def _with_store(cache: Path) -> Injection:
    def switch_on() -> None:
        os.environ.pop("EVALKIT_NO_CACHE")
        os.environ["EVALKIT_CACHE_DIR"] = str(cache)

    return switch_on


def _damage_pages(content: bytearray, draw: random.Random) -> bytes:
    kind = draw.randrange(4)
    if kind == 0:
        return bytes(content[: draw.randrange(len(content))])
    page = 4096 * draw.randrange(len(content) // 4096)
    if kind == 1:
        content[page : page + 4096] = bytes(4096)
    elif kind == 2:
        for _ in range(draw.randrange(1, 200)):
            content[page + draw.randrange(4096)] = draw.randrange(256)
    else:
        digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
        for place in draw.choices(digits, k=20):
            content[place] = draw.randrange(48, 58)
    return bytes(content)
