"""`evalkit sft-data`: make training data from a few seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.errors import EvaluationError, UsageError

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


@partial(takes_evaluation_options, only=EVALUATION)
def command(
    options: dict[str, Any],
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", metavar="FILE", help="A handful of tasks with answers, in any form that evalkit sft reads."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE.jsonl", help="Rows; FILE.rejected.jsonl and FILE.report.json stand beside."
        ),
    ],
    count: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Rows wanted.")] = 1000,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="COLUMN=NAME", help="A column of the seeds = evalkit's name."),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, metavar="K", help="Rows shown for a new prompt.")] = 4,
    temperature: Annotated[
        float, typer.Option(min=0.01, help="Of growing; answers take the most probable token.")
    ] = 0.8,
    top_p: Annotated[float, typer.Option(min=0.01, max=1, help="Of growing.")] = 0.95,
    prompt_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of a prompt at most.")] = 96,
    answer_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of an answer at most.")] = 256,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    prompt_length: Annotated[str, typer.Option(metavar="MIN:MAX", help="Characters of a prompt.")] = "10:2000",
    answer_length: Annotated[str, typer.Option(metavar="MIN:MAX", help="Characters of an answer.")] = "1:8000",
    similarity: Annotated[
        float, typer.Option(min=0.01, max=1, help="ROUGE-L with a seed or row from which a prompt is a near duplicate.")
    ] = 0.7,
    perplexity: Annotated[
        str, typer.Option(metavar="MIN:MAX|off", help="Of prompt and answer, for the model that wrote them.")
    ] = "2:200",
    agree: Annotated[
        int, typer.Option(min=0, metavar="K", help="Draw K more answers; half must be the same. 0 draws none.")
    ] = 0,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:NAME",
            help="A function of yours, (prompt, answer) -> whether it is right; its code is run.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew where an earlier attempt lies.")] = False,
) -> None:
    """Make training data: grow prompts from seeds, let the model answer them, filter (self-instruct).

    \b
    evalkit sft-data --model smollm2 --seeds seeds.jsonl -n 200 -o rows.jsonl
    evalkit sft-data --model openai:big-model@http://127.0.0.1:8000/v1 --seeds seeds.jsonl -o rows.jsonl
    evalkit sft-data --model M --seeds seeds.jsonl -o rows.jsonl --agree 4 --verify check.py:is_right

    Each row says which model, seeds and round it comes from; what was rejected is written with its reason. Making that is
    cut off continues with the same command. A model teaches its own mistakes: look at the rows before you train on them.

    \b
    Exit codes
      0 as many rows as asked for    2 usage or bad input    5 the model had fewer to give (they are written) or failed
    """
    from evalkit.api import Evaluation
    from evalkit.cli.progress import progress_display, standard_output
    from evalkit.cli.sft import parse_mapping, repeating
    from evalkit.sft.making import MakingRequest, make_training_data
    from evalkit.sft.making.filters import Limits

    request = MakingRequest(
        evaluation=Evaluation(**options, tasks=""),
        seeds=seeds,
        output=output,
        count=count,
        mapping=parse_mapping(mapping or ()),
        examples=examples,
        temperature=temperature,
        top_p=top_p,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        seed=seed,
        limits=Limits(
            prompt_characters=_whole(_ends("--prompt-length", prompt_length)),
            answer_characters=_whole(_ends("--answer-length", answer_length)),
            similarity=similarity,
            perplexity=None if perplexity == "off" else _ends("--perplexity", perplexity),
        ),
        agree=agree,
        verify=None if verify is None else _function(verify),
        fresh=fresh,
        command=repeating(sys.argv[1:]),
    )
    with progress_display() as progress:
        made = make_training_data(request, progress)
    from evalkit.reports.making import render

    render(made, standard_output())
    if not made.is_complete:
        raise EvaluationError(
            f"the model gave {made.kept:,} of {made.wanted:,} rows: of its last prompts under 1 in 100 was kept",
            hint="the rows are written; see the counts above, and give more or other seeds, or loosen a filter",
        )


def _ends(option: str, text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(low or 0), float(high) if high else float("inf")
    except ValueError:
        raise UsageError(f"{option} {text!r} is no range", hint=f"as {option} 10:2000") from None


def _whole(ends: tuple[float, float]) -> tuple[int, int]:
    return int(ends[0]), int(min(ends[1], 1e12))


def _function(text: str) -> Callable[[str, str], bool]:
    """The function that `FILE.py:NAME` names.

    Raises:
        UsageError: There is none.
    """
    import importlib.util

    file, _, name = text.rpartition(":")
    path = Path(file).expanduser()
    if not file or not path.is_file():
        raise UsageError(f"--verify {text!r} names no file", hint="as --verify check.py:is_right")
    spec = importlib.util.spec_from_file_location("evalkit_verify", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{file} cannot be run: {type(error).__name__}: {error}", hint="try it with python") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise UsageError(f"{file} has no function {name}", hint="as --verify check.py:is_right")
    return lambda prompt, answer: bool(found(prompt, answer))
