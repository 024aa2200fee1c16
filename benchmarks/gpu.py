"""The engine on one accelerator: the leaderboard's own prompts through a Llama-shaped model with random weights.

    python -m benchmarks.gpu pack --data-dir ../shared/data/hub -o build/gpu-requests.npz   # where the data is
    python -m benchmarks.gpu run build/gpu-requests.npz                                     # where the GPU is
    python -m benchmarks.gpu run build/gpu-requests.npz --tasks --sweep arc_challenge       # budgets, determinism
    python -m benchmarks.gpu run build/gpu-requests.npz --limit 200 --lm-eval 32            # beside lm-eval's `hf`

`run` is started in the repository's root and needs torch, transformers and numpy only. Speed depends on the lengths of
prompts and on what they share, not on the weights: random ones, drawn on the device, stand for trained ones, and any
tokenizer whose ids the model has (SmolLM2's 49,152 of Llama 3's 128,256) for the model's own. Its token counts are not
Llama 3's. Prints a JSON line for each measurement as it is made (a run that is cut off keeps them), then Markdown.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch.utils.benchmark import Timer
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from evalkit.engine import plan
from evalkit.engine.engine import Engine
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.engine.sequences import TokenArray, continuation_sequence
from evalkit.errors import DataError, EvalkitError

Pair = tuple[TokenArray, TokenArray]
Values = list[npt.NDArray[np.float32]]
Row = dict[str, Any]

BENCHMARKS = {"mmlu": "mmlu:5shot", "hellaswag": "hellaswag:10shot", "arc_challenge": "arc_challenge:25shot"}
BENCHMARKS |= {"truthfulqa": "truthfulqa_mc1,truthfulqa_mc2"}
# documents of each as published: a data folder may hold fewer
PUBLISHED = {"mmlu": 14_042, "hellaswag": 10_042, "arc_challenge": 1_172, "truthfulqa": 2 * 817}
BUDGETS = (8192, 16384, 32768, 65536)
MAX_LENGTH = 8192
SHAPE = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"]
SHAPE += ["num_attention_heads", "num_key_value_heads", "tie_word_embeddings"]
MODELS = {
    "8b": (128_256, 4096, 14_336, 32, 32, 8, False),
    "1b": (128_256, 2048, 8192, 16, 32, 8, True),
    "tiny": (49_152, 64, 128, 2, 4, 2, False),
}
COLUMNS = ["what", "requests", "unique_tokens", "tokens_computed", "scored_positions", "token_budget", "seconds"]
COLUMNS += ["tokens_per_second", "teraflops", "share_of_peak", "part", "whole_seconds", "peak_gib", "same_bits"]
COLUMNS += ["largest_difference", "lm_eval_seconds", "lm_eval_mean_difference"]


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """A benchmark's requests as token ids.

    Attributes:
        pairs: (context, continuation) of each; requests with the same context have the same array.
        documents: int32 [requests], the document of each, counted from 0.
        share: How large a part of the published benchmark this is, in documents.
    """

    pairs: list[Pair]
    documents: npt.NDArray[np.int32]
    share: float

    def sample(self, limit: int | None) -> list[Pair]:
        """The requests of a seeded sample of `limit` documents, None for all."""
        chosen = np.random.default_rng(0).permutation(int(self.documents.max()) + 1)[:limit]
        return [self.pairs[place] for place in np.flatnonzero(np.isin(self.documents, chosen))]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As flat arrays, each distinct context once."""
        contexts = {context.tobytes(): context for context, _ in self.pairs}
        places = {key: place for place, key in enumerate(contexts)}
        return {
            "contexts": np.concatenate(list(contexts.values())),
            "context_lengths": np.array(list(map(len, contexts.values()))),
            "owners": np.array([places[context.tobytes()] for context, _ in self.pairs]),
            "continuations": np.concatenate([continuation for _, continuation in self.pairs]),
            "continuation_lengths": np.array([len(continuation) for _, continuation in self.pairs]),
            "documents": self.documents,
        }

    @classmethod
    def read(cls, path: Path, name: str, vocabulary: int) -> Requests:
        """One benchmark of a file that `pack` wrote, for a model with so many tokens."""
        with np.load(path) as file:
            arrays = {key.removeprefix(f"{name}."): file[key] for key in file.files if key.startswith(f"{name}.")}
        largest = max(arrays["contexts"].max(), arrays["continuations"].max())
        if largest >= vocabulary:
            message = f"{path} holds token {largest}, but the model has {vocabulary} tokens"
            raise DataError(message, hint="pack the requests with another --tokenizer")
        contexts = np.split(arrays["contexts"], np.cumsum(arrays["context_lengths"])[:-1])
        continuations = np.split(arrays["continuations"], np.cumsum(arrays["continuation_lengths"])[:-1])
        pairs = [(contexts[owner], own) for owner, own in zip(arrays["owners"], continuations, strict=True)]
        return cls(pairs, arrays["documents"], (int(arrays["documents"].max()) + 1) / PUBLISHED[name])


