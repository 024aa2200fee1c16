"""What makes a score depend on its neighbours, and what keeping it from that costs: `python -m benchmarks.determinism`.

1. PyTorch's fused attention on CPU: the same query and keys in calls of different sizes, how often the bits differ.
2. The engine with and without `deterministic`: bits after leaving out and reordering prompts, and tokens a second.
3. With `--data-dir`: SmolLM2 on real prompts, some documents alone against the same among more.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM

import evalkit
from evalkit.backends.local import LocalBackend, LocalOptions
from evalkit.engine.engine import Engine
from evalkit.engine.sequences import Sequence
from evalkit.models import load_model
from evalkit.requests import Request, Response

HEADS, KEY_HEADS, SIZE = 9, 3, 64


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    data_dir = parser.parse_args().data_dir
    torch.manual_seed(0)
    print("| queries a call | keys a multiple of | different bits | largest difference |\n|---:|---:|---:|---:|")
    for queries in (16, 64, 128):
        for multiple in (1, 64, 512):
            different, total, largest = attention(queries, multiple)
            print(f"| {queries} | {multiple} | {different} of {total} | {largest:.1e} |")
    print("\n| engine | prompts with other bits after leaving out and reordering | tokens/s |\n|---|---:|---:|")
    for deterministic in (False, True):
        changed, total, speed = engine(deterministic)
        print(f"| {'deterministic' if deterministic else 'default'} | {changed} of {total} | {speed:,.0f} |")

    if data_dir:
        same, total = real(data_dir)
        print(
            f"\nSmolLM2, --deterministic: {same} of {total} answers have the same bits alone and among more documents"
        )


def real(data_dir: str) -> tuple[int, int]:
    """(answers with the same bits, answers) of the first documents, computed by themselves and among twice as many."""
    backend = _Remembering(load_model("smollm2"), LocalOptions(deterministic=True))
    found: list[dict[Request, Response]] = []
    for limit in ("first:3", "first:6"):
        backend.found = {}
        tasks = "mmlu_abstract_algebra:5shot,hellaswag:10shot,truthfulqa_mc2"
        evalkit.run(model=backend, tasks=tasks, limit=limit, data_dir=data_dir, offline=True)
        found.append(backend.found)
    few, more = found
    return sum(more[request] == response for request, response in few.items()), len(few)


class _Remembering(LocalBackend):
    """Keeps all answers."""

    found: dict[Request, Response]

    def compute(self, prepared, done=()):  # noqa: ANN001, ANN201
        for answers in super().compute(prepared, done):
            self.found.update((prepared.requests[index], response) for index, response in answers)
            yield answers


def attention(queries: int, multiple: int) -> tuple[int, int, float]:
    """(calls whose bits differ, calls, largest difference) for one query among different neighbours."""
    random = np.random.default_rng(0)
    different, total, largest = 0, 0, 0.0
    for length in (40, 200, 700, 1500):
        q, k, v = (torch.randn(1, heads, length, SIZE) for heads in (HEADS, KEY_HEADS, KEY_HEADS))
        for position in random.integers(0, length, 10).tolist():
            alone = _tile(q, k, v, position, position + 1, queries, multiple)
            for before, behind in ((3, 0), (0, 5), (7, 8)):
                start, stop = max(0, position - before), min(length, position + 1 + behind)
                among = _tile(q, k, v, start, stop, queries, multiple)[:, :, position - start : position - start + 1]
                difference = float((among - alone).abs().max())
                different += difference != 0
                largest = max(largest, difference)
                total += 1
    return different, total, largest


def _tile(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int, stop: int, rows: int, multiple: int
) -> torch.Tensor:
    """Queries start .. stop of a causal sequence in a call of exactly `rows` queries and a multiple of keys."""
    width = -(-stop // multiple) * multiple
    allowed = torch.arange(width)[None] <= torch.arange(start, start + rows)[:, None]
    mask = torch.zeros(rows, width).masked_fill_(~allowed, -torch.inf)
    keys, values = (pad(states[:, :, :stop], (0, 0, 0, width - stop)) for states in (k, v))
    queries = pad(q[:, :, start:stop], (0, 0, 0, rows - (stop - start)))
    result = scaled_dot_product_attention(queries, keys, values, attn_mask=mask, enable_gqa=True)
    return result[:, :, : stop - start]


def engine(deterministic: bool) -> tuple[int, int, float]:
    """(prompts whose bits changed, prompts, tokens a second) with a model of SmolLM2-135M's shape, random weights."""
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    scorer = Engine(LlamaForCausalLM(config).eval(), 8192, deterministic=deterministic)
    sequences = _prompts()
    start = time.perf_counter()
    whole = {score.sequence: score.log_probabilities.tobytes() for batch in scorer.score(sequences) for score in batch}
    speed = scorer.tokens_computed / (time.perf_counter() - start)
    some = np.random.default_rng(1).permutation(len(sequences))[: len(sequences) // 3]
    again = scorer.score([sequences[index] for index in some])
    scores = {int(some[score.sequence]): score.log_probabilities.tobytes() for batch in again for score in batch}
    return sum(whole[index] != values for index, values in scores.items()), len(scores), speed


def _prompts() -> list[Sequence]:
    """Forty questions with common examples and four answers each, and ten with contexts of their own."""
    random = np.random.default_rng(0)
    examples = random.integers(5, 49000, 400)
    contexts = [np.concatenate([examples, random.integers(5, 49000, 60)]) for _ in range(40)]
    contexts += [random.integers(5, 49000, 250) for _ in range(10)]
    sequences = []
    for context in contexts:
        for _ in range(4):
            whole = np.concatenate([context, random.integers(5, 49000, 8)]).astype(np.int32)
            sequences.append(Sequence(whole[:-1], whole[-8:]))
    return sequences


if __name__ == "__main__":
    main()
