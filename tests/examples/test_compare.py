"""The example runs, and says what its models were made to do."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import evalkit

EXAMPLE = Path(__file__).parents[2] / "examples" / "compare.py"


def test_it_runs_as_its_first_lines_say() -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.startswith("tuned is better than base on sums")
    assert "the tuned model is better, beyond chance" in done.stdout


def test_its_numbers_are_those_of_the_rules() -> None:
    module = runpy.run_path(str(EXAMPLE))
    comparison = module["main"]()
    totals = [row["a"] + row["b"] for row in module["SUMS"]]
    change = comparison.tasks["sums"].change
    assert change.n == len(totals)
    assert change.fixed == sum(20 < total <= 24 for total in totals)
    assert change.broken == totals.count(12)
    assert round(change.difference * change.n) == change.fixed - change.broken
    assert change.verdict is evalkit.Verdict.IMPROVED
