from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from evalkit.engine import memory
from evalkit.engine.engine import Engine
from evalkit.engine.forecast import forecast
from evalkit.engine.forward import SplitModel
from evalkit.engine.plan import PaddedBatch, depth_first
from tests.engine.test_engine import few_shot_tree, load


def test_the_budget_follows_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = SplitModel(load("llama", tmp_path))
    assert memory.default_budget(split, 512) == memory.CPU_BUDGET
    sizes = memory.Footprint.of(split)
    monkeypatch.setattr(
        memory, "free_memory", lambda _: int((sizes.logits + 600 * sizes.token) / memory.ACTIVATION_SHARE)
    )
    assert memory.default_budget(split, 512) == 512
    assert memory.default_budget(split, 2048) == 256  # where one long prompt may fill four budgets
    monkeypatch.setattr(memory, "free_memory", lambda _: 0)
    assert memory.default_budget(split, 512) == memory.BUDGETS[0]


@pytest.mark.parametrize(
    ("device", "parameters", "budget"),
    [
        ("cpu", 10**9, 2048),
        ("cuda", 135_000_000, 32_768),
        ("cuda", 500_000_000, 16_384),
        ("cuda", 1_236_000_000, 8192),
        ("cuda", 70 * 10**9, 8192),
    ],
)
def test_a_batch_is_as_large_as_it_gains(device: str, parameters: int, budget: int) -> None:
    assert memory.largest_budget(torch.device(device), parameters) == budget


def test_carried_states_are_bounded_by_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = SplitModel(load("llama", tmp_path))
    # keys and values of two layers with two key heads of 12 numbers each, in float32
    assert memory.Footprint.of(split).carried == 2 * 2 * 2 * 12 * 4
    monkeypatch.setattr(memory, "free_memory", lambda _: 10_000)
    engine = Engine(load("llama", tmp_path), 512, token_budget=32)
    assert memory.carry_limit(SplitModel(load("llama", tmp_path)), 2) == 2
    assert engine.path.planner.carry_limit == 2  # 0.2 x 10,000 bytes hold two positions and their copies
    sequences = few_shot_tree()
    batches = engine.path.planner.plan(sequences, depth_first(sequences), 32)
    assert max(batch.carried for batch in batches) <= engine.path.planner.carry_limit


def test_a_container_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_cgroup_free", lambda _: 12345)
    assert memory.free_memory(torch.device("cpu")) == 12345


def test_files_read_lately_do_not_count_as_used(tmp_path: Path) -> None:
    assert memory._cgroup_free(tmp_path) == 2**62
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    assert memory._cgroup_free(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._cgroup_free(tmp_path) == 2**62


def test_settings_that_differ_from_layer_to_layer_count_with_the_largest() -> None:
    layers = SimpleNamespace(intermediate_size=[64, 640], head_dim=None)
    assert memory._largest(layers, "intermediate_size", default=1) == 640
    assert memory._largest(layers, "qk_head_dim", "head_dim", default=12) == 12


@pytest.mark.parametrize("options", [{}, {"share_prefixes": False}, {"deterministic": True}, {"token_budget": 48}])
def test_the_forecast_is_what_scoring_then_takes(options: dict[str, object], tmp_path: Path) -> None:
    sequences = few_shot_tree()
    engine = Engine(load("llama", tmp_path), 512, **options)
    expected = engine.forecast(sequences)
    list(engine.score(sequences))
    assert expected.tokens_computed == engine.tokens_computed
    assert expected.tokens_asked == sum(len(sequence.inputs) for sequence in sequences)
    assert expected.peak_bytes > memory.used_memory(torch.device("cpu")) * 0.9


def test_more_rows_need_more_memory(tmp_path: Path) -> None:
    split = SplitModel(load("llama", tmp_path))
    sequences = few_shot_tree()
    one = forecast(split, sequences, [PaddedBatch(((0,),))], 0)
    many = forecast(split, sequences, [PaddedBatch(tuple((index,) for index in range(25)))], 0)
    rows = 25 * len(sequences[-1].inputs) - len(sequences[0].inputs)
    assert many.peak_bytes - one.peak_bytes == pytest.approx(rows * memory.Footprint.of(split).token, rel=0.5)


@pytest.mark.parametrize("options", [{"token_budget": 48}, {"share_prefixes": False}])
def test_the_probe_measures_some_batches(options: dict[str, object], tmp_path: Path) -> None:
    engine = Engine(load("llama", tmp_path), 512, **options)
    assert engine.probe(few_shot_tree(), 0.0) > 0
    assert engine.probe(few_shot_tree(), 0.2) > 0
