"""Scoring with encoder-decoder models against plain forward passes, one sequence each."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evalkit.engine.encoder_decoder import EncoderDecoderModel, EncoderDecoderPath, decoder_start
from evalkit.engine.engine import Engine, NonFiniteSequenceError
from evalkit.engine.sequences import EncoderDecoderSequence, encoder_decoder_sequence
from evalkit.errors import ModelError, OverLengthError
from tests.tiny_models import ENCODER_DECODERS, tiny_model


def load(name: str, folder: Path) -> torch.nn.Module:
    from transformers import AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM.from_pretrained(tiny_model(name, folder), dtype=torch.float32).eval()


def questions(start: np.ndarray) -> list[EncoderDecoderSequence]:
    """Six questions with four answers each: of one token, the beginning of another, and of several tokens."""
    random = np.random.default_rng(3)
    sequences = []
    for _ in range(6):
        question = random.integers(5, 390, random.integers(1, 40)).astype(np.int32)
        answer = random.integers(5, 390, 7).astype(np.int32)
        for targets in (answer[:1], answer, answer[:3], random.integers(5, 390, 5).astype(np.int32)):
            # an equal array, not the same one, as after tokenising a text twice
            sequences.append(encoder_decoder_sequence(question.copy(), targets, start, 512))
    return sequences


def plain(model: torch.nn.Module, sequence: EncoderDecoderSequence) -> tuple[np.ndarray, bool]:
    """(log-probabilities in float64, all greedy) from one forward pass."""
    with torch.inference_mode():
        logits = model(
            input_ids=torch.from_numpy(sequence.encoder_inputs.astype(np.int64))[None],
            decoder_input_ids=torch.from_numpy(sequence.inputs.astype(np.int64))[None],
        ).logits[0, sequence.first_scored :]
    targets = torch.from_numpy(sequence.targets.astype(np.int64))
    values = torch.log_softmax(logits.double(), -1).gather(1, targets[:, None])[:, 0].numpy()
    return values, bool((logits.argmax(-1) == targets).all())


@pytest.mark.parametrize("budget", [None, 64, 1])
@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_scores_are_those_of_single_forward_passes(name: str, budget: int | None, tmp_path_factory) -> None:
    model = load(name, tmp_path_factory.getbasetemp())
    engine = Engine(model, 512, token_budget=budget)
    assert engine.check.path == "encoder-decoder"
    assert engine.check.padded_difference < 1e-4
    sequences = questions(engine.split.start)
    found = {score.sequence: score for batch in engine.score(sequences) for score in batch}
    for index, sequence in enumerate(sequences):
        values, greedy = plain(model, sequence)
        np.testing.assert_allclose(found[index].log_probabilities, values, atol=1e-4)
        assert found[index].log_probabilities.dtype == np.float32
        assert found[index].greedy == greedy


@pytest.mark.parametrize("name", ["t5", "marian"])
def test_scores_are_those_of_labels_where_nothing_is_forced(name: str, tmp_path_factory) -> None:
    model = load(name, tmp_path_factory.getbasetemp())
    engine = Engine(model, 512)
    for sequence in questions(engine.split.start)[:6]:
        with torch.inference_mode():
            output = model(
                input_ids=torch.from_numpy(sequence.encoder_inputs.astype(np.int64))[None],
                labels=torch.from_numpy(sequence.targets.astype(np.int64))[None],
            )
        ((score,),) = engine.score([sequence])
        assert -score.log_probabilities.mean() == pytest.approx(float(output.loss), abs=1e-4)


def test_mbart_starts_with_its_language_and_labels_with_the_last_token(tmp_path_factory) -> None:
    split = EncoderDecoderModel(load("mbart", tmp_path_factory.getbasetemp()))
    assert split.start.tolist() == [1, 410]
    assert split.start_before_labels(np.array([7, 8, 9], dtype=np.int32)).tolist() == [9]


def test_distinct_inputs_are_encoded_once_and_beginnings_share_a_row(tmp_path_factory) -> None:
    model = load("t5", tmp_path_factory.getbasetemp())
    engine = Engine(model, 512, token_budget=2048)
    sequences = questions(engine.split.start)
    texts = []
    encoder = model.get_encoder()
    handle = encoder.register_forward_hook(
        lambda module, args, kwargs, output: texts.append(len(output[0])), with_kwargs=True
    )
    list(engine.score(sequences))
    handle.remove()
    assert texts == [6]
    forecast = engine.forecast(sequences)
    encoded = sum(len(sequence.encoder_inputs) for sequence in sequences[::4])
    assert forecast.tokens_computed == engine.tokens_computed == encoded + 6 * (7 + 5)
    assert forecast.tokens_asked == sum(sequence.tokens for sequence in sequences)
    assert forecast.batches == 1


def test_one_at_a_time_is_the_same_to_the_bit_in_any_company(tmp_path_factory) -> None:
    engine = Engine(load("t5", tmp_path_factory.getbasetemp()), 512, deterministic=True)
    assert engine.check.deterministic == "one at a time"
    sequences = questions(engine.split.start)
    together = {score.sequence: score.log_probabilities for batch in engine.score(sequences) for score in batch}
    ((alone,),) = engine.score([sequences[5]])
    assert alone.log_probabilities.tobytes() == together[5].tobytes()


def test_what_is_done_is_not_computed_again(tmp_path_factory) -> None:
    engine = Engine(load("t5", tmp_path_factory.getbasetemp()), 512, token_budget=64)
    sequences = questions(engine.split.start)
    scored = [score.sequence for batch in engine.score(sequences, done=range(20)) for score in batch]
    assert sorted(scored) == [20, 21, 22, 23]


def test_non_finite_logits_name_the_sequence_and_the_token(tmp_path_factory) -> None:
    model = load("t5", tmp_path_factory.getbasetemp())
    engine = Engine(model, 512)
    sequences = questions(engine.split.start)
    bad = encoder_decoder_sequence(
        np.array([5, 6], dtype=np.int32), np.array([7, 399, 8, 9], dtype=np.int32), engine.split.start, 512
    )
    model.get_decoder().register_forward_pre_hook(_poison, with_kwargs=True)
    with pytest.raises(NonFiniteSequenceError) as caught:
        list(engine.score([*sequences, bad]))
    assert (caught.value.sequence, caught.value.token) == (len(sequences), 2)


def _poison(module: torch.nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """Makes token 399 not a number."""
    embeddings = module.embed_tokens(kwargs["input_ids"])
    embeddings = torch.where((kwargs["input_ids"] == 399)[..., None], torch.nan, embeddings)
    return args, kwargs | {"input_ids": None, "inputs_embeds": embeddings}


def test_a_long_context_is_cut_on_the_left_and_a_long_answer_refused() -> None:
    start = np.array([0], dtype=np.int32)
    sequence = encoder_decoder_sequence(np.arange(12, dtype=np.int32), np.arange(8, dtype=np.int32), start, 8)
    assert sequence.encoder_inputs.tolist() == list(range(4, 12))
    assert (sequence.truncated, sequence.context_tokens, sequence.tokens) == (4, 8, 16)
    assert sequence.inputs.tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
    with pytest.raises(OverLengthError, match="9 tokens"):
        encoder_decoder_sequence(np.arange(3, dtype=np.int32), np.arange(9, dtype=np.int32), start, 8)


def test_a_model_without_a_start_token_is_refused() -> None:
    says_nothing = SimpleNamespace(
        generation_config=SimpleNamespace(decoder_start_token_id=None), config=SimpleNamespace(bos_token_id=None)
    )
    with pytest.raises(ModelError, match="which token its decoder starts with"):
        decoder_start(says_nothing)
    says_nothing.config.bos_token_id = 3  # as transformers' generate falls back
    assert decoder_start(says_nothing).tolist() == [3]


def test_a_model_that_does_not_mask_padding_is_computed_one_at_a_time(tmp_path_factory) -> None:
    model = load("t5", tmp_path_factory.getbasetemp())
    model.get_encoder().register_forward_pre_hook(
        lambda module, args, kwargs: (args, kwargs | {"attention_mask": None}), with_kwargs=True
    )
    engine = Engine(model, 512)
    assert isinstance(engine.path, EncoderDecoderPath)
    assert engine.path.planner.alone
    for sequence in questions(engine.split.start)[:4]:
        ((score,),) = engine.score([sequence])
        np.testing.assert_allclose(score.log_probabilities, plain(model, sequence)[0], atol=1e-4)
