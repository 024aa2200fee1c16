"""Drawing tokens: the distributions are transformers' and the draws are even."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from evalkit.decoding import Decoding
from evalkit.engine.generation import sampling
from evalkit.engine.generation.sampling import Draws, choose, filtered


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(0.7, 0, 1.0), (1.0, 5, 1.0), (1.3, 0, 0.8), (0.5, 40, 0.9), (2.0, 1, 0.5), (1.0, 0, 0.01), (1.0, 5000, 0.999)],
)
@pytest.mark.parametrize("likely", [4, 512])
def test_what_may_be_drawn_is_what_transformers_keeps(
    temperature: float, top_k: int, top_p: float, likely: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "LIKELY_TOKENS", likely)
    logits = torch.randn(6, 1000, generator=torch.Generator().manual_seed(0)) * 4
    scores = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    weights = filtered(logits, temperature, top_k, top_p)
    assert torch.equal(weights > 0, torch.isfinite(scores))
    ours = weights / weights.sum(dim=-1, keepdim=True)
    assert torch.allclose(ours, torch.softmax(scores.double(), dim=-1), atol=1e-6)


@pytest.mark.parametrize("decoding", [Decoding(temperature=1.5), Decoding(temperature=0.8, top_k=6, top_p=0.9)])
def test_draws_follow_the_distribution(decoding: Decoding) -> None:
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(1)) * 2
    draws = Draws(3, np.array([4, 5], dtype=np.int32), 0)
    count = 20_000
    numbers = [draws.at(position) for position in range(count)]
    tokens = choose(logits.expand(count, -1), [decoding] * count, numbers).tokens
    weights = filtered(logits, decoding.temperature, decoding.top_k, decoding.top_p)[0].numpy()
    found = np.bincount(tokens, minlength=12)
    assert not found[weights == 0].any()
    kept = weights > 0
    expected = weights[kept] / weights.sum() * count
    assert stats.chisquare(found[kept], expected).pvalue > 0.001


def test_numbers_are_uniform_and_independent_of_each_other() -> None:
    prompt = np.arange(9, dtype=np.int32)
    numbers = np.array([[Draws(0, prompt, sample).at(place) for place in range(400)] for sample in range(40)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 0.001
    assert abs(np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]) < 0.03
    others = [Draws(1, prompt, 0), Draws(0, prompt[:-1], 0), Draws(0, prompt, 1)]
    assert all(one.at(0) != numbers[0, 0] for one in others)
    assert Draws(0, prompt.astype(np.int64), 0).at(7) == numbers[0, 7]


def test_the_ends_of_the_range_give_tokens_that_have_weight() -> None:
    logits = torch.full((2, 50), -torch.inf)
    logits[:, 10:14] = torch.tensor([0.1, 0.2, 0.3, 0.1])
    chosen = choose(logits, [Decoding(temperature=1.0)] * 2, [0.0, 1 - 2**-53])
    assert chosen.tokens.tolist() == [10, 13]
    assert chosen.finite.all()


def test_greedy_and_drawn_rows_stand_side_by_side() -> None:
    logits = torch.randn(4, 30, generator=torch.Generator().manual_seed(2)) * 3
    decodings = [Decoding(), Decoding(temperature=1.0), Decoding(), Decoding(temperature=0.3, top_k=2)]
    numbers = [0.0, 0.4, 0.0, 0.9]
    chosen = choose(logits, decodings, numbers)
    alone = [choose(logits[row : row + 1], [decodings[row]], [numbers[row]]).tokens[0] for row in range(4)]
    assert chosen.tokens.tolist() == alone
    assert chosen.tokens[0] == logits[0].argmax()
    assert chosen.tokens[2] == logits[2].argmax()
    expected = torch.log_softmax(logits.double(), -1)[range(4), chosen.tokens]
    assert chosen.log_probabilities == pytest.approx(expected.numpy(), abs=1e-5)
    logits[1, 3] = torch.nan
    assert choose(logits, decodings, numbers).finite.tolist() == [True, False, True, True]
