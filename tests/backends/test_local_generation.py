"""The built-in engine as a backend: prompts in, texts out, as lm-eval's `hf` model gives them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import evalkit
from evalkit import DataSource, Task
from evalkit.backends.local import LocalBackend, LocalOptions, NonFiniteRequestError
from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.engine.generation.stopping import Stopping
from evalkit.errors import OverLengthError
from evalkit.models import LoadedModel, ModelOptions, load_model
from evalkit.requests import Generate, Generation, Reply, Request, Score
from tests.tiny_models import CHAT_TEMPLATE, SENTENCES, tiny_model

SHOTS = " ".join(SENTENCES[:2])
PROMPTS = [f"{SHOTS} {text}" for text in ("The fox", "A stitch in", "Which gas", "The fox")] + ["Energy", "In 1969"]
STOPS = ("th", " a", "\n")


def loaded(folder: Path, name: str = "llama", *, add_bos: bool = False, **options: Any) -> LoadedModel:
    return load_model(str(tiny_model(name, folder, add_bos=add_bos)), ModelOptions(**options))


def replies(backend: LocalBackend, requests: list[Request]) -> list[Generation]:
    found = dict(backend.answer(requests))
    generations = [found[index] for index in range(len(requests))]
    assert all(isinstance(one, Generation) for one in generations)
    return generations  # type: ignore[return-value]


def lm_eval_texts(model: LoadedModel, prompts: list[str], stops: tuple[str, ...], tokens: int, size: int) -> list[str]:
    """lm-eval's own, on the same weights."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    judge = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=size, max_length=model.max_length)
    settings = {"until": list(stops), "do_sample": False, "max_gen_toks": tokens}
    requests = [Instance("generate_until", {}, (prompt, dict(settings)), 0) for prompt in prompts]
    texts: list[str] = judge.generate_until(requests, disable_tqdm=True)
    return texts


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "add_bos"), [("llama", False), ("gemma3", True)])
def test_texts_are_those_of_lm_eval(name: str, add_bos: bool, tmp_path: Path) -> None:
    model = loaded(tmp_path, name, add_bos=add_bos)
    prompts = [*PROMPTS, "<bos>" + PROMPTS[0]]
    backend = LocalBackend(model)
    for stops in ((), STOPS):
        decoding = Decoding(max_new_tokens=24, stop=stops)
        ours = [one.completions[0].text for one in replies(backend, [Generate(one, decoding) for one in prompts])]
        assert ours == lm_eval_texts(model, prompts, stops, 24, 1)
        assert not any(stop in text for stop in stops for text in ours)


@pytest.mark.filterwarnings("ignore")
def test_a_long_prompt_is_cut_on_the_left_as_lm_eval_cuts_it(tmp_path: Path) -> None:
    model = loaded(tmp_path, max_length=40)
    backend = LocalBackend(model)
    request = Generate(PROMPTS[0], Decoding(max_new_tokens=12))
    (length,) = backend.prepare([request]).lengths
    tokens = len(model.tokenizer.encode(PROMPTS[0]))
    assert length == tokens + 12 > 40
    (reply,) = replies(backend, [request])
    assert (reply.context_tokens, reply.truncated) == (28, tokens - 28)
    assert [reply.completions[0].text] == lm_eval_texts(model, [PROMPTS[0]], (), 12, 1)
    with pytest.raises(OverLengthError, match="no room for a prompt"):
        replies(backend, [Generate("Energy", Decoding(max_new_tokens=40))])


def test_no_room_for_an_answer_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path, max_length=40))
    requests: list[Request] = [Score("The fox", " jumps"), Generate("Energy", Decoding(max_new_tokens=40))]
    with pytest.raises(OverLengthError, match="no room for a prompt"):
        next(backend.compute(backend.prepare(requests)))
    assert backend.counters()["tokens_computed"] == 0


