"""The built-in engine as a backend: texts in, responses out."""

from __future__ import annotations

import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import evalkit
from evalkit.backends.local import LocalBackend, LocalOptions, NonFiniteRequestError
from evalkit.errors import ModelError, OverLengthError
from evalkit.models import LoadedModel, ModelOptions, OpenedModel, load_model, open_model
from evalkit.requests import Request, Response, Roll, Score
from tests.runner.test_evaluate import quiz
from tests.tiny_models import tiny_model

REQUESTS: list[Request] = [
    Score("The quick brown fox", " jumps"),
    Score("The quick brown fox", " sleeps over"),
    Score("", " It rains"),
    Roll("She poured the water into the kettle. " * 12),
    Score("The quick brown fox ", "jumps"),
    Roll("Energy"),
]


def loaded(folder: Path, name: str = "llama", *, add_bos: bool = False, **options: object) -> LoadedModel:
    return load_model(str(tiny_model(name, folder, add_bos=add_bos)), ModelOptions(**options))


def answers(backend: LocalBackend, requests: list[Request]) -> list[Response]:
    found = dict(backend.answer(requests))
    return [found[index] for index in range(len(requests))]


def by_hand(model: LoadedModel, tokens: list[int], scored: int) -> float:
    """Log-probability of the last `scored` tokens, by one plain forward pass."""
    with torch.inference_mode():
        logits = model.model(torch.tensor([tokens[:-1]])).logits[0].double()
    values = torch.log_softmax(logits, -1)[range(len(tokens) - 1), tokens[1:]]
    return float(values[-scored:].sum())


def test_each_request_gets_its_own_answer(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    backend = LocalBackend(model)
    encode = model.tokenizer.encode
    fox, bos = encode("The quick brown fox"), model.prefix_token
    found = answers(backend, REQUESTS)
    for index, continuation in ((0, " jumps"), (1, " sleeps over")):
        whole = encode("The quick brown fox" + continuation)
        assert found[index].log_probability == pytest.approx(by_hand(model, whole, len(whole) - len(fox)), abs=1e-4)
        assert found[index].context_tokens == len(fox)
        assert found[index].tokens == len(whole) - len(fox)
        assert sum(found[index].token_log_probabilities) == pytest.approx(found[index].log_probability)
    rain = encode(" It rains")
    assert found[2].log_probability == pytest.approx(by_hand(model, [bos, *rain], len(rain)), abs=1e-4)
    text = encode("She poured the water into the kettle. " * 12)
    assert found[3].log_probability == pytest.approx(by_hand(model, [bos, *text], len(text)), abs=1e-3)
    assert found[3].tokens == len(text)
    assert found[4] == found[0]  # the space at the end of the context moves to the continuation


def test_a_text_of_many_windows_is_the_sum_of_its_windows(tmp_path: Path) -> None:
    model = loaded(tmp_path, max_length=16)
    backend = LocalBackend(model)
    text = REQUESTS[3]
    assert isinstance(text, Roll)
    tokens = [model.prefix_token, *model.tokenizer.encode(text.text)]
    expected, end = 0.0, 1
    while end < len(tokens):
        count = min(16, len(tokens) - end)
        end += count
        expected += by_hand(model, tokens[max(0, end - 17) : end], count)
    (response,) = answers(backend, [text])
    assert response.tokens == len(tokens) - 1
    assert response.log_probability == pytest.approx(expected, abs=1e-3)


def test_a_stride_gives_each_token_more_context(tmp_path: Path) -> None:
    model = loaded(tmp_path, max_length=16)
    text = REQUESTS[3]
    apart, sliding = (answers(LocalBackend(model, LocalOptions(stride=stride)), [text])[0] for stride in (None, 4))
    assert sliding.tokens == apart.tokens
    assert sliding.log_probability != pytest.approx(apart.log_probability, abs=0.01)
    assert sliding.token_log_probabilities[:16] == pytest.approx(apart.token_log_probabilities[:16], abs=1e-4)


def test_a_second_beginning_of_sequence_is_scored_only_in_compatibility(tmp_path: Path) -> None:
    model = loaded(tmp_path, add_bos=True)
    text = Roll("The quick brown fox jumps over the lazy dog.")
    bos = model.prefix_token
    tokens = model.tokenizer.encode(text.text, add_special_tokens=False)
    right, lm_eval = (
        answers(LocalBackend(model, LocalOptions(compat_lm_eval=compat)), [text])[0] for compat in (False, True)
    )
    assert right.log_probability == pytest.approx(by_hand(model, [bos, *tokens], len(tokens)), abs=1e-4)
    assert lm_eval.log_probability == pytest.approx(by_hand(model, [bos, bos, *tokens], len(tokens) + 1), abs=1e-4)


def test_compatibility_in_bfloat16_rounds_as_lm_eval_does(tmp_path: Path) -> None:
    model = loaded(tmp_path, dtype="bfloat16")
    request = Score("The quick brown fox", " jumps over the lazy dog")
    right, lm_eval = (
        answers(LocalBackend(model, LocalOptions(compat_lm_eval=compat)), [request])[0] for compat in (False, True)
    )
    rounded = torch.tensor(lm_eval.token_log_probabilities).to(torch.bfloat16)
    assert rounded.float().tolist() == list(lm_eval.token_log_probabilities)
    assert lm_eval.log_probability == float(rounded.sum())
    assert not all(value == float(torch.tensor(value).to(torch.bfloat16)) for value in right.token_log_probabilities)


def test_a_context_that_is_too_long_is_cut_and_counted(tmp_path: Path) -> None:
    model = loaded(tmp_path, max_length=8)
    backend = LocalBackend(model)
    request = Score("one two three four five six seven eight nine ten", " eleven")
    prepared = backend.prepare([request])
    assert prepared.lengths[0] > 8
    (response,) = answers(backend, [request])
    whole = model.tokenizer.encode(request.context + request.continuation)
    assert response.truncated == len(whole) - 9
    assert response.log_probability == pytest.approx(by_hand(model, whole[-9:], response.tokens), abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "mamba"])
