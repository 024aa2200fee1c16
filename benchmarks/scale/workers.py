"""`evalkit run` with 1, 2 and 4 workers on this machine: how much faster, and whether the results are the same.

    python -m benchmarks.scale.workers --model smollm2 --tasks arc_easy,hellaswag --limit 200 --data-dir ../shared/data/hub
    python -m benchmarks.scale.workers --shape 135m --tokenizer DIR --data-dir ../shared/data/hub   # random weights

Each run is a process of its own; seconds are those of scoring as the result file gives them, without loading. Processor: all
runs have one thread a worker. Accelerator: workers share what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    # SmolLM2-135M's own
    "135m": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
    | {"num_key_value_heads": 3, "max_position_embeddings": 8192, "tie_word_embeddings": True},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 2, "max_position_embeddings": 8192, "tie_word_embeddings": True},
}


def build(shape: str, tokenizer: str, folder: Path) -> Path:
    """A model directory with seeded random weights and a real tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from evalkit.models import load_tokenizer

    own = load_tokenizer(tokenizer)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(own), initializer_range=0.1, **SHAPES[shape])
    LlamaForCausalLM(config).save_pretrained(folder)
    own.save_pretrained(folder)
    return folder


def run(arguments: argparse.Namespace, workers: int, output: Path) -> dict[str, Any]:
    """One run; its result file without what differs from run to run, and the seconds it took."""
    command = [sys.executable, "-m", "evalkit", "run", "--model", arguments.model, "--tasks", arguments.tasks]
    command += ["--workers", str(workers), "--offline", "-o", str(output)]
    command += ["--limit", arguments.limit] if arguments.limit else []
    command += ["--data-dir", arguments.data_dir] if arguments.data_dir else []
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EVALKIT_NO_CACHE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    content: dict[str, Any] = json.loads(output.read_text())
    timing, environment_used = content.pop("timing"), content.pop("environment")
    del content["created"]
    print(f"{workers} workers: {timing['seconds']['scoring']} s of scoring", file=sys.stderr, flush=True)
    return {
        "content": content,
        "scoring": timing["seconds"]["scoring"],
        "requests": timing["requests"],
        "tokens": timing["tokens_computed"],
        "whole": time.perf_counter() - start,
        "device": environment_used.get("accelerator") or environment_used["processor"],
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this shape instead")
    parser.add_argument("--tokenizer", default="smollm2", help="with --shape")
    parser.add_argument("--tasks", default="arc_easy,hellaswag")
    parser.add_argument("--limit")
    parser.add_argument("--data-dir")
    parser.add_argument("--workers", default="1,2,4", type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.shape:
            arguments.model = str(build(arguments.shape, arguments.tokenizer, Path(folder) / "model"))
        # in turns, so that what else the machine does meets all alike
        rounds = [
            {workers: run(arguments, workers, Path(folder) / "result.json") for workers in arguments.workers}
            for _ in range(arguments.repeats)
        ]
    first = rounds[0][arguments.workers[0]]
    alone = statistics.median(one[arguments.workers[0]]["scoring"] for one in rounds)
    print(f"{first['device']}, {arguments.shape or arguments.model}, {arguments.tasks}: {first['requests']:,} requests")
    print("| workers | scoring s (median) | times as fast | whole command s | tokens computed | same result |")
    print("|---:|---:|---:|---:|---:|---|")
    for workers in arguments.workers:
        own = [one[workers] for one in rounds]
        scoring, whole = (statistics.median(one[name] for one in own) for name in ("scoring", "whole"))
        same = all(one["content"] == first["content"] for one in own)
        print(f"| {workers} | {scoring:.2f} | {alone / scoring:.2f} | {whole:.1f} | {own[0]['tokens']:,} | {same} |")


if __name__ == "__main__":
    main()
