"""What is counted, and the trial that every fault has in common."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.process import Child, Ended, Injection, journalled
from benchmarks.faults.workload import OUTPUT, Files, Workload, leftovers

TRACEBACK = "Traceback (most recent call last)"


@dataclass
class Row:
    """One line of the table.

    Attributes:
        fault: What strikes.
        injections: How often it did.
        lost: Answers that were said to be kept and are not there.
        wrong: Results that differ from those of a run that nothing struck, and endings that are not as documented.
        resumed: Runs that went on with answers of an earlier process.
        problems: What was wrong, for whoever has to find it.
        skipped: Why it could not be done here; empty where it was.
    """

    fault: str
    injections: int = 0
    lost: int = 0
    wrong: int = 0
    resumed: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: str = ""

    def error(self, what: str) -> None:
        """Counts something wrong."""
        self.wrong += 1
        self.problems.append(what)


class Bench:
    """Runs trials in fresh folders and judges them.

    Args:
        workload: What is evaluated.
        straight: The files of a run that nothing struck.
        folder: Where trials may write.
    """

    def __init__(self, workload: Workload, straight: Files, folder: Path) -> None:
        self.workload, self.straight, self._folder = workload, straight, folder
        self._trials = 0

    def trial(self, straight: Files | None = None) -> Trial:
        """A fresh folder with the tasks in it."""
        self._trials += 1
        place = self._folder / f"trial-{self._trials}"
        place.mkdir()
        for name in ("quiz.yaml", "quiz.jsonl", "sums.yaml", "sums.jsonl", "book.txt"):
            shutil.copy(self.workload.folder / name, place / name)
        return Trial(self.workload, place, straight or self.straight)


class Trial:
    """One result, and the processes that work on it one after another."""

    def __init__(self, workload: Workload, folder: Path, straight: Files) -> None:
        self.workload, self.folder, self.straight = workload, folder, straight
        self.output = folder / OUTPUT
        self.more: tuple[str, ...] = ()
        self.model: Path | None = None

    def start(self, injection: Injection | None = None) -> Child:
        """Gives the command."""
        return Child(self.workload.command(OUTPUT, *self.more, model=self.model), self.folder, injection)

    def lost(self, child: Child) -> int:
        """Answers that this child was told are kept and that are not on the disk, though the run is not done."""
        if self.output.exists() and not self.output.with_name(f"{OUTPUT}.journal").exists():
            return 0  # it is done: its result is compared
        kept = journalled(self.output)
        return sum(kept.get(index) != values for index, values in child.promised().items())

    def finish(self, row: Row, injection: Injection | None = None) -> None:
        """Gives the command again, until the end, and judges what comes."""
        known = journalled(self.output)
        child = self.start(injection)
        ended = child.ended()
        again = known.keys() & child.promised().keys()
        if again:
            row.error(f"{len(again)} answers that were there were computed again")
        if known and f"continuing: {len(known)} of" in ended.said:
            row.resumed += 1
        elif known:
            row.lost += len(known)
            row.problems.append(f"{len(known)} answers of the journal were not taken up")
        self.judge(row, ended)

    def judge(self, row: Row, ended: Ended) -> None:
        """Whether the run ended as one that nothing struck."""
        if ended.code or TRACEBACK in ended.said:
            row.error(f"exit code {ended.code}: {ended.said[-500:]}")
        elif problem := Files.of(self.output).difference(self.straight):
            row.error(f"{self.folder.name}: {problem}")
        elif rest := leftovers(self.folder):
            row.error(f"{self.folder.name}: left behind: {rest}")
        else:
            shutil.rmtree(self.folder)

    def refused(self, row: Row, ended: Ended, code: int, words: str) -> None:
        """Whether a run that cannot go on said so as documented."""
        if ended.code != code or words not in ended.said or TRACEBACK in ended.said:
            row.error(f"expected exit code {code} with {words!r}, got {ended.code}: {ended.said[-500:]}")


Fault = Callable[[Bench, int, int], Row]
"""(bench, injections, seed) -> its line."""
