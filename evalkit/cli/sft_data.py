"""`evalkit sft-data`: make training data from a few seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.cli import sft_data_options as given
from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.cli.option_groups import takes_group
from evalkit.errors import EvaluationError, UsageError

if TYPE_CHECKING:
    from evalkit.sft.making.filters import Limits


@partial(takes_evaluation_options, only=given.EVALUATION)
@partial(takes_group, parameter="growing", group=given.GrowingOptions)
@partial(takes_group, parameter="filters", group=given.FilterOptions)
def command(
    options: dict[str, Any],
    growing: dict[str, Any],
    filters: dict[str, Any],
    seeds: given.Seeds,
    output: given.Output,
    count: given.Count = 1000,
    mapping: given.Mapping = None,
    fresh: given.Fresh = False,
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

    request = MakingRequest(
        evaluation=Evaluation(**options, tasks=""),
        seeds=seeds,
        output=output,
        count=count,
        mapping=parse_mapping(mapping or ()),
        **growing,
        limits=_limits(filters),
        agree=filters["agree"],
        verify=None if filters["verify"] is None else _function(filters["verify"]),
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


def _limits(filters: dict[str, Any]) -> Limits:
    from evalkit.sft.making.filters import Limits

    perplexity = filters["perplexity"]
    return Limits(
        prompt_characters=_whole(_ends("--prompt-length", filters["prompt_length"])),
        answer_characters=_whole(_ends("--answer-length", filters["answer_length"])),
        similarity=filters["similarity"],
        perplexity=None if perplexity == "off" else _ends("--perplexity", perplexity),
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
