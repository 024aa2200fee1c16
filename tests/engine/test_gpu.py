"""The engine on a GPU: scores and texts against plain forward passes there and against the CPU.

    pytest -m gpu tests/engine/test_gpu.py

Small random models. Memory really runs out: the process is capped at little more than it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.decoding import Decoding
from evalkit.engine.engine import Engine
from evalkit.engine.generation.loop import Limits
from evalkit.engine.generation.prompt import Prompt, Text
from evalkit.engine.paths import PackedPath, PaddedPath
from evalkit.engine.sequences import Sequence
from tests.engine.generation import support
from tests.engine.generation.support import decode, ragged_prompts, random_tokens, transformers_generate
from tests.engine.test_engine import PACKED, few_shot_tree, plain, scores

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
]

MODELS = (*PACKED, "bloom", "mamba", "jamba")
DTYPES = (torch.float32, torch.bfloat16)


def load(name: str, folder: Path, dtype: torch.dtype = torch.float32, **overrides: object) -> Any:
    return support.load(name, folder, **overrides).to("cuda", dtype)


@contextmanager
def at_most(extra: int) -> Iterator[None]:
    """Within this context PyTorch may allocate so many bytes beyond what it holds."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + extra) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def answers(engine: Engine, prompts: list[Prompt]) -> list[tuple[Text, ...]]:
    found = dict(one for finished in engine.generator.generate(prompts, decode) for one in finished)
    return [found[index] for index in range(len(prompts))]


def prompts_of(decoding: Decoding, ends: frozenset[int] = frozenset({1})) -> list[Prompt]:
    return [Prompt(tokens, decoding, ends) for tokens in ragged_prompts()]


