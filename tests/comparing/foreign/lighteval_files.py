"""lighteval's files under the names that it gave them, which hold a character that not every system allows."""

from __future__ import annotations

import shutil
from pathlib import Path

FILES = Path(__file__).parent / "lighteval"
DATE = "2026-11-26T03-06-19.949084"


def lay_out(folder: Path) -> Path:
    """The folder as `--output-dir` had it."""
    details = folder / "details" / "dummy" / DATE
    details.mkdir(parents=True)
    results_of(folder).parent.mkdir(parents=True)
    shutil.copy(FILES / "results.json", results_of(folder))
    for name in ("legs", "legs_text"):
        shutil.copy(FILES / f"{name}.parquet", details / f"details_{name}|0_{DATE}.parquet")
    return folder


def results_of(folder: Path) -> Path:
    """The results file in it."""
    return folder / "results" / "dummy" / f"results_{DATE}.json"
