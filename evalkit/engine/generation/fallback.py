"""Which way to decode over transformers' caches is right for a model: decided by numbers at load.

Prompts of several lengths are fed together and go on token by token, some of them forked, some finished early; every
log-probability is compared with that of a plain forward pass over the whole sequence without a cache.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence as Sequences
from typing import NamedTuple

import numpy as np
import torch

from evalkit.engine import encoder_decoder, memory, self_check
from evalkit.engine.encoder_decoder import EncoderDecoderModel
from evalkit.engine.forward import SplitModel
from evalkit.engine.generation.cached import Batching, CachedDecoding, UncachedDecoding
from evalkit.engine.generation.encoder_decoder import EncoderDecoderDecoding
from evalkit.engine.generation.path import DecodingPath, Feed
from evalkit.engine.sequences import TokenArray
from evalkit.errors import ModelError

logger = logging.getLogger(__name__)

CANNOT_RUN = (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError, NotImplementedError)
"""What models raise that cannot be run in a way they were not made for."""
BATCHINGS: tuple[Batching, ...] = ("padded", "equal lengths", "single")


class Fallback(NamedTuple):
    """The path chosen, and what was measured.

    Attributes:
        path: Computes.
        batching: Which prompts share a batch: `padded`, `equal lengths` or `single`.
        difference: Largest |difference| of a log-probability (nats) from plain forward passes.
        tolerance: Largest difference accepted (nats).
    """

    path: DecodingPath
    batching: str
    difference: float
    tolerance: float


class _Probe(NamedTuple):
    """Prompts with tokens to be written after them.

    Attributes:
        texts: (prompt, targets) of each.
        forced: Tokens that come between a prompt and its targets.
        expected: Log-probabilities of the targets by plain forward passes (nats).
        tolerance: Largest difference accepted (nats).
    """

    texts: list[tuple[TokenArray, TokenArray]]
    forced: TokenArray
    expected: list[np.ndarray]
    tolerance: float


def choose_fallback_decoding(split: SplitModel, max_length: int) -> Fallback:
    """The first path over transformers' caches that agrees with plain forward passes.

    Prompts padded to one batch, else batches of equal lengths, else one by one, else (of a causal model) no cache at all.

    Args:
        split: The model; of an encoder-decoder an `EncoderDecoderModel`.
        max_length: Inputs it takes at once.

    Raises:
        ModelError: No path agrees.
    """
    found: list[tuple[str, float | None]] = []
    if isinstance(split, EncoderDecoderModel):
        probe = _encoder_decoder_probe(split, max_length)
        for batching in BATCHINGS:
            # what the settings force or forbid is not in plain forward passes
            difference = _difference(EncoderDecoderDecoding(split, batching, restrict=False), probe)
            if difference is not None and difference <= probe.tolerance:
                return Fallback(EncoderDecoderDecoding(split, batching), batching, difference, probe.tolerance)
            found.append((batching, difference))
        raise _disagrees(found, probe.tolerance)
    probe = _causal_probe(split, max_length)
    for batching in BATCHINGS:
        difference = _difference(CachedDecoding(split, batching), probe)
        if difference is not None and difference <= probe.tolerance:
            return Fallback(CachedDecoding(split, batching), batching, difference, probe.tolerance)
        found.append((batching, difference))
    difference = _difference(UncachedDecoding(split), probe)
    if difference is not None and difference <= probe.tolerance:
        logger.warning("the model's cache gives other answers than no cache: every step computes whole texts again")
        return Fallback(UncachedDecoding(split), "padded", difference, probe.tolerance)
    raise _disagrees([*found, ("without a cache", difference)], probe.tolerance)


def _causal_probe(split: SplitModel, max_length: int) -> _Probe:
    sequences, _ = self_check.probe_sequences(split, max_length, None)
    more = self_check.room(sequences, max_length)
    expected, tolerance = self_check.expected_values(split, sequences, more=more)
    texts = [(one.inputs[: one.first_scored + 1], one.targets) for one in sequences]
    return _Probe(texts, np.zeros(0, dtype=np.int32), expected, tolerance)


def _encoder_decoder_probe(split: EncoderDecoderModel, max_length: int) -> _Probe:
    sequences, (expected, tolerance) = encoder_decoder.probe(split, max_length)
    texts = [(one.encoder_inputs, one.targets) for one in sequences]
    return _Probe(texts, split.start[1:], expected, tolerance)


def _difference(path: DecodingPath, probe: _Probe) -> float | None:
    """Largest difference (nats); None where the model cannot be run so, or gives something that is not a number."""
    try:
        return self_check.largest_difference(decoded(path, probe.texts, probe.forced), probe.expected)
    except CANNOT_RUN as error:
        if memory.is_out_of_memory(error):
            raise
        return None


def _disagrees(found: Sequences[tuple[str, float | None]], tolerance: float) -> ModelError:
    shown = (f"{how}: {'not computable' if value is None else f'{value:.2g}'}" for how, value in found)
    return ModelError(
        "the model does not agree with itself: written token by token its log-probabilities differ from those of whole "
        f"forward passes by more than {tolerance:g} nats ({', '.join(shown)})",
        hint="try --dtype float32, or report the model",
    )


def decoded(
    path: DecodingPath, probe: Sequences[tuple[TokenArray, TokenArray]], forced: TokenArray
) -> list[np.ndarray]:
    """Log-probabilities (nats) that a path gives to targets after prompts, all fed together.

    Each prompt is fed once and forked after its first target; the fork goes on in its place. What is done is released.

    Args:
        path: Computes; no slot of it is in use.
        probe: (prompt, targets) of each sequence.
        forced: Tokens that the path itself forces before the first target.
    """
    slots = list(range(len(probe)))
    logits = path.feed([Feed(slot, prompt) for slot, (prompt, _) in zip(slots, probe, strict=True)])
    for token in forced:
        logits = path.feed([Feed(slot, np.array([token], dtype=np.int32)) for slot in slots])
    values: list[list[float]] = [[] for _ in probe]
    going_on = slots
    for place in range(max(len(targets) for _, targets in probe)):
        normalised = torch.log_softmax(logits, dim=-1)
        for row, index in enumerate(going_on):
            values[index].append(float(normalised[row, int(probe[index][1][place])]))
        done = [index for index in going_on if len(probe[index][1]) == place + 1]
        going_on = [index for index in going_on if index not in done]
        for index in done:
            path.release(slots[index])
        if place == 0:
            for index in going_on:
                path.fork(slots[index], len(probe) + index)
                path.release(slots[index])
                slots[index] = len(probe) + index
        if going_on:
            logits = path.feed([Feed(slots[index], probe[index][1][place : place + 1]) for index in going_on])
    return [np.array(one, dtype=np.float32) for one in values]
