"""The engines: for each the command that does a case, the environment it runs in, and how its account is read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.speed.cases import Case
from benchmarks.speed.measurement import Measurement

VLLM_PYTHON = Path(".venv-vllm/bin/python")
VLLM_READY = Path(".venv-vllm/ready")


@dataclass(frozen=True, slots=True)
class Setting:
    """What all commands share.

    Attributes:
        model: Directory of the model.
        data_dir: Folder of datasets; None for the embedded pack alone.
        threads: Threads of each engine.
    """

    model: Path
    data_dir: str | None
    threads: int

    @property
    def data(self) -> list[str]:
        """The option that names the data."""
        return ["--data-dir", self.data_dir] if self.data_dir else []


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to do a case.

    Attributes:
        name: What the command line calls it.
        title: What the table calls it.
        command: Case, setting, lm-eval's batch size, output file -> command line.
        read: Output file -> the process's account.
        uses_vllm: Whether it runs in vLLM's environment.
    """

    name: str
    title: str
    command: Callable[[Case, Setting, int, Path], list[str]]
    read: Callable[[Path], Measurement]
    uses_vllm: bool = False

    @property
    def missing(self) -> str | None:
        """What to do before it can run; None when it can."""
        return "not run: `make .venv-vllm` first" if self.uses_vllm and not VLLM_READY.exists() else None

    def environment(self, setting: Setting) -> dict[str, str]:
        """Variables set for its process; one of vLLM's that is set outside wins."""
        variables = {"OMP_NUM_THREADS": str(setting.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        if self.uses_vllm:
            advised = vllm_environment(setting.threads)
            variables |= {name: os.environ.get(name, value) for name, value in advised.items()}
        return variables


def vllm_environment(threads: int) -> dict[str, str]:
    """What vLLM's manual advises for CPUs.

    Left alone vLLM keeps one core for its scheduler, which is half of a two-core machine; and it asks for Intel's OpenMP
    runtime, which its package brings.
    """
    variables = {
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    runtime = (VLLM_PYTHON.parent.parent / "lib" / "libiomp5.so").absolute()
    return variables | ({"LD_PRELOAD": str(runtime)} if runtime.exists() else {})


def evalkit_tasks(case: Case) -> str:
    """The case's tasks as `evalkit run --tasks` takes them."""
    return ",".join(task if case.shots == 0 else f"{task}:{case.shots}shot" for task in case.tasks)


def _evalkit(case: Case, setting: Setting, _batch_size: int, output: Path) -> list[str]:
    length = [] if case.max_length is None else ["--max-length", str(case.max_length)]
    what = ["--model", str(setting.model), "--tasks", evalkit_tasks(case), "--limit", f"first:{case.documents}"]
    how = ["--dtype", "float32", "--device", "cpu", "--over-length", "truncate", "--offline", *length]
    return [sys.executable, "-m", "evalkit", "run", *what, *how, *setting.data, "-o", str(output)]


def _read_run(path: Path) -> Measurement:
    from evalkit.results import Run

    return Measurement.of_run(Run.load(path))


def _side(python: str | Path, module: str, case: Case, setting: Setting, output: Path) -> list[str]:
    what = ["--pretrained", str(setting.model), "--case", json.dumps(asdict(case)), *setting.data]
    return [str(python), "-m", f"benchmarks.speed.{module}", *what, "--output", str(output)]


def _lm_eval_hf(case: Case, setting: Setting, batch_size: int, output: Path) -> list[str]:
    return batch_size_trial(case, setting, [batch_size], output)


def batch_size_trial(case: Case, setting: Setting, sizes: list[int], output: Path) -> list[str]:
    """lm-eval `hf` on a case; with several batch sizes it writes the seconds of each instead of a measurement."""
    command = _side(sys.executable, "lm_eval_side", case, setting, output)
    return [*command, "--engine", "hf", "--batch-sizes", ",".join(map(str, sizes))]


def _lm_eval_vllm(case: Case, setting: Setting, _batch_size: int, output: Path) -> list[str]:
    return [*_side(VLLM_PYTHON, "lm_eval_side", case, setting, output), "--engine", "vllm"]


def _vllm(case: Case, setting: Setting, _batch_size: int, output: Path) -> list[str]:
    return _side(VLLM_PYTHON, "vllm_direct", case, setting, output)


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("evalkit", "evalkit", _evalkit, _read_run),
        Engine("hf", "lm-eval hf", _lm_eval_hf, Measurement.read),
        Engine("lm-eval-vllm", "lm-eval vllm", _lm_eval_vllm, Measurement.read, uses_vllm=True),
        Engine("vllm", "vLLM, asked with care", _vllm, Measurement.read, uses_vllm=True),
    )
}
