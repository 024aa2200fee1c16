"""Speed of generation on one accelerator: GSM8K's prompts through a Llama-shaped model with random weights.

    python -m benchmarks.gpu_generation pack --data-dir ../shared/data/hub -o build/gpu-prompts.npz   # where the data is
    python -m benchmarks.gpu_generation run build/gpu-prompts.npz                                     # where the GPU is

The engine beside transformers' `generate` (batches of prompts of like length, padded on the left, each written as far as
its longest answer) and `generate_batch` (continuous batching). Greedy; how long each answer becomes is drawn beforehand,
1 to 384 tokens, so that no end token matters. `run` needs torch, transformers and numpy only, and is started in the
repository's root. Two sets of prompts: `drawn`, where each question has five examples of its own as in lm-eval, and
`fixed`, where all have the same five. Prints a JSON line for each measurement as it is made, then Markdown.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import GenerationConfig, PreTrainedModel

from benchmarks.gpu import MAX_LENGTH, MODELS, Row, build_model, cell, emit
from evalkit.decoding import Decoding
from evalkit.engine.engine import Engine
from evalkit.engine.generation.prompt import Prompt
from evalkit.engine.sequences import TokenArray

LONGEST_ANSWER = 384
PATIENCE = 30  # seconds without an answer after which continuous batching counts as stuck
SETS = ("drawn", "fixed")
COLUMNS = ["prompts", "way", "seconds", "tokens_per_second", "peak_gib", "same_texts", "error"]

Texts = list[tuple[int, ...]]
Way = Callable[[Sequence[TokenArray], Sequence[int]], Texts]


def pack(arguments: argparse.Namespace) -> None:
    """Tokenises GSM8K's prompts and writes both sets to one file."""
    from evalkit.data import DataOptions
    from evalkit.engine.tokenization import TextEncoder
    from evalkit.models.tokenizer import load_tokenizer, prefix_token
    from evalkit.registry import select
    from evalkit.requests import Generate
    from evalkit.runner.rendering import render_plain
    from evalkit.runner.settings import RunSettings
    from evalkit.runner.task_run import NativeTaskRun

    (key, task), *_ = select("gsm8k:5shot").tasks.items()
    run = NativeTaskRun(key, task, DataOptions.resolve(arguments.data_dir, offline=True), RunSettings())
    asked = [one for item in run.items[: arguments.documents] for one in run.requests(item, render_plain)]
    texts = [one.prompt for one in asked if isinstance(one, Generate)]
    shots = texts[0].rpartition("Question:")[0]
    sets = {"drawn": texts, "fixed": [shots + "Question:" + text.rpartition("Question:")[2] for text in texts]}
    tokenizer = load_tokenizer(arguments.tokenizer)
    encoder = TextEncoder(tokenizer, prefix_token(tokenizer))
    arrays: dict[str, Any] = {}
    for name, own in sets.items():
        tokens = encoder.encode_prompts(own)
        arrays |= {f"{name}.tokens": np.concatenate(tokens), f"{name}.lengths": np.array(list(map(len, tokens)))}
        print(f"{name}: {len(tokens)} prompts, {sum(map(len, tokens)):,} tokens")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output, **arrays)


def read(path: Path, name: str, count: int | None) -> tuple[list[TokenArray], list[int]]:
    """The first prompts of a set, and how long each answer becomes."""
    with np.load(path) as file:
        tokens, lengths = file[f"{name}.tokens"].astype(np.int32), file[f"{name}.lengths"]
    prompts = np.split(tokens, np.cumsum(lengths)[:-1])[:count]
    return prompts, np.random.default_rng(0).integers(1, LONGEST_ANSWER + 1, len(prompts)).tolist()


def ours(model: PreTrainedModel) -> Way:
    """The engine. It turns cuDNN's attention off for the process, which also helps the ways after it."""
    generator = Engine(model, MAX_LENGTH).generator
    path = generator.path
    assert generator.check is not None
    emit({"what": f"the check of {path.name}"} | asdict(generator.check))

    def write(prompts: Sequence[TokenArray], limits: Sequence[int]) -> Texts:
        asked = [Prompt(tokens, Decoding(max_new_tokens=limit)) for tokens, limit in zip(prompts, limits, strict=True)]
        found = dict(one for finished in generator.generate(asked, lambda _: "") for one in finished)
        return [found[index][0].tokens for index in range(len(prompts))]

    return write


def static(model: PreTrainedModel, batch_size: int) -> Way:
    """transformers' `generate`, which goes on until the longest answer of a batch is written."""

    def write(prompts: Sequence[TokenArray], limits: Sequence[int]) -> Texts:
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        texts: Texts = [()] * len(prompts)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            width = max(len(prompts[index]) for index in batch)
            tokens, mask = np.zeros((2, len(batch), width), dtype=np.int64)
            for row, index in enumerate(batch):
                tokens[row, width - len(prompts[index]) :] = prompts[index]
                mask[row, width - len(prompts[index]) :] = 1
            longest = max(limits[index] for index in batch)
            settings = GenerationConfig(max_new_tokens=longest, do_sample=False, pad_token_id=0, eos_token_id=None)
            with torch.inference_mode():
                output = model.generate(
                    torch.from_numpy(tokens).to(model.device),
                    attention_mask=torch.from_numpy(mask).to(model.device),
                    generation_config=settings,
                )
            for index, row in zip(batch, output[:, width:].tolist(), strict=True):
                texts[index] = tuple(row[: limits[index]])
        return texts

    return write


