"""Scores of all documents together: BLEU, chrF, TER, and their tail where no random swap reaches the difference."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from benchmarks.calibration.measured import Array, Measured, alarmed, covered
from benchmarks.calibration.scores import holds
from evalkit.documents import OpenQuestion
from evalkit.metrics.text import Corpus
from evalkit.metrics.translation import METRICS
from evalkit.stats.bootstrap import bootstrap
from evalkit.stats.permutation import (
    approximate_randomization,
    bootstrap_differences,
    paired_bootstrap,
    percentile_limits,
)

ALPHA = 0.05


def measure(draws: int) -> Iterator[Measured]:
    generator = np.random.default_rng(4)
    for metric in ("bleu", "chrf", "ter"):
        corpus, first, second = translations(metric, 1000)
        for n in (50, 200):
            yield from one_metric(generator, corpus, first, second, f"{_WORDS[metric]} of {n} pairs", n, draws)
        if metric != "chrf":
            yield tail(generator, corpus, first, second, f"{_WORDS[metric]} of 50 pairs", 20 * draws)
    yield from other_bootstraps(generator, max(1, draws // 4))


_WORDS = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}


def translations(metric: str, documents: int) -> tuple[Corpus, Array, Array]:
    """Statistics of two systems with the same number of wrong words, the second a little better."""
    generator, words = random.Random(3), [f"w{number}" for number in range(60)]
    corpus = METRICS[metric].corpus
    assert corpus is not None
    sides: list[list[list[float]]] = [[], []]
    for _ in range(documents):
        reference = generator.choices(words, k=generator.randint(6, 25))
        hard = generator.betavariate(1, 4)
        for side, rate in zip(sides, (hard, 0.9 * hard), strict=True):
            text = " ".join(generator.choice(words) if generator.random() < rate else word for word in reference)
            side.append(list(corpus.statistics(OpenQuestion("", " ".join(reference)), text)))
    return corpus, np.array(sides[0]), np.array(sides[1])


def exchanged(generator: np.random.Generator, first: Array, second: Array, n: int) -> tuple[Array, Array]:
    """Documents of both sides, which are exchangeable and so have no difference."""
    chosen = generator.integers(0, len(first), n)
    swap = generator.random(n)[:, None] < 0.5
    before, after = first[chosen], second[chosen]
    return np.where(swap, after, before), np.where(swap, before, after)


def one_metric(
    generator: np.random.Generator, corpus: Corpus, first: Array, second: Array, case: str, n: int, draws: int
) -> Iterator[Measured]:
    truth = corpus.score(second) - corpus.score(first)
    held, alarms = [], []
    for _ in range(draws):
        chosen = generator.integers(0, len(first), n)
        drawn = bootstrap_differences(
            first[chosen], second[chosen], corpus.score, resamples=500, of_sums=corpus.of_sums
        )
        held.append(holds(percentile_limits(drawn, 0.95), truth))
        before, after = exchanged(generator, first, second, n)
        p = approximate_randomization(before, after, corpus.score, resamples=199, of_sums=corpus.of_sums)
        alarms.append(p <= ALPHA)
    yield covered("paired bootstrap", f"{case}, one system better", held, 0.9)
    yield alarmed("approximate randomisation", f"{case}, no difference", alarms, 0.05)


def tail(
    generator: np.random.Generator, corpus: Corpus, first: Array, second: Array, case: str, draws: int
) -> Measured:
    """At α / 100 only the tail alarms: 199 swaps alone have no p below 0.005."""
    alarms = []
    for _ in range(draws):
        before, after = exchanged(generator, first, second, 50)
        p = approximate_randomization(before, after, corpus.score, resamples=199, of_sums=corpus.of_sums)
        alarms.append(p <= ALPHA / 100)
    return alarmed(
        "approximate randomisation, tail of 199 swaps", f"{case}, no difference, α = 0.05 %", alarms, ALPHA / 100
    )


def other_bootstraps(generator: np.random.Generator, draws: int) -> Iterator[Measured]:
    corpus, first, second = translations("bleu", 1000)
    of_all = corpus.score(first)
    for n in (50, 200):
        held, centred, moses = [], [], []
        for _ in range(draws):
            sample = first[generator.integers(0, len(first), n)]
            _, interval = bootstrap(sample, [[place] for place in range(n)], corpus.score, 500)
            held.append(holds(interval, of_all))
            before, after = exchanged(generator, first, second, n)
            centred.append(paired_bootstrap(before, after, corpus.score, resamples=199)[1] <= ALPHA)
            moses.append(one_sided(generator, corpus, before, after) <= ALPHA)
        yield covered("percentile bootstrap", f"BLEU of {n} sentences", held, 0.9)
        yield alarmed("paired bootstrap, centred p", f"BLEU of {n} pairs, no difference", centred, 0.07)
        yield alarmed("p of sacrebleu's --paired-bs, not used", f"BLEU of {n} pairs, no difference", moses, None)


def one_sided(generator: np.random.Generator, corpus: Corpus, before: Array, after: Array) -> float:
    """As sacrebleu 2.6 has it: how often |D*| is above its own mean by more than |D|."""
    drawn = generator.integers(0, len(before), (199, len(before)))
    distances = np.array([abs(corpus.score(after[rows]) - corpus.score(before[rows])) for rows in drawn])
    observed = abs(corpus.score(after) - corpus.score(before))
    return float((1 + (distances - distances.mean() > observed).sum()) / 200)
