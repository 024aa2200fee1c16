"""Speed of generation, each way of it in a process of its own, and whether the texts are the same.

    python -m benchmarks.generation --data-dir ../shared/data/hub
    python -m benchmarks.generation --data-dir ../shared/data/hub --quick

lm-eval's `hf` model is tried with each batch size on as many prompts as a few batches take, and measured with the fastest.
Float32, greedy. Seconds are from having the prompts to having the texts; tokens a second count the tokens of the answers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.generation.cases import CASES, Case
from benchmarks.generation.sides import SIDES
from benchmarks.speed.model_directory import write_model

TIMEOUT = 1800


@dataclass(frozen=True, slots=True)
class Measured:
    """What one process reported.

    Attributes:
        side: Which way.
        seconds: Wall clock.
        cpu_seconds: Of the process.
        tokens: Of all answers.
        texts: The answers.
    """

    side: str
    seconds: float
    cpu_seconds: float
    tokens: int
    texts: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="any model that `evalkit run --model` takes")
    parser.add_argument("--model-directory", type=Path, default=Path("build/speed/smollm2"), help="where it is written")
    parser.add_argument("--data-dir", help="folder of datasets")
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated")
    parser.add_argument("--sides", default=",".join(SIDES), help="comma-separated")
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--batch-sizes", default="1,4,8,16,32", help="of lm-eval hf")
    parser.add_argument(
        "--repeats", type=int, default=1, help="of evalkit and the best lm-eval, in turns; the fastest counts"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="8 documents, two batch sizes, no other ways")
    parser.add_argument("--output", type=Path, help="every raw number, as JSON")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.documents, arguments.batch_sizes, arguments.sides = 8, "4,8", "evalkit,lm-eval hf"
    data_dir = arguments.data_dir and os.path.abspath(arguments.data_dir)
    runner = Runner(write_model(arguments.model, arguments.model_directory), arguments.threads)
    sizes = [int(size) for size in arguments.batch_sizes.split(",")]
    records: list[dict[str, Any]] = []
    lines = [
        "| prompts | | seconds | tokens/s | evalkit is faster by | CPU seconds | same texts |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name in arguments.cases.split(","):
        case = CASES[name](arguments.documents, data_dir)
        measured = _measure(case, runner, arguments.sides.split(","), sizes, arguments.repeats)
        lines += _rows(case, measured)
        records += [{"case": case.name, **{key: getattr(one, key) for key in Measured.__slots__}} for one in measured]
        if arguments.output:
            arguments.output.write_text(json.dumps(records, indent=1))
    print("\n".join(lines))
    return 0


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs one way in a process of its own.

    Attributes:
        model: Directory.
        threads: Of each process.
    """

    model: Path
    threads: int

    def __call__(self, side: str, case: Case, batch_size: int = 8) -> Measured:
        """Generates the texts of a case."""
        with tempfile.TemporaryDirectory() as folder:
            given, output = Path(folder) / "case.json", Path(folder) / "output.json"
            case.write(given)
            command = [sys.executable, "-m", "benchmarks.generation.sides", "--side", side]
            command += ["--pretrained", str(self.model), "--case", str(given), "--output", str(output)]
            command += ["--batch-size", str(batch_size)]
            threads = {"OMP_NUM_THREADS": str(self.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
            done = subprocess.run(
                command, env=os.environ | threads, capture_output=True, text=True, check=False, timeout=TIMEOUT
            )
            if done.returncode:
                raise SystemExit(f"{side} failed:\n{done.stderr[-4000:]}")
            found = json.loads(output.read_text())
        label = f"{side}, batches of {batch_size}" if side in ("lm-eval hf", "generate") else side
        measured = Measured(label, found["seconds"], found["cpu_seconds"], found["tokens"], tuple(found["texts"]))
        print(
            f"{case.name}, {len(case.prompts)} prompts: {label}: {measured.seconds:.1f} s", file=sys.stderr, flush=True
        )
        return measured


def _measure(case: Case, runner: Runner, sides: list[str], sizes: list[int], repeats: int) -> list[Measured]:
    """evalkit, lm-eval with its best batch size, and what else was asked for."""
    best, sizes = 8, [size for size in sizes if size <= len(case.prompts)]
    whole: dict[int, Measured] = {}
    if "lm-eval hf" in sides:
        rates = {}
        for size in sizes:
            part = case.first(max(size, 4))
            trial = runner("lm-eval hf", part, size)
            rates[size] = trial.seconds / len(part.prompts)
            if len(part.prompts) == len(case.prompts):
                whole[size] = trial
        best = min(rates, key=rates.__getitem__)
    measured = []
    for side in sides:
        runs = [whole[best]] if side == "lm-eval hf" and best in whole else []
        count = repeats if side in ("evalkit", "lm-eval hf") else 1
        while len(runs) < count:
            runs.append(runner(side, case, best))
        measured.append(min(runs, key=lambda one: one.seconds))
    return measured


def _rows(case: Case, measured: list[Measured]) -> list[str]:
    ours = next((one for one in measured if one.side == "evalkit"), measured[0])
    rows = []
    for one in measured:
        same = sum(mine == theirs for mine, theirs in zip(ours.texts, one.texts, strict=True))
        rows.append(
            f"| {case.name}, {len(case.prompts)} | {one.side} | {one.seconds:.1f} | {ours.tokens / one.seconds:.1f} | "
            f"{one.seconds / ours.seconds:.2f}x | {one.cpu_seconds:.1f} | {same} of {len(one.texts)} |"
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
