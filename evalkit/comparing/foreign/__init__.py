"""Logs of other harnesses as runs, so that they can be compared like evalkit's own (docs/foreign-logs.md).

    lm_eval_log      lm-evaluation-harness: results_*.json with samples_TASK_*.jsonl beside it
    inspect_log      Inspect: NAME.eval (a zip archive), or the same log as NAME.json
    lighteval_log    lighteval: results_*.json with details_TASK_*.parquet

Each module turns its log into an `evalkit.results.Run`; nothing else of evalkit knows that other harnesses exist.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evalkit.comparing.foreign.alignment import aligned
from evalkit.results import Run

__all__ = ["aligned", "read_foreign"]


def read_foreign(path: Path) -> tuple[Run, str] | None:
    """The run in another harness's log, and that harness's name.

    Args:
        path: A log, or the folder that the harness wrote it into; of several runs in a folder the newest is read.

    Returns:
        The run and `lm-eval`, `inspect` or `lighteval`; None where the file is of no known kind.

    Raises:
        UsageError: It is such a log, but damaged, unfinished or without samples; the message names file and field.
    """
    for origin, read in _readers().items():
        if (run := read(path)) is not None:
            return run, origin
    return None


def _readers() -> dict[str, Callable[[Path], Run | None]]:
    from evalkit.comparing.foreign.inspect_log import read_inspect
    from evalkit.comparing.foreign.lighteval_log import read_lighteval
    from evalkit.comparing.foreign.lm_eval_log import read_lm_eval

    return {"lm-eval": read_lm_eval, "inspect": read_inspect, "lighteval": read_lighteval}
