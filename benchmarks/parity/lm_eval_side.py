"""Runs lm-eval's own `hf` model on the cases and writes its samples as JSON (one process, one model load)."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.lm_eval_program import evaluate, lm_eval_data, scores
from benchmarks.parity.cases import Case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", required=True, help="directory of the model")
    parser.add_argument("--gguf-file", help="file within it")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--data-dir")
    parser.add_argument("--cases", required=True, help="JSON list of cases")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    extra = {"gguf_file": arguments.gguf_file} if arguments.gguf_file else {}
    model = HFLM(
        pretrained=arguments.pretrained, dtype="float32", batch_size=arguments.batch_size, device="cpu", **extra
    )
    manager = TaskManager()
    results = []
    with lm_eval_data(arguments.data_dir):
        for values in json.loads(arguments.cases):
            results.append(run_case(Case(**values), model, manager))
            print(f"lm-eval {results[-1]['case']}: {results[-1]['seconds']:.1f} s", flush=True)
    arguments.output.write_text(json.dumps(results))


def run_case(case: Case, model: Any, manager: Any) -> dict[str, Any]:
    """lm-eval's scores and samples for one case; `seconds` is the time inside the model."""
    own_length = model._max_length
    model._max_length = case.max_length or own_length
    start = time.perf_counter()
    found, seconds = evaluate(model, manager, [case.task], case.shots, case.documents, log_samples=True)
    whole = time.perf_counter() - start
    model._max_length = own_length
    samples = []
    for sample in found["samples"][case.task]:
        answers = [answer[0] if isinstance(answer[0], list | tuple) else answer for answer in sample["resps"]]
        samples.append(
            {
                "index": sample["doc_id"],
                "log_probabilities": [_log_probability(answer) for answer in answers],
                "metrics": {name: _plain(sample[name]) for name in sample["metrics"]},
            }
        )
    return {
        "case": f"{case.task}:{case.shots}shot",
        "scores": scores(found, case.task),
        "samples": samples,
        "seconds": seconds,
        "whole_seconds": whole,
    }


def _log_probability(answer: Any) -> float:
    value = answer[0] if isinstance(answer, list | tuple) else answer
    return float(value[0] if isinstance(value, list | tuple) else value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


if __name__ == "__main__":
    main()
