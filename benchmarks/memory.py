"""Predicted against measured peak memory, on CPU: `python -m benchmarks.memory`.

Every case runs in a process of its own: a Llama-shaped model with random weights, made-up prompts of a benchmark's shape,
`Engine.forecast`, then the scoring itself with the kernel's high-water mark reset before it (Linux only).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from evalkit.engine.sequences import Sequence

MODELS = {
    "135M": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
    | {"num_key_value_heads": 3, "vocab_size": 49152},
    "0.5B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 16, "num_attention_heads": 16}
    | {"num_key_value_heads": 8, "vocab_size": 128256},
}
CASES = [
    ("135M", "float32", "few-shot", 2048),
    ("135M", "float32", "windows", 2048),
    ("135M", "float32", "few-shot", 8192),
    ("135M", "bfloat16", "few-shot", 2048),
    ("0.5B", "float32", "few-shot", 2048),
    ("0.5B", "float32", "windows", 2048),
    ("0.5B", "bfloat16", "windows", 4096),
]


def main() -> None:
    """Prints the table."""
    print("| model | dtype | prompts | budget | predicted MiB | measured MiB | error |")
    print("|---|---|---|---:|---:|---:|---:|")
    for case in CASES:
        output = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", *map(str, case)], check=True, capture_output=True, text=True
        ).stdout
        predicted, measured = json.loads(output.splitlines()[-1])
        model, dtype, shape, budget = case
        error = predicted / measured - 1
        sizes = f"{predicted / 2**20:,.0f} | {measured / 2**20:,.0f} | {error:+.0%}"
        print(f"| {model} | {dtype} | {shape} | {budget:,} | {sizes} |")


def measure(model: str, dtype: str, shape: str, budget: int) -> tuple[int, int]:
    """(predicted, measured) peak of resident memory in bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from evalkit.engine.engine import Engine

    torch.manual_seed(0)
    config = LlamaConfig(**MODELS[model], max_position_embeddings=4096, tie_word_embeddings=True, dtype=dtype)
    engine = Engine(LlamaForCausalLM(config).to(getattr(torch, dtype)).eval(), 4096, token_budget=budget)
    sequences = _few_shot(budget) if shape == "few-shot" else _windows()
    predicted = engine.forecast(sequences).peak_bytes
    Path("/proc/self/clear_refs").write_text("5")
    for _ in engine.score(sequences):
        pass
    status = Path("/proc/self/status").read_text()
    measured = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return predicted, measured


def _few_shot(budget: int) -> list[Sequence]:
    random = np.random.default_rng(0)
    examples = random.integers(5, 40000, 600)
    prompts = [np.concatenate([examples, random.integers(5, 40000, 90)]).astype(np.int32) for _ in range(budget // 60)]
    return [Sequence(prompt[:-1], prompt[-1:]) for prompt in prompts]


def _windows() -> list[Sequence]:
    random = np.random.default_rng(0)
    texts = [random.integers(5, 40000, 2049).astype(np.int32) for _ in range(3)]
    return [Sequence(text[:-1], text[1:]) for text in texts]


if __name__ == "__main__":
    if len(sys.argv) == 5:
        print(json.dumps(measure(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        main()