def test_end_tokens(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    backend = LocalBackend(model)
    (free,) = replies(backend, [Generate(PROMPTS[0], Decoding(max_new_tokens=9))])
    ids = free.completions[0].token_ids
    assert (len(ids), free.completions[0].finish, free.completions[0].tokens) == (9, "length", 9)
    model.model.generation_config.eos_token_id = [1, ids[4]]
    (ended,) = replies(backend, [Generate(PROMPTS[0], Decoding(max_new_tokens=9))])
    first = ids.index(ids[4])
    assert ended.completions[0].token_ids == ids[: first + 1]
    assert ended.completions[0].finish == "stop"


def test_chat_prompts_end_with_the_turn(tmp_path: Path) -> None:
    folder = tiny_model("llama", tmp_path, chat_template=CHAT_TEMPLATE)
    model = load_model(str(folder))
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    end = model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    backend = LocalBackend(model)
    decoding = Decoding(max_new_tokens=5)
    plain = Generate("Energy", decoding)
    chat = Generate("Energy", decoding, messages=({"role": "user", "content": "Energy"},))
    stopping = Generate("Energy", decoding.changed({"stop": ("<|im_end|>",)}))
    requests: list[Request] = [plain, chat, stopping]
    prompts = backend._prompts(backend.prepare(requests))
    assert [end in prompts[index].end_tokens for index in range(3)] == [False, True, True]


def test_tags_that_are_special_tokens_stay_in_the_text(tmp_path: Path) -> None:
    """Magistral's tags are: dropped with the other special tokens, a thought would be scored as an answer."""
    model = loaded(tmp_path)
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]", "<|tool|>"]})
    backend = LocalBackend(model)
    text = "[THINK]2 and\n 2<|tool|>[/THINK]\n\n4"
    tokens = model.tokenizer.encode(text + "\nNext", add_special_tokens=False)
    thinking = Decoding(stop=("\n",), thinking=("[THINK]", "[/THINK]"))
    requests: list[Request] = [Generate("2+2=", thinking), Generate("2+2=", replace(thinking, thinking=None))]
    prompts = backend._prompts(backend.prepare(requests))
    tagged, plain = (Stopping.of(prompts[index], backend.generation.decode) for index in range(2))
    assert tagged.text(tokens) == text.replace("<|tool|>", "")
    assert [tagged.finish(tokens[:count]) for count in range(1, len(tokens) + 1)].index("stop") < len(tokens)
    assert plain.text(tokens) == "2 and"


def test_several_samples_are_one_reply(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path))
    drawing = Decoding(max_new_tokens=8, temperature=1.0, samples=4, seed=1)
    requests: list[Request] = [Generate(prompt, drawing) for prompt in PROMPTS]
    found = replies(backend, requests)
    assert all(len(one.completions) == 4 for one in found)
    # the same prompt, the same draws
    assert [one.token_ids for one in found[0].completions] == [one.token_ids for one in found[3].completions]
    alone = replies(LocalBackend(backend.loaded), requests[:1])
    assert [one.token_ids for one in alone[0].completions] == [one.token_ids for one in found[0].completions]
    (beams,) = replies(backend, [Generate(PROMPTS[0], Decoding(max_new_tokens=6, beams=3))])
    scores = [one.score for one in beams.completions]
    assert len(scores) == 3
    assert scores == sorted(scores, key=lambda score: -(score or 0.0))


def test_what_is_done_is_not_generated_again(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path))
    decoding = Decoding(max_new_tokens=6)
    requests: list[Request] = [*(Generate(prompt, decoding) for prompt in PROMPTS), Score("The fox", " jumps")]
    prepared = backend.prepare(requests)
    assert backend.settings()["self_check"].get("generation") is None  # nothing has been generated
    whole = dict(one for batch in backend.compute(prepared) for one in batch)
    assert set(whole) == set(range(len(requests)))
    assert backend.settings()["self_check"]["generation"]["path"] == "packed"
    counted = backend.counters()
    assert counted["tokens_generated"] == 6 * len(PROMPTS)
    assert counted["tokens_asked"] == sum(prepared.tokens)
    rest = dict(one for batch in backend.compute(prepared, {0, 3, 6}) for one in batch)
    assert rest == {index: whole[index] for index in (1, 2, 4, 5)}  # to the bit: the round is written again as it was
    assert not list(backend.compute(prepared, set(whole)))
    counted = backend.counters()
    some = dict(one for batch in backend.compute(prepared, (), {0, 3, 4, 5, 6}) for one in batch)
    assert set(some) == {1, 2}
    assert backend.counters()["tokens_generated"] == counted["tokens_generated"] + 2 * 6


