"""The live display of a run on stderr: a moving line on a terminal, plain lines elsewhere (CI logs, files)."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evalkit.runner.progress import Progress, Status

if TYPE_CHECKING:
    from rich.console import Console, ConsoleRenderable

    from evalkit.results import MetricValue

# Seconds between lines where the display cannot be redrawn.
PLAIN_INTERVAL = 15.0
# Columns of a file or a log, unless COLUMNS says otherwise.
LOG_WIDTH = 120
# Tasks whose running score is shown at once.
SCORES_SHOWN = 6


def standard_output() -> Console:
    """The console that results are printed to; a file or a log, which has no width, gets room for every column.

    rich's own would end the command with 1 where its reader leaves.
    """
    from rich.console import Console

    class Printing(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    has_width = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    return Printing(highlight=False, width=None if has_width else LOG_WIDTH)


@contextmanager
def progress_display() -> Iterator[Progress]:
    """Shows a run's progress on stderr, and what the library logs as warnings."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    display: Live | Plain = Live(console) if console.is_terminal else Plain(console)
    handler = _NoteHandler(display)
    logger = logging.getLogger("evalkit")
    logger.addHandler(handler)
    try:
        yield display
    finally:
        display.finish()
        logger.removeHandler(handler)


class _NoteHandler(logging.Handler):
    """Shows warnings of the library (memory ran short, a cache was ignored) as notes."""

    def __init__(self, display: Progress) -> None:
        super().__init__(logging.WARNING)
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one record."""
        self.display.note(record.getMessage())


class Plain:
    """Lines for a log: each stage, then a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown = time.monotonic()
        self.computed = False

    def stage(self, text: str) -> None:
        """Prints the stage."""
        self._line(f"{text} ...")

    def moved(self, text: str) -> None:
        """Prints where the stage stands, not too often."""
        now = time.monotonic()
        if now - self.shown >= PLAIN_INTERVAL:
            self.shown = now
            self._line(f"{text} ...")

    def note(self, text: str) -> None:
        """Prints the note."""
        self._line(f"note: {text}")

    def update(self, status: Status) -> None:
        """Prints where the run stands, not too often, and when it is done."""
        now = time.monotonic()
        done = status.documents == status.total_documents
        if done or now - self.shown >= PLAIN_INTERVAL:
            self.shown = now
            scores = ", ".join(_score(task, *value) for task, value in list(status.scores.items())[:SCORES_SHOWN])
            self._line(_counts(status) + (f"; {scores}" if scores and not done else ""))

    def finish(self) -> None:
        """Nothing is left on the screen."""

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


class Live:
    """A progress bar with tokens a second, time left and running scores, redrawn in place."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live as RichLive

        self.console = console
        self.text = "starting"
        self.status: Status | None = None
        self.scores: dict[str, tuple[str, MetricValue]] = {}
        self.live = RichLive(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
        self.live.start()

    def stage(self, text: str) -> None:
        """Names the stage."""
        self.text = text

    def moved(self, text: str) -> None:
        """Says how far the stage is; of a run whose counts were shown before, nothing is left."""
        self.text, self.status = text, None

    def note(self, text: str) -> None:
        """Prints a line above the display."""
        self.live.console.print(f"note: {text}", markup=False, soft_wrap=True)

    def update(self, status: Status) -> None:
        """Redraws."""
        self.status = status
        for task, value in status.scores.items():
            self.scores.pop(task, None)
            self.scores[task] = value  # the task that moved last stands last

    def finish(self) -> None:
        """Clears the display."""
        self.live.stop()

    def _render(self) -> ConsoleRenderable:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self.status is None:
            return Text(f"{self.text} ...")
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=self.status.total_documents, completed=self.status.documents, width=30)
        line.add_row(Text(self.text), bar, Text(_counts(self.status)))
        shown = list(self.scores.items())[-SCORES_SHOWN:]
        return Group(
            line, *(Text("  " + _score(task, *value), overflow="ellipsis", no_wrap=True) for task, value in shown)
        )


def _counts(status: Status) -> str:
    parts = [f"{status.documents}/{status.total_documents} documents"]
    if status.tokens_computed and status.seconds > 0:
        parts.append(f"{status.tokens_computed / status.seconds:,.0f} tokens/s")
    left = status.total_requests - status.requests
    answered = status.requests - status.resumed_requests
    if left and answered and status.seconds > 2:
        parts.append(f"{_duration(status.seconds * left / answered)} left")
    elif not left:
        parts.append(f"done in {_duration(status.seconds)}")
    return ", ".join(parts)


def _score(task: str, name: str, value: MetricValue) -> str:
    interval = f" [{value.ci95[0]:.3f}, {value.ci95[1]:.3f}]" if value.ci95 else ""
    return f"{task} {name} {value.value:.3f}{interval}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
