"""What a user sees while a run works."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from evalkit.cli.progress import Live, Plain, standard_output
from evalkit.results import MetricValue
from evalkit.runner.progress import Status

SCORE = {"arc_easy": ("acc", MetricValue(0.5, 0.05, (0.4, 0.6), True, 0.25))}


def status(documents: int, *, resumed: int = 0, seconds: float = 10.0) -> Status:
    return Status(documents, 100, 4 * documents, 400, resumed, 5000, seconds, SCORE)


def shown(display_type: type[Plain] | type[Live], *statuses: Status, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, color_system=None)
    display = display_type(console)
    display.stage("scoring")
    display.note("memory ran short [not markup]")
    for one in statuses:
        display.update(one)
    if isinstance(display, Live):
        console.print(display._render())
    display.finish()
    return stream.getvalue()


def test_a_log_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.cli.progress.PLAIN_INTERVAL", 0.0)
    text = shown(Plain, status(50), status(100), terminal=False)
    assert text.splitlines() == [
        "scoring ...",
        "note: memory ran short [not markup]",
        "50/100 documents, 500 tokens/s, 10 s left; arc_easy acc 0.500 [0.400, 0.600]",
        "100/100 documents, 500 tokens/s, done in 10 s",
    ]


def test_a_log_is_not_flooded() -> None:
    assert len(shown(Plain, *(status(n) for n in range(1, 100)), terminal=False).splitlines()) == 2


def test_the_time_left_counts_only_what_this_process_did() -> None:
    text = shown(Live, status(60, resumed=200, seconds=10.0), terminal=True)
    assert "40 s left" in text  # 40 requests in 10 s, 160 to go


def test_a_terminal_sees_stage_rate_time_and_running_scores() -> None:
    text = shown(Live, status(50), terminal=True)
    for part in ("scoring", "50/100 documents", "500 tokens/s", "10 s left", "arc_easy acc 0.500 [0.400, 0.600]"):
        assert part in text


def test_a_log_has_room_for_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())  # no terminal, like a pipe
    monkeypatch.delenv("COLUMNS", raising=False)
    assert standard_output().width == 120
    monkeypatch.setenv("COLUMNS", "90")
    assert standard_output().width == 90
