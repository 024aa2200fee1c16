"""The benchmark of generation on CPU: the ways write the same texts, each as long as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from benchmarks import gpu_generation


def write(path: Path) -> Path:
    lengths = np.array([9, 30, 4])
    tokens = np.random.default_rng(0).integers(0, 49_000, lengths.sum())
    np.savez_compressed(path, **{"drawn.tokens": tokens, "drawn.lengths": lengths})
    return path


def test_prompts_come_back_with_seeded_lengths_of_their_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "prompts.npz")
    prompts, limits = gpu_generation.read(path, "drawn", None)
    assert [len(prompt) for prompt in prompts] == [9, 30, 4]
    assert all(1 <= limit <= gpu_generation.LONGEST_ANSWER for limit in limits)
    fewer, fewer_limits = gpu_generation.read(path, "drawn", 2)
    assert len(fewer) == 2
    assert fewer_limits == limits[:2]


def test_the_ways_write_the_same_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "prompts.npz")
    with mock.patch.object(gpu_generation, "LONGEST_ANSWER", 6):
        gpu_generation.main(["run", str(path), "--model", "tiny", "--ways", "evalkit", "generate:2"])
    printed = capsys.readouterr().out.splitlines()
    rows = [row for line in printed if line.startswith("{") and "way" in (row := json.loads(line))]
    assert [row["way"] for row in rows] == ["evalkit", "generate:2"]
    assert [row["same_texts"] for row in rows] == [3, 3]
    assert all(row["tokens_per_second"] == pytest.approx(row["new_tokens"] / row["seconds"]) for row in rows)


def test_a_way_that_fails_does_not_cost_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "prompts.npz")
    with (
        mock.patch.object(gpu_generation, "LONGEST_ANSWER", 6),
        mock.patch.object(gpu_generation, "static", side_effect=lambda *_: lambda *_: [()]),
    ):
        gpu_generation.main(["run", str(path), "--model", "tiny", "--ways", "generate:2", "evalkit"])
    printed = capsys.readouterr().out.splitlines()
    rows = [row for line in printed if line.startswith("{") and "way" in (row := json.loads(line))]
    assert "has not the length" in rows[0]["error"]
    assert rows[1]["way"] == "evalkit"
    assert "error" not in rows[1]
