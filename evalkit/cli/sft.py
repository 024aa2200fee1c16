"""`evalkit sft`: fine-tune a model, and know what it did."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evalkit.cli import sft_options as given
from evalkit.cli.evaluation_options import takes_evaluation_options
from evalkit.cli.option_groups import takes_group
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.sft.spec import TrainingSpec


@partial(takes_evaluation_options, only=given.EVALUATION, optional=("tasks",))
@partial(takes_group, parameter="training", group=given.TrainingOptions)
@partial(takes_group, parameter="rows", group=given.DataOptions)
def command(
    options: dict[str, Any],
    rows: dict[str, Any],
    training: dict[str, Any],
    model: given.Model,
    output: given.Output = None,
    tuned: given.Tuned = None,
    targets: given.Targets = None,
    fresh: given.Fresh = False,
    resume: given.Resume = False,
    method: given.WhichMethod = given.Method.auto,
    train_seeds: given.TrainSeeds = "0",
    margin: given.Margin = "1pt",
    require_gain: given.RequireGain = None,
    max_forget: given.MaxForget = None,
    eval_limit: given.EvalLimit = 40,
    retrieve: given.Retrieve = None,
    passages: given.Passages = 3,
) -> None:
    """Fine-tune a model and say what it did: evaluate, train, evaluate again, compare.

    \b
    evalkit sft --model smollm2 --data train.jsonl --tasks ./mine.yaml,arc,hellaswag --targets mine -o out/
    evalkit sft --model org/name --data train.jsonl --tasks mmlu,arc --full --train-seeds 0,1,2
    evalkit sft --model org/chat --data pairs.jsonl --tasks truthfulqa        preference pairs: DPO
    evalkit sft --model org/name --mix math.jsonl:2,chat.jsonl:1 --replay general.jsonl:0.1 --tasks gsm8k,mmlu
    evalkit sft --model ./base --tuned ./tuned --tasks mmlu,arc               nothing is trained
    evalkit sft --model M --data d.jsonl --tasks mine,mmlu --targets mine --require-gain 5pt --max-forget 2pt

    Training rows that hold items of the tasks are found first, and left out. A fine-tuning that is cut off continues with
    the same command, to the same result. DIR then holds report.html, base.json, tuned.json, the model with its card, and
    sft.json with every number.

    \b
    Exit codes
      0 done, and what was asked was met    1 a gain is missing, or too much was forgotten    2 usage or bad input
      3 undecided: too few documents to tell    5 evaluation or training failed    130 interrupted
    """
    from evalkit.api import Evaluation
    from evalkit.cli.compare import parse_margin
    from evalkit.cli.progress import progress_display, standard_output
    from evalkit.sft.pipeline import fine_tune_together
    from evalkit.sft.request import FineTuningRequest

    if options["tasks"] is None and method is not given.Method.reward:
        raise UsageError(
            "no task was named, so that nothing could be said of the tuned model",
            hint="name what it is trained for and what it should not forget: --tasks mine.yaml,arc,hellaswag",
        )
    request = FineTuningRequest(
        evaluation=Evaluation(**{**options, "model": model, "tasks": options["tasks"] or ""}),
        output=output or default_folder(model),
        **_rows(rows),
        tuned=tuned,
        method=method.value,
        spec=_spec(training),
        train_seeds=_seeds(train_seeds),
        targets=_names(targets),
        eval_limit=eval_limit,
        margin=parse_margin(margin),
        require_gain=tuple(require_gain or ()),
        max_forget=tuple(max_forget or ()),
        retrieve=retrieve,
        passages=passages,
        fresh=fresh,
        resume=resume,
        command=repeating(sys.argv[1:]),
    )
    with progress_display() as progress:
        result = fine_tune_together(request, progress)
    if result is None:  # the first process says it
        return
    from evalkit.reports.fine_tuning import render

    render(result, standard_output(), request.output)
    raise typer.Exit(result.exit_code)


def default_folder(model: str) -> Path:
    """Where a fine-tuning goes when the user does not say: the same model always has the same folder."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", Path(model).name or model).strip("-.")
    return Path("runs") / f"{name}_sft"


def repeating(arguments: Sequence[str]) -> str:
    """The command that does the same once more: what was typed, without how an earlier attempt is treated."""
    return shlex.join(["evalkit", *(one for one in arguments if one not in ("--fresh", "--resume"))])


def _spec(training: dict[str, Any]) -> TrainingSpec:
    from evalkit.sft.spec import TrainingSpec

    given = dict(training)
    length = given.pop("train_length")
    if given.pop("full"):
        given["lora_rank"] = 0
    return TrainingSpec(**given, max_length=length)


def _rows(rows: dict[str, Any]) -> dict[str, Any]:
    """What a request has of the options about the rows."""
    from evalkit.sft.data import CleaningOptions, parse_mix, parse_replay

    return {
        "data": tuple(rows["data"] or ()),
        "mapping": parse_mapping(rows["mapping"] or ()),
        "cleaning": CleaningOptions(
            near=rows["near_duplicates"] or None, outliers="drop" if rows["drop_outliers"] else "flag"
        ),
        "mix": parse_mix(rows["mix"]) if rows["mix"] is not None else {},
        "replay": parse_replay(rows["replay"]) if rows["replay"] is not None else None,
        "contamination": rows["contamination"],
    }


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Reads `question=prompt`, several times.

    Raises:
        UsageError: One names no column or no name.
    """
    found = {}
    for pair in pairs:
        column, equals, name = pair.partition("=")
        if not (column and equals and name):
            raise UsageError(f"--map {pair!r} names no column and name", hint="as --map question=prompt")
        found[column] = name
    return found


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--train-seeds {text!r} is no list of numbers", hint="as --train-seeds 0,1,2") from None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
