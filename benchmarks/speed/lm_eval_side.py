"""Runs lm-eval's `hf` or `vllm` model on one case (one process, one model load), or tries batch sizes on it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.lm_eval_program import evaluate, lm_eval_data, scores
from benchmarks.speed.cases import Case
from benchmarks.speed.measurement import Measurement, library_versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("hf", "vllm"), required=True)
    parser.add_argument("--pretrained", required=True, help="directory of the model")
    parser.add_argument("--batch-sizes", default="8", help="of hf; with several, each is timed on the case")
    parser.add_argument("--data-dir")
    parser.add_argument("--case", required=True, help="JSON object")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    from lm_eval.tasks import TaskManager

    case = Case(**json.loads(arguments.case))
    sizes = [int(size) for size in arguments.batch_sizes.split(",")]
    model = (load_hf if arguments.engine == "hf" else load_vllm)(arguments.pretrained, case.max_length, sizes[0])
    manager = TaskManager()
    with lm_eval_data(arguments.data_dir):
        if len(sizes) > 1:
            arguments.output.write_text(json.dumps(try_batch_sizes(case, model, manager, sizes)))
        else:
            measure(case, model, manager).write(arguments.output)


def load_hf(pretrained: str, max_length: int | None, batch_size: int) -> Any:
    """lm-eval's transformers model, float32 on the CPU."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=pretrained, dtype="float32", batch_size=batch_size, device="cpu", max_length=max_length)


def load_vllm(pretrained: str, max_length: int | None, _batch_size: int) -> Any:
    """lm-eval's vLLM model: all requests in one call, as its default `batch_size=auto` has it."""
    from lm_eval.models.vllm_causallms import VLLM

    # lm-eval's windows are two tokens shorter than what vLLM is given: one generated, one of context
    length = None if max_length is None else max_length + 2
    return VLLM(pretrained=pretrained, dtype="float32", max_model_len=length, enforce_eager=True)


def measure(case: Case, model: Any, manager: Any) -> Measurement:
    """The case's scores, seconds and tokens."""
    tokens = _count_tokens(model)
    found, seconds = evaluate(model, manager, case.tasks, case.shots, case.documents)
    return Measurement(
        scoring_seconds=seconds,
        tokens_computed=sum(tokens),
        metrics={task: scores(found, task) for task in case.tasks},
        documents=sum(found["n-samples"][task]["effective"] for task in case.tasks),
        versions=library_versions(),
        stages={},
    )


def try_batch_sizes(case: Case, model: Any, manager: Any, sizes: list[int]) -> dict[str, float]:
    """Batch size -> scoring seconds, after one run that warms up."""
    seconds = {}
    for size in [sizes[0], *sizes]:
        model.batch_size_per_gpu = size
        _, seconds[str(size)] = evaluate(model, manager, case.tasks, case.shots, case.documents)
    return seconds


def _count_tokens(model: Any) -> list[int]:
    """A list that gets the tokens of each call of the model, padding included."""
    tokens: list[int] = []
    if hasattr(model, "_model_call"):
        original_call = model._model_call

        def call(inputs: Any, *arguments: Any, **options: Any) -> Any:
            tokens.append(inputs.numel())
            return original_call(inputs, *arguments, **options)

        model._model_call = call
    else:
        original_generate = model._model_generate

        def generate(*, requests: list[list[int]], **options: Any) -> Any:
            tokens.extend(map(len, requests))
            return original_generate(requests=requests, **options)

        model._model_generate = generate
    return tokens


if __name__ == "__main__":
    main()
