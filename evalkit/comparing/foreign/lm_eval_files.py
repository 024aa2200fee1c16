"""Which files make up one run of lm-eval: `results_DATE.json`, and beside it `samples_TASK_DATE.jsonl` of each task."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import UsageError

logger = logging.getLogger(__name__)

HINT = "give the folder or the results_*.json that `lm_eval --output_path DIR --log_samples` wrote, unchanged"

_DATE = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?"
_RESULTS = re.compile(rf"(?P<stem>.+)_(?P<date>{_DATE})\.json")
_SAMPLES = re.compile(rf"samples_(?P<task>.+)_(?P<date>{_DATE})\.jsonl")


@dataclass(frozen=True, slots=True)
class LogFiles:
    """The files of one run.

    Attributes:
        results: The file of scores and settings.
        task: The only task that is wanted, where a file of samples was given; None for all.
    """

    results: Path
    task: str | None = None

    def samples(self, task: str) -> Path:
        """The file of a task's samples.

        Raises:
            UsageError: There is none.
        """
        match = _RESULTS.fullmatch(self.results.name)
        # a results file that was renamed still has its samples where there is only one run
        found = sorted(self.results.parent.glob(f"samples_{_literal(task)}_*.jsonl"))
        named = [path for path in found if (parts := _SAMPLES.fullmatch(path.name)) and parts["task"] == task]
        if match:
            named = [path for path in named if path.name.endswith(f"_{match['date']}.jsonl")]
        if len(named) == 1:
            return named[0]
        if named:
            names = ", ".join(path.name for path in named[:3])
            raise UsageError(
                f"{self.results.name} has no date in its name, and several runs' samples lie beside it: {names}",
                hint="give the results file its own name back, results_DATE.json",
            )
        raise UsageError(
            f"the samples of {task} are missing beside {self.results}: there is no "
            f"samples_{task}_{match['date'] if match else 'DATE'}.jsonl",
            hint="run lm-eval again with --log_samples (and --output_path): only single documents can be compared",
        )


def find(path: Path) -> LogFiles | None:
    """The run of lm-eval that a path means; None where it is no log of lm-eval's by its name.

    Args:
        path: A folder that `--output_path` named, the model's folder within it, a `results_*.json` or a
            `samples_*.jsonl`. Of several runs in a folder the newest counts, and a warning says so.

    Raises:
        UsageError: The folder holds runs of several models, or samples lie without their results file.
    """
    if path.is_dir():
        return _newest(path)
    if parts := _SAMPLES.fullmatch(path.name):
        return _of_samples(path, parts["task"], parts["date"])
    return LogFiles(path) if path.suffix == ".json" else None


def _newest(folder: Path) -> LogFiles | None:
    dated: list[tuple[str, Path]] = []
    for pattern in ("*.json", "*/*.json"):
        for file in folder.glob(pattern):
            match = _RESULTS.fullmatch(file.name)
            # with a file as --output_path the name is that file's; its samples tell it from other programs' files
            if match and (match["stem"] == "results" or any(file.parent.glob(f"samples_*_{match['date']}.jsonl"))):
                dated.append((match["date"], file))
    if not dated:
        return None
    parents = sorted({file.parent for _, file in dated})
    if len(parents) > 1:
        names = ", ".join(str(parent) for parent in parents[:3])
        raise UsageError(f"the folder {folder} holds runs of {len(parents)} models: {names}", hint="give one of them")
    newest = max(dated)[1]
    if len(dated) > 1:
        logger.warning("%s holds %d runs; the newest is read: %s", newest.parent, len(dated), newest.name)
    return LogFiles(newest)


def _of_samples(path: Path, task: str, date: str) -> LogFiles:
    found = [file for file in path.parent.glob(f"*_{date}.json") if _RESULTS.fullmatch(file.name)]
    if len(found) == 1:
        return LogFiles(found[0], task)
    what = "several results files of its date" if found else f"no results_{date}.json"
    raise UsageError(
        f"beside {path} there is {what}",
        hint="keep both files: samples alone do not say which metrics count, or how the model was asked",
    )


def _literal(task: str) -> str:
    """The name with what `glob` would take for a pattern made plain."""
    return re.sub(r"([\[*?])", r"[\1]", task)
