"""Samples and scores of one of lm-eval's tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from evalkit.comparing.foreign.building import agrees, finite, mean_score
from evalkit.comparing.foreign.lm_eval_files import HINT
from evalkit.comparing.foreign.lm_eval_names import Naming
from evalkit.comparing.foreign.lm_eval_samples import Logged, LoggedTask
from evalkit.errors import UsageError
from evalkit.json_node import Node
from evalkit.metrics import METRICS, estimate
from evalkit.results import MetricValue, Sample

_NOTHING = "[invalid]"
"""What lm-eval's regular expressions give where they find nothing, unless a task says otherwise."""

_MEANS = frozenset({"mean", "nanmean"})


class _Source(NamedTuple):
    """What lm-eval calls a metric: its name and its filter's."""

    metric: str
    filtered: str


class Read(NamedTuple):
    """What a task's log says.

    Attributes:
        metrics: Metric -> value, the main one first.
        samples: In the dataset's order.
        lm_eval_metrics: Metric -> its name in evalkit's runs of `lm-eval:NAME`, where that is another.
    """

    metrics: dict[str, MetricValue]
    samples: list[Sample]
    lm_eval_metrics: dict[str, str]


@dataclass(frozen=True, slots=True)
class Scores:
    """One task's log, its names, and what lm-eval reports of it.

    Attributes:
        naming: evalkit's names.
        config: The task's configuration in the results file.
        logged: Its documents.
        reported: Its scores in the results file: `METRIC,FILTER` -> value.
        directions: Metric -> whether higher is better.
    """

    naming: Naming
    config: Node
    logged: LoggedTask
    reported: Node
    directions: Mapping[str, bool]

    def read(self) -> Read:
        """Everything there is.

        Raises:
            UsageError: A field has the wrong type, or a score is not that of the samples.
        """
        sources: dict[str, _Source] = {}
        samples = [self._sample(position, one, sources) for position, one in enumerate(self.logged.documents)]
        metrics: dict[str, MetricValue] = {}
        for name in self.naming.ordered(list(sources)):
            value = self._value(name, sources[name], samples)
            if value is not None:
                metrics[name] = value
        if not metrics:
            raise UsageError(f"{self.logged.file}: no document has a value of any metric", hint=HINT)
        judge = self._judge(metrics, samples)
        filtered = sources[judge].filtered if judge else self.naming.filters[0]
        judged = [
            self._judged(sample, one, judge, filtered, metrics)
            for sample, one in zip(samples, self.logged.documents, strict=True)
        ]
        other = {name: self.naming.lm_eval_metric(*sources[name]) for name in metrics}
        return Read(metrics, judged, {name: lm_eval for name, lm_eval in other.items() if lm_eval != name})

    # --- single documents

    def _sample(self, position: int, logged: Logged, sources: dict[str, _Source]) -> Sample:
        """The document's numbers, its outcome still open."""
        numbers: dict[str, float] = {}
        fields: dict[str, Any] = {}
        for (metric, filtered), node in logged.values.items():
            name = self.naming.metric(metric, filtered)
            sources.setdefault(name, _Source(metric, filtered))
            if metric in METRICS and METRICS[metric].ratio is not None:
                numbers[name] = _rate(metric, node, fields)
            elif isinstance(node.value, bool | int | float):
                if not (isinstance(node.value, float) and math.isnan(node.value)):
                    numbers[name] = float(node.value) if isinstance(node.value, bool) else finite(node)
            elif node.value is not None:
                fields[f"{name}_item"] = node.value
        fields |= self._choice(logged) | self._answers(logged)
        identity, lm_eval_id = self.naming.ids[position], self.naming.lm_eval_ids[position]
        if identity != lm_eval_id:
            fields["lm_eval_id"] = lm_eval_id
        return Sample(identity, logged.index, self._cluster(position), "", numbers, fields)

    def _cluster(self, position: int) -> str | None:
        task = self.naming.task
        if task is None or task.cluster is None:
            return None
        return task.cluster(self.naming.rows[position])

    def _choice(self, logged: Logged) -> dict[str, Any]:
        """Index of the choice picked, number of choices and, where it is known, the right one's index and the margin."""
        if self.config["output_type"].value != "multiple_choice":
            return {}
        values = {metric: node.value for (metric, _), node in logged.values.items()}
        scores = _log_likelihoods(next(iter(logged.answers.values())))
        if "acc_mutual_info" in values:  # unconditional requests follow the choices
            scores = scores[: len(scores) // 2]
        if not scores:
            return {}
        picked = scores.index(max(scores))
        found: dict[str, Any] = {"picked": picked, "choices": len(scores)}
        gold = int(logged.target) if logged.target.isascii() and logged.target.isdecimal() else len(scores)
        # a target may be the label of several right answers: it is an index where `acc` follows from it
        if gold < len(scores) and values.get("acc") in (0, 1) and (picked == gold) == bool(values["acc"]):
            others = [score for index, score in enumerate(scores) if index != gold]
            found |= {"gold": gold} | ({"margin": scores[gold] - max(others)} if others else {})
        return found

    def _answers(self, logged: Logged) -> dict[str, Any]:
        """What the main filter found in a generated text."""
        if self.config["output_type"].value != "generate_until":
            return {}
        answer = next(iter(logged.answers.values()), [])
        return {"answers": [None if self._is_nothing(one) else one for one in answer]}

    def _judged(
        self, sample: Sample, logged: Logged, judge: str | None, filtered: str, metrics: Mapping[str, MetricValue]
    ) -> Sample:
        """The sample with its outcome, and without metrics that the task has no score of."""
        right = None if judge is None else sample.metrics.get(judge) == 1.0
        kept = {name: value for name, value in sample.metrics.items() if name in metrics}
        return replace(sample, metrics=kept, outcome=self._outcome(logged, right, filtered))

    def _outcome(self, logged: Logged, right: bool | None, filtered: str) -> str:
        """As `evalkit.runner.outcomes`, but for answers that were cut off: lm-eval's log does not tell them."""
        if right:
            return "right"
        if self.config["output_type"].value == "generate_until":
            if logged.texts and not logged.texts[0].strip():
                return "empty"
            if all(self._is_nothing(answer) for answer in logged.answers.get(filtered, [])):
                return "unparsed"
        return "scored" if right is None else "wrong"

    def _is_nothing(self, answer: Any) -> bool:
        if isinstance(answer, list):
            return all(self._is_nothing(one) for one in answer)
        return answer is None or not str(answer).strip() or str(answer) in {_NOTHING, *self._fallbacks()}

    def _fallbacks(self) -> list[str]:
        """What the task's filters give where they find nothing."""
        listed = self.config.get("filter_list").value
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        lists = [steps for entry in entries if isinstance(steps := entry.get("filter"), list)]
        found = [step.get("fallback") for steps in lists for step in steps if isinstance(step, dict)]
        return [str(fallback) for fallback in found if fallback]

    # --- the task

    def _judge(self, metrics: Mapping[str, MetricValue], samples: Sequence[Sample]) -> str | None:
        """The first metric that is 0 or 1 for every document: it tells right from wrong."""
        for name in metrics:
            if all(sample.metrics.get(name) in (0.0, 1.0) for sample in samples):
                return name
        return None

    def _value(self, name: str, source: _Source, samples: Sequence[Sample]) -> MetricValue | None:
        """The task's score: that of the samples where it is their mean or ratio, else the one reported."""
        reported = self.reported.get(f"{source.metric},{source.filtered}")
        numeric = isinstance(reported.value, int | float) and not isinstance(reported.value, bool)
        if numeric and not math.isfinite(reported.number()):
            return None
        valued = [sample for sample in samples if name in sample.metrics]
        computed = self._computed(name, source, valued) if valued else None
        if computed is None or (numeric and not agrees(reported.number(), computed.value)):
            if computed is not None and self._is_mean(source.metric):
                raise UsageError(
                    f"{self.logged.file}: the samples give {source.metric} = {computed.value}, but {reported.file} "
                    f"says {reported.path} = {reported.value}",
                    hint="the files are not of the same run, or samples are missing",
                )
            return self._reported(source, reported) if numeric else None
        return computed

    def _computed(self, name: str, source: _Source, samples: Sequence[Sample]) -> MetricValue:
        known = METRICS.get(name if self.naming.task else source.metric)
        higher = self.directions.get(source.metric, True)
        if known is not None and self.config["output_type"].value != "generate_until":
            binary = all(sample.metrics[name] in (0.0, 1.0) for sample in samples)
            if known.ratio is not None or binary or not known.binary:
                return replace(estimate(replace(known, name=name), samples), bounds=known.bounds)
        return mean_score(name, samples, higher_is_better=higher)

    def _reported(self, source: _Source, reported: Node) -> MetricValue:
        stderr = self.reported.get(f"{source.metric}_stderr,{source.filtered}").value
        known = isinstance(stderr, int | float) and not isinstance(stderr, bool) and math.isfinite(stderr)
        higher = self.directions.get(source.metric, True)
        return MetricValue(finite(reported), float(stderr) if known else None, None, higher, None)

    def _is_mean(self, metric: str) -> bool:
        """Whether the task's score is certainly the mean of its documents', or a perplexity."""
        if metric in METRICS and METRICS[metric].ratio is not None:
            return True
        listed = self.config.get("metric_list").value
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        return any(entry.get("metric") == metric and entry.get("aggregation") in _MEANS for entry in entries)


def _rate(metric: str, node: Node, fields: dict[str, Any]) -> float:
    """A perplexity of one document; its log-likelihood (nats) and what that is divided by go into `fields`."""
    ratio = METRICS[metric].ratio
    assert ratio is not None
    above, below = node, 1.0
    if ratio.denominator is not None:
        parts = node.elements()
        if len(parts) != 2:
            raise node.error(f"has {len(parts)} elements, expected a log-likelihood and a count")
        above, below = parts[0], finite(parts[1])
        if below <= 0:
            raise parts[1].error(f"is {below}, expected a count above 0")
        fields[ratio.denominator] = int(below) if below.is_integer() else below
    fields[ratio.numerator] = finite(above)
    value = ratio.transform.apply(finite(above) / below)
    if not math.isfinite(value):
        raise node.error(f"is {node.value}, whose {metric} is no finite number")
    return value


def _log_likelihoods(answers: Sequence[Any]) -> list[float]:
    """Of `[[log-likelihood, greedy], ...]`, whose numbers lm-eval writes as text; empty where they are something else."""
    try:
        scores = [float(answer[0]) for answer in answers]
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return []
    return scores if all(math.isfinite(score) for score in scores) else []
