"""Runs evalkit on the cases and writes its samples in the same form (one process, one model load)."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.parity.cases import Case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--cases", required=True, help="JSON list of cases")
    parser.add_argument("--compat", action="store_true")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    from evalkit.models import ModelOptions, load_model

    loaded = load_model(arguments.model, ModelOptions(dtype="float32", device="cpu", offline=True))
    results = []
    for values in json.loads(arguments.cases):
        results.append(run_case(Case(**values), loaded, arguments))
        print(f"evalkit {results[-1]['case']}: {results[-1]['seconds']:.1f} s", flush=True)
    arguments.output.write_text(json.dumps(results))


def run_case(case: Case, loaded: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """evalkit's scores and samples for one case; `seconds` covers tokenising and scoring."""
    from pyarrow import parquet

    from evalkit import api
    from evalkit.backends.local import LocalBackend, LocalOptions
    from evalkit.metrics import metric

    own_length = loaded.max_length
    loaded.max_length = case.max_length or own_length
    backend = LocalBackend(loaded, LocalOptions(compat_lm_eval=arguments.compat))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        start = time.perf_counter()
        run = api.run(
            model=backend,
            tasks=case.task if case.shots == 0 else f"{case.task}:{case.shots}shot",
            limit=f"first:{case.documents}",
            over_length="truncate",
            data_dir=arguments.data_dir,
            offline=True,
            output=path,
        )
        whole = time.perf_counter() - start
        rows = parquet.read_table(path.with_name("run.samples.parquet")).to_pylist()
    loaded.max_length = own_length
    result = next(iter(run.tasks.values()))
    log_probabilities: dict[int, list[float]] = {}
    for row in sorted(rows, key=lambda row: (row["index"], row["request"])):
        log_probabilities.setdefault(row["index"], []).append(row["log_probability"])
    return {
        "case": f"{case.task}:{case.shots}shot",
        "scores": {metric(name).lm_eval: value.value for name, value in result.metrics.items()},
        "samples": [
            {
                "index": sample.index,
                "log_probabilities": log_probabilities[sample.index],
                "metrics": {metric(name).lm_eval: value for name, value in sample.metrics.items()},
            }
            for sample in result.samples
        ],
        "seconds": run.timing["seconds"]["tokens"] + run.timing["seconds"]["scoring"],
        "whole_seconds": whole,
    }


if __name__ == "__main__":
    main()
