"""The built-in engine with encoder-decoder models: texts in, replies out, against lm-eval's `hf` model and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evalkit
from evalkit.backends.local import LocalBackend, LocalOptions, TokenizedRequests
from evalkit.decoding import Decoding
from evalkit.errors import OverLengthError, UsageError
from evalkit.models import LoadedModel, ModelOptions, load_model
from evalkit.requests import Generate, Generation, Request, Response, Roll, Score
from tests.runner.test_evaluate import quiz
from tests.tiny_models import ENCODER_DECODERS, tiny_model

REQUESTS: list[Request] = [
    Score("The quick brown fox", " jumps"),
    Score("The quick brown fox", " sleeps over"),
    Score("The quick brown fox ", "jumps"),
    Score("", " It rains"),
    Score("Question: What is the capital of France?\nAnswer:", " Paris"),
]
MAX_NEW_TOKENS = 10


def loaded(folder: Path, name: str = "t5", **options: object) -> LoadedModel:
    return load_model(str(tiny_model(name, folder)), ModelOptions(**options))


def answers(backend: LocalBackend, requests: list[Request]) -> list[Any]:
    found = dict(backend.answer(requests))
    return [found[index] for index in range(len(requests))]


def by_hand(model: LoadedModel, context: list[int], start: list[int], targets: list[int]) -> float:
    with torch.inference_mode():
        logits = model.model(
            input_ids=torch.tensor([context]), decoder_input_ids=torch.tensor([[*start, *targets[:-1]]])
        ).logits[0, len(start) - 1 :]
    return float(torch.log_softmax(logits.double(), -1)[range(len(targets)), targets].sum())


def hf(folder: Path, name: str) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(tiny_model(name, folder)), device="cpu", dtype="float32", batch_size=1)


def instances(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, one, index) for index, one in enumerate(arguments)]


@pytest.mark.parametrize(("name", "start"), [("t5", [0]), ("mbart", [1, 410]), ("marian", [2])])
def test_each_request_gets_its_own_answer(name: str, start: list[int], tmp_path_factory) -> None:
    model = loaded(tmp_path_factory.getbasetemp(), name)
    backend = LocalBackend(model)
    encode, end = model.tokenizer.encode, model.tokenizer.eos_token_id
    fox = encode("The quick brown fox")
    assert fox[-1] == end
    found = answers(backend, REQUESTS)
    for index, continuation in ((0, " jumps"), (1, " sleeps over")):
        targets = encode(continuation, add_special_tokens=False)
        assert found[index].log_probability == pytest.approx(by_hand(model, fox, start, targets), abs=1e-4)
        assert found[index].tokens == len(targets)
        assert found[index].context_tokens == len(fox)
    assert found[2] == found[0]  # the space at the end of the context moves to the continuation
    rain = encode(" It rains", add_special_tokens=False)
    alone = by_hand(model, [model.prefix_token], start, rain)
    assert found[3].log_probability == pytest.approx(alone, abs=1e-4)
    assert backend.counters()["tokens_asked"] == sum(backend.prepare(REQUESTS).tokens)


@pytest.mark.parametrize(
    ("name", "compat"), [("t5", False), ("marian", False), ("t5", True), ("mbart", True), ("marian", True)]
)
def test_log_likelihoods_are_those_of_lm_eval(name: str, compat: bool, tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = answers(LocalBackend(loaded(folder, name), LocalOptions(compat_lm_eval=compat)), REQUESTS)
    pairs = [(one.context, one.continuation) for one in REQUESTS if isinstance(one, Score)]
    theirs = hf(folder, name).loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
    for ours, (value, greedy) in zip(found, theirs, strict=True):
        assert (ours.log_probability, ours.greedy) == (pytest.approx(value, abs=1e-4), greedy)


def test_texts_alone_are_refused_but_in_compatibility(tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp()
    model = loaded(folder, "t5", max_length=16)
    text = "Energy is neither created nor destroyed; it only changes its form."
    with pytest.raises(UsageError, match="no likelihood of a text alone"):
        LocalBackend(model).prepare([Roll(text)])
    (found,) = answers(LocalBackend(model, LocalOptions(compat_lm_eval=True)), [Roll(text)])
    assert isinstance(found, Response)
    theirs = hf(folder, "t5")
    theirs._max_length = 16
    (value,) = theirs.loglikelihood_rolling(instances("loglikelihood_rolling", [(text,)]), disable_tqdm=True)
    assert found.log_probability == pytest.approx(float(value), abs=1e-3)


def test_encoder_and_decoder_have_a_context_each(tmp_path_factory) -> None:
    model = loaded(tmp_path_factory.getbasetemp(), "t5", max_length=16)
    backend = LocalBackend(model)
    context, long = "The quick brown fox jumps over the lazy dog. " * 3, " water" * 20
    tokens = len(model.tokenizer.encode(context.rstrip()))
    assert tokens > 16
    (found,) = answers(backend, [Score(context, "It rains")])
    assert (found.context_tokens, found.truncated) == (16, tokens - 16)
    prepared = backend.prepare([Score(context, "It"), Score("It", long), Generate(context, Decoding(max_new_tokens=9))])
    assert prepared.lengths[0] == tokens
    assert prepared.lengths[1] == len(model.tokenizer.encode(long, add_special_tokens=False)) > 16
    assert prepared.lengths[2] == len(model.tokenizer.encode(context))
    with pytest.raises(OverLengthError):
        answers(backend, [Score("It", long)])
    (reply,) = answers(backend, [Generate(context, Decoding(max_new_tokens=16))])
    assert (reply.context_tokens, reply.truncated) == (16, prepared.lengths[2] - 16)
    with pytest.raises(OverLengthError):
        answers(backend, [Generate(context, Decoding(max_new_tokens=17))])


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_texts_are_those_of_lm_eval(name: str, tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp()
    prompts = ["The quick brown fox", "Which gas do plants take in?", "It"]
    decoding = Decoding(max_new_tokens=MAX_NEW_TOKENS, stop=(" the",))
    backend = LocalBackend(loaded(folder, name))
    found = answers(backend, [Generate(prompt, decoding) for prompt in prompts])
    settings = {"until": [" the"], "max_gen_toks": MAX_NEW_TOKENS - 1, "do_sample": False, "num_beams": 1}
    theirs = hf(folder, name)
    # lm-eval's limit counts from the length of the encoder's input: for these one text at a time, by the same number
    for ours, prompt in zip(found, prompts, strict=True):
        assert isinstance(ours, Generation)
        length = len(theirs.tok_encode(prompt))
        own = settings | {"max_gen_toks": MAX_NEW_TOKENS + 1 - length}
        (text,) = theirs.generate_until(instances("generate_until", [(prompt, own)]), disable_tqdm=True)
        # its text begins with the start token, which is no special token in this tokenizer
        start = theirs.tok_decode([theirs.model.generation_config.decoder_start_token_id])
        assert ours.completions[0].text == text.removeprefix(start)
    assert backend.settings()["self_check"]["generation"]["path"] == "encoder-decoder"


@pytest.mark.parametrize("name", ["mamba", "bloom"])
def test_a_model_that_cannot_be_packed_generates_all_the_same(name: str, tmp_path_factory) -> None:
    model = loaded(tmp_path_factory.getbasetemp(), name)
    backend = LocalBackend(model)
    (found,) = answers(backend, [Generate("The quick brown fox", Decoding(max_new_tokens=MAX_NEW_TOKENS))])
    inputs = model.tokenizer("The quick brown fox", return_tensors="pt")
    output = model.model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
    expected = model.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert found.completions[0].text == expected.split("<eos>")[0]
    assert backend.settings()["self_check"]["generation"]["path"] == "cached"


class Remembers(LocalBackend):
    """Keeps what it was asked."""

    def prepare(self, requests: Sequence[Request]) -> TokenizedRequests:
        self.requests = list(requests)
        return super().prepare(requests)


def test_a_run_of_multiple_choice(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    backend = Remembers(model)
    run = evalkit.run(model=backend, tasks=[quiz(tmp_path)])
    result = run.tasks["quiz"]
    assert (result.n, result.outcomes.keys()) == (20, {"right", "wrong"})
    assert run.model.extra["architecture"] == "T5ForConditionalGeneration"
    encode = model.tokenizer.encode
    values = [
        by_hand(model, encode(one.context), [0], encode(one.continuation, add_special_tokens=False))
        for one in backend.requests
        if isinstance(one, Score)
    ]
    picked = [int(np.argmax(values[3 * index : 3 * index + 3])) for index in range(20)]
    assert [sample.fields["picked"] for sample in result.samples] == picked
