"""Metrics: what a document's answers are worth, and the score of a task with its interval.

A metric is a value a document (`Metric.value`) and a way to sum them up (`estimate`): the mean for most, a ratio of
two sums over all documents for perplexities.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.documents import Cloze, ContextChoice, MultipleChoice, ScoredDocument, Text
from evalkit.errors import DataError, NonFiniteError, TaskDefinitionError
from evalkit.requests import Response
from evalkit.results import MetricValue, Sample
from evalkit.summaries import UNSCORED, Transform, mean_value, ratio_value

EXPONENTIAL = Transform(lambda rate: _exponential(-rate), lambda rate: -_exponential(-rate))
"""Perplexity: exp(-x) of a mean log-likelihood x in nats."""

BITS = Transform(lambda rate: -rate / math.log(2), lambda rate: -1 / math.log(2))
"""Bits: -x / ln 2 of a mean log-likelihood x in nats."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How a rate metric is summed up: transform(Σ numerator / Σ denominator).

    Attributes:
        numerator: Field of a sample that is summed above.
        denominator: Field that is summed below; None counts documents.
        transform: What is done to the ratio.
    """

    numerator: str
    denominator: str | None
    transform: Transform


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: What tasks call it.
        higher_is_better: Direction.
        binary: Each document's value is 0 or 1.
        documents: Types of document it applies to.
        value: ScoredDocument and its responses, in the order of `document.candidates()` (one for `Text`) -> its value.
        chance: ScoredDocument -> expected value when guessing; None where guessing has no meaning, for the metric or for the
            document (a `Cloze` has no choices).
        ratio: For a rate, how it is summed up; None for a plain mean.
        lm_eval: lm-eval's name of it; empty where it has none.
        bounds: Range that the metric can have.
    """

    name: str
    higher_is_better: bool
    binary: bool
    documents: tuple[type, ...]
    value: Callable[[ScoredDocument, Sequence[Response]], float]
    chance: Callable[[ScoredDocument], float | None] | None
    ratio: Ratio | None
    lm_eval: str
    bounds: tuple[float, float]


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        TaskDefinitionError: There is none.
    """
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=3)
        names = near or list(METRICS)
        hint = ("did you mean " if near else "there are ") + ", ".join(names)
        raise TaskDefinitionError(f"there is no metric named {name!r}", hint=hint)
    return METRICS[name]


def observe(document: ScoredDocument, responses: Sequence[Response]) -> dict[str, float | int | list[int]]:
    """The numbers of a document that are kept beside its metrics.

    Returns:
        For choices: `picked` (index), `gold` (index, or indices where several are right), `choices` (how many) and,
        unless all are right, `margin` (log-probability of the best right choice minus that of the best wrong one, nats).
        For `Cloze` and `Text`: `log_likelihood` (nats), `tokens`, `words`, `bytes`, `characters`.

    Raises:
        NonFiniteError: A log-probability is NaN or infinite.
    """
    scores = _log_probabilities(document, responses)
    if isinstance(document, MultipleChoice | ContextChoice):
        golds = [int(index) for index in document.golds]
        seen: dict[str, float | int | list[int]] = {
            "picked": _best(scores),
            "gold": golds[0] if len(golds) == 1 else golds,
            "choices": len(scores),
        }
        others = [score for index, score in enumerate(scores) if index not in golds]
        if golds and others:
            seen["margin"] = max(scores[index] for index in golds) - max(others)
        return seen
    counts = document if isinstance(document, Text) else Text(document.answer)
    return {
        "log_likelihood": scores[0],
        "tokens": responses[0].tokens,
        "words": counts.words,
        "bytes": counts.bytes,
        "characters": counts.characters,
    }


def outcome(document: ScoredDocument, responses: Sequence[Response], metrics: Sequence[Metric]) -> str:
    """`right` or `wrong` by the first metric that is 0 or 1; `scored` where none is (perplexities, mc2)."""
    for candidate in metrics:
        if candidate.binary:
            return "right" if candidate.value(document, responses) == 1.0 else "wrong"
    return "scored"


def estimate(metric: Metric, samples: Sequence[Sample]) -> MetricValue:
    """A task's score on one metric, with standard error and 95 % interval.

    Proportions have Wilson's interval, means Student's t, rates the delta method; where documents share clusters,
    all have the cluster-robust error and t(clusters - 1). Samples that were not scored (outcome `errored` or `skipped`)
    are left out, and counted apart by the caller.

    Raises:
        EvaluationError: No sample has the metric, or one lacks it though it was scored.
        NonFiniteError: A sample's value is NaN or infinite.
    """
    if metric.ratio is None:
        chance = _chance(samples) if metric.chance else None
        return mean_value(
            metric.name,
            samples,
            higher_is_better=metric.higher_is_better,
            binary=metric.binary,
            bounds=metric.bounds,
            chance=chance,
        )
    ratio = metric.ratio
    return ratio_value(
        metric.name,
        samples,
        ratio.numerator,
        ratio.denominator,
        ratio.transform,
        higher_is_better=metric.higher_is_better,
    )


# --- values of one document


def _accuracy(document: ScoredDocument, responses: Sequence[Response]) -> float:
    """Whether the likeliest choice is right; for a `Cloze`, whether greedy decoding would give the answer."""
    scores = _log_probabilities(document, responses)
    if isinstance(document, Cloze):
        return float(responses[0].greedy)
    return float(_best(scores) in _choice(document, "acc").golds)


def _normalized_accuracy(
    name: str, length: Callable[[str], int]
) -> Callable[[ScoredDocument, Sequence[Response]], float]:
    """Accuracy after dividing each log-probability by its choice's length (without the delimiter before it)."""

    def value(document: ScoredDocument, responses: Sequence[Response]) -> float:
        scores = _log_probabilities(document, responses)
        choice = _choice(document, name)
        lengths = [length(text) for text in choice.choices]
        # an empty choice loses, as in lm-eval, where the division gives minus infinity
        rates = [score / size if size else -math.inf for score, size in zip(scores, lengths, strict=True)]
        return float(_best(rates) in choice.golds)

    return value


