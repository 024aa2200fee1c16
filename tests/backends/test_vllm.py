"""`vllm:MODEL` without vLLM: what is asked of it, and what becomes of its outputs. A real run is `benchmarks.endpoints`."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import evalkit
from evalkit.backends.continuation import Continuation
from evalkit.backends.local import LocalBackend
from evalkit.backends.vllm import VllmBackend, _engine_options, open_vllm
from evalkit.backends.vllm_requests import completion, generation_parameters
from evalkit.decoding import Decoding
from evalkit.errors import ModelError, OverLengthError, UsageError
from evalkit.models import ModelOptions, load_model, resolve
from evalkit.requests import Generate, Generation, Request, Response, Roll, Score
from tests.tiny_models import tiny_model

REQUESTS: list[Request] = [
    Score("The quick brown fox", " jumps"),
    Score("The quick brown fox", " s"),
    Roll("She poured the water into the kettle. " * 8),
    Score("The quick brown fox", " sleeps over it"),
    Roll(""),
    Score("The quick brown fox", " t"),
]


class Parameters(SimpleNamespace):
    """Stands for `vllm.SamplingParams`."""


class ToyVllm:
    """Stands for `vllm.LLM`: computes with transformers what vLLM would hand over."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.stopped: list[bool] = []
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=lambda: self.stopped.append(True)))
        self.loaded = load_model(arguments["model"], ModelOptions(dtype="float32", device="cpu"))
        self.prompts: list[list[int]] = []

    def generate(self, prompts: list[Any], parameters: list[Any], use_tqdm: bool) -> list[Any]:
        self.prompts += [prompt["prompt_token_ids"] for prompt in prompts]
        return [self._output(prompt["prompt_token_ids"], own) for prompt, own in zip(prompts, parameters, strict=True)]

    def _output(self, tokens: list[int], parameters: Any) -> Any:
        with torch.inference_mode():
            table = torch.log_softmax(self.loaded.model(torch.tensor([tokens])).logits[0].double(), -1)
        best = int(table[-1].argmax())
        asked = getattr(parameters, "logprob_token_ids", None) or []
        next_token = {token: SimpleNamespace(logprob=float(table[-1, token])) for token in asked}
        rows: list[Any] = [None]
        for place, token in enumerate(tokens[1:]):
            rank = int((table[place] > table[place, token]).sum()) + 1
            rows.append({token: SimpleNamespace(logprob=float(table[place, token]), rank=rank)})
        written = [best, *self.loaded.tokenizer.encode("END more", add_special_tokens=False)]
        outputs = [
            SimpleNamespace(text=None, token_ids=written, logprobs=[next_token], finish_reason="length")
            for _ in range(getattr(parameters, "n", 1))
        ]
        return SimpleNamespace(prompt_token_ids=tokens, num_cached_tokens=1, prompt_logprobs=rows, outputs=outputs)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("vllm")
    module.LLM = ToyVllm  # type: ignore[attr-defined]
    module.SamplingParams = Parameters  # type: ignore[attr-defined]
    module.TokensPrompt = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    return str(tiny_model("llama", tmp_path))


def opened(directory: str, engine_options: dict[str, Any] | None = None, **options: Any) -> VllmBackend:
    return VllmBackend(
        f"vllm:{directory}", resolve(directory), ModelOptions(device="cpu", **options), engine_options or {}
    )


