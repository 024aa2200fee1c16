"""The options of `evalkit sft-data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EVALUATION = (
    *("model", "data_dir", "offline", "dtype", "device", "batch_tokens", "deterministic", "max_length", "tokenizer"),
    *("concurrency", "request_timeout", "trust_remote_code", "allow_pickle"),
)
SECTIONS = {
    "What": ("model", "seeds", "count", "output", "mapping", "fresh"),
    "Growing": ("examples", "temperature", "top_p", "prompt_tokens", "answer_tokens", "seed"),
    "Filters": ("prompt_length", "answer_length", "similarity", "perplexity", "agree", "verify"),
    "Engine": ("dtype", "device", "batch_tokens", "deterministic", "max_length"),
    "Endpoint": ("tokenizer", "concurrency", "request_timeout"),
    "Permissions": ("data_dir", "offline", "trust_remote_code", "allow_pickle"),
}
"""The sections of the help (`evalkit.cli.sections`)."""


class GrowingOptions:
    """How prompts are grown and answered: one attribute an option, named as in `evalkit.sft.making.MakingRequest`."""

    examples: Annotated[int, typer.Option(min=1, metavar="K", help="Rows shown for a new prompt.")] = 4
    temperature: Annotated[float, typer.Option(min=0.01, help="Of growing; answers take the most probable token.")] = (
        0.8
    )
    top_p: Annotated[float, typer.Option(min=0.01, max=1, help="Of growing.")] = 0.95
    prompt_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of a prompt at most.")] = 96
    answer_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of an answer at most.")] = 256
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0


class FilterOptions:
    """What is rejected: one attribute an option."""

    prompt_length: Annotated[str, typer.Option(metavar="MIN:MAX", help="Characters of a prompt.")] = "10:2000"
    answer_length: Annotated[str, typer.Option(metavar="MIN:MAX", help="Characters of an answer.")] = "1:8000"
    similarity: Annotated[
        float, typer.Option(min=0.01, max=1, help="ROUGE-L with a seed or row from which a prompt is a near duplicate.")
    ] = 0.7
    perplexity: Annotated[
        str, typer.Option(metavar="MIN:MAX|off", help="Of prompt and answer, for the model that wrote them.")
    ] = "2:200"
    agree: Annotated[
        int, typer.Option(min=0, metavar="K", help="Draw K more answers; half must be the same. 0 draws none.")
    ] = 0
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:NAME",
            help="A function of yours, (prompt, answer) -> whether it is right; its code is run.",
        ),
    ] = None


Seeds = Annotated[
    str,
    typer.Option(
        "--seeds", metavar="FILE", help="A handful of tasks with answers, in any form that evalkit sft reads."
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE.jsonl", help="Rows; FILE.rejected.jsonl and FILE.report.json stand beside."
    ),
]
Count = Annotated[int, typer.Option("-n", min=1, metavar="N", help="Rows wanted.")]
Mapping = Annotated[
    list[str] | None, typer.Option("--map", metavar="COLUMN=NAME", help="A column of the seeds = evalkit's name.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew where an earlier attempt lies.")]