def _true_mass(document: ScoredDocument, responses: Sequence[Response]) -> float:
    """Share of the choices' probability that is on the right ones (TruthfulQA's MC2; Lin et al. 2022)."""
    scores = _log_probabilities(document, responses)
    golds = _choice(document, "mc2").golds
    highest = max(scores)
    masses = [math.exp(score - highest) for score in scores]  # exp of a long answer's score itself would be 0
    return math.fsum(masses[index] for index in set(golds)) / math.fsum(masses)


def _rate(
    name: str, denominator: str | None, transform: Transform
) -> Callable[[ScoredDocument, Sequence[Response]], float]:
    """The rate of one document alone; a task's is that of the sums, not the mean of these."""

    def value(document: ScoredDocument, responses: Sequence[Response]) -> float:
        if not isinstance(document, Cloze if denominator is None else Text):
            raise _not_applicable(name, document)
        above = _log_probabilities(document, responses)[0]
        below = 1 if denominator is None else observe(document, responses)[denominator]
        if not isinstance(below, int) or below == 0:
            raise DataError(
                f"a text without {denominator} has no {name}",
                hint="leave empty texts out with the task's `keep`, or drop the metric",
            )
        return transform.apply(above / below)

    return value


def _log_probabilities(document: ScoredDocument, responses: Sequence[Response]) -> list[float]:
    expected = 1 if isinstance(document, Text) else len(document.candidates())
    if len(responses) != expected:
        raise ValueError(f"{len(responses)} responses to a document with {expected} requests")
    scores = [float(response.log_probability) for response in responses]
    if not all(math.isfinite(score) for score in scores):
        raise NonFiniteError("the model gave a log-probability that is NaN or infinite", hint="try --dtype float32")
    return scores


def _best(scores: Sequence[float]) -> int:
    """Index of the highest score, the first of equals."""
    return max(range(len(scores)), key=scores.__getitem__)


def _choice(document: ScoredDocument, name: str) -> MultipleChoice | ContextChoice:
    if not isinstance(document, MultipleChoice | ContextChoice):
        raise _not_applicable(name, document)
    return document


def _not_applicable(name: str, document: ScoredDocument) -> TaskDefinitionError:
    kind = type(document)
    usable = [other.name for other in METRICS.values() if kind in other.documents]
    return TaskDefinitionError(f"metric {name} does not apply to {kind.__name__}", hint=f"use {', '.join(usable)}")


def _exponential(exponent: float) -> float:
    """exp, with the largest float in place of an overflow: a page without spaces is one word of 2,000 nats."""
    try:
        return math.exp(exponent)
    except OverflowError:
        return float("1.7976931348623157e308")


# --- chance


def _guessing(golds: int, choices: int) -> float:
    return golds / choices


def _document_chance(document: ScoredDocument) -> float | None:
    if not isinstance(document, MultipleChoice | ContextChoice):
        return None
    return _guessing(len(set(document.golds)), len(document.choices))


def _chance(samples: Sequence[Sample]) -> float | None:
    """Mean of the samples' chances; None where one is unknown (a `Cloze` has no choices to guess from)."""
    chances = [_sample_chance(sample.fields) for sample in samples if sample.outcome not in UNSCORED]
    known = [chance for chance in chances if chance is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(chances) else None


def _sample_chance(fields: Mapping[str, Any]) -> float | None:
    if "choices" not in fields or "gold" not in fields:
        return None
    gold = fields["gold"]
    return _guessing(len(set(gold)) if isinstance(gold, list) else 1, fields["choices"])


# --- the metrics

_CHOICES = (MultipleChoice, ContextChoice)


def _proportion(
    name: str, documents: tuple[type, ...], value: Callable[[ScoredDocument, Sequence[Response]], float], lm_eval: str
) -> Metric:
    return Metric(name, True, name != "mc2", documents, value, _document_chance, None, lm_eval, (0.0, 1.0))


def _rate_metric(name: str, denominator: str | None, transform: Transform, lm_eval: str) -> Metric:
    return Metric(
        name=name,
        higher_is_better=False,
        binary=False,
        documents=(Cloze,) if denominator is None else (Text,),
        value=_rate(name, denominator, transform),
        chance=None,
        ratio=Ratio("log_likelihood", denominator, transform),
        lm_eval=lm_eval,
        bounds=(0.0, math.inf),
    )


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        _proportion("acc", (*_CHOICES, Cloze), _accuracy, "acc"),
        _proportion("acc_norm", _CHOICES, _normalized_accuracy("acc_norm", len), "acc_norm"),
        _proportion(
            "acc_bytes", _CHOICES, _normalized_accuracy("acc_bytes", lambda text: len(text.encode())), "acc_bytes"
        ),
        _proportion("mc2", _CHOICES, _true_mass, "acc"),
        _rate_metric("perplexity", None, EXPONENTIAL, "perplexity"),
        _rate_metric("token_perplexity", "tokens", EXPONENTIAL, ""),
        _rate_metric("word_perplexity", "words", EXPONENTIAL, "word_perplexity"),
        _rate_metric("byte_perplexity", "bytes", EXPONENTIAL, "byte_perplexity"),
        _rate_metric("bits_per_byte", "bytes", BITS, "bits_per_byte"),
        _rate_metric("bits_per_character", "characters", BITS, ""),
    )
}
"""Name -> metric."""
