"""Which token comes next: the most probable, or one drawn by a number that depends on nothing but prompt and place.

Every draw inverts the cumulative distribution, in the order of token ids, at a number between 0 and 1 that is a hash of
(seed, prompt, sample, position). What else is computed has no part in it: the same text comes whatever the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from evalkit.decoding import Decoding
from evalkit.engine.sequences import TokenArray

# Nucleus sampling looks for its set among so many tokens first; sorting the whole vocabulary takes much longer.
LIKELY_TOKENS = 512


class Draws:
    """The numbers that decide one sample.

    Args:
        seed: The run's.
        prompt: int32 [tokens], what is continued.
        sample: Which of the prompt's samples.
    """

    def __init__(self, seed: int, prompt: TokenArray, sample: int) -> None:
        text = f"{seed} {sample} ".encode() + prompt.astype("<i4").tobytes()
        self._key = hashlib.blake2b(text, digest_size=32).digest()

    def at(self, position: int) -> float:
        """A number in [0, 1) for the token at a place of the answer, uniform over multiples of 2 ** -53."""
        digest = hashlib.blake2b(position.to_bytes(8, "little"), digest_size=8, key=self._key).digest()
        return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


class Chosen(NamedTuple):
    """The next token of each row.

    Attributes:
        tokens: int64 [rows].
        log_probabilities: float64 [rows], of each under the model's own distribution (nats).
        finite: bool [rows], whether the row's logits are numbers.
    """

    tokens: npt.NDArray[np.int64]
    log_probabilities: npt.NDArray[np.float64]
    finite: npt.NDArray[np.bool_]


def choose(logits: torch.Tensor, decodings: Sequence[Decoding], numbers: Sequence[float]) -> Chosen:
    """Takes or draws the next token of each row.

    Args:
        logits: float32 [rows, vocabulary].
        decodings: How, for each row.
        numbers: What decides each draw, in [0, 1); not looked at where the most probable token is taken.
    """
    tokens = logits.argmax(dim=-1)
    kinds: dict[tuple[float, int, float], list[int]] = {}
    for row, one in enumerate(decodings):
        if not one.is_greedy:
            kinds.setdefault((one.temperature, one.top_k, one.top_p), []).append(row)
    for (temperature, top_k, top_p), rows in kinds.items():
        places = torch.tensor(rows, device=logits.device)
        weights = filtered(logits.index_select(0, places), temperature, top_k, top_p)
        drawn = _draw(weights, torch.tensor([numbers[row] for row in rows], dtype=torch.float64, device=logits.device))
        tokens.index_copy_(0, places, drawn)
    normalisers = torch.logsumexp(logits, dim=-1)
    taken = logits.gather(1, tokens[:, None])[:, 0].double() - normalisers.double()
    together = torch.stack([tokens.double(), taken, normalisers.double()]).cpu().numpy()
    return Chosen(together[0].astype(np.int64), together[1], np.isfinite(together[2]))


def filtered(logits: torch.Tensor, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    """Weights of the tokens that may be drawn, by the rules of transformers' warpers, in the same order.

    Args:
        logits: float32 [rows, vocabulary].
        temperature: Logits are divided by it.
        top_k: Keep the so many largest (and those equal to the last of them); 0 for all.
        top_p: Of these keep the smallest set of the most probable that has at least this probability.

    Returns:
        float64 [rows, vocabulary]: 0 for tokens left out; the largest is 1.
    """
    scores = logits.double() / temperature
    if 0 < top_k < scores.shape[-1]:
        smallest = scores.topk(top_k, dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < smallest, -torch.inf)
    weights = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
    return weights if top_p >= 1 else _nucleus(weights, top_p)


def _nucleus(weights: torch.Tensor, top_p: float) -> torch.Tensor:
    """The weights with those outside the nucleus 0: a token stays when the more probable ones do not reach `top_p`."""
    wanted = top_p * weights.sum(dim=-1, keepdim=True)
    count = min(LIKELY_TOKENS, weights.shape[-1])
    while True:
        largest, places = weights.topk(count, dim=-1)
        before = largest.cumsum(dim=-1) - largest
        if count == weights.shape[-1] or bool((before[:, -1:] >= wanted).all()):
            kept = largest.masked_fill(before >= wanted, 0.0)
            return torch.zeros_like(weights).scatter_(1, places, kept)
        count = weights.shape[-1]


def _draw(weights: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """int64 [rows]: the token at which the running sum of weights passes the number's share of the whole."""
    sums = weights.cumsum(dim=-1)
    places = torch.searchsorted(sums, numbers[:, None] * sums[:, -1:], right=True)
    # rounding may leave a number at the very end: the last token with any weight takes it
    last = weights.shape[-1] - 1 - (weights > 0).flip(1).to(torch.uint8).argmax(dim=-1, keepdim=True)
    return torch.minimum(places, last)[:, 0]