def pack(arguments: argparse.Namespace) -> None:
    """Tokenises the benchmarks and writes them to one compressed file."""
    from evalkit.engine.tokenization import TextEncoder
    from evalkit.models.tokenizer import load_tokenizer, prefix_token

    tokenizer = load_tokenizer(arguments.tokenizer)
    encoder = TextEncoder(tokenizer, prefix_token(tokenizer))
    arrays: dict[str, Any] = {"tokenizer": np.array(arguments.tokenizer)}
    for name, tasks in BENCHMARKS.items():
        texts, documents = read_texts(tasks, arguments.data_dir)
        count = documents[-1] + 1
        requests = Requests(encoder.encode_pairs(texts), np.array(documents, dtype=np.int32), count / PUBLISHED[name])
        arrays |= {f"{name}.{key}": array for key, array in requests.arrays().items()}
        print(f"{name}: {count} of {PUBLISHED[name]} documents, {len(documents)} requests")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.output, **arrays)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


def read_texts(tasks: str, data_dir: str | None) -> tuple[list[tuple[str, str]], list[int]]:
    """(context, continuation) of every request, and the document of each."""
    from evalkit.data import DataOptions
    from evalkit.registry import select
    from evalkit.requests import Score
    from evalkit.runner.rendering import render_plain
    from evalkit.runner.settings import RunSettings
    from evalkit.runner.task_run import NativeTaskRun

    options = DataOptions.resolve(data_dir, offline=True)
    runs = [NativeTaskRun(key, task, options, RunSettings()) for key, task in select(tasks).tasks.items()]
    asked = [run.requests(item, render_plain) for run in runs for item in run.items]
    texts = [(one.context, one.continuation) for own in asked for one in own if isinstance(one, Score)]
    return texts, [document for document, own in enumerate(asked) for _ in own]


def to_sequences(pairs: Sequence[Pair]) -> list[TokenSequence]:
    return [continuation_sequence(context, continuation, MAX_LENGTH) for context, continuation in pairs]


@dataclass(frozen=True, slots=True)
class Work:
    """The least that scoring asks of a model: every node of the prefix tree once.

    `tokens` are distinct; `keys` sums the tokens each of them attends to, itself included; `rows` are the distinct
    positions at which something is scored.
    """

    tokens: int
    keys: int
    rows: int

    @classmethod
    def of(cls, sequences: Sequence[TokenSequence]) -> Work:
        """Counts the prefix tree."""
        order = plan.depth_first(sequences)
        tokens = keys = rows = 0
        # the positions of the current path at which an earlier sequence is scored
        seen = np.zeros(MAX_LENGTH, dtype=bool)
        for index, kept in zip(order.indices.tolist(), order.shared.tolist(), strict=True):
            first, length = sequences[index].first_scored, len(sequences[index].inputs)
            seen[kept:] = False
            rows += length - first - int(np.count_nonzero(seen[first:length]))
            seen[first:length] = True
            tokens += length - kept
            keys += (length * (length + 1) - kept * (kept + 1)) // 2
        return cls(tokens, keys, rows)

    def flops(self, model: PreTrainedModel) -> int:
        """Floating-point operations: two for each layer weight and token, attention, and the head on its rows."""
        head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
        outside = sum({id(weight): weight.numel() for weight in (head, embedding)}.values())
        attention = 4 * model.config.num_hidden_layers * model.config.num_attention_heads * model.config.head_dim
        layers = 2 * (model.num_parameters() - outside)
        return int(layers * self.tokens + attention * self.keys + 2 * head.numel() * self.rows)


