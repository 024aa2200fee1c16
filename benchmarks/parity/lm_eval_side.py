"""Runs lm-eval's own `hf` model on the cases and writes its samples as JSON (one process, one model load)."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

    from evalkit.data import DataOptions
    from evalkit.lm_eval_bridge.datasets_source import data_from

    extra = {"gguf_file": arguments.gguf_file} if arguments.gguf_file else {}
    model = HFLM(
        pretrained=arguments.pretrained, dtype="float32", batch_size=arguments.batch_size, device="cpu", **extra
    )
    manager = TaskManager()
    results = []
    with data_from(DataOptions.resolve(arguments.data_dir, offline=True)), training_splits():
        for values in json.loads(arguments.cases):
            results.append(run_case(Case(**values), model, manager))
            print(f"lm-eval {results[-1]['case']}: {results[-1]['seconds']:.1f} s", flush=True)
    arguments.output.write_text(json.dumps(results))


@contextmanager
def training_splits() -> Iterator[None]:
    """Gives datasets of the embedded pack the training split they lack: lm-eval opens it even for 0 examples."""
    import datasets

    original = datasets.load_dataset

    def load_dataset(*names: Any, **options: Any) -> Any:
        loaded = original(*names, **options)
        if isinstance(loaded, datasets.DatasetDict) and "train" not in loaded:
            loaded["train"] = next(iter(loaded.values())).select([0])
        return loaded

    datasets.load_dataset = load_dataset
    try:
        yield
    finally:
        datasets.load_dataset = original


def run_case(case: Case, model: Any, manager: Any) -> dict[str, Any]:
    """lm-eval's scores and samples for one case; `seconds` is the time inside the model."""
    import lm_eval

    own_length = model._max_length
    model._max_length = case.max_length or own_length
    seconds = _time_inside(model)
    start = time.perf_counter()
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=[case.task],
        num_fewshot=case.shots,
        limit=case.documents,
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
        verbosity="ERROR",
    )
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
    scores = {
        key.removesuffix(",none"): value
        for key, value in found["results"][case.task].items()
        if key.endswith(",none") and "stderr" not in key
    }
    return {
        "case": f"{case.task}:{case.shots}shot",
        "scores": scores,
        "samples": samples,
        "seconds": sum(seconds),
        "whole_seconds": whole,
    }


def _time_inside(model: Any) -> list[float]:
    """Times the model's two scoring calls (tokenising included, data and prompts not)."""
    seconds: list[float] = []
    for name in ("loglikelihood", "loglikelihood_rolling"):
        original = getattr(type(model), name).__get__(model)

        def timed(*arguments: Any, _original: Any = original, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return _original(*arguments, **options)
            finally:
                seconds.append(time.perf_counter() - start)

        setattr(model, name, timed)
    return seconds


def _log_probability(answer: Any) -> float:
    value = answer[0] if isinstance(answer, list | tuple) else answer
    return float(value[0] if isinstance(value, list | tuple) else value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


if __name__ == "__main__":
    main()
