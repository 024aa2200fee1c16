"""`benchmarks.calibration`: what it promises, in little; and that it sees a broken method."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.calibration import __main__ as program
from benchmarks.calibration import corpora, decisions, differences, scores, several
from benchmarks.calibration.measured import Measured, covered, markdown
from evalkit.stats.intervals import Interval


@pytest.mark.slow
@pytest.mark.parametrize("part", [scores, differences, corpora, several, decisions])
def test_a_small_draw_keeps_the_promises(part: object) -> None:
    rows = list(part.measure(20))  # type: ignore[attr-defined]
    assert len(rows) > 15
    assert [row for row in rows if not row.kept] == []


def test_a_rate_outside_is_seen() -> None:
    def row(kind: str, rate: float, draws: int) -> Measured:
        return Measured("m", "c", kind, rate, draws, 0.93 if kind == "coverage" else 0.05)  # type: ignore[arg-type]

    assert row("coverage", 0.92, 1000).kept  # within two standard errors
    assert not row("coverage", 0.90, 1000).kept
    assert not row("coverage", 0.92, 0).kept
    assert row("alarms", 0.06, 1000).kept
    assert not row("alarms", 0.08, 1000).kept
    assert covered("m", "c", [True] * 10, 0.93).error > 0
    assert "**outside**" in markdown([row("alarms", 0.08, 1000)])


def wald(successes: float, n: float, level: float = 0.95) -> Interval:
    half = 1.96 * np.sqrt(successes / n * (1 - successes / n) / n)
    return Interval(successes / n - half, successes / n + half, level, "wald")


def test_a_broken_method_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With p ± 1.96 SE in Wilson's place and p not adjusted in Holm's, the program exits with 1."""
    monkeypatch.setattr(scores, "wilson", wald)
    assert [row.method for row in scores.proportions() if not row.kept] == ["Wilson"] * 2  # 20 and 50 items
    monkeypatch.setattr(decisions, "holm", list)
    monkeypatch.setattr(decisions, "measure", lambda draws: decisions.many_tests(np.random.default_rng(0), draws))
    monkeypatch.setattr(sys, "argv", ["calibration", "--draws", "300", "--part", "Decisions"])
    assert program.main() == 1
    assert "| Holm, any of nine | 9 tasks of 200 pairs, 12 % discordant, no difference |" in capsys.readouterr().out
