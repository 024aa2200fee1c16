"""What watches a training: held-out and small evaluations, early stopping, a loss that is no number, whole checkpoints.

Everything it must remember stands in the trainer's own log, which each checkpoint holds, so that a training that is
continued remembers the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from evalkit.fine_tuning import HeldOutLoss
from evalkit.models import LoadedModel
from evalkit.reports.plan import duration
from evalkit.runner.progress import Progress
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.training import together
from evalkit.sft.training.losses import HeldOut, evaluating

COMPLETE = "complete"
"""File that a checkpoint gets last: without it, it is a part of one."""
DIVERGED = 20
"""Steps in a row with a loss far above the first after which training is stopped."""

Small = Callable[[LoadedModel], tuple[Mapping[str, float], Mapping[str, int]]]


class DivergedError(Exception):
    """The loss is no number any more, or has risen and stayed high; the message says which, and at which step."""


class Watch(TrainerCallback):  # type: ignore[misc]
    """The callback.

    Args:
        held_out: Held-out rows; None without any.
        spec: How it is trained.
        progress: Told what happens.
        small: Evaluates the live model on a small slice of the tasks; None does not.
        live: The live model as the engine takes it.
        earlier: Seconds that an interrupted process trained before.
    """

    def __init__(
        self,
        held_out: HeldOut | None,
        spec: TrainingSpec,
        progress: Progress,
        small: Small | None,
        live: LoadedModel,
        earlier: float = 0.0,
    ) -> None:
        self.held_out, self.spec, self.progress = held_out, spec, progress
        self.small, self.live = small, live
        self.started = time.perf_counter()
        self.first_step = 0
        self.earlier = earlier

    def seconds(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self.earlier + time.perf_counter() - self.started

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Before the first step: what the base does."""
        self.started, self.first_step = time.perf_counter(), state.global_step
        if state.global_step == 0 and together.rank() == 0:
            if self.held_out is not None:
                state.log_history.append({"held_out": asdict(self.held_out.loss(given["model"], 0)), "step": 0})
            self._evaluate(state, given["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """After each step."""
        is_last = state.global_step >= state.max_steps
        if is_last and self.held_out is not None:
            control.should_evaluate = True
        if self.spec.eval_every and together.rank() == 0 and (state.global_step % self.spec.eval_every == 0 or is_last):
            self._evaluate(state, given["model"])
        done = state.global_step - self.first_step
        if done == 0:
            return
        left = (time.perf_counter() - self.started) / done * (state.max_steps - state.global_step)
        losses = [entry["loss"] for entry in state.log_history[-3:] if "loss" in entry]
        loss = f", loss {losses[-1]:.3f}" if losses else ""
        where = f"training, step {state.global_step} of {state.max_steps}{loss}"
        self.progress.moved(f"{where}, {duration(left)} left")

    def _evaluate(self, state: Any, network: Any) -> None:
        if self.small is None or not self.spec.eval_every:
            return
        self.live.model = network
        with evaluating(network):
            scores, n = self.small(self.live)
        state.log_history.append({"small": {"scores": dict(scores), "n": dict(n)}, "step": state.global_step})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **given: Any) -> None:
        """A loss that is no number stops the training before anything of it is saved."""
        for name in ("loss", "grad_norm", "eval_loss"):
            if not math.isfinite((logs or {}).get(name, 0.0)):
                raise DivergedError(
                    f"the {name.replace('_', ' ')} was {(logs or {})[name]} at step {state.global_step}"
                )
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        recent = losses[-DIVERGED:]
        if len(losses) > DIVERGED and min(recent) > max(3 * losses[0], losses[0] + 1):
            raise DivergedError(
                f"the loss was {losses[0]:.3f} at first and above {min(recent):.3f} for {DIVERGED} steps at step "
                f"{state.global_step}"
            )

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stops where the held-out loss has not fallen for as many evaluations as it may."""
        losses = [one.loss for one in held_out_losses(state.log_history) if one.step > 0]
        since = len(losses) - 1 - losses.index(min(losses))
        if self.spec.patience and since >= self.spec.patience:
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Marks the checkpoint as whole."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        together.wait()  # each process has written its part
        if together.rank() == 0:
            (folder / COMPLETE).write_text(f"{self.seconds():.3f}\n", encoding="utf-8")


def held_out_losses(log: list[dict[str, Any]]) -> list[HeldOutLoss]:
    """Those in a trainer's log, by step."""
    found = {entry["step"]: HeldOutLoss(**entry["held_out"]) for entry in log if "held_out" in entry}
    return [found[step] for step in sorted(found)]