def test_a_run_cut_anywhere_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.engine.generation.generator.CPU_SLOTS", 2)
    monkeypatch.setattr("evalkit.engine.generation.generator.ROUND", 2)
    texts = [f"{prompt} {number}" for number in range(3) for prompt in PROMPTS]
    requests: list[Request] = [
        Generate(text, Decoding(max_new_tokens=3 + place % 5)) for place, text in enumerate(texts)
    ]
    whole = replies(LocalBackend(loaded(tmp_path)), requests)
    for cut in range(0, len(requests), 3):
        backend = LocalBackend(loaded(tmp_path))
        prepared = backend.prepare(requests)
        known: dict[int, Reply] = {}
        for batch in backend.compute(prepared):
            known.update(batch)
            if len(known) >= cut:
                break
        again = LocalBackend(loaded(tmp_path))
        rest = dict(one for batch in again.compute(again.prepare(requests), set(known)) for one in batch)
        assert not rest.keys() & known.keys()
        assert [{**known, **rest}[index] for index in range(len(requests))] == whole
        if cut > 8:  # at least a round of four was not written again
            assert again.counters()["tokens_generated"] < sum(len(one.completions[0].token_ids) for one in whole)


def test_deterministic_texts_are_the_same_bits_alone_and_together(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path), LocalOptions(deterministic=True))
    requests: list[Request] = [Generate(prompt, Decoding(max_new_tokens=6)) for prompt in PROMPTS]
    together = replies(backend, requests)
    for index in (0, 2, 4):
        (alone,) = replies(LocalBackend(backend.loaded, LocalOptions(deterministic=True)), [requests[index]])
        assert alone == together[index]
    assert backend.settings()["self_check"]["generation"]["deterministic"] == "one at a time"


def test_logits_that_are_not_finite_name_the_request(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    backend = LocalBackend(model)
    token = model.tokenizer.encode("Energy")[-1]
    with torch.no_grad():
        model.model.get_input_embeddings().weight[token] = torch.nan
    requests: list[Request] = [Score("A", " b"), Generate("A stitch", Decoding()), Generate("Energy", Decoding())]
    with pytest.raises(NonFiniteRequestError) as caught:
        dict(backend.answer(requests))
    assert (caught.value.request, caught.value.token) == (2, 0)


def test_the_cost_of_generating_is_forecast(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path))
    decoding = Decoding(max_new_tokens=6)
    requests: list[Request] = [Generate(prompt, decoding) for prompt in PROMPTS]
    prepared = backend.prepare(requests)
    cost = backend.cost(prepared, 0.05)
    assert cost.tokens_asked == sum(prepared.tokens)
    dict(one for batch in backend.compute(prepared) for one in batch)
    # each text's last token is never computed, and few tokens that prompts share are not worth sharing
    assert abs(cost.tokens_computed - backend.counters()["tokens_computed"]) < 0.1 * cost.tokens_computed
    assert cost.tokens_per_second > 0
    assert cost.seconds > 0
    both = backend.cost(backend.prepare([*requests, Score("The fox", " jumps")]), 0.05)
    assert both.tokens_computed > cost.tokens_computed


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_forecast_shares_prompts_only_where_generating_does(deterministic: bool, tmp_path: Path) -> None:
    name = "llama" if deterministic else "t5"
    backend = LocalBackend(loaded(tmp_path, name), LocalOptions(deterministic=deterministic))
    decoding = Decoding(max_new_tokens=2, temperature=1.0, samples=2)
    prompts = [f"{SHOTS} {text}" for text in ("The fox", "A stitch in", "Which gas")]
    prepared = backend.prepare([Generate(prompt, decoding) for prompt in prompts])
    forecast = backend.engine.generator.forecast(list(backend._prompts(prepared).values()))
    assert backend.engine.generator.path.joins is deterministic
    assert forecast.prompt_tokens == 2 * sum(prepared.tokens)
    dict(one for batch in backend.compute(prepared) for one in batch)
    counts = backend.engine.generator.counts
    assert forecast.prompt_tokens <= counts.computed <= forecast.prompt_tokens + 12


def test_a_task_is_evaluated_by_generating(tmp_path: Path) -> None:
    backend = LocalBackend(loaded(tmp_path))
    decoding = Decoding(max_new_tokens=5)
    asked = ["The fox", "A stitch", "Energy"]
    rows = []
    for question, reply in zip(asked, replies(backend, [Generate(one, decoding) for one in asked]), strict=True):
        rows.append({"question": question, "answer": reply.completions[0].text})
    rows[1]["answer"] = "something else"
    (tmp_path / "echo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    echo = Task(
        name="echo",
        data=DataSource(files={"test": "echo.jsonl"}, base=str(tmp_path)),
        document=lambda row: OpenQuestion(row["question"], row["answer"]),
        metrics=("exact_match",),
        decoding=decoding,
    )
    result = evalkit.run(model=backend, tasks=[echo])
    found = next(iter(result.tasks.values()))
    assert found.metrics["exact_match"].value == pytest.approx(2 / 3)
