"""One training, from rows to a model in a folder; killed at any moment, the same call goes on where it stopped."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import EvaluationError, ModelError, OutputError, UsageError
from evalkit.fine_tuning import PairAccuracy, SmallEvaluation, Training
from evalkit.models import ModelOptions
from evalkit.models.quiet import quiet_libraries
from evalkit.runner.progress import Progress, Silent
from evalkit.sft.rows import TrainingRow
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.store import read_result, write_result
from evalkit.sft.training import together
from evalkit.sft.training.tokens import Tokenized, tokenize
from evalkit.training_data import Quantiles, TokenReport

if TYPE_CHECKING:
    from evalkit.sft.training.losses import HeldOut
    from evalkit.sft.training.watch import Small

LIBRARIES = ("trl", "datasets")
"""Libraries that would print while training, besides those that load models."""
POINTS = 400
"""Points of a loss curve that are kept: means over equal stretches where there are more steps."""


def train(
    model: str,
    options: ModelOptions,
    train_rows: Sequence[TrainingRow],
    held_out_rows: Sequence[TrainingRow],
    spec: TrainingSpec,
    output: Path,
    *,
    stage: int = 1,
    progress: Progress | None = None,
    evaluate: Small | None = None,
) -> Training:
    """Trains a model.

    Args:
        model: As `--model` takes it; `peft:DIR` goes on with that adapter.
        options: How to load it; weights are float32.
        train_rows: To train on.
        held_out_rows: To measure the loss on; without any there is no early stopping, and the last weights are kept.
        spec: How.
        output: Folder: `checkpoints` while it runs, then `model` and `training.json`.
        stage: For the result.
        progress: Told what happens.
        evaluate: Evaluates the live model on a small slice of the tasks every `spec.eval_every` steps.

    Returns:
        What the training was; from `training.json` where it is done already.

    Raises:
        TrainingDataError: The rows cannot be trained on.
        EvaluationError: The loss is no number any more, or memory ran out.
        OutputError: The disk is full.
        UsageError: The folder holds another training.
    """
    from evalkit.sft.training.model import check_devices
    from evalkit.sft.training.trainers import share

    check_devices(options.device)
    progress = progress or Silent()
    done, checkpoints = output / "training.json", output / "checkpoints"
    if done.exists():
        return replace(read_result(done, Training), model=_placed(read_result(done, Training).model, output))
    with _explained(output, checkpoints):
        _claim(checkpoints, model, spec, [*train_rows, *held_out_rows])
        call = _Call(model, options, spec, output, stage, progress, evaluate)
        if together.size() > 1:
            share(spec)  # what does not fit is told before the others begin
            together.call(partial(_take_part, model, options, spec, output, stage, train_rows, held_out_rows))
        with quiet_libraries(LIBRARIES):
            training = _trained(call, train_rows, held_out_rows)
        assert training is not None
        write_result(done, training)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return training


def _take_part(
    model: str,
    options: ModelOptions,
    spec: TrainingSpec,
    output: Path,
    stage: int,
    train_rows: Sequence[TrainingRow],
    held_out_rows: Sequence[TrainingRow],
) -> None:
    """What another process than the first does in a training."""
    with _explained(output, output / "checkpoints"), quiet_libraries(LIBRARIES):
        _trained(_Call(model, options, spec, output, stage, Silent(), None), train_rows, held_out_rows)


class _Call:
    """The arguments of `train`."""

    def __init__(
        self,
        model: str,
        options: ModelOptions,
        spec: TrainingSpec,
        output: Path,
        stage: int,
        progress: Progress,
        evaluate: Small | None,
    ) -> None:
        self.model, self.options, self.spec, self.output = model, options, spec, output
        self.stage, self.progress, self.evaluate = stage, progress, evaluate


def _placed(model: str, output: Path) -> str:
    """The model's place, where the folder was moved since."""
    return f"peft:{output / 'model'}" if model.startswith("peft:") else str(output / "model")


