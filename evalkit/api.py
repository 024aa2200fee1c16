"""The Python interface: what the command line calls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evalkit.data import DataOptions
from evalkit.errors import UsageError
from evalkit.registry import Selection, select
from evalkit.results import Run
from evalkit.runner.evaluate import evaluate
from evalkit.runner.limit import Limit
from evalkit.runner.progress import Progress
from evalkit.runner.settings import ChatTemplate, OverLength, RunSettings
from evalkit.task import Group, Registered, Task

if TYPE_CHECKING:
    from evalkit.backends.base import Backend

Compat = Literal["lm-eval"]


def run(
    *,
    model: str | Backend = "smollm2",
    tasks: str | Sequence[str | Registered],
    shots: int | None = None,
    limit: int | float | str | None = None,
    seed: int = 0,
    dtype: str = "auto",
    device: str = "auto",
    batch_tokens: int | None = None,
    chat_template: ChatTemplate = "auto",
    system: str | None = None,
    max_length: int | None = None,
    over_length: OverLength | None = None,
    stride: int | None = None,
    share_prefixes: bool = True,
    compat: Compat | None = None,
    data_dir: str | None = None,
    offline: bool | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    output: str | Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Evaluates a model on tasks.

    Args:
        model: A hub id, a directory, a .gguf file, `peft:DIR`, `smollm2`, or a backend of your own.
        tasks: Names with modifiers ("mmlu,arc_challenge:25shot"), files, or `Task` and `Group` objects.
        shots: Number of few-shot examples for every task that leaves it open.
        limit: Documents of each task: a number or a share (a seeded sample, the same for every model), or "first:N".
        seed: Of that sample.
        dtype: "auto" is float32 on CPU and bfloat16 on an accelerator.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        batch_tokens: Distinct tokens a batch may hold; None chooses for the device.
        chat_template: "on" puts prompts through the model's chat template; "auto" leaves log-likelihood tasks plain.
        system: System instruction before each task's description.
        max_length: Context length, where the model's own is not wanted.
        over_length: What to do with prompts longer than that: "error" (the default), "drop-shots", "truncate" (the
            default with `compat`), "skip".
        stride: Tokens scored in each perplexity window after the first; None for windows without overlap.
        share_prefixes: False computes every request whole, for comparison.
        compat: "lm-eval" reproduces lm-eval's number also where lm-eval is wrong.
        data_dir: Folders of datasets laid out as on the hub, joined by the path separator.
        offline: Touch no network.
        trust_remote_code: Allow Python code that comes with a model.
        allow_pickle: Allow pickled weights.
        output: Result file (.json); nothing is written without it.
        progress: Told what happens; silent without it.

    Returns:
        The run.

    Raises:
        EvalkitError: See `evalkit.errors`; the message is one plain sentence.
    """
    if compat not in (None, "lm-eval"):
        raise UsageError(f"--compat {compat!r} is not known", hint="the only one is: --compat lm-eval")
    selection = _select(tasks, shots)
    settings = RunSettings(
        limit=Limit.parse(limit),
        seed=seed,
        chat_template=chat_template,
        system=system,
        over_length=over_length or ("truncate" if compat else "error"),
    )
    data = DataOptions.resolve(data_dir, offline)

    def load_backend() -> Backend:
        if not isinstance(model, str):
            return model
        from evalkit.backends.local import LocalBackend, LocalOptions
        from evalkit.models import ModelOptions, load_model

        options = ModelOptions(
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
            max_length=max_length,
            offline=data.offline,
        )
        return LocalBackend(
            load_model(model, options),
            LocalOptions(
                token_budget=batch_tokens,
                share_prefixes=share_prefixes,
                compat_lm_eval=compat == "lm-eval",
                stride=stride,
            ),
        )

    path = None if output is None else Path(output)
    return evaluate(selection, load_backend, data=data, settings=settings, output=path, progress=progress)


def _select(tasks: str | Sequence[str | Registered], shots: int | None) -> Selection:
    if isinstance(tasks, str):
        return select(tasks, shots)
    names = [task for task in tasks if isinstance(task, str)]
    given = [task for task in tasks if isinstance(task, Task | Group)]
    if not given:
        return select(names, shots)
    return select(names, shots, extra=given)


def default_output(model: str, tasks: str) -> Path:
    """Where a result goes when the user does not say: the same command always names the same file."""
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in (Path(model).name or model, tasks)]
    return Path("runs") / f"{words[0]}_{words[1][:80].rstrip('-.')}.json"