def test_scores_are_those_of_the_built_in_engine(directory: str) -> None:
    backend = opened(directory, max_length=40)
    reference = dict(LocalBackend(load_model(directory, ModelOptions(max_length=40))).answer(REQUESTS))
    prepared = backend.prepare(REQUESTS)
    found = dict(answer for answers in backend.compute(prepared) for answer in answers)
    assert sorted(found) == list(range(len(REQUESTS)))
    for index, response in found.items():
        assert isinstance(response, Response)
        assert response.log_probability == pytest.approx(reference[index].log_probability, abs=1e-4)
        assert response.token_log_probabilities == pytest.approx(reference[index].token_log_probabilities, abs=1e-4)
        assert (response.greedy, response.context_tokens) == (reference[index].greedy, reference[index].context_tokens)
    # the two one-token answers to one prompt are one request
    assert [response.tokens for index, response in sorted(reference.items()) if index in (1, 5)] == [1, 1]
    assert len(backend.llm.prompts) == len({tuple(prompt) for prompt in backend.llm.prompts})
    assert all(len(prompt) <= 41 for prompt in backend.llm.prompts)
    some = dict(answer for answers in backend.compute(prepared, {0, 2}) for answer in answers)
    assert sorted(some) == [1, 3, 4, 5]


def test_texts_are_cut_at_stop_texts_and_prompts_on_the_left(directory: str) -> None:
    backend = opened(directory, max_length=24)
    decoding = Decoding(max_new_tokens=16, temperature=0.5, samples=2, stop=("END",))
    requests: list[Request] = [Generate("water " * 30, decoding), Generate("water", Decoding(max_new_tokens=23))]
    found = dict(answer for answers in backend.compute(backend.prepare(requests)) for answer in answers)
    long, short = found[0], found[1]
    assert isinstance(long, Generation)
    assert isinstance(short, Generation)
    tokens = backend.llm.loaded.tokenizer.encode("water " * 30)
    assert backend.llm.prompts[0] == tokens[-8:]
    assert (long.context_tokens, long.truncated) == (8, len(tokens) - 8)
    assert [one.finish for one in long.completions] == ["stop", "stop"]
    assert not any("END" in one.text for one in long.completions)
    assert [one.finish for one in short.completions] == ["length"]
    assert backend.counters()["completion_tokens"] == sum(one.tokens for one in (*long.completions, *short.completions))
    too_many: list[Request] = [Generate("water", Decoding(max_new_tokens=24))]
    with pytest.raises(OverLengthError, match="leave no room"):
        list(backend.compute(backend.prepare(too_many)))


def test_texts_end_as_those_of_the_built_in_engine(directory: str) -> None:
    backend = opened(directory)
    special = {"additional_special_tokens": ["<|im_end|>", "<|turn|>", "[THINK]", "[/THINK]"]}
    backend._tokenizer.add_special_tokens(special)
    continuation = Continuation(backend._tokenizer)
    ids = backend._tokenizer.convert_tokens_to_ids
    turns = ({"role": "user", "content": "Energy"},)
    decoding = Decoding(stop=("\n", "<|turn|>"), temperature=1.0, seed=3)
    plain, chat = Generate("Energy", decoding), Generate("Energy", decoding, messages=turns)
    first, second = (generation_parameters(request, continuation) for request in (plain, chat))
    assert first.stop_token_ids == sorted([1, ids("<|turn|>")])
    assert second.stop_token_ids == sorted([1, ids("<|turn|>"), ids("<|im_end|>")])
    assert first.stop == ["\n", "<|turn|>", backend._tokenizer.eos_token]
    # documents do not share their draws, nor do neighbouring seeds
    other = generation_parameters(Generate("Energies", decoding), continuation)
    assert len({first.seed, other.seed, generation_parameters(Generate("Energy", Decoding()), continuation).seed}) == 3
    assert first.seed == generation_parameters(plain, continuation).seed
    # a model that thinks is not told where to stop, unless plain text leaves it no thought
    tagged = replace(decoding, thinking=("[THINK]", "[/THINK]"))
    for request, told in (
        (Generate("Energy", tagged, messages=turns, thinks=True), False),
        (Generate("Energy", tagged, thinks=True), True),
        (Generate("Energy [THINK]", tagged), False),
    ):
        assert (generation_parameters(request, continuation).stop is not None) is told
    # tags that are special tokens stay, others go, and the end token spelt out ends the text
    thinking = Generate("2+2=", Decoding(stop=("\n",), thinking=("[THINK]", "[/THINK]")))
    written = backend._tokenizer.encode("[THINK]a\nb[/THINK]\n4<|turn|>\n", add_special_tokens=False)
    output = SimpleNamespace(token_ids=written, finish_reason="stop")
    assert completion(output, thinking, continuation).text == "[THINK]a\nb[/THINK]\n4"