def build_model(name: str, device: torch.device) -> PreTrainedModel:
    """A model of the named shape with seeded random weights, drawn on the device: bfloat16 there, float32 on CPU."""
    rope = {"rope_type": "default", "rope_theta": 500_000.0}
    shape = dict(zip(SHAPE, MODELS[name], strict=True))
    config = LlamaConfig(**shape, max_position_embeddings=MAX_LENGTH, rope_parameters=rope)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.eval().requires_grad_(False)


def matrix_peak(model: PreTrainedModel) -> float:
    """FLOP/s of a product of random square matrices (8,192 wide, 512 on CPU) in the model's dtype: the median."""
    size, least = (512, 0.1) if model.device.type == "cpu" else (8192, 1.0)
    left, right = torch.randn(2, size, size, device=model.device, dtype=model.dtype)
    timer = Timer("left @ right", globals={"left": left, "right": right}, num_threads=torch.get_num_threads())
    return float(2 * size**3 / timer.blocked_autorange(min_run_time=least).median)


def score(engine: Engine, sequences: Sequence[TokenSequence], peak: float) -> tuple[Row, Values]:
    """Scores everything once: what was computed and how fast, and each sequence's log-probabilities (nats)."""
    model, work = engine.split.core, Work.of(sequences)
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    before, start = engine.tokens_computed, time.perf_counter()
    batches = list(engine.score(sequences))
    seconds = time.perf_counter() - start
    values = {one.sequence: one.log_probabilities for batch in batches for one in batch}
    computed = engine.tokens_computed - before
    row: Row = {"unique_tokens": work.tokens, "tokens_computed": computed, "scored_positions": work.rows}
    row |= {"token_budget": engine.token_budget, "seconds": seconds, "tokens_per_second": work.tokens / seconds}
    row |= {"teraflops": work.flops(model) / 1e12, "share_of_peak": work.flops(model) / seconds / peak}
    row |= {"peak_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None}
    return row, [values[index] for index in range(len(sequences))]


def measure(engine: Engine, requests: Requests, arguments: argparse.Namespace, peak: float) -> Row:
    """One benchmark, extrapolated to all its documents, and lm-eval on the same requests where asked for."""
    pairs = requests.sample(arguments.limit)
    row, values = score(engine, to_sequences(pairs), peak)
    # in proportion to unique tokens within the file, to documents beyond it
    part = requests.share * row["unique_tokens"] / Work.of(to_sequences(requests.pairs)).tokens
    row |= {"requests": len(pairs), "part": part, "whole_seconds": row["seconds"] / part}
    if arguments.lm_eval:
        row |= run_lm_eval(engine.split.core, pairs, arguments.lm_eval, values)
    return row


def run_lm_eval(model: PreTrainedModel, pairs: Sequence[Pair], batch_size: int, values: Values) -> Row:
    """Seconds of lm-eval's `hf` model for the same token ids, and how far its scores (nats) are from `values`."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, models

    # nothing is tokenised, but lm-eval asks for a tokenizer
    words = Tokenizer(models.WordLevel({"<end>": 0}, unk_token="<end>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>")
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size)
    asked = [(("", ""), context.tolist(), continuation.tolist()) for context, continuation in pairs]
    start = time.perf_counter()
    answers = theirs._loglikelihood_tokens(asked, disable_tqdm=True)
    seconds = time.perf_counter() - start
    differences = np.array([answer[0] for answer in answers]) - [own.sum(dtype=np.float64) for own in values]
    return {"lm_eval_seconds": seconds, "lm_eval_mean_difference": float(np.abs(differences).mean())}


def sweep(engine: Engine, sequences: Sequence[TokenSequence], peak: float) -> Iterator[Row]:
    """Each token budget twice, then half of the requests alone.

    `same_bits`: the second time gave the bits of the first; `largest_difference`: nats a token from the first budget.
    """

    budgets = (engine.token_budget,) if engine.deterministic else BUDGETS
    reference: Values = []
    for budget in budgets:
        engine.token_budget = budget
        (_, first), (row, second) = score(engine, sequences, peak), score(engine, sequences, peak)
        reference = reference or first
        row["same_bits"] = np.concatenate(first).tobytes() == np.concatenate(second).tobytes()
        yield {"what": f"budget {budget}", **row, "largest_difference": difference(first, reference)}
    engine.token_budget = budgets[0]
    row, half = score(engine, sequences[::2], peak)
    yield {"what": "every second request", **row, "largest_difference": difference(half, reference[::2])}


def difference(first: Values, second: Values) -> float:
    return float(np.abs(np.concatenate(first) - np.concatenate(second)).max())


def run(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    if arguments.lm_eval and importlib.util.find_spec("lm_eval") is None:
        print("lm-eval not installed: not run")
        arguments.lm_eval = None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(arguments.model, device)
    peak = matrix_peak(model)
    options = {"token_budget": arguments.budget, "share_prefixes": not arguments.padded}
    engine = Engine(model, MAX_LENGTH, deterministic=arguments.deterministic, **options)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    machine = {"what": name, "cores": os.cpu_count(), "matrix_teraflops_per_second": peak / 1e12}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    shape = {"model": arguments.model, "parameters": model.num_parameters(), "dtype": str(model.dtype)}
    emit(machine | versions | shape | {"deterministic": engine.deterministic, "self_check": asdict(engine.check)})
    names = {*arguments.tasks, arguments.sweep} - {None}
    packed = {name: Requests.read(arguments.requests, name, model.config.vocab_size) for name in names}
    for requests in packed.values():
        # kernels are chosen and loaded at first use
        score(engine, to_sequences(requests.sample(8)), peak)
    rows = [emit({"what": name} | measure(engine, packed[name], arguments, peak)) for name in arguments.tasks]
    if rows:
        rows.append(emit({"what": "all of these", "whole_seconds": sum(row["whole_seconds"] for row in rows)}))
    if arguments.sweep:
        rows += map(emit, sweep(engine, to_sequences(packed[arguments.sweep].sample(arguments.limit)), peak))
    print_table(rows)


def emit(row: Row) -> Row:
    print(json.dumps(row), flush=True)
    return row


def print_table(rows: Sequence[Row]) -> None:
    """The measurements as Markdown, without the columns that none of them has."""
    columns = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    print("| " + " | ".join(key.replace("_", " ") for key in columns) + " |")
    print("|---" + "|---:" * (len(columns) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(cell(row.get(key)) for key in columns) + " |")


def cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return "" if value is None else str(value)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    packing = commands.add_parser("pack")
    packing.set_defaults(command=pack)
    packing.add_argument("--data-dir")
    packing.add_argument("--tokenizer", default="smollm2", help="any model of evalkit's, for its tokenizer")
    packing.add_argument("-o", "--output", type=Path, default=Path("build/gpu-requests.npz"))
    running = commands.add_parser("run")
    running.set_defaults(command=run)
    running.add_argument("requests", type=Path)
    running.add_argument("--model", choices=MODELS, default="8b")
    running.add_argument("--budget", type=int, help="distinct tokens a batch; by default the engine's choice")
    running.add_argument("--deterministic", action="store_true", help="the engine's mode of that name")
    running.add_argument("--padded", action="store_true", help="share nothing, for comparison")
    running.add_argument("--tasks", nargs="*", choices=BENCHMARKS, default=list(BENCHMARKS))
    running.add_argument("--limit", type=int, help="documents of each benchmark, a seeded sample")
    running.add_argument("--sweep", choices=BENCHMARKS, help="token budgets and determinism on this benchmark")
    running.add_argument("--lm-eval", type=int, nargs="?", const=32, metavar="BATCH", help="beside lm-eval's `hf`")
    arguments = parser.parse_args(argv)
    try:
        arguments.command(arguments)
    except EvalkitError as error:
        raise SystemExit(f"{error.message}: {error.hint}") from error


if __name__ == "__main__":
    main()
