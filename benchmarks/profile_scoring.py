"""Where scoring spends its time: `python -m benchmarks.profile_scoring --data-dir DIR [--model smollm2]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from torch.profiler import ProfilerActivity, profile

import evalkit
from evalkit.backends.base import Prepared
from evalkit.backends.local import LocalBackend
from evalkit.models import load_model

CASES = (
    ("mmlu_business_ethics:5shot", "first:40"),
    ("hellaswag:10shot", "first:4"),
    ("truthfulqa_mc2", "first:20"),
    ("wikitext", "first:1"),
)
KINDS: Mapping[str, tuple[str, ...]] = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("aten::_scaled_dot_product",),
    "copies and gathering": ("aten::index_select", "aten::cat", "aten::copy_", "aten::fill_", "aten::index"),
    "softmax of logits": ("aten::max", "aten::exp_", "aten::sub_", "aten::log_"),
}


class Profiled(LocalBackend):
    """Computes everything under torch's profiler."""

    def compute(self, prepared: Prepared, done=()):  # noqa: ANN001, ANN201
        """As `LocalBackend.compute`; prints a row of the table."""
        start, before = time.perf_counter(), self.engine.tokens_computed
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            answers = list(super().compute(prepared, done))
        seconds = time.perf_counter() - start
        events = profiler.key_averages()
        total = sum(event.self_cpu_time_total for event in events)
        shares = {
            kind: sum(event.self_cpu_time_total for event in events if event.key.startswith(names)) / total
            for kind, names in KINDS.items()
        }
        cells = [f"{share:.0%}" for share in (*shares.values(), 1 - sum(shares.values()))]
        print(f"{' | '.join(cells)} | {(self.engine.tokens_computed - before) / seconds:,.0f} |")
        return iter(answers)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    loaded = load_model(arguments.model)
    print(f"| | {' | '.join(KINDS)} | the rest (norms, rotation, SiLU ...) | tokens/s |\n|---|{'---:|' * 6}")
    for task, limit in CASES:
        print(f"| {task}, {limit} | ", end="", flush=True)
        evalkit.run(model=Profiled(loaded), tasks=task, limit=limit, data_dir=arguments.data_dir, offline=True)


if __name__ == "__main__":
    main()
