"""Decoding with encoder-decoder models against transformers' `generate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evalkit.engine.encoder_decoder import EncoderDecoderModel
from evalkit.engine.generation.encoder_decoder import EncoderDecoderDecoding
from evalkit.engine.generation.fallback import choose_fallback_decoding
from evalkit.engine.generation.path import Feed
from tests.engine.generation.written import expected, prompts, written
from tests.tiny_models import ENCODER_DECODERS, tiny_model

LENGTHS = (9, 23, 9, 1, 40)


def load(name: str, folder: Path) -> torch.nn.Module:
    from transformers import AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM.from_pretrained(tiny_model(name, folder), dtype=torch.float32).eval()


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_greedy_and_beams_are_those_of_generate(name: str, tmp_path_factory) -> None:
    model = load(name, tmp_path_factory.getbasetemp())
    path, batching, difference, _ = choose_fallback_decoding(EncoderDecoderModel(model), 512)
    assert (path.name, batching) == ("encoder-decoder", "padded")
    assert difference < 1e-4
    asked = prompts(LENGTHS)
    for (text,), prompt in zip(written(path, asked, max_new_tokens=9), asked, strict=True):
        assert text.tokens == expected(model, prompt, max_new_tokens=9, num_beams=1)[0]
    for texts, prompt in zip(written(path, asked, max_new_tokens=8, beams=4), asked, strict=True):
        best, score = expected(model, prompt, max_new_tokens=8, num_beams=4)
        assert texts[0].tokens == best
        # of a forbidden token's probability transformers leaves the beams' scores as they are
        assert texts[0].score == pytest.approx(score, abs=0.02 if name == "marian" else 1e-4)
        assert len(texts) == 4
        assert all(np.isfinite(text.score) for text in texts)


@pytest.mark.parametrize("batching", ["padded", "equal lengths", "single"])
def test_all_batchings_write_the_same(batching, tmp_path_factory) -> None:
    model = load("t5", tmp_path_factory.getbasetemp())
    asked = prompts(LENGTHS)
    texts = written(EncoderDecoderDecoding(EncoderDecoderModel(model), batching), asked, max_new_tokens=8)
    assert [one[0].tokens for one in texts] == [expected(model, one, max_new_tokens=8)[0] for one in asked]


def test_the_forced_language_comes_first_and_costs_nothing(tmp_path_factory) -> None:
    path = EncoderDecoderDecoding(EncoderDecoderModel(load("mbart", tmp_path_factory.getbasetemp())))
    for (text,) in written(path, prompts((5, 8)), max_new_tokens=1, temperature=2.0):
        assert (text.tokens, text.log_probability) == ((410,), 0.0)
    bare = EncoderDecoderDecoding(path.model, restrict=False)
    assert torch.isfinite(bare.feed([Feed(0, prompts((5,))[0])])).all()


def test_forbidden_tokens_are_never_written(tmp_path_factory) -> None:
    model = load("marian", tmp_path_factory.getbasetemp())
    model.generation_config.bad_words_ids = [[2], [7, 8], [11]]
    model.generation_config.suppress_tokens = [9]
    path = EncoderDecoderDecoding(EncoderDecoderModel(model))
    assert path.forbidden == [2, 9, 11]
    logits = path.feed([Feed(0, prompts((6,))[0])])
    assert torch.isinf(logits[0]).nonzero()[:, 0].tolist() == [2, 9, 11]


def test_a_prompt_is_encoded_once_for_all_its_samples(tmp_path_factory) -> None:
    model = load("t5", tmp_path_factory.getbasetemp())
    path = EncoderDecoderDecoding(EncoderDecoderModel(model))
    shapes = []
    handle = model.get_encoder().register_forward_hook(
        lambda module, args, kwargs, output: shapes.append(tuple(output[0].shape[:2])), with_kwargs=True
    )
    texts = written(path, prompts((9, 4)), max_new_tokens=6, samples=5, temperature=1.0)
    handle.remove()
    assert shapes == [(2, 9)]
    assert len({text.tokens for text in texts[0]}) > 1


def test_forks_and_releases_leave_the_others_alone(tmp_path_factory) -> None:
    model = load("marian", tmp_path_factory.getbasetemp())
    path = EncoderDecoderDecoding(EncoderDecoderModel(model), restrict=False)
    first, second = prompts((12, 5))
    path.feed([Feed(0, first), Feed(1, second)])
    path.fork(1, 2)
    path.feed([Feed(0, np.array([20], dtype=np.int32)), Feed(1, np.array([30], dtype=np.int32))])
    path.release(0)
    logits = path.feed([Feed(2, np.array([40], dtype=np.int32)), Feed(1, np.array([31], dtype=np.int32))])
    for row, ids in enumerate([[2, 40], [2, 30, 31]]):
        with torch.inference_mode():
            plain = model(
                input_ids=torch.from_numpy(second.astype(np.int64))[None], decoder_input_ids=torch.tensor([ids])
            ).logits[0, -1]
        np.testing.assert_allclose(logits[row], plain, atol=1e-4)
