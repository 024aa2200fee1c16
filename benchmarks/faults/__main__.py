"""The table: fault, injections, lost, wrong, resumed. See the package."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults import disk, endpoint, kills, models
from benchmarks.faults.counting import Bench, Fault, Row
from benchmarks.faults.process import Child, preload
from benchmarks.faults.workload import OUTPUT, Files, prepare

FAULTS: list[tuple[Fault, int]] = [
    (kills.at_random_moments, 120),
    (kills.at_operations, 100),
    (kills.interrupts, 20),
    (kills.second_process, 15),
    (kills.clock_jumps, 15),
    (disk.cut_writes, 40),
    (disk.full_disk, 15),
    (disk.read_only, 9),
    (disk.torn_journal, 30),
    (disk.damaged_journal, 50),
    (disk.damaged_store, 40),
    (models.overwritten_weights, 8),
    (models.retrained, 8),
    (models.out_of_memory, 40),
    (models.out_of_memory_deterministic, 40),
    (endpoint.passing, 190),
    (endpoint.lasting, 60),
]


def table(rows: list[Row]) -> str:
    """As Markdown."""
    lines = ["| fault | injections | lost | wrong | resumed |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        counts = [row.injections, row.lost, row.wrong, row.resumed]
        cells = [row.skipped or "not run", "", "", ""] if row.skipped else [str(count) for count in counts]
        lines.append(f"| {row.fault} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Strikes, and prints the table; 1 where anything was lost or wrong."""
    parser = argparse.ArgumentParser(description="What faults cost.")
    parser.add_argument("--share", type=float, default=1.0, help="Of the injections; 0.1 takes a tenth.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="Names of faults, comma-separated, as kills.clock_jumps")
    parser.add_argument("--output", type=Path, help="Write the rows as JSON.")
    parser.add_argument("--markdown", type=Path, help="Write the table.")
    options = parser.parse_args()
    preload()
    wanted = options.only.split(",") if options.only else None
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        workload = prepare(Path(folder))
        straight = Path(folder) / "straight"
        straight.mkdir()
        ended = Child(workload.command(straight / OUTPUT), workload.folder).ended()
        assert not ended.code, ended.said
        trials = Path(folder) / "trials"
        trials.mkdir()
        bench = Bench(workload, Files.of(straight / OUTPUT), trials)
        for fault, injections in FAULTS:
            name = f"{fault.__module__.rpartition('.')[2]}.{fault.__name__}"
            if wanted and name not in wanted:
                continue
            start = time.monotonic()
            row = fault(bench, max(1, round(injections * options.share)), options.seed)
            rows.append(row)
            print(f"{name}: {row.injections} in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
            for problem in row.problems[:5]:
                print(f"  {problem}", file=sys.stderr, flush=True)
    print(table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(table(rows))
    return int(any(row.lost or row.wrong for row in rows))


if __name__ == "__main__":
    sys.exit(main())
