"""The engine against plain forward passes, on every kind of architecture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evalkit.engine import memory, self_check
from evalkit.engine.engine import Engine, NonFiniteSequenceError
from evalkit.engine.paths import PackedPath, PaddedPath
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
        tokens = torch.from_numpy(sequence.inputs.astype(np.int64))[None].to(model.device)
        with torch.inference_mode():
            logits = model(tokens, use_cache=False).logits[0, sequence.first_scored :].double().cpu()
        targets = torch.from_numpy(sequence.targets.astype(np.int64))[:, None]
        values.append(torch.log_softmax(logits, -1).gather(1, targets)[:, 0].numpy())
    return values


def scores(engine: Engine, sequences: list[Sequence]) -> list[np.ndarray]:
    found = {index: values for batch in engine.score(sequences) for index, values, _ in batch}
    return [found[index] for index in range(len(sequences))]


@pytest.mark.parametrize("name", [*PACKED, *PADDED])
def test_scores_are_those_of_plain_forward_passes_whatever_the_budget(name: str, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    expected = plain(load(name, tmp_path), sequences)
    assert np.concatenate(expected).std() > 0.5  # a flat model would hide mistakes
    engine = Engine(load(name, tmp_path), 512)
    assert engine.check.path == ("packed" if name in PACKED else "padded")
    for budget in (24, 64, 300, 4096):  # the smallest carries prefixes and cuts the long text in many pieces
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


@pytest.mark.parametrize("budget", [64, 128, 10_000])
def test_each_shared_token_is_computed_once_however_small_the_batches(budget: int, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    engine = Engine(load("llama", tmp_path), 512, token_budget=budget)
    scores(engine, sequences)
    distinct = {tuple(s.inputs[: n + 1]) for s in sequences for n in range(len(s.inputs))}
    assert engine.tokens_computed == len(distinct)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma2", "gpt2", "mixtral", "bloom", "jamba"])
def test_deterministic_scores_depend_on_nothing_but_the_sequence(name: str, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    engine = Engine(load(name, tmp_path), 512, deterministic=True)
    assert engine.check.deterministic == ("fixed sizes" if name in PACKED else "one at a time")
    together = scores(engine, sequences)
    for value, reference in zip(together, plain(load(name, tmp_path), sequences), strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-4)
    shuffled = np.random.default_rng(0).permutation(len(sequences))
    some = shuffled[:9].tolist()
    others = few_shot_tree(seed=2)
    mixed = scores(engine, [*others, *(sequences[index] for index in some)])
    for place, index in enumerate(some):
        assert mixed[len(others) + place].tobytes() == together[index].tobytes()
    for index in some[:3]:
        assert scores(engine, [sequences[index]])[0].tobytes() == together[index].tobytes()
    assert scores(Engine(load(name, tmp_path), 512, deterministic=True, token_budget=64), sequences)[3].tobytes() == (
        together[3].tobytes()
    )


@pytest.mark.parametrize("name", ["llama", "gemma2", "mixtral"])
def test_deterministic_scores_of_long_prompts(name: str, tmp_path: Path) -> None:
    """Longer than a block of keys and than a batch, so that the prefix is carried."""
    random = np.random.default_rng(4)
    examples = random.integers(5, 390, 700)
    contexts = [np.concatenate([examples, random.integers(5, 390, length)]) for length in (5, 70, 30, 200)]
    contexts += [random.integers(5, 390, length) for length in (500, 520, 40)]
    wholes = [np.concatenate([context, random.integers(5, 390, 4)]).astype(np.int32) for context in contexts * 2]
    sequences = [Sequence(whole[:-1], whole[-4:]) for whole in wholes]
    engine = Engine(load(name, tmp_path, max_position_embeddings=1024), 1024, deterministic=True)
    assert engine.check.deterministic == "fixed sizes"
    together = scores(engine, sequences)
    references = plain(load(name, tmp_path, max_position_embeddings=1024), sequences)
    for index, (value, reference) in enumerate(zip(together, references, strict=True)):
        np.testing.assert_allclose(value, reference, atol=1e-4)
        assert scores(engine, [sequences[index]])[0].tobytes() == value.tobytes()
    assert [value.tobytes() for value in scores(engine, sequences[::-1])] == [v.tobytes() for v in together[::-1]]


def test_many_answers_of_one_token_to_short_questions_keep_their_examples(tmp_path: Path) -> None:
    """Far more answers than tokens in a batch, behind a prefix that is carried."""
    random = np.random.default_rng(5)
    examples = random.integers(5, 390, 60)
    sequences = []
    for _ in range(40):
        context = np.concatenate([examples, random.integers(5, 390, 3)]).astype(np.int32)
        sequences += [Sequence(context, np.array([label], dtype=np.int32)) for label in range(20, 46)]
    engine = Engine(load("llama", tmp_path), 512, token_budget=64)
    found = np.concatenate(scores(engine, sequences))
    np.testing.assert_allclose(found, np.concatenate(plain(load("llama", tmp_path), sequences)), atol=1e-4)


def test_engines_in_two_threads_do_not_mix_up_their_batches(tmp_path: Path) -> None:
    sequences = few_shot_tree()
    expected = plain(load("llama", tmp_path), sequences)

    def evaluate(model: torch.nn.Module) -> list[np.ndarray]:
        return scores(Engine(model, 512, token_budget=64), sequences)

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(evaluate, [load("llama", tmp_path) for _ in range(4)]):
            for value, reference in zip(found, expected, strict=True):
                np.testing.assert_allclose(value, reference, atol=1e-4)


def test_a_model_that_fixed_sizes_do_not_make_deterministic_is_computed_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.engine.self_check._alone_is_the_same", lambda *_: False)
    engine = Engine(load("llama", tmp_path), 512, deterministic=True)
    assert (engine.check.path, engine.check.deterministic) == ("padded", "one at a time")


def test_scores_that_move_among_many_strangers_are_seen_at_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = PackedPath.launch

    def crowded(path, sequences, batch):  # noqa: ANN001, ANN202
        launched = launch(path, sequences, batch)
        return replace(launched, values=launched.values + 1e-6) if len(batch.pieces) > 5 else launched

    assert Engine(load("llama", tmp_path), 512, deterministic=True).check.deterministic == "fixed sizes"
    monkeypatch.setattr(PackedPath, "launch", crowded)
    assert Engine(load("llama", tmp_path), 512, deterministic=True).check.deterministic == "one at a time"


@pytest.mark.parametrize("rope_type", ["dynamic", "longrope"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_inputs_past_the_length_that_changes_all_positions_are_computed_alone(
    rope_type: str, deterministic: bool, tmp_path: Path
) -> None:
    rope = {"rope_type": rope_type, "rope_theta": 10000.0, "factor": 4.0}
    if rope_type == "longrope":
        rope |= {
            "short_factor": [1.0] * 6,
            "long_factor": [4.0] * 6,
            "original_max_position_embeddings": 64,
        }
    overrides = {"rope_parameters": rope, "max_position_embeddings": 64 if rope_type == "dynamic" else 256}
    random = np.random.default_rng(3)
    lengths = (20, 150, 60, 220, 100)
    tokens = [random.integers(5, 390, length + 1).astype(np.int32) for length in lengths]
    sequences = [Sequence(one[:-1], one[-8:]) for one in tokens]
    expected = [plain(load("llama", tmp_path, **overrides), [sequence])[0] for sequence in sequences]
    engine = Engine(load("llama", tmp_path, **overrides), 256, deterministic=deterministic)
    assert engine.split.position_limit == 64
    for _ in range(2):  # the second time the model has seen long inputs
        for value, reference in zip(scores(engine, sequences), expected, strict=True):
            np.testing.assert_allclose(value, reference, atol=1e-4)


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
    assert {index: greedy for index, _, greedy in batch} == {0: True, 1: False}


@pytest.mark.parametrize("name", ["llama", "jamba"])
def test_done_batches_are_skipped_and_the_rest_is_bit_for_bit_the_same(name: str, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    engine = Engine(load(name, tmp_path), 512, token_budget=40)
    whole = {score.sequence: score for batch in engine.score(sequences) for score in batch}
    computed = engine.tokens_computed
    done = {index for index in whole if index % 5}
    rest = {score.sequence: score for batch in engine.score(sequences, done) for score in batch}
    assert engine.tokens_computed < 2 * computed
    assert rest.keys() == whole.keys() - done
    for index, score in rest.items():
        assert score.log_probabilities.tobytes() == whole[index].log_probabilities.tobytes()
    assert list(engine.score(sequences, whole.keys())) == []


@pytest.mark.parametrize("limit", [35, 70])
def test_running_out_of_memory_halves_the_budget_and_loses_nothing(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sequences = few_shot_tree()
    engine = Engine(load("llama", tmp_path), 512, token_budget=512)
    expected = scores(engine, sequences)
    launch = engine.path.launch

    def limited(chosen, batch):  # noqa: ANN001, ANN202
        if batch.tokens > limit:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return launch(chosen, batch)

    monkeypatch.setattr(engine.path, "launch", limited)
    monkeypatch.setattr("evalkit.engine.memory.SMALLEST_BUDGET", 4)
    for value, reference in zip(scores(engine, sequences), expected, strict=True):
        np.testing.assert_allclose(value, reference, atol=1e-5)
    assert engine.token_budget <= limit
    assert "out of memory: the token budget is now 256 tokens a batch" in caplog.text


def test_another_error_of_the_device_is_not_taken_for_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(load("llama", tmp_path), 512)

    def broken(*_: object) -> None:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(engine.path, "launch", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        list(engine.score(few_shot_tree()))


def test_the_probe_shrinks_the_budget_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(load("llama", tmp_path), 512, token_budget=512)
    launch = engine.path.launch

    def limited(chosen, batch):  # noqa: ANN001, ANN202
        if batch.tokens > 130:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return launch(chosen, batch)

    monkeypatch.setattr(engine.path, "launch", limited)
    assert engine.probe(few_shot_tree(), 0.0) > 0
    assert engine.token_budget <= 256


def test_no_memory_for_the_first_check_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("evalkit.engine.engine.choose_path", never)
    with pytest.raises(EvaluationError, match="tried on a few short prompts"):
        Engine(load("llama", tmp_path), 512)


@pytest.mark.parametrize(("deterministic", "hint"), [(False, "--max-length"), (True, "leave --deterministic out")])
def test_no_memory_for_the_smallest_batch_is_an_error_that_says_so(
    deterministic: bool, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(load("llama", tmp_path), 512, deterministic=deterministic)

    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    waited: list[float] = []
    monkeypatch.setattr(engine.path, "launch", never)
    monkeypatch.setattr(memory.time, "sleep", waited.append)
    with pytest.raises(EvaluationError, match="ran out of memory on a batch of") as caught:
        list(engine.score([few_shot_tree()[-1]]))
    assert hint in str(caught.value.hint)
    assert tuple(waited) == memory.WAITS


def test_with_deterministic_running_out_of_memory_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sequences = few_shot_tree()
    expected = scores(Engine(load("llama", tmp_path), 512, deterministic=True), sequences)
    engine = Engine(load("llama", tmp_path), 512, deterministic=True)
    launch = engine.path.launch
    calls = 0

    def scarce(chosen, batch):  # noqa: ANN001, ANN202
        nonlocal calls
        calls += 1
        if calls % 3:  # two of three times another program has taken the memory
            raise torch.OutOfMemoryError("CUDA out of memory")
        return launch(chosen, batch)

    monkeypatch.setattr(engine.path, "launch", scarce)
    monkeypatch.setattr(memory.time, "sleep", lambda _: None)
    found = scores(engine, sequences)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(found, expected, strict=True))
    assert "trying again in 1 seconds" in caplog.text


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_looks_ahead_is_refused_with_both_numbers(dtype: torch.dtype, tmp_path: Path) -> None:
    model = load("llama", tmp_path).to(dtype)

    def looks_ahead(module, arguments, options, output):  # noqa: ANN001, ANN202
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.mean(dim=(0, 1), keepdim=True)
        return output

    model.model.register_forward_hook(looks_ahead, with_kwargs=True)
    with pytest.raises(ModelError, match=r"by \S+ nats \(padded\) and \S+ nats \(packed\)"):
        Engine(model, 512)


@pytest.mark.parametrize("max_length", [512, 40, 17])
def test_the_check_stays_within_the_table_of_positions(max_length: int, tmp_path: Path) -> None:
    """The prefix of fixed sizes fills the context; what is put behind it to see the noise of bfloat16 must find room."""
    model = load("gpt2", tmp_path).to(torch.bfloat16)
    engine = Engine(model, max_length, deterministic=True)
    assert engine.check.deterministic is not None
    assert engine.generator.path is not None


def test_noise_that_only_rows_of_another_length_show_widens_the_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load("llama", tmp_path).to(torch.bfloat16)
    split = Engine(model, 512).split
    sequences, _ = self_check.probe_sequences(split, 512, None)
    plainly = self_check._plain

    def noisy(chosen, some, copies=1, more=0, place=-1):  # noqa: ANN001, ANN202
        return [one + 0.11 * bool(more) for one in plainly(chosen, some)]

    monkeypatch.setattr(self_check, "_plain", noisy)
    assert self_check.expected_values(split, sequences)[1] == pytest.approx(0.22, abs=1e-3)
    # a model that sees what follows says nothing about noise
    monkeypatch.setattr(
        self_check,
        "_plain",
        lambda *given, more=0, place=-1: [one + 0.11 * bool(more) * (2 + place) for one in plainly(given[0], given[1])],
    )
    assert self_check.expected_values(split, sequences)[1] == self_check.TOLERANCE_HALF


def test_half_precision_is_held_to_its_own_noise(tmp_path: Path) -> None:
    model = load("llama", tmp_path).to(torch.bfloat16)
    engine = Engine(model, 512)
    assert engine.check.path == "packed"
    assert 0.1 <= engine.check.tolerance <= 0.5
    sequences = few_shot_tree()
    for value, reference in zip(scores(engine, sequences), plain(model, sequences), strict=True):
        np.testing.assert_allclose(value, reference, atol=engine.check.tolerance)


def test_the_model_is_left_as_it_was_found(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    tokens = torch.arange(5, 40)[None]
    before = model(tokens, use_cache=False).logits
    engine = Engine(model, 512)
    scores(engine, few_shot_tree())
    torch.testing.assert_close(model(tokens, use_cache=False).logits, before, rtol=0, atol=0)
    assert Engine(model, 512).check.path == "packed"


def test_running_out_of_memory_before_a_batch_begins_leaves_the_model_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(load("llama", tmp_path), 512, token_budget=memory.SMALLEST_BUDGET)
    before = engine.split.core.config._attn_implementation

    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("evalkit.engine.attention.to_device", never)
    monkeypatch.setattr(memory.time, "sleep", lambda _: None)
    with pytest.raises(EvaluationError, match="ran out of memory"):
        list(engine.score(few_shot_tree()))
    assert engine.split.core.config._attn_implementation == before
