"""The generation loop over the packed path, against transformers' `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.decoding import Decoding
from evalkit.engine import memory
from evalkit.engine.generation.loop import Counts, Limits, NonFinitePromptError, generate
from evalkit.engine.generation.path import Feed
from evalkit.engine.generation.prompt import Prompt
from evalkit.engine.sequences import TokenArray
from evalkit.errors import EvaluationError
from tests.engine.generation.support import (
    load,
    next_logits,
    packed,
    ragged_prompts,
    random_tokens,
    transformers_generate,
    written,
)
from tests.engine.test_engine import PACKED

ENDS = frozenset([1, 7, 50])
LIMITS = [(1, 2000), (4, 16), (16, 64)]


@pytest.mark.parametrize("name", PACKED)
def test_greedy_texts_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    model = load(name, tmp_path)
    decoding = Decoding(max_new_tokens=14)
    prompts = [Prompt(tokens, decoding, ENDS) for tokens in ragged_prompts()]
    expected = [transformers_generate(model, prompt.tokens, ENDS, decoding)[0] for prompt in prompts]
    for slots, budget in LIMITS[1:]:
        texts = written(packed(model), prompts, Limits(slots, budget))
        assert [[text.tokens for text in one] for one in texts] == expected
        for (text,), prompt in zip(texts, prompts, strict=True):
            assert text.finish == ("stop" if text.tokens[-1] in ENDS else "length")
            assert text.log_probability == pytest.approx(log_probability(model, prompt.tokens, text.tokens), abs=2e-4)


def log_probability(model: Any, prompt: TokenArray, tokens: tuple[int, ...]) -> float:
    whole = torch.tensor([*prompt.tolist(), *tokens])
    with torch.inference_mode():
        logits = model(input_ids=whole[None, :-1], use_cache=False).logits[0, len(prompt) - 1 :].double()
    return float(torch.log_softmax(logits, -1).gather(1, whole[len(prompt) :, None]).sum())


def often_ending(model: Any, prompts: list[TokenArray]) -> frozenset[int]:
    """End tokens that a beam search meets early: the second choices after the first tokens of greedy texts."""
    ends = set()
    for prompt in prompts[:4]:
        tokens = prompt
        for _ in range(3):
            tokens = np.append(tokens, np.int32(next_logits(model, tokens).argmax()))
        ends.add(int(next_logits(model, tokens).topk(2).indices[1]))
    return frozenset(ends)


@pytest.mark.parametrize(("name", "penalty"), [("llama", 1.0), ("gemma3", 0.0), ("gpt2", 0.5)])
def test_beams_are_those_of_transformers(name: str, penalty: float, tmp_path: Path) -> None:
    model = load(name, tmp_path)
    tokens = ragged_prompts()[:6]
    ends = often_ending(model, tokens)
    decoding = Decoding(max_new_tokens=12, beams=4, length_penalty=penalty)
    prompts = [Prompt(one, decoding, ends) for one in tokens]
    expected = [transformers_generate(model, one, ends, decoding) for one in tokens]
    # some searches are over before the limit: what ends them is put to the test too
    assert any(len(sequence) < 12 for sequences, _ in expected for sequence in sequences)
    for slots, budget in ((1, 2000), (8, 32)):
        texts = written(packed(model), prompts, Limits(slots, budget))
        for ours, (sequences, scores) in zip(texts, expected, strict=True):
            assert [text.tokens for text in ours] == sequences
            assert [text.score for text in ours] == pytest.approx(scores, abs=1e-4)
            for text in ours:
                assert text.score == pytest.approx(text.log_probability / len(text.tokens) ** penalty)


def test_a_sampled_text_depends_on_nothing_but_its_prompt_and_number(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    drawing = Decoding(max_new_tokens=6, temperature=0.9, top_p=0.95, top_k=50, samples=3, seed=5)
    prompts = [Prompt(tokens, drawing, ENDS) for tokens in ragged_prompts()]
    expected = written(packed(model), prompts, Limits(1, 2000))
    assert all(len({text.tokens for text in texts}) == 3 for texts in expected)
    for slots, budget in LIMITS[1:]:
        assert tokens_of(written(packed(model), prompts, Limits(slots, budget))) == tokens_of(expected)
    others = [prompts[8], prompts[2], Prompt(prompts[0].tokens, Decoding(max_new_tokens=3), ENDS)]
    assert tokens_of(written(packed(model), others, Limits(4, 64)))[:2] == tokens_of([expected[8], expected[2]])
    # the first samples stay when more are asked for, and another seed gives other texts
    more = Prompt(prompts[2].tokens, drawing.changed({"samples": 5}), ENDS)
    assert tokens_of(written(packed(model), [more], Limits(4, 64)))[0][:3] == tokens_of(expected)[2]
    other = Prompt(prompts[2].tokens, drawing.changed({"seed": 6}), ENDS)
    assert tokens_of(written(packed(model), [other], Limits(4, 64)))[0] != tokens_of(expected)[2]


def tokens_of(texts: Any) -> list[list[tuple[int, ...]]]:
    return [[text.tokens for text in one] for one in texts]


def test_shared_tokens_are_computed_once(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    prefix = random_tokens(100, 0)
    tokens = [np.concatenate([prefix, random_tokens(5, seed)]) for seed in range(1, 9)]
    decoding = Decoding(max_new_tokens=7)
    for shares, prompt_tokens in ((True, 100 + 8 * 5), (False, 8 * 105)):
        counts = Counts()
        prompts = [Prompt(one, decoding) for one in tokens]
        written(packed(model), prompts, Limits(4, 64), counts, shares=shares)
        # the last token generated is not put through the model
        assert counts.computed == prompt_tokens + 8 * 6
        assert counts.generated == 8 * 7
    counts = Counts()
    samples = Decoding(max_new_tokens=7, temperature=1.0, samples=6)
    written(packed(model), [Prompt(tokens[0], samples)], Limits(4, 64), counts)
    # all but the prompt's last token are common to its samples
    assert counts.computed == 104 + 6 + 6 * 6


def test_prefixes_within_prefixes_are_computed_once(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    outer = random_tokens(80, 0)
    tokens = []
    for group in range(3):
        inner = np.concatenate([outer, random_tokens(60, 1 + group)])
        tokens += [np.concatenate([inner, random_tokens(4, 10 * group + one)]) for one in range(1, 4)]
    counts = Counts()
    decoding = Decoding(max_new_tokens=5)
    texts = written(packed(model), [Prompt(one, decoding) for one in tokens], Limits(5, 48), counts)
    assert counts.computed == 80 + 3 * 60 + 9 * 4 + 9 * 4
    expected = [transformers_generate(model, one, frozenset([1]), decoding)[0] for one in tokens]
    assert tokens_of(texts) == expected


@pytest.mark.parametrize("when", ["while prompts are read", "while texts are written"])
def test_running_out_of_memory_costs_speed_and_no_text(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load("llama", tmp_path)
    decoding = Decoding(max_new_tokens=10, temperature=1.0, samples=2)
    prompts = [Prompt(tokens, decoding, ENDS) for tokens in ragged_prompts()]
    expected = tokens_of(written(packed(model), prompts, Limits(8, 64)))
    path = packed(model)
    original = path.feed

    def scarce(feeds: list[Feed]) -> torch.Tensor:
        longest = max(len(feed.tokens) for feed in feeds)
        if longest > 32 if when == "while prompts are read" else len(feeds) > 3:
            raise torch.OutOfMemoryError("no")
        return original(feeds)

    monkeypatch.setattr(path, "feed", scarce)
    limits = Limits(8, 64)
    assert tokens_of(written(path, prompts, limits)) == expected
    assert limits.budget == 32
    assert limits.slots <= 4
    assert "out of memory" in caplog.text
    assert not path._slots


def test_running_out_of_memory_with_one_text_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(load("llama", tmp_path))

    def feed(_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(path, "feed", feed)
    monkeypatch.setattr(memory.time, "sleep", lambda _: None)
    with pytest.raises(EvaluationError, match="single text"):
        written(path, [Prompt(random_tokens(5, 0), Decoding())], Limits(4, 64))


@pytest.mark.parametrize("shrinks", [True, False])
def test_a_text_that_never_fits_ends_the_run_though_its_first_steps_succeed(
    shrinks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(load("llama", tmp_path))
    original = path.feed
    calls = 0

    def feed(feeds: list[Feed]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if len(feeds[0].tokens) == 1:
            raise torch.OutOfMemoryError("no")
        return original(feeds)

    monkeypatch.setattr(path, "feed", feed)
    monkeypatch.setattr(memory.time, "sleep", lambda _: None)
    with pytest.raises(EvaluationError, match="6 times in a row"):
        list(generate(path, [Prompt(random_tokens(5, 0), Decoding())], lambda _: "", Limits(4, 64), shrinks=shrinks))
    assert calls < 40


def test_memory_says_how_many_are_written_at_a_time(tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    path = packed(model)
    path._memory_bytes = 3 * 128 * path.bytes_per_token  # three rows of 128 positions
    widest = 0
    original = path.feed

    def feed(feeds: list[Feed]) -> torch.Tensor:
        nonlocal widest
        widest = max(widest, len(feeds))
        return original(feeds)

    path.feed = feed  # type: ignore[method-assign]
    decoding = Decoding(max_new_tokens=8)
    prompts = [Prompt(random_tokens(60 + seed, seed), decoding) for seed in range(9)]
    texts = written(path, prompts, Limits(16, 64))
    assert widest == 3
    assert tokens_of(texts) == tokens_of(written(packed(model), prompts, Limits(16, 64)))


@pytest.mark.parametrize("beams", [1, 3])
def test_logits_that_are_not_finite_name_the_prompt(beams: int, tmp_path: Path) -> None:
    model = load("llama", tmp_path)
    with torch.no_grad():
        model.get_input_embeddings().weight[123] = torch.nan
    good, bad = np.full(9, 30, dtype=np.int32), np.array([5, 123, 6], dtype=np.int32)
    decoding = Decoding(max_new_tokens=4, beams=beams)
    prompts = [Prompt(good, decoding), Prompt(bad, decoding), Prompt(good[:4], decoding)]
    with pytest.raises(NonFinitePromptError, match="generated token 0 of prompt 1") as caught:
        written(packed(model), prompts, Limits(8, 64))
    assert (caught.value.prompt, caught.value.token) == (1, 0)


class Recorded:
    """A path that takes no prompts while others run: plain forward passes over what each slot has seen."""

    name = "plain"
    joins = False

    def __init__(self, model: Any, room: int) -> None:
        self.model = model
        self.slots: dict[int, TokenArray] = {}
        self._room = room

    def room(self, prompts: list[TokenArray], new_tokens: list[int]) -> int:
        assert not self.slots
        return min(self._room, len(prompts))

    def feed(self, feeds: list[Feed]) -> torch.Tensor:
        new = [feed for feed in feeds if feed.slot not in self.slots]
        assert not new or (len(new) == len(feeds) and not self.slots)
        for feed in feeds:
            self.slots[feed.slot] = np.concatenate([self.slots.get(feed.slot, feed.tokens[:0]), feed.tokens])
        return torch.stack([next_logits(self.model, self.slots[feed.slot]) for feed in feeds])

    def fork(self, slot: int, copy: int) -> None:
        assert copy not in self.slots
        self.slots[copy] = self.slots[slot]

    def release(self, slot: int) -> None:
        del self.slots[slot]


@pytest.mark.parametrize("beams", [1, 2])
def test_a_path_that_takes_no_more_is_given_whole_batches(beams: int, tmp_path: Path) -> None:
    model = load("mamba", tmp_path)
    decoding = Decoding(max_new_tokens=4, beams=beams)
    prompts = [Prompt(tokens, decoding, ENDS) for tokens in ragged_prompts()[:5]]
    expected = [transformers_generate(model, prompt.tokens, ENDS, decoding)[0] for prompt in prompts]
    for room in (1, 3, 20):
        path = Recorded(model, room)
        assert tokens_of(written(path, prompts, Limits(6, 16))) == expected
        assert not path.slots
