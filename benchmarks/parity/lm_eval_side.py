"""Runs lm-eval's own `hf` model on the cases and writes its samples as JSON (one process, one model load)."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.lm_eval_program import evaluate, lm_eval_data, scores
from benchmarks.parity.cases import LM_EVAL_TASKS, Case


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
    manager = TaskManager(include_path=str(LM_EVAL_TASKS))
    tokens = _remember_tokens(model)
    results: list[dict[str, Any]] = []
    known: dict[tuple[Any, ...], dict[str, Any]] = {}  # evalkit has two ways to run some tasks; lm-eval has one
    with lm_eval_data(arguments.data_dir):
        for values in json.loads(arguments.cases):
            case = Case(**values)
            key = (case.lm_eval_task, case.shots, case.documents, case.max_length)
            if key not in known:
                known[key] = run_case(case, model, manager, tokens)
            results.append(known[key])
            print(f"lm-eval {results[-1]['case']}: {results[-1]['seconds']:.1f} s", flush=True)
    arguments.output.write_text(json.dumps(results))


def run_case(case: Case, model: Any, manager: Any, tokens: Mapping[str, list[int]]) -> dict[str, Any]:
    """lm-eval's scores and samples for one case; `seconds` is the time inside the model.

    Args:
        case: What to run.
        model: lm-eval's `hf` model.
        manager: lm-eval's tasks.
        tokens: Prompt -> tokens generated after it, filled in by the model.
    """
    own_length = model._max_length
    model._max_length = case.max_length or own_length
    start = time.perf_counter()
    found, seconds = evaluate(model, manager, [case.lm_eval_task], case.shots, case.documents, log_samples=True)
    whole = time.perf_counter() - start
    model._max_length = own_length
    samples = found["samples"][case.lm_eval_task]
    return {
        "case": f"{case.name}:{case.shots}shot",
        "scores": scores(found, case.lm_eval_task),
        "samples": _texts(samples, tokens) if case.generates else [_log_likelihoods(sample) for sample in samples],
        "seconds": seconds,
        "whole_seconds": whole,
    }


def _log_likelihoods(sample: dict[str, Any]) -> dict[str, Any]:
    answers = [answer[0] if isinstance(answer[0], list | tuple) else answer for answer in sample["resps"]]
    return {
        "index": sample["doc_id"],
        "log_probabilities": [_log_probability(answer) for answer in answers],
        "metrics": {name: _plain(sample[name]) for name in sample["metrics"]},
    }


def _texts(samples: list[dict[str, Any]], tokens: Mapping[str, list[int]]) -> list[dict[str, Any]]:
    """One entry a document; lm-eval has one a document and filter."""
    found: dict[int, dict[str, Any]] = {}
    for sample in samples:
        prompt = sample["arguments"][0][0]
        entry = {"index": sample["doc_id"], "prompt": prompt, "text": sample["resps"][0][0], "tokens": tokens[prompt]}
        metrics = found.setdefault(sample["doc_id"], entry | {"metrics": {}})["metrics"]
        suffix = "" if sample["filter"] == "none" else f",{sample['filter']}"
        numbers = {name: sample[name] for name in sample["metrics"] if isinstance(sample[name], int | float)}
        metrics.update({name + suffix: float(value) for name, value in numbers.items()})
    return list(found.values())


def _remember_tokens(model: Any) -> Mapping[str, list[int]]:
    """Has the model keep the tokens behind each text: those of the whole batch, so some follow after the text's end."""
    tokens: dict[str, list[int]] = {}
    last: list[list[int]] = [[]]
    decode, add_partial = model.tok_decode, model.cache_hook.add_partial

    def tok_decode(ids: Any, **options: Any) -> Any:
        last[0] = list(ids) if isinstance(ids, list) else [ids]
        return decode(ids, **options)

    def remember(kind: str, arguments: tuple[Any, ...], answer: Any) -> None:
        if kind == "generate_until":
            tokens[arguments[0]] = last[0]
        add_partial(kind, arguments, answer)

    model.tok_decode, model.cache_hook.add_partial = tok_decode, remember
    return tokens


def _log_probability(answer: Any) -> float:
    value = answer[0] if isinstance(answer, list | tuple) else answer
    return float(value[0] if isinstance(value, list | tuple) else value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


if __name__ == "__main__":
    main()
