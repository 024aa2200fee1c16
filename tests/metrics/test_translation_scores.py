"""Scores of many corpora at once, against sacrebleu one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from evalkit.metrics.translation_scores import bleu_scores, chrf_scores, ter_scores


def bleu_sums(generator: np.random.Generator, size: int) -> list[float]:
    words = int(generator.integers(0, size))
    totals = [max(0, words - shorter) for shorter in range(4)]
    matches = [int(generator.integers(0, total + 1)) for total in totals]
    return [words, int(generator.integers(1, size + 1)), *matches, *totals]


def chrf_sums(generator: np.random.Generator, size: int, orders: int) -> list[float]:
    sums: list[float] = []
    for _ in range(orders):
        system, reference = (int(number) for number in generator.integers(0, size, 2))
        sums += [system, reference, int(generator.integers(0, min(system, reference) + 1))]
    return sums


@pytest.mark.parametrize("size", [4, 30, 3000])
def test_they_are_sacrebleus(size: int) -> None:
    generator = np.random.default_rng(size)

    def one(scorer: Any, sums: list[float]) -> float:
        return float(scorer._compute_score_from_stats(list(sums)).score)

    rows = [bleu_sums(generator, size) for _ in range(300)]
    assert bleu_scores(np.array(rows, dtype=float)) == pytest.approx([one(BLEU(), row) for row in rows], rel=1e-12)
    for orders, words in ((6, 0), (8, 2)):
        rows = [chrf_sums(generator, size, orders) for _ in range(300)]
        expected = [one(CHRF(word_order=words), row) for row in rows]
        assert chrf_scores(np.array(rows, dtype=float)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    rows = [[float(number) for number in generator.integers(0, size, 2)] for _ in range(300)]
    assert ter_scores(np.array(rows)) == pytest.approx([one(TER(), row) for row in rows], rel=1e-12)