def test_requests_already_done_are_not_answered_again_and_bits_stay(tmp_path: Path, name: str) -> None:
    model = loaded(tmp_path, name, max_length=64)
    backend = LocalBackend(model, LocalOptions(token_budget=24))
    prepared = backend.prepare(REQUESTS)
    whole = dict(answer for batch in backend.compute(prepared) for answer in batch)
    assert set(whole) == set(range(len(REQUESTS)))
    for done in ({0, 1}, {3}, set(whole)):
        rest = dict(answer for batch in backend.compute(prepared, done) for answer in batch)
        assert set(rest) == set(whole) - done
        assert all(rest[index] == whole[index] for index in rest)


def test_the_answer_does_not_depend_on_order_or_batch(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    expected = answers(LocalBackend(model), REQUESTS)
    order = np.random.default_rng(0).permutation(len(REQUESTS))
    shuffled = answers(LocalBackend(model, LocalOptions(token_budget=16)), [REQUESTS[index] for index in order])
    for place, index in enumerate(order):
        assert shuffled[place].log_probability == pytest.approx(expected[index].log_probability, abs=1e-3)
        assert shuffled[place].greedy == expected[index].greedy


def test_not_a_number_names_the_request(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    backend = LocalBackend(model)
    token = model.tokenizer.encode(" kettle")[-1]
    with torch.no_grad():
        model.model.get_input_embeddings().weight[token] = math.nan
    # input and output embeddings are one matrix here, so the first request that is scored shows it
    with pytest.raises(NonFiniteRequestError) as caught:
        answers(backend, [Score("The kettle", " is hot")])
    assert caught.value.request == 0


def test_prompts_are_tokenised_while_the_weights_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_model(str(tiny_model("llama", tmp_path)))
    expected = answers(LocalBackend(opened.load()), REQUESTS)
    tokenised = threading.Event()
    load = OpenedModel.load

    def late(model: OpenedModel) -> LoadedModel:
        assert tokenised.wait(30)
        return load(model)

    monkeypatch.setattr(OpenedModel, "load", late)
    backend = LocalBackend(opened)
    prepared = backend.prepare(REQUESTS)
    assert backend.max_length == 512
    tokenised.set()
    found = dict(answer for batch in backend.compute(prepared) for answer in batch)
    assert [found[index] for index in range(len(REQUESTS))] == expected
    assert backend.info == backend.loaded.info == load_model(opened.load().info.name).info


def test_weights_that_cannot_be_loaded_are_reported_where_they_are_needed(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model("llama", tmp_path), tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    save_file({name: weights[name] for name in weights if "mlp" not in name}, folder / "model.safetensors")
    backend = LocalBackend(open_model(str(folder)))
    prepared = backend.prepare(REQUESTS)
    for needed in (backend.settings, lambda: backend.info, lambda: next(backend.compute(prepared))):
        with pytest.raises(ModelError, match="lacks weights for"):
            needed()


def test_choices_of_one_token_share_their_context(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path))
    context = "Question: What is the capital of France?\nAnswer:"
    sequences = backend.prepare([Score(context, f" {answer}") for answer in ("the", "a", "is", "from")]).sequences
    assert [len(sequence.targets) for sequence in sequences] == [1, 1, 1, 1]
    assert all(sequence.inputs is sequences[0].inputs for sequence in sequences)


def test_what_the_result_says_of_the_engine(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path), LocalOptions(token_budget=64))
    assert backend.settings()["batch_tokens"] == 64
    assert backend.settings()["self_check"]["path"] == "packed"
    assert backend.device == "cpu"
    answers(backend, REQUESTS)
    counters = backend.counters()
    assert 0 < counters["tokens_computed"] < counters["tokens_asked"]


def test_an_answer_longer_than_the_context_is_settled_by_the_policy(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path, max_length=16))
    requests: list[Request] = [Score("Question:", " yes"), Score("Question:", " yes" * 40)]
    prepared = backend.prepare(requests)
    assert prepared.lengths[1] > 16
    with pytest.raises(OverLengthError, match="longer than the model's context"):
        list(backend.compute(prepared))
    rows: list[dict[str, object]] = [
        {"question": "Is it?", "choices": ["yes", "no"], "answer": 0},
        {"question": "And?", "choices": ["yes" * 60, "no"], "answer": 0},
    ]
    run = evalkit.run(model=backend, tasks=[quiz(tmp_path, rows)], over_length="skip")
    assert run.tasks["quiz"].n == 1


def test_a_text_without_tokens_has_an_answer(tmp_path: Path) -> None:
    empty, energy = answers(LocalBackend(loaded(tmp_path)), [Roll(""), Roll("Energy")])
    assert (empty.log_probability, empty.tokens) == (0.0, 0)
    assert energy.tokens > 0


def test_deterministic_results_do_not_follow_the_token_budget(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    found = []
    for budget in (64, 512):
        backend = LocalBackend(model, LocalOptions(token_budget=budget, deterministic=True))
        backend.budget = budget
        found.append(answers(backend, REQUESTS))
    assert found[0] == found[1]