@pytest.mark.parametrize("name", MODELS)
def test_float32_scores_are_those_of_plain_forward_passes_whatever_the_budget(name: str, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    on_gpu, on_cpu = (plain(model, sequences) for model in (load(name, tmp_path), support.load(name, tmp_path)))
    engine = Engine(load(name, tmp_path), 512)
    assert engine.check.path == ("packed" if name in PACKED else "padded")
    for budget in (24, 300, 4096):
        engine.token_budget = budget
        found = np.concatenate(scores(engine, sequences))
        np.testing.assert_allclose(found, np.concatenate(on_gpu), atol=1e-4)
        np.testing.assert_allclose(found, np.concatenate(on_cpu), atol=2e-4)


def test_cudnn_which_builds_a_plan_for_each_new_shape_is_left_out(tmp_path: Path) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    Engine(load("llama", tmp_path), 512)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma2", "mixtral"])
def test_sharing_on_and_off_agree(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    shared = Engine(load(name, tmp_path, dtype), 512)
    apart = Engine(load(name, tmp_path, dtype), 512, share_prefixes=False)
    assert isinstance(shared.path, PackedPath)
    assert isinstance(apart.path, PaddedPath)
    tolerance = 1e-4 if dtype == torch.float32 else shared.check.tolerance
    one, other = (np.concatenate(scores(engine, sequences)) for engine in (shared, apart))
    for reference in (other, np.concatenate(plain(shared.split.model, sequences))):
        if name == "mixtral" and dtype == torch.bfloat16:
            # rounding sends a token whose experts are nearly equal to another one: a few scores move by more
            assert np.abs(one - reference).mean() < 0.05
        else:
            np.testing.assert_allclose(one, reference, atol=tolerance)
    assert shared.tokens_computed < apart.tokens_computed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma2", "gpt2", "mixtral", "jamba"])
def test_deterministic_scores_have_the_same_bits_in_any_company(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    sequences = few_shot_tree()
    engine = Engine(load(name, tmp_path, dtype), 512, deterministic=True)
    assert engine.check.deterministic in {"fixed sizes", "one at a time"}
    together = scores(engine, sequences)
    some = np.random.default_rng(0).permutation(len(sequences))[:9].tolist()
    others = few_shot_tree(seed=2)
    mixed = scores(engine, [*others, *(sequences[index] for index in some)])[len(others) :]
    assert [one.tobytes() for one in mixed] == [together[index].tobytes() for index in some]
    for index in some[:3]:
        assert scores(engine, [sequences[index]])[0].tobytes() == together[index].tobytes()
    other_budget = Engine(load(name, tmp_path, dtype), 512, deterministic=True, token_budget=64)
    assert scores(other_budget, sequences[::-1])[-1].tobytes() == together[0].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_deterministic_scores_of_long_prompts(dtype: torch.dtype, tmp_path: Path) -> None:
    """Longer than a batch, so that the prefix is carried."""
    examples = random_tokens(4200, 4)
    wholes = [np.concatenate([examples, random_tokens(length, length)]) for length in (9, 70, 300, 31)]
    wholes += [random_tokens(length, length) for length in (500, 520, 40)]
    sequences = [Sequence(whole[:-1], whole[-4:]) for whole in wholes]
    model = load("llama", tmp_path, dtype, max_position_embeddings=8192)
    engine = Engine(model, 8192, deterministic=True)
    together = scores(engine, sequences)
    tolerance = 1e-4 if dtype == torch.float32 else engine.check.tolerance
    np.testing.assert_allclose(np.concatenate(together), np.concatenate(plain(model, sequences)), atol=tolerance)
    for index in (0, 2, 5):
        assert scores(engine, [sequences[index]])[0].tobytes() == together[index].tobytes()


@pytest.mark.parametrize("share_prefixes", [True, False])
def test_running_out_of_memory_halves_the_budget_and_loses_nothing(
    share_prefixes: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # a batch of 8,192 tokens takes some 3 x 8,192 x 8,192 x 4 bytes = 800 MB
    model = load("llama", tmp_path, intermediate_size=8192)
    wholes = [random_tokens(401, seed) for seed in range(40)]
    sequences = [Sequence(whole[:-1], whole[-9:]) for whole in wholes]
    engine = Engine(model, 512, token_budget=8192, share_prefixes=share_prefixes)
    expected = scores(engine, sequences)
    with at_most(250 * 2**20):
        found = scores(engine, sequences)
    assert 32 <= engine.token_budget < 8192
    assert "out of memory: the token budget is now 4096 tokens a batch" in caplog.text
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma2", "gpt2", "mixtral", "bloom", "mamba", "jamba"])
def test_greedy_texts_are_those_of_transformers_generate(name: str, tmp_path: Path) -> None:
    prompts = prompts_of(Decoding(max_new_tokens=24))
    engine = Engine(load(name, tmp_path), 512)
    found = answers(engine, prompts)
    assert engine.generator.check is not None
    assert (engine.generator.check.path == "packed") == (name in PACKED)
    for prompt, texts in zip(prompts, found, strict=True):
        expected, _ = transformers_generate(engine.split.model, prompt.tokens, prompt.end_tokens, prompt.decoding)
        assert texts[0].tokens == expected[0]


def test_bfloat16_texts_have_the_probabilities_that_scoring_gives(tmp_path: Path) -> None:
    engine = Engine(load("llama", tmp_path, torch.bfloat16), 512)
    prompts = prompts_of(Decoding(max_new_tokens=12))
    texts = [one[0] for one in answers(engine, prompts)]
    wholes = [np.array([*one.tokens, *text.tokens], dtype=np.int32) for one, text in zip(prompts, texts, strict=True)]
    sequences = [Sequence(whole[:-1], whole[-len(text.tokens) :]) for whole, text in zip(wholes, texts, strict=True)]
    for text, values in zip(texts, scores(engine, sequences), strict=True):
        assert abs(text.log_probability - values.sum()) < engine.check.tolerance * len(text.tokens)


def test_stop_texts_end_the_answer(tmp_path: Path) -> None:
    engine = Engine(load("llama", tmp_path), 512)
    free = [one[0] for one in answers(engine, prompts_of(Decoding(max_new_tokens=24)))]
    stop = free[0].text[4:7]
    stopped = [one[0] for one in answers(engine, prompts_of(Decoding(max_new_tokens=24, stop=(stop,))))]
    assert stopped[0].finish == "stop"
    assert len(stopped[0].tokens) < len(free[0].tokens)
    assert [one.text for one in stopped] == [one.text.split(stop)[0] for one in free]


def test_samples_are_the_same_whatever_the_batch_and_on_the_cpu(tmp_path: Path) -> None:
    prompts = prompts_of(Decoding(max_new_tokens=16, temperature=0.8, top_p=0.95, top_k=50, samples=2, seed=3))
    engine = Engine(load("llama", tmp_path), 512)
    together = [[text.tokens for text in texts] for texts in answers(engine, prompts)]
    engine.generator.limits = Limits(slots=1, budget=40)
    assert [[text.tokens for text in texts] for texts in answers(engine, prompts)] == together
    on_cpu = answers(Engine(support.load("llama", tmp_path), 512), prompts)
    assert [[text.tokens for text in texts] for texts in on_cpu] == together


def test_deterministic_texts_have_the_same_probabilities_in_any_company(tmp_path: Path) -> None:
    engine = Engine(load("llama", tmp_path, torch.bfloat16), 512, deterministic=True)
    prompts = prompts_of(Decoding(max_new_tokens=16))
    assert answers(engine, prompts[::-1])[::-1] == answers(engine, prompts)


def test_running_out_of_memory_writes_fewer_texts_at_a_time_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # 64 texts of 2,100 tokens hold 64 x 2,176 x 2 x 4 layers x 4 heads x 64 numbers x 4 bytes = 1.1 GB
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "num_key_value_heads": 4, "max_position_embeddings": 4096}
    engine = Engine(load("llama", tmp_path, **sizes, initializer_range=0.05), 4096)
    prompts = [Prompt(random_tokens(2080, seed), Decoding(max_new_tokens=20)) for seed in range(64)]
    expected = answers(engine, prompts)
    slots = engine.generator.limits.slots
    with at_most(500 * 2**20):
        found = answers(engine, prompts)
    assert engine.generator.limits.slots < slots
    assert "out of memory: now" in caplog.text
    same = [one[0].tokens == other[0].tokens for one, other in zip(found, expected, strict=True)]
    assert all(same)


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_layers_on_two_devices_each_computing_where_it_lies(name: str, tmp_path: Path) -> None:
    """The first layers on the CPU and the others on the GPU, as two GPUs would have them."""
    from accelerate import dispatch_model

    sequences = few_shot_tree()
    expected = np.concatenate(plain(support.load(name, tmp_path), sequences))
    model = support.load(name, tmp_path)
    trunk = getattr(model, model.base_model_prefix)
    layers = "h" if name == "gpt2" else "layers"
    places: dict[str, Any] = {f"{model.base_model_prefix}.{child}": "cpu" for child, _ in trunk.named_children()}
    del places[f"{model.base_model_prefix}.{layers}"]
    for number in range(len(getattr(trunk, layers))):
        places[f"{model.base_model_prefix}.{layers}.{number}"] = 0 if number else "cpu"
    tied = model.config.tie_word_embeddings
    spread = dispatch_model(model, places | {"lm_head": "cpu" if tied else 0}, main_device="cpu")
    assert {parameter.device.type for parameter in spread.parameters()} == {"cpu", "cuda"}
    engine = Engine(spread, 512)
    assert engine.check.path == "packed"
    for budget in (24, 4096):  # the smaller carries keys and values of both devices
        engine.token_budget = budget
        np.testing.assert_allclose(np.concatenate(scores(engine, sequences)), expected, atol=2e-4)
