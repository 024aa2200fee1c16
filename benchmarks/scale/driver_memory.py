"""Memory of the first process as a run grows: prompts, which are bounded, and what remains of each document.

    python -m benchmarks.scale.driver_memory --documents 10000,50000,100000,200000

Each run is a process of its own: made-up documents of four choices behind a prompt of some 1,500 characters, answered by a
mock at once. Prints the peak of resident memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

TASK = """\
task: many
kind: choice
data: many.jsonl
question: "{{question}}"
choices: "{{choices}}"
answer: "{{answer}}"
"""


def run(documents: int, window: int | None) -> None:
    """One run in this process."""
    import resource

    import evalkit
    from evalkit.runner import windows

    if window is not None:
        windows.WINDOW = window
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with (place / "many.jsonl").open("w") as file:
            for number in range(documents):
                row = {"question": f"{number} " + "x" * 1500, "choices": ["a", "b", "c", "d"], "answer": number % 4}
                file.write(json.dumps(row) + "\n")
        (place / "many.yaml").write_text(TASK)
        found = evalkit.run(model=evalkit.MockModel(), tasks=str(place / "many.yaml"), output=place / "r.json")
        size = (place / "r.json").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"requests": found.timing["requests"], "peak_mib": peak, "result_mib": size / 2**20}))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", default="10000,50000,100000,200000")
    parser.add_argument("--window", type=int)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one is not None:
        run(arguments.one, arguments.window)
        return
    print("| requests | peak MiB | result file MiB |\n|---:|---:|---:|")
    for documents in arguments.documents.split(","):
        command = [sys.executable, "-m", "benchmarks.scale.driver_memory", "--one", documents]
        command += ["--window", str(arguments.window)] if arguments.window else []
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(f"| {row['requests']:,} | {row['peak_mib']:,.0f} | {row['result_mib']:,.1f} |", flush=True)


if __name__ == "__main__":
    main()
