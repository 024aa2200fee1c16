"""Comparing two MMLU-sized results: seconds and peak memory of a fresh process, as the README claims.

    python benchmarks/comparison.py            writes two results of 57 subjects and a group, and compares them

Prints wall time of the whole process and of the comparison after the import, its processor time, which other programs
on the machine stretch less, and the peak of its resident memory. The best of three.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

SUBJECTS = 57
DOCUMENTS = 14_042

CHILD = r"""
import json, re, sys, time
from pathlib import Path
import evalkit
from evalkit.comparing.compare import compare
start, worked = time.perf_counter(), time.process_time()
found = compare(sys.argv[1], sys.argv[2])
found.headline()
seconds, worked = time.perf_counter() - start, time.process_time() - worked
# the kernel's mark for this program; getrusage also counts what the process was before it became this program
peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
change = found.tasks["mmlu"].change
figures = {"seconds": seconds, "processor_seconds": worked, "peak_mib": peak}
print(json.dumps({**figures, "n": change.n, "verdict": change.verdict}))
"""


def write_results(folder: Path, documents: int = DOCUMENTS) -> tuple[Path, Path]:
    """Two results of the same documents, of which the second gets some more right."""
    from evalkit.aggregate import aggregate_group
    from evalkit.data import DatasetInfo
    from evalkit.metrics import estimate, metric
    from evalkit.results import ModelInfo, Run, Sample, TaskResult
    from evalkit.task import Group

    generator = random.Random(0)
    paths = []
    ids = [f"{generator.getrandbits(64):016x}" for _ in range(documents)]
    right = [generator.random() < 0.45 for _ in range(documents)]
    for label, gained, lost in (("base", 0.0, 0.0), ("tuned", 0.10, 0.06)):
        tasks = {}
        now = (
            [generator.random() >= lost if was else generator.random() < gained for was in right]
            if label == "tuned"
            else right
        )
        for subject in range(SUBJECTS):
            places = range(subject, documents, SUBJECTS)
            samples = tuple(
                Sample(
                    ids[place],
                    number,
                    None,
                    "right" if now[place] else "wrong",
                    {"acc": float(now[place])},
                    {"picked": 1, "gold": 1 if now[place] else 2, "choices": 4, "margin": generator.gauss(0, 3)},
                )
                for number, place in enumerate(places)
            )
            name = f"mmlu_subject_{subject:02d}"
            counts = {one: sum(sample.outcome == one for sample in samples) for one in ("right", "wrong")}
            tasks[name] = TaskResult(
                1,
                DatasetInfo("cais/mmlu", name, "test", None, "hub", "d" * 64),
                5,
                "e" * 64,
                len(samples),
                {"acc": estimate(metric("acc"), samples)},
                counts,
                samples,
            )
        group = aggregate_group(Group(name="mmlu", members=tuple(tasks), weighting="items"), tasks)
        run = Run(
            created="2026-01-01T00:00:00+00:00",
            evalkit_version="0.1.0",
            model=ModelInfo(label, "directory", None, None, "float32", label * 8, "t" * 64, None, {}),
            settings={"limit": None, "seed": 0},
            environment={},
            tasks=tasks,
            groups={"mmlu": group},
            timing={},
        )
        paths.append(folder / f"{label}.json")
        run.save(paths[-1])
    return paths[0], paths[1]


def measure(first: Path, second: Path) -> dict[str, float]:
    """Wall seconds and peak memory of one comparison in a process of its own."""
    start = perf_counter()
    said = subprocess.run(
        [sys.executable, "-c", CHILD, str(first), str(second)], check=True, capture_output=True, text=True
    ).stdout
    return {**json.loads(said), "process_seconds": perf_counter() - start}


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as place:
        first, second = write_results(Path(place))
        size = first.stat().st_size / 2**20
        runs = [measure(first, second) for _ in range(3)]
        best = min(runs, key=lambda run: run["seconds"])
    print(f"{best['n']:,} documents in {SUBJECTS} tasks, two files of {size:.1f} MiB")
    print(f"compared in {best['seconds']:.2f} s after the import ({best['process_seconds']:.2f} s with it)")
    print(f"{best['processor_seconds']:.2f} s of them on the processor")
    print(f"peak memory {best['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
