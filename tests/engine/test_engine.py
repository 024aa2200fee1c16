"""The engine against plain forward passes, on every kind of architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evalkit.engine.engine import Engine, NonFiniteSequenceError
from evalkit.engine.paths import PackedPath, PaddedPath, each_sequence
from evalkit.engine.sequences import Sequence
from evalkit.errors import EvaluationError, ModelError
from tests.tiny_models import tiny_model

PACKED = ("llama", "mistral", "qwen2", "qwen3", "gemma3", "gemma2", "gpt2", "mixtral", "qwen2_moe")
PADDED = ("bloom", "mamba", "jamba", "lfm2", "qwen3_next")


def load(name: str, folder: Path, **overrides: object) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model(name, folder, **overrides), dtype=torch.float32).eval()


def few_shot_tree(seed: int = 1) -> list[Sequence]:
    """Questions with common examples, several answers each, and one long text: as a run's requests are."""
    random = np.random.default_rng(seed)
    examples = random.integers(5, 390, 30)
    sequences = []
    for _ in range(6):
        question = np.concatenate([examples, random.integers(5, 390, random.integers(3, 40))])
        for _ in range(4):
            whole = np.concatenate([question, random.integers(5, 390, random.integers(1, 9))]).astype(np.int32)
            sequences.append(Sequence(whole[:-1], whole[len(question) :]))
    text = random.integers(5, 390, 200).astype(np.int32)
    return [*sequences, Sequence(text[:-1], text[1:])]


def plain(model: torch.nn.Module, sequences: list[Sequence]) -> list[np.ndarray]:
    """One forward pass a sequence, float64 log-softmax."""
    values = []
    for sequence in sequences:
        tokens = torch.from_numpy(sequence.inputs.astype(np.int64))[None]
        with torch.inference_mode():
            logits = model(tokens, use_cache=False).logits[0, sequence.first_scored :].double()
        targets = torch.from_numpy(sequence.targets.astype(np.int64))[:, None]
        values.append(torch.log_softmax(logits, -1).gather(1, targets)[:, 0].numpy())
    return values


def scores(engine: Engine, sequences: list[Sequence]) -> list[np.ndarray]:
    found = {index: values for batch in engine.score(sequences) for index, values, _ in each_sequence(batch)}
    return [found[index] for index in range(len(sequences))]


