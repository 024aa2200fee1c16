"""Metrics of generated text: the value of one completion, how several are summed up, and the score of a task.

A task names them `NAME` (on the text as it is) or `NAME@EXTRACTOR` (on what that extractor of the task finds), and
`pass@K` or `maj@K` for several samples a document, which rest on the task's first metric that says right or wrong.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evalkit.documents import OpenQuestion
from evalkit.errors import TaskDefinitionError
from evalkit.extraction import Extractor
from evalkit.results import MetricValue, Sample
from evalkit.summaries import corpus_value, mean_value, whole_value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.data import DataOptions


@dataclass(frozen=True, slots=True)
class Corpus:
    """A score of all documents together that is no mean of theirs, from sufficient statistics of each.

    Attributes:
        statistics: Document and text (None where nothing was extracted) -> numbers, the same count for all documents.
        score: Statistics of some documents, float64 [documents, numbers] -> their score.
        of_sums: The same of many sets of documents at once, from the sums of the statistics of each: float64 [sets,
            numbers] -> [sets]. None where there is no quick way; `score` then does it.
    """

    statistics: Callable[[OpenQuestion, str | None], Sequence[float]]
    score: Callable[[npt.NDArray[np.float64]], float]
    of_sums: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] | None = None


@dataclass(frozen=True, slots=True)
class TextMetric:
    """One metric of a generated text.

    Attributes:
        name: What tasks call it.
        higher_is_better: Direction.
        binary: A text's value is 0 or 1; such metrics can be taken over samples (`pass@K`, `maj@K`).
        bounds: Range that the metric can have.
        value: Document and text (None where nothing was extracted) -> the text's value; None where the metric is not
            defined on this one text, which only those with `whole` may say.
        corpus: How a task's score is made where it is not the mean, from statistics of the documents.
        whole: The same from the texts themselves, where nothing less will do: texts and the references of each -> score.
        lm_eval: lm-eval's name of it; empty where it has none.
        signature: How exactly it was computed, for the result file; a function of the documents where it depends on
            them (sacrebleu's signature tells the number of references).
        prepare: Loads what the metric needs, before the model is loaded, so that what is missing is told at once.
        check: Raises where the metric cannot be computed for these documents; asked after `prepare`, before the model is
            loaded.
        normalize: Answers that are equal after it are one answer to the metric, and one vote of `maj@K`.
        executes_code: Its value is found by running what the model wrote, which the user must allow. Such a metric
            belongs to a task's `own_metrics`.
    """

    name: str
    higher_is_better: bool
    binary: bool
    bounds: tuple[float, float]
    value: Callable[[OpenQuestion, str | None], float | None]
    corpus: Corpus | None = None
    whole: Callable[[Sequence[str], Sequence[Sequence[str]]], float] | None = None
    lm_eval: str = ""
    signature: str | Callable[[Sequence[OpenQuestion]], str] = ""
    prepare: Callable[[DataOptions], None] | None = None
    check: Callable[[Sequence[OpenQuestion]], None] | None = None
    normalize: Callable[[str], str] | None = None
    executes_code: bool = False

    def signed(self, documents: Sequence[OpenQuestion]) -> str:
        """The signature for these documents."""
        return self.signature(documents) if callable(self.signature) else self.signature


class Valued:
    """What metrics say of the texts of one document, each worked out once: a metric may take long, or run code.

    Args:
        document: The document.
    """

    def __init__(self, document: OpenQuestion) -> None:
        self.document = document
        self._values: dict[tuple[TextMetric, str | None], float | None] = {}

    def __call__(self, metric: TextMetric, text: str | None) -> float | None:
        """The metric's value of the text (None where nothing was extracted)."""
        key = (metric, text)  # the metric itself: a task may define two of one name
        if key not in self._values:
            self._values[key] = metric.value(self.document, text)
        return self._values[key]


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric as a task uses it.

    Attributes:
        name: Its name in the result.
        metric: The metric of one text.
        extractor: What the metric is given, by the name of one of the task's extractors; None for the text itself.
        over: How several samples become one value: their `mean`, `pass` or `maj`.
        k: Samples that `pass` and `maj` look at.
    """

    name: str
    metric: TextMetric
    extractor: str | None
    over: Literal["mean", "pass", "maj"] = "mean"
    k: int = 1

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        return self.metric.higher_is_better

    def value(self, document: OpenQuestion, texts: Sequence[str | None], valued: Valued | None = None) -> float | None:
        """The document's value; None where it has none.

        Args:
            document: The document.
            texts: What was extracted of each of its samples.
            valued: What is already known of these texts, and takes in what is found here.
        """
        valued = valued or Valued(document)
        if self.over == "maj":
            return valued(self.metric, majority(texts[: self.k], self.metric.normalize))
        values = [valued(self.metric, text) for text in texts]
        if self.over == "pass":
            return pass_at_k(len(values), sum(value == 1.0 for value in values), self.k)
        defined = [value for value in values if value is not None]
        return math.fsum(defined) / len(defined) if defined else None

    def fields(self, document: OpenQuestion, texts: Sequence[str | None]) -> dict[str, Any]:
        """What `estimate` needs of the document besides its value, as fields of its sample; a list entry a text."""
        if self.metric.corpus is not None:
            statistics = self.metric.corpus.statistics
            return {self._statistics: [[float(number) for number in statistics(document, text)] for text in texts]}
        if self.metric.whole is not None:
            return {self._texts: {"texts": [text or "" for text in texts], "references": list(document.references)}}
        return {}

    @property
    def _statistics(self) -> str:
        return f"{self.name}_statistics"

    @property
    def _texts(self) -> str:
        """The same for all metrics that look at the same texts, so that these are kept once."""
        return f"texts@{self.extractor}" if self.extractor else "texts"

    def estimate(self, samples: Sequence[Sample], *, intervals: bool = True) -> MetricValue:
        """The task's score; see `evalkit.metrics.estimate`.

        Scores from statistics have a bootstrap interval over documents. Those from the texts themselves have the mean's
        interval where they are the mean of the documents' values, and none otherwise. With several samples both are the
        mean of the scores that the documents' first, second ... samples have together. `intervals` False leaves out what
        takes long; for the latter that is the score itself, and the mean stands in.
        """
        if self.metric.corpus is not None:
            return corpus_value(
                self.name,
                samples,
                self._statistics,
                self.metric.corpus.score,
                higher_is_better=self.higher_is_better,
                resamples=1000 if intervals else 0,
            )
        if self.metric.whole is not None:
            return whole_value(
                self.name,
                samples,
                self._texts,
                self.metric.whole if intervals else None,
                higher_is_better=self.higher_is_better,
            )
        values = {sample.metrics[self.name] for sample in samples if self.name in sample.metrics}
        return mean_value(
            self.name,
            samples,
            higher_is_better=self.higher_is_better,
            binary=self.metric.binary and values <= {0.0, 1.0},
            bounds=self.metric.bounds,
            chance=self._chance(samples),
        )

    def _chance(self, samples: Sequence[Sample]) -> float | None:
        """Mean of the documents' chances of a right guess; None for several samples, and where one is not known."""
        if not self.metric.binary or self.over != "mean":
            return None
        chances = [sample.fields.get("chance") for sample in samples if self.name in sample.metrics]
        return None if not chances or None in chances else math.fsum(chances) / len(chances)  # type: ignore[arg-type]


def measures(
    names: Sequence[str],
    extractors: Mapping[str, Extractor],
    find: Callable[[str], TextMetric],
    own: Sequence[TextMetric] = (),
) -> list[Measure]:
    """A task's metrics of generated text.

    Args:
        names: As the task names them, the main one first.
        extractors: The task's.
        find: Name -> metric.
        own: Metrics that the task defines: where `names` has none that is 0 or 1, `pass@K` and `maj@K` rest on the
            first of these that is, and on the task's first extractor.

    Raises:
        TaskDefinitionError: An unknown metric or extractor, or `pass@K` and `maj@K` without a metric that is 0 or 1.
    """
    found: list[Measure] = []
    for name in names:
        over = re.fullmatch(r"(pass|maj)@(\d+)", name)
        if over:
            continue
        base, _, extractor = name.partition("@")
        if extractor and extractor not in extractors:
            raise TaskDefinitionError(
                f"metric {name} names no extractor of the task",
                hint=f"it has {', '.join(extractors)}" if extractors else "the task has no extractors: add `extract:`",
            )
        found.append(Measure(name, find(base), extractor or None))
    unnamed = (Measure(metric.name, metric, next(iter(extractors), None)) for metric in own)
    judge = next((one for one in (*found, *unnamed) if one.metric.binary), None)
    for place, name in enumerate(names):
        over = re.fullmatch(r"(pass|maj)@(\d+)", name)
        if not over:
            continue
        if judge is None:
            raise TaskDefinitionError(
                f"{name} needs a metric that says right or wrong", hint="add one, such as exact_match, to the metrics"
            )
        kind: Literal["pass", "maj"] = "pass" if over[1] == "pass" else "maj"
        found.insert(place, Measure(name, judge.metric, judge.extractor, kind, int(over[2])))
    return found


def majority(texts: Sequence[str | None], normalize: Callable[[str], str] | None = None) -> str | None:
    """The most frequent answer (self-consistency; Wang et al. 2023, arXiv 2203.11171).

    Args:
        texts: Answers; None, where none was found, is no vote.
        normalize: Answers that are equal after it are one.

    Returns:
        The answer as first given, of equally frequent ones the one given first; None where there is none.
    """
    votes = [(normalize(text) if normalize else text, text) for text in texts if text is not None]
    if not votes:
        return None
    ((winner, _),) = Counter(vote for vote, _ in votes).most_common(1)
    return next(text for vote, text in votes if vote == winner)


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Chance that at least one of k samples is right, estimated without bias from more of them.

    1 - C(samples - right, k) / C(samples, k); Chen et al. 2021, arXiv 2107.03374, section 2.1.

    Raises:
        ValueError: There are fewer than k samples.
    """
    if samples < k:
        raise ValueError(f"pass@{k} of {samples} samples")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)
