"""Rounds of growing, answering and filtering, until there are enough rows or the model has no more to give."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.errors import InterruptedRunError, TrainingDataError, UsageError
from evalkit.files import atomic_writer, check_writable
from evalkit.runner.progress import Progress, Silent
from evalkit.sft.extra import require_extra
from evalkit.sft.making.filters import REASONS
from evalkit.sft.making.journal import Journal
from evalkit.sft.making.request import SCHEMA, MakingRequest
from evalkit.sft.making.rounds import Rounds
from evalkit.sft.rows import TrainingRow
from evalkit.training_data import Making

SEEDS = 3
"""Seeds at least: from fewer the model copies."""


def make_training_data(request: MakingRequest, progress: Progress | None = None) -> Making:
    """Makes rows for training, and writes them with where each comes from.

    Args:
        request: What to make.
        progress: Told what happens.

    Returns:
        What was made; fewer rows than asked for where the model had no more to give.

    Raises:
        TrainingDataError: The seeds cannot be used.
        UsageError: An option is wrong, or the output is there already.
        EvalkitError: The model cannot be loaded or asked.
    """
    request.check()
    require_extra()
    progress = progress or Silent()
    try:
        return _made(request, progress)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted", hint="the same command continues where it stopped") from None
    finally:
        progress.finish()


def _made(request: MakingRequest, progress: Progress) -> Making:
    files = _files(request.output)
    check_writable(request.output)
    if request.output.exists() and not request.fresh:
        raise UsageError(f"{request.output} is there already", hint="give another -o, or --fresh to make it anew")
    progress.stage("reading the seeds")
    seeds, sha256 = _seeds(request)
    journal = Journal(files["journal"], {**request.configuration(), "seeds_sha256": sha256}, fresh=request.fresh)
    progress.stage("loading the model")
    backend = request.evaluation.backend()
    state = Rounds(request, seeds, sha256, backend)
    for done in journal.rounds:
        state.take(done)
    while not state.is_done():
        started = time.perf_counter()
        done = state.round()
        done["seconds"] = round(time.perf_counter() - started, 3)
        journal.add(done)
        state.take(done)
        share = len(state.kept) / max(1, state.grown)
        progress.moved(f"round {state.rounds}: {len(state.kept):,} of {request.count:,} rows, {share:.0%} kept")
    return _written(request, state, files, journal)


def _files(output: Path) -> dict[str, Path]:
    stem = output.with_suffix("")
    return {
        "rows": output,
        "rejected": stem.with_name(f"{stem.name}.rejected.jsonl"),
        "report": stem.with_name(f"{stem.name}.report.json"),
        "journal": output.with_name(f"{output.name}.journal"),
    }


def _seeds(request: MakingRequest) -> tuple[list[TrainingRow], str]:
    from evalkit.data import DataOptions
    from evalkit.sft.data import CleaningOptions, read_training_data

    given = request.evaluation
    options = DataOptions.resolve(given.data_dir, given.offline, trust_remote_code=given.trust_remote_code)
    data = read_training_data([request.seeds], request.mapping, options, CleaningOptions(near=None))
    rows = [row for row in data.rows[request.seeds] if row.kind == "conversation" and len(row.messages) == 2]
    if len(rows) < SEEDS:
        raise TrainingDataError(
            f"{request.seeds} has {len(rows)} rows of one question and one answer, and {SEEDS} are needed",
            hint="write a handful of tasks of the kind that you want, with their answers",
        )
    return rows, data.report.sources[0].sha256


def _written(request: MakingRequest, state: Rounds, files: dict[str, Path], journal: Journal) -> Making:
    counts = Counter(one["reason"] for one in state.rejected)
    made = Making(
        output=request.output,
        wanted=request.count,
        kept=len(state.kept),
        grown=state.grown,
        rejected={name: counts[name] for name in REASONS if counts[name]},
        surplus=state.surplus,
        rounds=state.rounds,
        seconds=state.seconds,
        seeds=len(state.seeds),
        first=tuple((one["messages"][0]["content"], one["messages"][1]["content"]) for one in state.kept[:3]),
        files={name: path for name, path in files.items() if name != "journal"},
    )
    rows = b"".join(map(_line, state.kept))
    report = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "evalkit_version": __version__,
        "command": request.command,
        "configuration": {**request.configuration(), **state.origin},
        "wanted": made.wanted,
        "kept": made.kept,
        "grown": made.grown,
        "rejected": dict(made.rejected),
        "surplus": made.surplus,
        "rounds": made.rounds,
        "seconds": round(made.seconds, 1),
        "rows_sha256": hashlib.sha256(rows).hexdigest(),
    }
    for name, content in (
        ("rejected", b"".join(map(_line, state.rejected))),
        ("report", json.dumps(report, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"),
        ("rows", rows),
    ):
        with atomic_writer(files[name]) as stream:
            stream.write(content)
    journal.remove()
    return made


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