@pytest.mark.parametrize("name", [*PACKED, *PADDED])
def test_scores_are_those_of_plain_forward_passes_whatever_the_budget(name: str, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    expected = plain(load(name, tmp_path), sequences)
    assert np.concatenate(expected).std() > 0.5  # a flat model would hide mistakes
    engine = Engine(load(name, tmp_path), 512)
    assert engine.check.path == ("packed" if name in PACKED else "padded")
    for budget in (64, 300, 4096):
        engine.token_budget = budget
        for value, reference in zip(scores(engine, sequences), expected, strict=True):
            np.testing.assert_allclose(value, reference, atol=1e-4)
            assert abs(value.sum() - reference.sum()) < 1e-3


@pytest.mark.parametrize("name", ["llama", "gemma3", "mixtral"])
def test_sharing_on_and_off_agree(name: str, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    shared = Engine(load(name, tmp_path), 512)
    apart = Engine(load(name, tmp_path), 512, share_prefixes=False)
    assert isinstance(shared.path, PackedPath)
    assert isinstance(apart.path, PaddedPath)
    for one, other in zip(scores(shared, sequences), scores(apart, sequences), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert shared.tokens_computed < apart.tokens_computed


def test_each_shared_token_is_computed_once(tmp_path: Path) -> None:
    sequences = few_shot_tree()
    engine = Engine(load("llama", tmp_path), 512, token_budget=10_000)
    scores(engine, sequences)
    distinct = {tuple(s.inputs[: n + 1]) for s in sequences for n in range(len(s.inputs))}
    assert engine.tokens_computed == len(distinct)


def test_greedy_says_whether_every_target_is_the_most_probable(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    prompt = np.array([5, 6, 7, 8], dtype=np.int32)
    with torch.inference_mode():
        generated = model.generate(
            torch.from_numpy(prompt.astype(np.int64))[None], max_new_tokens=3, min_new_tokens=3, do_sample=False
        )[0, 4:].numpy()
    right = np.concatenate([prompt, generated]).astype(np.int32)
    wrong = right.copy()
    wrong[-1] = (wrong[-1] + 1) % 400
    engine = Engine(model, 512)
    batch = next(engine.score([Sequence(right[:-1], right[4:]), Sequence(wrong[:-1], wrong[4:])]))
    assert {index: greedy for index, _, greedy in each_sequence(batch)} == {0: True, 1: False}


def test_done_batches_are_skipped_and_the_rest_is_bit_for_bit_the_same(tmp_path: Path) -> None:
    sequences = few_shot_tree()
    engine = Engine(load("llama", tmp_path), 512, token_budget=40)
    whole = list(engine.score(sequences))
    assert len(whole) > 3
    done = set(whole[0].indices) | set(whole[2].indices)
    rest = list(engine.score(sequences, done))
    assert [batch.indices for batch in rest] == [b.indices for i, b in enumerate(whole) if i not in (0, 2)]
    again = {batch.indices: batch.log_probabilities.tobytes() for batch in rest}
    assert all(again.get(b.indices, b.log_probabilities.tobytes()) == b.log_probabilities.tobytes() for b in whole)


def test_running_out_of_memory_halves_the_budget_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sequences = few_shot_tree()
    engine = Engine(load("llama", tmp_path), 512, token_budget=4096)
    expected = scores(engine, sequences)
    compute = engine.path.compute

    def limited(chosen, batch):  # noqa: ANN001, ANN202
        if len(batch.indices) > 12:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return compute(chosen, batch)

    monkeypatch.setattr(engine.path, "compute", limited)
    for value, reference in zip(scores(engine, sequences), expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-5)
    assert engine.token_budget < 4096
    assert "out of memory: the token budget is now 2048" in caplog.text


def test_no_memory_for_a_single_sequence_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(load("llama", tmp_path), 512)

    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine.path, "compute", never)
    with pytest.raises(EvaluationError, match="single prompt of 199 tokens"):
        list(engine.score([few_shot_tree()[-1]]))


def test_not_a_number_names_sequence_and_token(tmp_path: Path) -> None:
    model = load("llama", tmp_path, tie_word_embeddings=False)
    engine = Engine(model, 512)
    with torch.no_grad():
        model.get_input_embeddings().weight[77] = torch.nan
    tokens = np.array([5, 6, 77, 9, 10], dtype=np.int32)
    fine = np.array([5, 6, 8, 9, 10], dtype=np.int32)
    with pytest.raises(NonFiniteSequenceError) as caught:
        list(engine.score([Sequence(fine[:-1], fine[1:]), Sequence(tokens[:-1], tokens[1:])]))
    assert (caught.value.sequence, caught.value.token) == (1, 2)


def test_a_model_that_looks_ahead_is_refused_with_both_numbers(tmp_path: Path) -> None:
    model = load("llama", tmp_path)

    def looks_ahead(module, arguments, options, output):  # noqa: ANN001, ANN202
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.mean(dim=(0, 1), keepdim=True)
        return output

    model.model.register_forward_hook(looks_ahead, with_kwargs=True)
    with pytest.raises(ModelError, match=r"by \S+ nats \(padded\) and \S+ nats \(packed\)"):
        Engine(model, 512)


def test_half_precision_is_held_to_its_own_noise(tmp_path: Path) -> None:
    model = load("llama", tmp_path).to(torch.bfloat16)
    engine = Engine(model, 512)
    assert engine.check.path == "packed"
    assert engine.check.tolerance >= 0.1


def test_the_model_is_left_as_it_was_found(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    tokens = torch.arange(5, 40)[None]
    before = model(tokens, use_cache=False).logits
    engine = Engine(model, 512)
    scores(engine, few_shot_tree())
    torch.testing.assert_close(model(tokens, use_cache=False).logits, before, rtol=0, atol=0)
    assert Engine(model, 512).check.path == "packed"
