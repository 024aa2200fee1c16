"""Runs evalkit on the cases and writes its samples in the same form (one process, one model load)."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
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

    own_length = loaded.max_length
    loaded.max_length = case.max_length or own_length
    backend = LocalBackend(loaded, LocalOptions(compat_lm_eval=arguments.compat))
    tokens = _remember_tokens(backend)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        start = time.perf_counter()
        run = api.run(
            model=backend,
            tasks=case.evalkit_task,
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
    return {
        "case": f"{case.name}:{case.shots}shot",
        "scores": {_lm_eval_metric(case, name): value.value for name, value in result.metrics.items()},
        "samples": _texts(case, result, rows, tokens) if case.generates else _log_likelihoods(case, result, rows),
        "seconds": run.timing["seconds"]["tokens"] + run.timing["seconds"]["scoring"],
        "whole_seconds": whole,
    }


def _log_likelihoods(case: Case, result: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    log_probabilities: dict[int, list[float]] = {}
    for row in sorted(rows, key=lambda row: (row["index"], row["request"])):
        log_probabilities.setdefault(row["index"], []).append(row["log_probability"])
    return [
        {
            "index": sample.index,
            "log_probabilities": log_probabilities[sample.index],
            "metrics": {_lm_eval_metric(case, name): value for name, value in sample.metrics.items()},
        }
        for sample in result.samples
    ]


def _texts(
    case: Case, result: Any, rows: list[dict[str, Any]], tokens: Mapping[str, list[int]]
) -> list[dict[str, Any]]:
    by_index = {row["index"]: row for row in rows}
    return [
        {
            "index": sample.index,
            "prompt": by_index[sample.index]["prompt"],
            "text": by_index[sample.index]["continuation"],
            "tokens": tokens[by_index[sample.index]["prompt"]],
            "target": by_index[sample.index]["target"],
            "metrics": {_lm_eval_metric(case, name): value for name, value in sample.metrics.items()},
        }
        for sample in result.samples
    ]


def _lm_eval_metric(case: Case, name: str) -> str:
    from evalkit.metrics import metric

    return case.metrics.get(name, name) if case.generates else metric(name).lm_eval


def _remember_tokens(backend: Any) -> Mapping[str, list[int]]:
    """Has the backend keep the tokens behind each text, which the sample log has not: prompt -> tokens."""
    from evalkit.requests import Generation

    tokens: dict[str, list[int]] = {}
    compute = backend.compute

    def remember(prepared: Any, done: Any = ()) -> Any:
        for answers in compute(prepared, done):
            for index, reply in answers:
                if isinstance(reply, Generation):
                    tokens[prepared.requests[index].prompt] = list(reply.completions[0].token_ids)
            yield answers

    backend.compute = remember
    return tokens


if __name__ == "__main__":
    main()
