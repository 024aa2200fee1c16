"""Processes that are killed, two at once, and clocks that jump."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

from benchmarks.faults.counting import Bench, Row
from benchmarks.faults.process import Injection, journalled
from benchmarks.faults.workload import OUTPUT


def at_random_moments(bench: Bench, injections: int, seed: int) -> Row:
    """SIGKILL at a moment drawn evenly from the time of a run, or from that after its first answer; up to three in a row."""
    row = Row("SIGKILL at a random moment")
    draw = random.Random(seed)
    whole, computing = _seconds(bench)
    while row.injections < injections:
        trial = bench.trial()
        for _ in range(draw.choice((1, 1, 2, 3))):
            child = trial.start()
            known = len(journalled(trial.output))
            if draw.random() < 0.3:
                ended = child.wait(draw.uniform(0, whole))
            elif _begun(trial.output, child, known + 1):
                ended = child.wait(draw.uniform(0, computing))
            else:
                break
            if ended is None:
                child.kill()
                ended = child.ended()
            if ended.code != -signal.SIGKILL:
                break  # it was faster
            row.injections += 1
            row.lost += trial.lost(child)
        trial.finish(row)
    return row


def _seconds(bench: Bench) -> tuple[float, float]:
    """How long a whole run takes, and how long it does from its first answer on."""
    trial, row = bench.trial(), Row("")
    start = time.monotonic()
    child = trial.start()
    begun = _begun(trial.output, child, 1)
    first = time.monotonic()
    trial.judge(row, child.ended())
    assert begun, row.problems
    assert not row.wrong, row.problems
    return time.monotonic() - start, time.monotonic() - first


def at_operations(bench: Bench, injections: int, seed: int) -> Row:
    """SIGKILL in the middle of a write, before or after a sync, a rename or a removal."""
    row = Row("SIGKILL within a write, sync, rename or removal")
    draw = random.Random(seed)
    trial = bench.trial()
    counted = trial.folder / "counted"
    child = trial.start(lambda: _strike(-1, 0.0, counted=str(counted)))
    trial_ended = child.ended()
    assert not trial_ended.code, trial_ended.said
    operations = int(counted.read_text())
    # the last ones are those of the result itself: each of them; of the others some
    last = range(max(0, operations - 16), operations)
    while row.injections < injections:
        at = last[row.injections % len(last)] if row.injections < 2 * len(last) else draw.randrange(operations)
        trial, share = bench.trial(), draw.random()
        child = trial.start(lambda at=at, share=share: _strike(at, share))  # type: ignore[misc]
        ended = child.ended()
        if ended.code != -signal.SIGKILL:
            row.error(f"operation {at} was not reached: {ended.said[-300:]}")
        row.injections += 1
        row.lost += trial.lost(child)
        trial.finish(row)
    return row


def _strike(at: int, share: float, counted: str | None = None) -> None:
    """Kills this process at its operation number `at`: a write is cut after a share of its bytes."""
    import evalkit.runner.journal as journal

    seen = 0

    def now() -> bool:
        nonlocal seen
        seen += 1
        if counted is not None:
            with open(counted, "w") as file:
                file.write(str(seen))
        return seen - 1 == at

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def patch(name: str) -> None:
        original = getattr(os, name)

        def struck(*arguments: Any, **options: Any) -> Any:
            strike = now()
            if strike and share < 0.5:
                die()
            result = original(*arguments, **options)
            if strike:
                die()
            return result

        setattr(os, name, struck)

    for name in ("fsync", "replace", "unlink"):
        patch(name)
    exclusive = journal.exclusive

    class Torn:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def write(self, content: Any) -> int:
            if now():
                self._stream.write(content[: int(len(content) * share)])
                die()
            return int(self._stream.write(content))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    from contextlib import contextmanager

    @contextmanager
    def torn(*arguments: Any) -> Any:
        with exclusive(*arguments) as stream:
            yield Torn(stream)

    journal.exclusive = torn


def interrupts(bench: Bench, injections: int, seed: int) -> Row:
    """Ctrl-C at a random moment of the computing."""
    row = Row("Ctrl-C while computing")
    draw = random.Random(seed)
    while row.injections < injections:
        trial = bench.trial()
        child = trial.start(lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        if not _begun(trial.output, child, draw.randrange(1, 20)):
            continue
        os.kill(child.pid, signal.SIGINT)
        ended = child.ended()
        if ended.code == 0:
            continue  # it was done
        row.injections += 1
        trial.refused(row, ended, 130, "the same command continues")
        row.lost += trial.lost(child)
        trial.finish(row)
    return row


def _begun(output: Any, child: Any, answers: int) -> bool:
    """Waits until so many answers are kept; False where the process ended before."""
    while len(journalled(output)) < answers:
        if child.wait(0.002) is not None:
            return False
    return True


def second_process(bench: Bench, injections: int, seed: int) -> Row:
    """The same command, or another one for the same file, while the first is at work; then the first is killed."""
    row = Row("a second process on the same output")
    draw = random.Random(seed)
    while row.injections < injections:
        trial = bench.trial()
        first = trial.start()
        if not _begun(trial.output, first, draw.randrange(1, 10)):
            continue
        os.kill(first.pid, signal.SIGSTOP)  # so that it cannot be done before the other has begun
        second = bench.trial()
        second.more = ("--limit", "5") if row.injections % 2 else ()
        from benchmarks.faults.process import Child

        other = Child(bench.workload.command(trial.output, *second.more), second.folder)
        ended = other.ended()
        row.injections += 1
        second.refused(row, ended, 2, f"another process is writing {OUTPUT}")
        if row.injections % 3:
            os.kill(first.pid, signal.SIGCONT)
            trial.judge(row, first.ended())
        else:
            first.kill()
            first.ended()
            row.lost += trial.lost(first)
            trial.finish(row)
    return row


def clock_jumps(bench: Bench, injections: int, seed: int) -> Row:
    """Wall clock and the files' times jump by up to a year, back and forth, in the killed process and in the next."""
    row = Row("the clock jumps, by up to a year")
    draw = random.Random(seed)
    while row.injections < injections:
        trial, number = bench.trial(), draw.randrange(10**6)
        jumps = _jumping(number)
        child = trial.start(jumps)
        if not _begun(trial.output, child, draw.randrange(1, 20)):
            continue
        child.kill()
        child.ended()
        row.injections += 1
        row.lost += trial.lost(child)
        moment = time.time() + draw.uniform(-1, 1) * 3e7
        os.utime(trial.output.with_name(f"{OUTPUT}.journal"), (moment, moment))
        trial.finish(row, _jumping(number + 1))
    return row


def _jumping(seed: int) -> Injection:
    def jump() -> None:
        draw, true = random.Random(seed), time.time
        time.time = lambda: true() + draw.uniform(-1, 1) * 3e7  # type: ignore[assignment]
        time.time_ns = lambda: int(time.time() * 1e9)  # type: ignore[assignment]

    return jump
