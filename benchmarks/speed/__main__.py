"""evalkit, lm-eval and vLLM on the same model, documents, dtype and threads, one command at a time.

    python -m benchmarks.speed --data-dir ../shared/data/hub --output speed.json --markdown speed.md
    python -m benchmarks.speed --engines evalkit,hf --tasks mmlu --repeats 3

Each measurement is a process of its own that loads the model: `whole command` is its life from start to end, `tokenising
and scoring` what it spent between having prompts and having log-probabilities. Exits with 1 when scores disagree or a
command fails.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import CASES, Case
from benchmarks.speed.engines import ENGINES, Engine, Setting, batch_size_trial
from benchmarks.speed.model_directory import write_model
from benchmarks.speed.report import Record, disagreements, table

TRIAL_SHARE = 0.15  # of a case's documents, on which lm-eval's batch sizes are tried


def main() -> int:
    arguments = _parser().parse_args()
    setting = Setting(
        model=write_model(arguments.model, arguments.model_directory),
        data_dir=arguments.data_dir and os.path.abspath(arguments.data_dir),
        threads=arguments.threads,
    )
    cases = [case.scaled(arguments.scale) for case in _chosen({case.name: case for case in CASES}, arguments.tasks)]
    engines = _names(ENGINES, arguments.engines)
    about: dict[str, Any] = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.orig_argv,
        "machine": machine(),
        "model": arguments.model,
        "threads": setting.threads,
        "scale": arguments.scale,
        "batch_size_trials": {},
    }
    records: list[Record] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            trial = _try_batch_sizes(case, setting, arguments.batch_sizes, Path(folder)) if "hf" in engines else {}
            about["batch_size_trials"][case.name] = trial
            batch_size = int(min(trial, key=trial.__getitem__)) if trial else arguments.batch_sizes[0]
            for repeat, name in product(range(arguments.repeats), engines):
                records.append(_measure(case, ENGINES[name], setting, batch_size, repeat, Path(folder)))
                _save(arguments, about, records)  # hours of work are not lost when the next command is
    print("\n".join(table(records)))
    for line in (problems := disagreements(records)):
        print(f"NOT EQUAL: {line}", file=sys.stderr)
    return 1 if problems or any(record.failed for record in records) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="any model that `evalkit run --model` takes")
    parser.add_argument(
        "--model-directory",
        type=Path,
        default=Path("build/speed/smollm2"),
        help="where that model is written for all engines; one that is there is taken as it is",
    )
    parser.add_argument("--data-dir", help="folder of datasets; the embedded pack is searched too")
    parser.add_argument("--tasks", help=f"comma-separated, of {','.join(case.name for case in CASES)}; by default all")
    parser.add_argument("--engines", help=f"comma-separated, of {','.join(ENGINES)}; by default all")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of documents")
    parser.add_argument("--repeats", type=int, default=1, help="of each measurement; the median is shown")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each engine")
    parser.add_argument(
        "--batch-sizes",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[1, 4, 8, 16],
        help="of lm-eval hf; the fastest on a slice of each case is used",
    )
    parser.add_argument("--output", type=Path, help="every raw number, as JSON")
    parser.add_argument("--markdown", type=Path, help="also write the table there")
    return parser


def _chosen(known: Mapping[str, Case], names: str | None) -> list[Case]:
    return [known[name] for name in _names(known, names)]


def _names(known: Collection[str], names: str | None) -> list[str]:
    wanted = list(known) if names is None else names.split(",")
    if unknown := sorted(set(wanted) - set(known)):
        raise SystemExit(f"not known: {', '.join(unknown)}; there are {', '.join(known)}")
    return wanted


def _try_batch_sizes(case: Case, setting: Setting, sizes: list[int], folder: Path) -> dict[str, float]:
    """lm-eval's scoring seconds for each batch size, on a slice of the case; empty when there is nothing to choose."""
    if len(sizes) == 1:
        return {}
    output = folder / "trial.json"
    _run(batch_size_trial(case.scaled(TRIAL_SHARE), setting, sizes, output), ENGINES["hf"].environment(setting))
    seconds: dict[str, float] = json.loads(output.read_text())
    _say(f"{case.name}: seconds of lm-eval hf by batch size: {seconds}")
    return seconds


def _measure(case: Case, engine: Engine, setting: Setting, batch_size: int, repeat: int, folder: Path) -> Record:
    """Runs one engine on one case."""
    output = folder / f"{case.name}-{engine.name}-{repeat}.json"
    command, environment = engine.command(case, setting, batch_size, output), engine.environment(setting)
    seconds, measurement, note, failed = math.nan, None, engine.missing, False
    if note is None:
        note = f"batch size {batch_size}" if engine is ENGINES["hf"] else ""
        try:
            seconds = _run(command, environment)
            measurement = engine.read(output)
        except subprocess.CalledProcessError as error:
            note, failed = f"failed, exit code {error.returncode}", True
    _say(f"{case.name}: {engine.title} {note}: {seconds:.1f} s, of these tokenising and scoring "
         f"{measurement.scoring_seconds if measurement else math.nan:.1f} s")  # fmt: skip
    return Record(case, engine.title, repeat, command, environment, seconds, measurement, note, failed)


def _run(command: list[str], environment: Mapping[str, str]) -> float:
    """Runs a command to its end; its seconds. What it printed is shown only when it fails."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        start = time.perf_counter()
        try:
            subprocess.run(
                command, env=os.environ | dict(environment), stdout=log, stderr=subprocess.STDOUT, check=True
            )
        except subprocess.CalledProcessError:
            log.seek(0)
            _say("".join(log.readlines()[-40:]))
            raise
        return time.perf_counter() - start


def _save(arguments: argparse.Namespace, about: dict[str, Any], records: list[Record]) -> None:
    content = json.dumps(about | {"measurements": [asdict(record) for record in records]}, indent=1)
    for path, text in ((arguments.output, content), (arguments.markdown, "\n".join(table(records)))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")


def machine() -> dict[str, Any]:
    """The processor, its cores, the memory (GiB), and how busy it was when the measurements began."""
    information = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line]
        if information.exists()
        else []
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
