"""Decoding over transformers' caches against `generate` and plain forward passes, on every kind of architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from evalkit.engine.forward import SplitModel
from evalkit.engine.generation import fallback
from evalkit.engine.generation.cached import CachedDecoding, UncachedDecoding
from evalkit.engine.generation.fallback import choose_fallback_decoding
from evalkit.engine.generation.path import DecodingPath, Feed
from evalkit.errors import ModelError
from tests.engine.generation.support import load
from tests.engine.generation.written import expected, prompts, written

FALLBACK = ("bloom", "mamba", "jamba", "lfm2", "qwen3_next")
LENGTHS = (9, 23, 9, 1, 40)


def next_logits(model: torch.nn.Module, *tokens: int) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.tensor([tokens]), use_cache=False).logits[0, -1].float().numpy()


def tokens(*ids: int) -> np.ndarray:
    return np.array(ids, dtype=np.int32)


@pytest.mark.parametrize("name", [*FALLBACK, "mistral"])
def test_greedy_and_beams_are_those_of_generate(name: str, tmp_path_factory) -> None:
    model = load(name, tmp_path_factory.getbasetemp())
    path, batching, difference, _ = choose_fallback_decoding(SplitModel(model), 512)
    assert (path.name, batching) == ("cached", "padded")
    assert difference < 1e-4
    asked = prompts(LENGTHS)
    for (text,), prompt in zip(written(path, asked, max_new_tokens=9), asked, strict=True):
        assert text.tokens == expected(model, prompt, max_new_tokens=9)[0]
    for texts, prompt in zip(written(path, asked[:2], max_new_tokens=5, beams=3), asked[:2], strict=True):
        best, score = expected(model, prompt, max_new_tokens=5, num_beams=3)
        assert texts[0].tokens == best
        assert texts[0].score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("batching", ["padded", "equal lengths", "single"])
def test_all_batchings_write_the_same(batching: Any, tmp_path_factory) -> None:
    model = load("jamba", tmp_path_factory.getbasetemp())
    asked = prompts(LENGTHS)
    texts = written(CachedDecoding(SplitModel(model), batching), asked, max_new_tokens=8)
    assert [one[0].tokens for one in texts] == [expected(model, one, max_new_tokens=8)[0] for one in asked]


def test_samples_do_not_depend_on_what_else_is_written(tmp_path_factory) -> None:
    path = CachedDecoding(SplitModel(load("lfm2", tmp_path_factory.getbasetemp())))
    asked = prompts(LENGTHS)
    settings = {"max_new_tokens": 8, "temperature": 1.0, "samples": 3, "seed": 5}
    together = written(path, asked, **settings)
    assert len({one.tokens for one in together[0]}) == 3
    for number, prompt in enumerate(asked):
        alone = written(path, [prompt], slots=1, **settings)[0]
        assert [one.tokens for one in alone] == [one.tokens for one in together[number]]


@pytest.mark.parametrize("name", ["jamba", "mamba"])
def test_several_tokens_at_once_part_of_the_slots_and_forks(name: str, tmp_path_factory) -> None:
    model = load(name, tmp_path_factory.getbasetemp())
    path = CachedDecoding(SplitModel(model))
    logits = path.feed([Feed(0, tokens(5, 6, 7)), Feed(1, tokens(8)), Feed(2, tokens(5, 6, 7))])
    assert path.tokens_computed == 4  # the same prompt once
    np.testing.assert_allclose(logits[2], next_logits(model, 5, 6, 7), atol=1e-4)
    path.fork(1, 3)
    # slot 2 stands still, the others go on by different numbers of tokens
    logits = path.feed([Feed(3, tokens(30, 31, 32)), Feed(0, tokens(20)), Feed(1, tokens(40, 41))])
    for row, ids in enumerate([(8, 30, 31, 32), (5, 6, 7, 20), (8, 40, 41)]):
        np.testing.assert_allclose(logits[row], next_logits(model, *ids), atol=1e-4)
    path.release(0)
    logits = path.feed([Feed(2, tokens(21)), Feed(1, tokens(42)), Feed(3, tokens(33))])
    for row, ids in enumerate([(5, 6, 7, 21), (8, 40, 41, 42), (8, 30, 31, 32, 33)]):
        np.testing.assert_allclose(logits[row], next_logits(model, *ids), atol=1e-4)
    for slot in (1, 2, 3):
        path.release(slot)
    assert path.room([tokens(5)], [3]) == 1


def test_finished_rows_are_dropped_when_they_are_many(tmp_path_factory) -> None:
    path = CachedDecoding(SplitModel(load("llama", tmp_path_factory.getbasetemp())))
    path.feed([Feed(slot, tokens(5 + slot, 6)) for slot in range(8)])
    rows = []
    for slot in range(5):
        path.release(slot)
        path.feed([Feed(other, tokens(9)) for other in range(slot + 1, 8)])
        rows.append(len(path._groups[0].lengths))
    assert rows == [8, 8, 5, 5, 3]


def test_room_counts_memory_and_waits_for_all_slots(tmp_path_factory) -> None:
    split = SplitModel(load("bloom", tmp_path_factory.getbasetemp()))
    asked = prompts((20, 20, 20, 20))
    path = CachedDecoding(split, memory_bytes=10**9)
    assert path.room(asked, [10] * 4) == 4
    path.feed([Feed(0, asked[0])])
    assert path.room(asked[1:], [10] * 3) == 0
    path.release(0)
    counts = [CachedDecoding(split, memory_bytes=size).room(asked, [10] * 4) for size in range(0, 600_000, 20_000)]
    assert counts == sorted(counts)
    assert {0, 1, 2, 3} <= set(counts)


def test_memory_that_runs_out_halves_the_batch_and_changes_no_text(
    tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load("lfm2", tmp_path_factory.getbasetemp())
    asked = prompts(LENGTHS)
    undisturbed = written(CachedDecoding(SplitModel(model)), asked, max_new_tokens=6)
    run = CachedDecoding._run
    sizes = []

    def small(path: CachedDecoding, inputs: torch.Tensor, *arguments: Any) -> Any:
        sizes.append(len(inputs))
        if len(inputs) > 2 and len(sizes) != 2:  # before the first token, and later
            raise torch.OutOfMemoryError("out of memory")
        return run(path, inputs, *arguments)

    monkeypatch.setattr(CachedDecoding, "_run", small)
    texts = written(CachedDecoding(SplitModel(model)), asked, slots=8, max_new_tokens=6)
    assert [one[0].tokens for one in texts] == [one[0].tokens for one in undisturbed]
    assert sizes[0] == 5
    assert sizes[-1] <= 2


def test_without_a_cache_the_texts_are_the_same(tmp_path_factory) -> None:
    model = load("qwen3_next", tmp_path_factory.getbasetemp())
    asked = prompts(LENGTHS)
    texts = written(UncachedDecoding(SplitModel(model)), asked, max_new_tokens=5)
    assert [one[0].tokens for one in texts] == [expected(model, one, max_new_tokens=5)[0] for one in asked]


def test_the_first_way_that_is_right_is_taken(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    split = SplitModel(load("llama", tmp_path_factory.getbasetemp()))
    wrong: set[str] = set()
    run = CachedDecoding._run

    def sometimes_wrong(path: CachedDecoding, *arguments: Any) -> Any:
        cache, logits = run(path, *arguments)
        return cache, logits.roll(1, dims=-1) if path.batching in wrong else logits

    monkeypatch.setattr(CachedDecoding, "_run", sometimes_wrong)
    for batching, following in (("padded", "equal lengths"), ("equal lengths", "single"), ("single", "padded")):
        wrong.add(batching)
        found = choose_fallback_decoding(split, 512)
        assert found.batching == following
    assert isinstance(found.path, UncachedDecoding)


def test_a_model_that_no_way_agrees_with_is_refused(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    split = SplitModel(load("llama", tmp_path_factory.getbasetemp()))

    def broken(*_: object) -> list[np.ndarray]:
        raise ValueError

    monkeypatch.setattr(fallback, "decoded", broken)
    with pytest.raises(ModelError, match=r"does not agree with itself.*without a cache: not computable"):
        choose_fallback_decoding(split, 512)


def test_paths_keep_the_contract(tmp_path_factory) -> None:
    split = SplitModel(load("llama", tmp_path_factory.getbasetemp()))
    paths: list[DecodingPath] = [CachedDecoding(split), UncachedDecoding(split)]
    for path in paths:
        logits = path.feed([Feed(4, tokens(5, 6)), Feed(2, tokens(7))])
        assert (logits.dtype, tuple(logits.shape)) == (torch.float32, (2, split.vocabulary))
        path.release(4)
        path.release(2)
