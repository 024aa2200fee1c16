"""The accelerator benchmark on CPU: its counts against counting by hand, its file, and the whole command."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks import gpu
from evalkit.engine.engine import Engine
from evalkit.errors import DataError


def pair(context: list[int], continuation: list[int]) -> gpu.Pair:
    return np.array(context, dtype=np.int32), np.array(continuation, dtype=np.int32)


def requests(share: float = 1.0) -> gpu.Requests:
    """Two documents of two choices and one of one; the first two share a stem."""
    stem = list(range(5, 25))
    pairs = [pair([*stem, 30], [40]), pair([*stem, 30], [41]), pair([*stem, 31], [40, 42]), pair([*stem, 31], [43, 44])]
    return gpu.Requests([*pairs, pair([7, 8], [9, 10, 11])], np.array([0, 0, 1, 1, 2], dtype=np.int32), share)


def write(path: Path, name: str = "arc_challenge") -> Path:
    np.savez_compressed(path, **{f"{name}.{key}": array for key, array in requests().arrays().items()})
    return path


def nodes(pairs: list[gpu.Pair]) -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
    """The prefix tree as a set of paths, and those whose next token is scored."""
    tree, scored = set(), set()
    for context, continuation in pairs:
        whole = (*context.tolist(), *continuation.tolist())
        tree |= {whole[:length] for length in range(1, len(whole))}
        scored |= {whole[:length] for length in range(len(context), len(whole))}
    return tree, scored


def test_work_counts_every_node_of_the_prefix_tree_once() -> None:
    generator = np.random.default_rng(0)
    pairs = [
        (generator.integers(0, 3, size).astype(np.int32), generator.integers(0, 3, 1 + size % 4).astype(np.int32))
        for size in generator.integers(1, 9, 300)
    ]
    tree, scored = nodes(pairs)
    expected = gpu.Work(tokens=len(tree), keys=sum(map(len, tree)), rows=len(scored))
    assert gpu.Work.of(gpu.to_sequences(pairs)) == expected


@pytest.mark.parametrize("tied", [False, True])
def test_flops_are_those_that_torch_counts(tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.MODELS, "small", (300, 32, 48, 2, 4, 2, tied))
    model = gpu.build_model("small", torch.device("cpu"))
    model.set_attn_implementation("eager")
    tokens = 40
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(tokens)[None], use_cache=False)
    # eager attention computes all pairs, and every position's logits
    assumed = gpu.Work(tokens, keys=tokens * tokens, rows=tokens).flops(model)
    assert counter.get_total_flops() == pytest.approx(assumed, rel=0.01)


def test_the_model_is_the_same_each_time_and_has_the_shape_of_llama_3() -> None:
    first, second = (gpu.build_model("tiny", torch.device("cpu")) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    # the published size of Llama 3 8B
    with torch.device("meta"):
        shape = dict(zip(gpu.SHAPE, gpu.MODELS["8b"], strict=True))
        assert AutoModelForCausalLM.from_config(LlamaConfig(**shape)).num_parameters() == 8_030_261_248


def test_requests_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    original = requests()
    read = gpu.Requests.read(write(tmp_path / "requests.npz"), "arc_challenge", 45)
    for (context, continuation), (expected, answer) in zip(read.pairs, original.pairs, strict=True):
        assert context.tolist() == expected.tolist()
        assert continuation.tolist() == answer.tolist()
        assert context.dtype == continuation.dtype == np.int32
    assert len(original.arrays()["context_lengths"]) == 3
    assert read.documents.tolist() == [0, 0, 1, 1, 2]
    assert read.share == 3 / 1172


def test_a_token_that_the_model_lacks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="token 44, but the model has 44"):
        gpu.Requests.read(write(tmp_path / "requests.npz"), "arc_challenge", 44)


def test_a_sample_is_seeded_and_takes_whole_documents() -> None:
    asked = requests()
    for limit in (1, 2, 3, None):
        chosen = {id(continuation) for _, continuation in asked.sample(limit)}
        assert chosen == {id(continuation) for _, continuation in asked.sample(limit)}
        kept = {int(asked.documents[place]) for place, one in enumerate(asked.pairs) if id(one[1]) in chosen}
        assert len(kept) == (limit or 3)
        assert len(chosen) == sum(int(document) in kept for document in asked.documents)


def test_the_command_measures_and_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "requests.npz")
    command = ["run", str(path), "--model", "tiny", "--tasks", "arc_challenge", "--sweep", "arc_challenge"]
    with mock.patch.object(gpu, "BUDGETS", (16, 64)):
        gpu.main(command)
    printed = capsys.readouterr().out.splitlines()
    machine, row, total, *swept = [json.loads(line) for line in printed if line.startswith("{")]
    tree, scored = nodes(requests().pairs)
    assert machine["self_check"]["path"] == "packed"
    assert (row["unique_tokens"], row["scored_positions"]) == (len(tree), len(scored))
    assert row["whole_seconds"] == total["whole_seconds"] == pytest.approx(row["seconds"] * 1172 / 3)
    assert row["share_of_peak"] == pytest.approx(
        row["teraflops"] / row["seconds"] / machine["matrix_teraflops_per_second"]
    )
    assert [one["what"] for one in swept] == ["budget 16", "budget 64", "every second request"]
    assert [one.get("same_bits") for one in swept] == [True, True, None]
    assert all(one["largest_difference"] < 1e-4 for one in swept)
    table = [line for line in printed if line.startswith("|")]
    assert len(table) == 2 + 5
    assert len({line.count("|") for line in table}) == 1


def test_lm_eval_gives_the_same_scores() -> None:
    pytest.importorskip("lm_eval")
    model = gpu.build_model("tiny", torch.device("cpu"))
    engine = Engine(model, gpu.MAX_LENGTH)
    row = gpu.measure(engine, requests(share=0.5), Namespace(limit=None, lm_eval=2), peak=1e9)
    assert row["part"] == 0.5
    assert row["lm_eval_seconds"] > 0
    assert row["lm_eval_mean_difference"] < 1e-4


def test_lm_eval_is_not_run_where_it_is_not_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "requests.npz")
    with mock.patch("importlib.util.find_spec", return_value=None):
        gpu.main(["run", str(path), "--model", "tiny", "--tasks", "arc_challenge", "--lm-eval"])
    printed = capsys.readouterr().out
    assert "lm-eval not installed: not run" in printed
    assert "lm_eval_seconds" not in printed