def _trained(call: _Call, train_rows: Sequence[TrainingRow], held_out_rows: Sequence[TrainingRow]) -> Training | None:
    """The training, in the first process; the others only take part."""
    from transformers import set_seed

    from evalkit.sft.training import model as models
    from evalkit.sft.training.losses import HeldOut
    from evalkit.sft.training.trainers import trainer
    from evalkit.sft.training.watch import Watch

    spec = call.spec
    call.progress.stage("training: loading the model")
    loaded = models.load(call.model, call.options)
    if loaded.is_encoder_decoder:
        raise ModelError(
            "models with an encoder and a decoder cannot be trained here", hint="train elsewhere, then --tuned"
        )
    rows = tokenize(train_rows, loaded.tokenizer, spec, loaded.max_length)
    others = tokenize(held_out_rows, loaded.tokenizer, spec, loaded.max_length, max_length=loaded.max_length)
    set_seed(spec.seed)
    parameters = sum(one.numel() for one in loaded.model.parameters())
    network = models.for_training(loaded, call.model, spec)
    pad = loaded.tokenizer.pad_token_id
    pad = loaded.tokenizer.eos_token_id if pad is None else pad
    held_out = HeldOut(others.examples, spec, network, pad) if others.examples else None
    checkpoints = call.output / "checkpoints"
    last = together.agreed(lambda: last_checkpoint(checkpoints))
    earlier = 0.0 if last is None else _seconds_of(last)  # the checkpoint itself is gone when others are there
    watch = Watch(held_out, spec, call.progress, call.evaluate, loaded, earlier)
    run = trainer(network, loaded, spec, rows.examples, held_out, checkpoints, rows.max_length, watch)
    call.progress.stage("training")
    run.train(resume_from_checkpoint=None if last is None else str(last))
    seconds = watch.seconds()
    trained = run.accelerator.unwrap_model(run.model)
    together.wait()  # until all have loaded the best weights
    if together.rank():
        return None
    name = models.save(trained, loaded.tokenizer, call.model, spec, call.output / "model")
    return _described(call, run, rows, others, held_out, parameters, seconds, name)


def _described(
    call: _Call,
    run: Any,
    rows: Tokenized,
    others: Tokenized,
    held_out: HeldOut | None,
    parameters: int,
    seconds: float,
    name: str,
) -> Training:
    from evalkit.sft.training.watch import held_out_losses

    spec, log = call.spec, run.state.log_history
    losses = held_out_losses(log)
    later = [one for one in losses if one.step > 0]
    steps = int(run.state.global_step)
    best = min(later, key=lambda one: (one.loss, one.step)).step if later else steps
    n = len(others.examples)
    pairs = [_pairs(one.accuracy, n) for one in (losses[0], _at(later, best))] if losses and later else [None, None]
    return Training(
        seed=spec.seed,
        stage=call.stage,
        data=tuple(dict.fromkeys(one.source for one in rows.examples)),
        model=name,
        objective=spec.objective,
        parameters=parameters,
        parameters_trained=sum(one.numel() for one in run.model.parameters() if one.requires_grad),
        steps=steps,
        epochs=float(run.state.epoch or 0.0),
        stopped="early" if steps < run.state.max_steps else "finished",
        best_step=best,
        tokens=_token_report(rows, others),
        tokens_seen=_tokens_seen(rows, run),
        seconds=seconds,
        peak_memory=_peak_memory(run),
        settings={
            **spec.to_json(),
            "learning_rate": spec.peak_learning_rate,
            "bfloat16": bool(run.args.bf16),
            **_several(),
        },
        losses=_curve([(int(one["step"]), float(one["loss"])) for one in log if "loss" in one]),
        held_out=tuple(losses),
        small=tuple(
            SmallEvaluation(int(one["step"]), one["small"]["scores"], one["small"]["n"])
            for one in log
            if "small" in one
        ),
        pairs_before=pairs[0],
        pairs_after=pairs[1],
    )


def _several() -> dict[str, int]:
    """How many processes trained, where it was more than one."""
    return {"processes": together.size()} if together.size() > 1 else {}


