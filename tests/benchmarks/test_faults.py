"""The harness of faults, at small size, and that it sees what it looks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.counting import Row, Trial
from benchmarks.faults.process import Ended
from benchmarks.faults.workload import Files

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="forks, locks and limits of Linux")
def test_nothing_is_lost_and_nothing_wrong(tmp_path: Path) -> None:
    names = (
        *("kills.at_random_moments", "kills.at_operations", "kills.second_process"),
        *("disk.cut_writes", "disk.damaged_journal", "models.retrained"),
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.faults", "--share", "0.01"),
            *("--only", ",".join(names), "--output", str(tmp_path / "rows.json")),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["problems"] for row in rows] == [[]] * len(names)
    assert all(row["injections"] >= 1 for row in rows)
    assert sum(row["resumed"] for row in rows) >= 2


def test_other_files_bad_endings_and_leftovers_are_seen(tmp_path: Path) -> None:
    files = Files('{"acc": 0.5}', b"samples")

    def judged(ended: Ended, result: str = '{"acc": 0.5}', samples: bytes = b"samples", left: str = "") -> Row:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "base.json").write_text(
            json.dumps({"created": 1, "timing": 1, "environment": 1, **json.loads(result)})
        )
        (folder / "base.samples.parquet").write_bytes(samples)
        if left:
            (folder / left).touch()
        row = Row("fault")
        Trial(None, folder, files).judge(row, ended)  # type: ignore[arg-type]
        return row

    assert judged(Ended(0, "")).wrong == 0
    assert judged(Ended(5, "")).wrong == 1
    assert judged(Ended(0, "Traceback (most recent call last)")).wrong == 1
    assert judged(Ended(0, ""), result='{"acc": 0.6}').wrong == 1
    assert judged(Ended(0, ""), samples=b"other").wrong == 1
    assert judged(Ended(0, ""), left="base.json.journal").wrong == 1
    assert judged(Ended(0, ""), left=".base.json.7.part").wrong == 1
