"""`benchmarks.comparison` on a small scale: the result it measures is a comparison of all documents."""

from __future__ import annotations

from pathlib import Path

from benchmarks.comparison import SUBJECTS, measure, write_results


def test_it_compares_what_it_writes(tmp_path: Path) -> None:
    found = measure(*write_results(tmp_path, documents=10 * SUBJECTS))
    assert found["n"] == 570
    assert 0 < found["seconds"] < found["process_seconds"]
    assert 20 < found["peak_mib"] < 300
