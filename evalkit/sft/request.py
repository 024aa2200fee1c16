"""What a user asks of `evalkit sft`: the arguments of `evalkit.fine_tune`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from evalkit.api import Evaluation
from evalkit.backends.endpoint.address import is_endpoint
from evalkit.errors import UsageError
from evalkit.fine_tuning import Objective
from evalkit.sft.data import CleaningOptions
from evalkit.sft.spec import TrainingSpec
from evalkit.training_data import ContaminationPolicy

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")
"""Libraries whose version may change a training; recorded with the configuration."""


@dataclass(frozen=True, kw_only=True)
class FineTuningRequest:
    """What to train, on what, and how to tell what it did.

    Attributes:
        evaluation: How base and tuned model are evaluated; its model is the base, its output is left out.
        output: Folder for everything that is made.
        data: Training data, one a stage: a file, a folder or a hub id. Two or more are trained on in turn.
        tuned: A model that is tuned already; nothing is trained then.
        method: `auto` takes DPO for preference pairs and else supervised fine-tuning; `reward` trains a reward model.
        spec: How to train; its objective and seed are set by `method` and `train_seeds`.
        train_seeds: One training each; the first makes the model that is compared.
        mapping: Column of the user's -> evalkit's name for it.
        cleaning: What is dropped of the rows.
        mix: Source -> weight: one stage over several sources, in place of `data`.
        replay: A source, and the share of each stage's rows that is drawn from it.
        contamination: What becomes of training rows that hold a benchmark's items.
        targets: Tasks that the training is for; of several stages one each, in order.
        eval_limit: Documents of each task for evaluations during training.
        margin: Loss that is tolerated in a verdict, as for `evalkit compare`.
        require_gain: See `evalkit.sft.gate.policy`.
        max_forget: The same.
        retrieve: A file of passages to put into prompts, for comparison.
        passages: Passages a prompt.
        fresh: Start anew where the folder holds an earlier fine-tuning.
        resume: Insist that there is something to continue; without it, what is there is continued and else begun.
        command: The command that repeats it; empty for a call from Python.
    """

    evaluation: Evaluation
    output: Path
    data: tuple[str, ...] = ()
    tuned: str | None = None
    method: Literal["auto"] | Objective = "auto"
    spec: TrainingSpec = field(default_factory=TrainingSpec)
    train_seeds: tuple[int, ...] = (0,)
    mapping: Mapping[str, str] = field(default_factory=dict)
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    mix: Mapping[str, float] = field(default_factory=dict)
    replay: tuple[str, float] | None = None
    contamination: ContaminationPolicy = "drop-train"
    targets: tuple[str, ...] = ()
    eval_limit: int = 40
    margin: float = 0.01
    require_gain: tuple[str, ...] = ()
    max_forget: tuple[str, ...] = ()
    retrieve: str | None = None
    passages: int = 3
    fresh: bool = False
    resume: bool = False
    command: str = ""

    @property
    def base(self) -> str:
        """The model before, as the user named it."""
        return str(self.evaluation.model)

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Sources of each stage."""
        return (tuple(self.mix),) if self.mix else tuple((name,) for name in self.data)

    def check(self) -> None:
        """What can be known to be wrong before anything is read.

        Raises:
            UsageError: Options contradict each other, or cannot be meant.
        """
        for wrong, message, hint in self._slips():
            if wrong:
                raise UsageError(message, hint=hint)

    def _slips(self) -> list[tuple[bool, str, str]]:
        models = [self.evaluation.model, *([self.tuned] if self.tuned is not None else [])]
        several = len(self.stages) > 1
        return [
            (
                not self.stages and self.tuned is None,
                "there is nothing to train on",
                "give --data FILE, or --tuned MODEL to compare two models that there are",
            ),
            (bool(self.mix and self.data), "--mix names its files itself", "leave --data out"),
            (
                any(not isinstance(one, str) or is_endpoint(one) or one.startswith("vllm:") for one in models),
                f"{', '.join(str(one) for one in models)}: not a model that is loaded in this process",
                "give a hub id, a directory, a .gguf file, peft:DIR or smollm2; two served models are compared by evalkit "
                "run and evalkit compare",
            ),
            (not self.train_seeds, "no training seed is given", "as --train-seeds 0,1,2"),
            (
                len(set(self.train_seeds)) < len(self.train_seeds),
                "a training seed is given twice",
                "give each once: --train-seeds 0,1,2",
            ),
            (
                self.tuned is not None and (len(self.train_seeds) > 1 or several or self.replay is not None),
                "--tuned trains nothing, so that there are no seeds, stages or replay",
                "leave --tuned out, or the others",
            ),
            (
                several and len(self.targets) not in (0, len(self.stages)),
                f"{len(self.stages)} stages have {len(self.targets)} targets",
                "name one task for each stage, in their order: --targets first,second",
            ),
            (self.resume and self.fresh, "--resume continues and --fresh starts anew", "leave one out"),
            (
                self.method == "reward" and bool(self.require_gain or self.max_forget or self.retrieve),
                "a reward model answers no task: --require-gain, --max-forget and --retrieve have no meaning",
                "leave them out",
            ),
            (self.eval_limit < 1, f"--eval-limit is {self.eval_limit}", "give 1 or more"),
            (self.passages < 1, f"--passages is {self.passages}", "give 1 or more"),
        ]

    def evaluates(self, model: Any, output: Path | None, **changes: Any) -> Evaluation:
        """The evaluation of one model."""
        return replace(self.evaluation, model=model, output=output, **changes)

    def configuration(self) -> dict[str, Any]:
        """Every setting that decides scores or weights, as JSON values."""
        default = Evaluation(tasks="")
        evaluation = {
            one.name: getattr(self.evaluation, one.name)
            for one in fields(Evaluation)
            if one.name not in _NOT_DECISIVE and getattr(self.evaluation, one.name) != getattr(default, one.name)
        }
        trained = {} if self.tuned is not None and not self.stages else self._trained()
        return {
            "model": self.base,
            "tasks": _task_names(self.evaluation.tasks),
            "evaluation": evaluation,
            **({"tuned": self.tuned} if self.tuned is not None else {}),
            **trained,
            **({"retrieve": self.retrieve, "passages": self.passages} if self.retrieve else {}),
        }

    def judging(self) -> dict[str, Any]:
        """What decides the verdicts and neither scores nor weights, so that it may change from call to call."""
        return {
            "targets": list(self.targets),
            "margin": self.margin,
            "require_gain": list(self.require_gain),
            "max_forget": list(self.max_forget),
        }

    def _trained(self) -> dict[str, Any]:
        spec = self.spec.to_json()
        del spec["objective"], spec["seed"]
        return {
            "data": [list(names) for names in self.stages],
            "mapping": dict(self.mapping),
            "cleaning": asdict(self.cleaning),
            "mix": dict(self.mix),
            "replay": None if self.replay is None else list(self.replay),
            "contamination": self.contamination,
            "method": self.method,
            "train_seeds": list(self.train_seeds),
            "eval_limit": self.eval_limit,
            "training": spec,
        }


_NOT_DECISIVE = {
    *("model", "tasks", "output", "progress", "offline", "trust_remote_code", "allow_pickle", "allow_code_execution"),
    *("concurrency", "request_timeout", "price_prompt", "price_completion", "workers", "cluster", "device_map"),
    "tensor_parallel",
}
"""Fields of `Evaluation` that stand elsewhere in the configuration, or change no score."""


def _task_names(tasks: Any) -> list[str]:
    if isinstance(tasks, str):
        return [name.strip() for name in tasks.split(",") if name.strip()]
    return [task if isinstance(task, str) else task.name for task in tasks]


def versions() -> dict[str, str]:
    """Library -> its version, of those that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