def test_the_model_is_loaded_as_evalkit_loads_models(directory: str) -> None:
    backend = opened(directory, {"tensor_parallel_size": 2, "seed": 3})
    arguments = backend.llm.arguments
    assert arguments["model"] == arguments["tokenizer"] == directory
    assert (arguments["tensor_parallel_size"], arguments["seed"], arguments["dtype"]) == (2, 3, "float32")
    assert (arguments["load_format"], arguments["trust_remote_code"]) == ("safetensors", False)
    assert arguments["max_model_len"] == 512 == backend.max_length + 2
    assert backend.info.weights_sha256 == load_model(directory).info.weights_sha256
    assert backend.settings()["engine_options"] == {"tensor_parallel_size": 2, "seed": 3}


def test_its_processes_stop_with_the_backend(directory: str) -> None:
    backend = opened(directory)
    stopped = backend.llm.stopped
    assert not stopped
    del backend
    gc.collect()
    assert stopped == [True]


def test_engine_options_stand_after_the_question_mark() -> None:
    assert _engine_options("") == {}
    assert _engine_options("tensor_parallel_size=2&enforce_eager=true&gpu_memory_utilization=0.8") == {
        "tensor_parallel_size": 2,
        "enforce_eager": True,
        "gpu_memory_utilization": 0.8,
    }
    for bad in ("dtype=float16", "trust_remote_code=true", "eager", "=1"):
        with pytest.raises(UsageError):
            _engine_options(bad)


def test_tensor_parallel_is_recorded_only_where_it_is_asked_for(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.backends.vllm.find_spec", lambda name: object())
    model = f"vllm:{directory}"
    options = {"device": "cpu", "dtype": "float32"}
    two = evalkit.Evaluation(model=model, tasks="", tensor_parallel=2, **options).backend()
    one = evalkit.Evaluation(model=model, tasks="", tensor_parallel=1, **options).backend()
    assert isinstance(two, VllmBackend)
    assert isinstance(one, VllmBackend)
    assert two.settings()["engine_options"] == {"tensor_parallel_size": 2}
    assert two.llm.arguments["tensor_parallel_size"] == 2
    assert one.settings()["engine_options"] == {}
    assert "tensor_parallel_size" not in one.llm.arguments
    with pytest.raises(UsageError, match="twice"):
        open_vllm(f"{model}?tensor_parallel_size=4", ModelOptions(), tensor_parallel=2)


def test_what_vllm_cannot_have_is_one_sentence(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.backends.vllm.find_spec", lambda name: object())
    with pytest.raises(ModelError, match="neither"):
        open_vllm("vllm:smollm2", ModelOptions())
    with pytest.raises(ModelError, match="beam search"):
        opened(directory).prepare([Generate("x", Decoding(beams=2))])
    monkeypatch.setattr("evalkit.backends.vllm.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the package vllm") as error:
        evalkit.run(model=f"vllm:{directory}", tasks="arc_easy", offline=True, limit="first:1", data_dir=directory)
    assert "evalkit[vllm]" in str(error.value.hint)
    with pytest.raises(UsageError, match="names no model"):
        open_vllm("vllm:", ModelOptions())


def test_a_response_is_the_sum_of_its_windows() -> None:
    from evalkit.backends.vllm_requests import response
    from evalkit.engine.sequences import Sequence

    first = Sequence(np.arange(4, dtype=np.int32), np.arange(2, dtype=np.int32), 3)
    found = response([first, first], [(np.array([-1.0, -2.0]), True), (np.array([-3.0, -4.0]), False)])
    assert (found.log_probability, found.greedy, found.context_tokens, found.truncated) == (-10.0, False, 3, 3)