def continuous(model: PreTrainedModel) -> Way:
    """transformers' continuous batching, told each answer's length; its warm-up is not counted."""

    def write(prompts: Sequence[TokenArray], limits: Sequence[int]) -> Texts:
        settings = GenerationConfig(max_new_tokens=LONGEST_ANSWER, do_sample=False, pad_token_id=0, eos_token_id=-1)
        texts: dict[str, tuple[int, ...]] = {}
        with model.continuous_batching_context_manager(generation_config=settings, timeout=5) as manager:
            write.started = time.perf_counter()  # type: ignore[attr-defined]
            names = [
                manager.add_request(tokens.tolist(), max_new_tokens=limit, eos_token_id=-1)
                for tokens, limit in zip(prompts, limits, strict=True)
            ]
            last = time.perf_counter()
            while len(texts) < len(names):
                result = manager.get_result(timeout=1)
                if result is None and (not manager.is_running() or time.perf_counter() - last > PATIENCE):
                    raise RuntimeError(f"generate_batch stopped after {len(texts)} answers")
                if result is not None and result.is_finished():
                    if result.error:
                        raise RuntimeError(result.error)
                    texts[result.request_id] = tuple(result.generated_tokens)
                    last = time.perf_counter()
            write.ended = time.perf_counter()  # type: ignore[attr-defined]
        return [texts[name] for name in names]

    return write


def measure(way: Way, prompts: Sequence[TokenArray], limits: Sequence[int], repeats: int) -> tuple[Row, Texts]:
    """The fastest of some times, after one of few texts."""
    on_gpu = torch.cuda.is_available()
    way(prompts[:4], [8] * len(prompts[:4]))
    seconds, texts = [], []
    for _ in range(repeats):
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        texts = way(prompts, limits)
        seconds.append(getattr(way, "ended", time.perf_counter()) - getattr(way, "started", start))
    if [len(text) for text in texts] != list(limits):
        raise RuntimeError("an answer has not the length it should have")
    row: Row = {"seconds": min(seconds), "all_seconds": seconds, "tokens_per_second": sum(limits) / min(seconds)}
    return row | {"peak_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None}, texts


def ways(model: PreTrainedModel, names: Sequence[str]) -> Iterator[tuple[str, Way]]:
    """The chosen ways: `evalkit`, `generate:BATCH`, `generate_batch`."""
    for name in names:
        kind, _, number = name.partition(":")
        if kind == "evalkit":
            yield name, ours(model)
        elif kind == "generate":
            yield name, static(model, int(number))
        elif kind == "generate_batch":
            yield name, continuous(model)
        else:
            raise SystemExit(f"{name} is not a way to generate")


def run(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(arguments.model, device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    emit({"what": name, "model": arguments.model, "dtype": str(model.dtype)} | versions)
    rows = []
    for chosen in arguments.sets:
        prompts, limits = read(arguments.prompts, chosen, arguments.limit)
        shared: Row = {"prompts": f"{chosen}, {len(prompts)}", "prompt_tokens": sum(map(len, prompts))}
        shared |= {"new_tokens": sum(limits)}
        first: Texts | None = None
        for label, way in ways(model, arguments.ways):
            try:
                row, texts = measure(way, prompts, limits, arguments.repeats)
            except Exception as error:  # one way that fails must not cost the others
                rows.append(emit(shared | {"way": label, "error": f"{type(error).__name__}: {error}"[:300]}))
                continue
            first = first or texts
            same = sum(one == other for one, other in zip(texts, first, strict=True))
            rows.append(emit(shared | {"way": label} | row | {"same_texts": same}))
    print("| " + " | ".join(key.replace("_", " ") for key in COLUMNS) + " |")
    print("|---|---" + "|---:" * (len(COLUMNS) - 2) + "|")
    for row in rows:
        print("| " + " | ".join(cell(row.get(key)) for key in COLUMNS) + " |")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    packing = commands.add_parser("pack")
    packing.set_defaults(command=pack)
    packing.add_argument("--data-dir")
    packing.add_argument("--documents", type=int, default=1319)
    packing.add_argument("--tokenizer", default="smollm2", help="any model of evalkit's, for its tokenizer")
    packing.add_argument("-o", "--output", type=Path, default=Path("build/gpu-prompts.npz"))
    running = commands.add_parser("run")
    running.set_defaults(command=run)
    running.add_argument("prompts", type=Path)
    running.add_argument("--model", choices=MODELS, default="1b")
    running.add_argument("--sets", nargs="*", choices=SETS, default=["drawn"])
    running.add_argument("--limit", type=int, default=512, help="prompts")
    running.add_argument("--repeats", type=int, default=1, help="the fastest counts")
    running.add_argument("--ways", nargs="*", default=["evalkit", "generate:64", "generate:256", "generate_batch"])
    arguments = parser.parse_args(argv)
    arguments.command(arguments)


if __name__ == "__main__":
    main()