def _at(losses: Sequence[Any], step: int) -> Any:
    return next(one for one in losses if one.step == step)


def _pairs(share: float | None, n: int) -> PairAccuracy | None:
    from evalkit.stats.intervals import wilson

    if share is None or not n:
        return None
    right = round(share * n)
    interval = wilson(right, n)
    return PairAccuracy(right, n, (interval.low, interval.high))


def _token_report(rows: Tokenized, others: Tokenized) -> TokenReport:
    return TokenReport(
        rows=len(rows.examples),
        held_out=len(others.examples),
        tokens=sum(one.length for one in rows.examples),
        trained_tokens=sum(one.trained for one in rows.examples),
        lengths=Quantiles.of(rows.lengths),
        max_length=rows.max_length,
        truncated=rows.truncated,
        lost_end=rows.lost_end,
        without_labels=rows.without_labels + others.without_labels,
    )


def _tokens_seen(rows: Tokenized, run: Any) -> int:
    return round(sum(one.length for one in rows.examples) * float(run.state.epoch or 0.0))


def _peak_memory(run: Any) -> int | None:
    import torch

    if run.args.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # no such thing on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _curve(losses: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """At most `POINTS` points, each the mean of an equal stretch, at its last step."""
    width = -(-len(losses) // POINTS) or 1
    parts = [losses[start : start + width] for start in range(0, len(losses), width)]
    return tuple((part[-1][0], sum(loss for _, loss in part) / len(part)) for part in parts)


# --- what is on disk


def _claim(checkpoints: Path, model: str, spec: TrainingSpec, rows: Sequence[TrainingRow]) -> None:
    """Makes sure that the folder is of this training: same model, settings and rows.

    Raises:
        UsageError: It is of another.
    """
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(row.id.encode())
    wanted = {"model": model, "rows": digest.hexdigest(), **spec.to_json()}
    file = checkpoints / "training-of.json"
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        if known != json.loads(json.dumps(wanted)):
            names = ", ".join(name for name in wanted if known.get(name) != wanted[name])
            raise UsageError(
                f"{checkpoints} holds a training with another {names}",
                hint="give another folder, or --fresh to start anew",
            )
        return
    checkpoints.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(wanted), encoding="utf-8")
    part.rename(file)


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The last whole one; parts of checkpoints, which a killed process leaves, are removed."""
    from evalkit.sft.training.watch import COMPLETE

    whole = []
    for folder in checkpoints.glob("checkpoint-*"):
        if (folder / COMPLETE).exists():
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    return max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def _seconds_of(checkpoint: Path) -> float:
    from evalkit.sft.training.watch import COMPLETE

    return float((checkpoint / COMPLETE).read_text(encoding="utf-8"))


@contextmanager
def _explained(output: Path, checkpoints: Path) -> Iterator[None]:
    """Says what goes wrong in a training in a sentence, with what to do."""
    import torch
    from safetensors import SafetensorError

    from evalkit.sft.training.watch import DivergedError

    try:
        yield
    except DivergedError as error:
        last = last_checkpoint(checkpoints)
        kept = f"the last good checkpoint is {last}" if last is not None else "there was no checkpoint yet"
        raise EvaluationError(
            f"training was stopped: {error}; {kept}",
            hint="lower --learning-rate, or look for odd rows in the data; another -o or --fresh starts anew",
        ) from error
    except torch.OutOfMemoryError as error:
        raise EvaluationError(
            "the device has too little memory for this training",
            hint="--micro-batch 1, --gradient-checkpointing, --lora 16 in place of --full, or a shorter --train-length",
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        if not _is_full_disk(error):
            raise
        raise OutputError(
            f"{output} cannot be written: the disk is full",
            hint="make room; the same command goes on from the last checkpoint",
        ) from error


def _is_full_disk(error: Exception) -> bool:
    """Whether this means a full disk; torch's and safetensors' own writers wrap what the system says."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(sign in str(error) for sign in ("No space left", "PytorchStreamWriter", "unexpected pos"))
