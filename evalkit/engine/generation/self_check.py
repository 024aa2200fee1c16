"""Which path may generate with this model: decided by numbers before the first text, never by a list of names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from evalkit.engine import memory
from evalkit.engine.attention import PackedAttentionError
from evalkit.engine.forward import SplitModel
from evalkit.engine.generation.packed import PackedDecoding
from evalkit.engine.generation.path import DecodingPath, Feed
from evalkit.engine.self_check import expected_values, largest_difference, probe_sequences
from evalkit.engine.sequences import Sequence
from evalkit.errors import ModelError


@dataclass(frozen=True, slots=True)
class DecodingCheck:
    """What the check measured.

    Attributes:
        path: The path chosen.
        packed_difference: Largest |difference| of a log-probability (nats) of the packed path from plain forward passes;
            None when it could not be run or was not tried.
        tolerance: Largest difference accepted (nats).
        deterministic: How texts are kept from depending on each other: `one at a time`, None when they are not.
    """

    path: str
    packed_difference: float | None
    tolerance: float
    deterministic: str | None = None


def choose_decoding_path(
    split: SplitModel, max_length: int, *, deterministic: bool = False
) -> tuple[DecodingPath, DecodingCheck]:
    """The fastest path that agrees with plain forward passes.

    Args:
        split: The model.
        max_length: Inputs it takes at once.
        deterministic: Only recorded: any path that computes one text at a time keeps texts from depending on others.

    Raises:
        ModelError: No path does.
    """
    sequences, prefix = probe_sequences(split, max_length, None)
    expected, tolerance = expected_values(split, sequences)
    packed = PackedDecoding(split)
    difference = None
    try:
        difference = largest_difference(_decoded(packed, sequences, prefix), expected)
    except (PackedAttentionError, AttributeError, TypeError, ValueError, RuntimeError, IndexError) as error:
        if memory.is_out_of_memory(error):
            raise
    if difference is not None and difference <= tolerance:
        packed = PackedDecoding(split)
        how = "one at a time" if deterministic else None
        return packed, DecodingCheck("packed", difference, tolerance, how)
    shown = "cannot be computed" if difference is None else f"is off by {difference:.2g} nats"
    raise ModelError(
        f"texts cannot be generated with {type(split.core).__name__}: a batch of sequences that join and leave {shown}",
        hint="score answers instead of generating them, or use another model",
    )


def _decoded(path: DecodingPath, sequences: list[Sequence], prefix: int) -> list[np.ndarray]:
    """Log-probabilities of all targets, with everything a run does: prompts in pieces, forks, single tokens, mixed."""
    sharing, alone = sequences[:-1], sequences[-1]
    common = min(prefix, *(one.first_scored for one in sharing))
    heads = [(slot, one) for slot, one in enumerate(sharing, start=1)]
    started = [(slot, common) for slot, _ in heads]
    if common:
        for piece in np.array_split(sharing[0].inputs[:common], min(2, common)):
            path.feed([Feed(0, piece)])
        for slot, _ in started:
            path.fork(0, slot)
        path.release(0)
    done = {slot: common for slot, _ in started}
    done[len(sequences)] = 0
    everything = [*heads, (len(sequences), alone)]
    values: dict[int, list[float]] = {slot: [] for slot, _ in everything}
    while waiting := [(slot, one) for slot, one in everything if done[slot] < len(one.inputs)]:
        feeds = []
        for slot, one in waiting:
            end = max(done[slot], one.first_scored) + 1
            feeds.append(Feed(slot, one.inputs[done[slot] : end]))
            done[slot] = end
        logits = path.feed(feeds)
        normalisers = torch.logsumexp(logits, dim=-1)
        for row, (slot, one) in enumerate(waiting):
            target = int(one.targets[done[slot] - 1 - one.first_scored])
            values[slot].append(float(logits[row, target] - normalisers[row]))
    for slot, _ in everything:
        path.release(slot)
    return [np.array(values[slot], dtype=np.float32) for slot, _ in everything]
