"""What the readers share: opening files, and results made of samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from evalkit.data import DatasetInfo
from evalkit.errors import UsageError
from evalkit.json_node import Node
from evalkit.results import MetricValue, Sample, TaskResult
from evalkit.summaries import mean_value

LARGEST_DOCUMENT = 512 * 2**20
"""Bytes of a JSON document that are read at most: no log's header or single sample comes near."""

LARGEST_NUMBER = 1e100
"""No score, count or log-likelihood comes near; sums of squares of more are infinite."""

TOLERANCE = 1e-6
"""Relative difference between a score and the mean of its samples that is more than rounding."""


def opened(path: Path, hint: str) -> BinaryIO:
    """The file, opened for reading.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def read_bounded(path: Path, hint: str) -> bytes:
    """The content of a file of a sane size.

    Raises:
        UsageError: It cannot be read, or is larger than `LARGEST_DOCUMENT`.
    """
    with opened(path, hint) as stream:
        try:
            content = stream.read(LARGEST_DOCUMENT + 1)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    if len(content) > LARGEST_DOCUMENT:
        raise UsageError(f"{path} is larger than {LARGEST_DOCUMENT >> 20} MiB", hint=hint)
    return content


def finite(node: Node) -> float:
    """A number that is not NaN, infinite, or so large that its square is.

    Raises:
        UsageError: It is no such number.
    """
    value = node.number()
    if not abs(value) < LARGEST_NUMBER:
        raise node.error(f"is {value}, expected a finite number")
    return value


def mean_score(name: str, samples: Sequence[Sample], *, higher_is_better: bool) -> MetricValue:
    """The mean over the samples that have the metric, with the interval that fits (`evalkit.summaries.mean_value`)."""
    valued = [sample for sample in samples if name in sample.metrics]
    binary = all(sample.metrics[name] in (0.0, 1.0) for sample in valued)
    value = mean_value(
        name,
        valued,
        higher_is_better=higher_is_better,
        binary=binary,
        bounds=(0.0, 1.0) if binary else (-math.inf, math.inf),
    )
    return value if not binary else _with_bounds(value)


def _with_bounds(value: MetricValue) -> MetricValue:
    from dataclasses import replace

    return replace(value, bounds=(0.0, 1.0))


def agrees(reported: float, computed: float) -> bool:
    """Whether a score that the log reports is the one its samples give."""
    return math.isclose(reported, computed, rel_tol=TOLERANCE, abs_tol=1e-9)


def task_result(
    *,
    version: int,
    dataset: DatasetInfo,
    shots: int,
    prompt_sha256: str,
    metrics: Mapping[str, MetricValue],
    samples: Iterable[Sample],
    settings: Mapping[str, Any],
) -> TaskResult:
    """A task's result, its outcomes counted."""
    kept = tuple(samples)
    outcomes = Counter(sample.outcome for sample in kept)
    return TaskResult(
        version, dataset, shots, prompt_sha256, len(kept), metrics, dict(sorted(outcomes.items())), kept, settings
    )
