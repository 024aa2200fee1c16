"""Weights that change under the same path, and devices whose memory runs out."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from benchmarks.faults.counting import Bench, Row, Trial
from benchmarks.faults.disk import _with_store
from benchmarks.faults.kills import _begun
from benchmarks.faults.process import Injection
from benchmarks.faults.workload import Files

LARGEST_DIFFERENCE = 1e-4
"""Nats a token by which float32 log-probabilities may differ where other batches were computed."""


_LARGE = ("--batch-tokens", "512")
"""So that batches can be halved a few times."""


def overwritten_weights(bench: Bench, injections: int, seed: int) -> Row:
    """Another model is written into the very file that a run uses: it goes on with the first, and the next has the other."""
    row = Row("weights overwritten while in use")
    draw = random.Random(seed)
    first, other = (_straight(bench, model) for model in (bench.workload.model, bench.workload.other))
    while row.injections < injections:
        trial = bench.trial(other)
        trial.model = _copy(bench, trial)
        child = trial.start()
        if not _begun(trial.output, child, draw.randrange(1, 10)):
            continue
        with (trial.model / "model.safetensors").open(draw.choice(("r+b", "wb"))) as stream:
            stream.write((bench.workload.other / "model.safetensors").read_bytes())
        ended = child.ended()
        row.injections += 1
        if ended.code or _of(trial) != first:
            row.error(f"exit code {ended.code}, or files that differ: {ended.said[-300:]}")
        trial.output.unlink(missing_ok=True)
        ended = trial.start().ended()
        if ended.code or _of(trial) != other:
            row.error(f"exit code {ended.code}, or files that differ: {ended.said[-300:]}")
        shutil.rmtree(trial.folder)
    return row


def retrained(bench: Bench, injections: int, seed: int) -> Row:
    """A killed run finds other weights in the same folder, with the store switched on; and then the first ones again."""
    row = Row("retrained into the same folder, and back")
    draw = random.Random(seed)
    first, other = (_straight(bench, model) for model in (bench.workload.model, bench.workload.other))
    while row.injections < injections:
        trial = bench.trial(other)
        store = _with_store(trial.folder / "cache")
        trial.model = _copy(bench, trial)
        child = trial.start(store)
        if not _begun(trial.output, child, draw.randrange(1, 20)):
            continue
        child.kill()
        child.ended()
        row.lost += trial.lost(child)
        shutil.copy(bench.workload.other / "model.safetensors", trial.model / "model.safetensors")
        ended = trial.start(store).ended()
        row.injections += 1
        if "continuing:" in ended.said or "were answered before" in ended.said:
            row.error("another model's answers were taken")
        if ended.code or _of(trial) != other:
            row.error(f"exit code {ended.code}, or files that differ: {ended.said[-300:]}")
        renamed = trial.folder / "renamed"
        shutil.move(trial.model, renamed)
        shutil.copy(bench.workload.model / "model.safetensors", renamed / "model.safetensors")
        trial.model = renamed
        ended = trial.start(store).ended()
        row.resumed += "continuing:" in ended.said
        if ended.code or _of(trial) != first:
            row.error(f"exit code {ended.code}, or files that differ: {ended.said[-300:]}")
        shutil.rmtree(trial.folder)
    return row


def _of(trial: Trial) -> Files:
    """The files with the model's name as in the runs that nothing struck."""
    files = Files.of(trial.output)
    return Files(files.result.replace(json.dumps(str(trial.model)), json.dumps("MODEL")), files.samples)


def _straight(bench: Bench, model: Path) -> Files:
    trial = bench.trial()
    trial.model = model
    assert not trial.start().ended().code
    return _of(trial)


def _copy(bench: Bench, trial: Trial) -> Path:
    return Path(shutil.copytree(bench.workload.model, trial.folder / "model"))


def out_of_memory(bench: Bench, injections: int, seed: int) -> Row:
    """The device runs out of memory in a random fifth of the batches, and in steps of generation: the same choices."""
    row = Row("out of memory in random batches")
    straight = bench.trial()
    straight.more = _LARGE
    assert not straight.start().ended().code
    expected = json.loads(Files.of(straight.output).result)
    while row.injections < injections:
        trial, seed = bench.trial(), seed + 1
        trial.more = _LARGE
        ended = trial.start(_scarce(seed, trial.folder / "struck")).ended()
        row.injections += len((trial.folder / "struck").read_bytes())
        if ended.code:
            row.error(f"exit code {ended.code}: {ended.said[-300:]}")
        elif problem := _different(json.loads(Files.of(trial.output).result), expected):
            row.error(problem)
    return row


def out_of_memory_deterministic(bench: Bench, injections: int, seed: int) -> Row:
    """The same with `--deterministic`: the same bits."""
    row = Row("the same with --deterministic: the same bits")
    straight = bench.trial()
    straight.more = ("--deterministic",)
    assert not straight.start().ended().code
    files = Files.of(straight.output)
    while row.injections < injections:
        trial, seed = bench.trial(files), seed + 1
        trial.more = ("--deterministic",)
        struck = trial.folder / "struck"
        ended = trial.start(_scarce(seed, struck)).ended()
        row.injections += len(struck.read_bytes())
        struck.unlink()
        trial.judge(row, ended)
    return row


def _scarce(seed: int, struck: Path) -> Injection:
    def injected() -> None:
        import torch

        from evalkit.engine import memory
        from evalkit.engine.engine import Engine
        from evalkit.engine.generation.loop import _Loop

        draw = random.Random(seed)
        memory.time.sleep = lambda _: None  # type: ignore[attr-defined]

        def scarce(original: Any, share: float) -> Any:
            before = False

            def struck_at_random(*arguments: Any, **options: Any) -> Any:
                nonlocal before
                before = not before and draw.random() < share
                if before:
                    with struck.open("ab") as file:
                        file.write(b"x")
                    raise torch.OutOfMemoryError("out of memory")
                return original(*arguments, **options)

            return struck_at_random

        struck.touch()
        Engine._launch = scarce(Engine._launch, 0.2)  # type: ignore[method-assign]
        _Loop._step = scarce(_Loop._step, 0.05)  # type: ignore[method-assign]

    return injected


def _different(found: Any, expected: Any) -> str:
    """How a result differs in more than the last digits; empty where it does not."""
    for name, task in expected["tasks"].items():
        for one, other in zip(found["tasks"][name]["samples"], task["samples"], strict=True):
            if one.keys() != other.keys() or one["outcome"] != other["outcome"]:
                return f"{name}: {one} for {other}"
            for field, value in other.items():
                number = isinstance(value, float) and field in ("margin", "log_likelihood")
                tolerance = LARGEST_DIFFERENCE * other.get("tokens", 8) if number else 0.0
                same = (
                    abs(one[field] - value) <= tolerance if number else one[field] == value or _near(one[field], value)
                )
                if not same:
                    return f"{name}: {field} {one[field]} for {value}"
    return ""


def _near(one: Any, other: Any) -> bool:
    return isinstance(one, float) and isinstance(other, float) and abs(one - other) <= LARGEST_DIFFERENCE * abs(other)
