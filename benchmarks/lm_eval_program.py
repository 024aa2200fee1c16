"""Runs lm-eval in this process, on evalkit's places for data, with a stopwatch on the calls of its model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def lm_eval_data(data_dir: str | None) -> Iterator[None]:
    """Within it lm-eval's tasks read the datasets that evalkit reads, and touch no network.

    Datasets of the embedded pack are given the training split they lack: lm-eval opens it even for 0 examples.
    """
    import datasets

    from evalkit.data import DataOptions
    from evalkit.lm_eval_bridge.datasets_source import data_from

    with data_from(DataOptions.resolve(data_dir, offline=True)):
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


def evaluate(
    model: Any, manager: Any, tasks: Sequence[str], shots: int, documents: int, *, log_samples: bool = False
) -> tuple[dict[str, Any], float]:
    """lm-eval's result for the first `documents` documents of each task, and the seconds inside the model.

    Those seconds are tokenising and scoring; reading data, building prompts and computing metrics are not in them.
    """
    import lm_eval

    seconds = _time_inside(model)
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=list(tasks),
        num_fewshot=shots,
        limit=documents,
        task_manager=manager,
        log_samples=log_samples,
        bootstrap_iters=0,
        verbosity="ERROR",
    )
    return found, sum(seconds)


def scores(found: dict[str, Any], task: str) -> dict[str, float]:
    """A task's metrics, by lm-eval's names; those of a filter as `METRIC,FILTER`."""
    return {
        key.removesuffix(",none"): value
        for key, value in found["results"][task].items()
        if "," in key and "_stderr" not in key
    }


def _time_inside(model: Any) -> list[float]:
    """A list that gets the seconds of each call of the model's methods that score and generate."""
    seconds: list[float] = []
    for name in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        original = getattr(type(model), name).__get__(model)

        def timed(*arguments: Any, _original: Any = original, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return _original(*arguments, **options)
            finally:
                seconds.append(time.perf_counter() - start)

        setattr(model, name, timed)
    return seconds
