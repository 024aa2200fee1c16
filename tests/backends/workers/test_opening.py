"""What cannot be meant by `--workers` and `--cluster`, and how devices and threads are shared out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.backends.engine_backend import LocalOptions
from evalkit.backends.workers import opening
from evalkit.backends.workers.fleet import Setup
from evalkit.errors import UsageError
from evalkit.models import ModelOptions
from tests.tiny_models import tiny_model


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"workers": 2, "model": "openai:m@http://127.0.0.1:9/v1"},
            "--workers and --cluster are for models that the built",
        ),
        (
            {"cluster": "auto", "model": "vllm:m"},
            "--workers and --cluster are for models that the built-in engine loads",
        ),
        ({"workers": 2, "device_map": "auto"}, "--device-map spreads one model over all devices"),
        ({"cluster": "10.0.0.1:6379"}, "--cluster '10.0.0.1:6379' is not an address"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a b c")
    model = str(tiny_model("llama", tmp_path))
    with pytest.raises(UsageError, match=message):
        evalkit.run(**{"model": model, "tasks": f"perplexity:{tmp_path / 'text.txt'}", **given})


def test_workers_take_the_devices_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Setup] = []

    class Fleet:
        size = 0

        def __init__(self, setups: list[Setup]) -> None:
            found.extend(setups)

        def close(self) -> None:
            """Nothing."""

    monkeypatch.setattr("evalkit.backends.workers.processes.ProcessFleet", Fleet)
    monkeypatch.setattr(opening, "device_count", lambda device: 2 if device == "auto" else 0)
    model = str(tiny_model("llama", tmp_path))
    opening.open_processes(model, ModelOptions(), LocalOptions(), 3)
    assert [one.model_options.device for one in found] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [one.threads for one in found] == [None] * 3
    found.clear()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    opening.open_processes(model, ModelOptions(device="cpu"), LocalOptions(), 2)
    assert [one.model_options.device for one in found] == ["cpu", "cpu"]
    assert [one.threads for one in found] == [max(1, (os.cpu_count() or 1) // 2)] * 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert opening.threads_of(2) is None  # as the user set them


def test_auto_without_accelerators_is_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    (tmp_path / "text.txt").write_text("a b c")
    model = str(tiny_model("llama", tmp_path))
    run = evalkit.run(model=model, tasks=f"perplexity:{tmp_path / 'text.txt'}", workers="auto")
    assert "workers" not in run.environment
