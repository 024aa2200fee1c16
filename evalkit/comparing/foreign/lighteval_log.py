"""lighteval's log as a run: OUT/results/MODEL/results_DATE.json with OUT/details/MODEL/DATE/details_TASK_DATE.parquet."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.comparing.foreign.building import agrees, finite, mean_score, read_bounded, task_result
from evalkit.data import DatasetInfo, document_id, unique_ids
from evalkit.errors import UsageError
from evalkit.json_node import Node, parse
from evalkit.results import MetricValue, ModelInfo, Run, Sample, TaskResult

logger = logging.getLogger(__name__)

HINT = "give the folder or the results_*.json that `lighteval ... --output-dir DIR --save-details` wrote, unchanged"
_ROWS_AT_A_TIME = 256


def read_lighteval(path: Path) -> Run | None:
    """The run in lighteval's log.

    Args:
        path: The folder that `--output-dir` named, or a `results_DATE.json` in it. Of several runs in a folder the
            newest is read, and a warning says so.

    Returns:
        The run; None where the path is no log of lighteval's.

    Raises:
        UsageError: The log is damaged, or was made without `--save-details`.
    """
    results = _newest(path) if path.is_dir() else path
    if results is None or results.suffix != ".json":
        return None
    content = read_bounded(results, HINT)
    if b'"config_general"' not in content:
        return None
    root = parse(results.name, content, hint=HINT, non_finite=True)
    details = _details_folder(results)
    tasks = {name: _task(root, name, details) for name, _ in root["config_tasks"].items()}
    if not tasks:
        raise UsageError(f"{root.file}: config_tasks is empty", hint=HINT)
    general = root["config_general"]
    limit = general.get("max_samples").optional(Node.whole)
    return Run(
        created="",
        evalkit_version="",
        model=_model(general),
        settings={"limit": None if limit is None else str(limit), "engine": "lighteval"},
        environment={"file": root.file, "lighteval": general.get("lighteval_sha").value},
        tasks=tasks,
        groups={},
        timing={},
    )


def _newest(folder: Path) -> Path | None:
    found = [file for depth in ("", "*/", "*/*/") for file in folder.glob(f"results/{depth}results_*.json")]
    if not found:
        return None
    if len({file.parent for file in found}) > 1:
        names = ", ".join(sorted({file.parent.name for file in found})[:3])
        raise UsageError(f"the folder {folder} holds runs of several models: {names}", hint="give a results_*.json")
    newest = max(found)
    if len(found) > 1:
        logger.warning("%s holds %d runs; the newest is read: %s", newest.parent, len(found), newest.name)
    return newest


def _details_folder(results: Path) -> Path:
    """The folder of the details that belong to a results file; it may not exist."""
    parts = list(results.resolve().parent.parts)
    for place in reversed(range(len(parts))):
        if parts[place] == "results":
            parts[place] = "details"
            break
    return Path(*parts) / results.stem.removeprefix("results_")


def _task(root: Node, name: str, folder: Path) -> TaskResult:
    config = root["config_tasks"][name]
    file = folder / f"details_{name}_{folder.name}.parquet"
    if not file.is_file():
        raise UsageError(
            f"the details of {name} are missing: there is no {file}",
            hint="run lighteval again with --save-details: only single documents can be compared",
        )
    rows = sorted(_rows(file), key=_index)
    if not rows:
        raise UsageError(f"{file} holds no documents", hint=HINT)
    samples = _samples(rows)
    metrics = _scores(root, config, name, samples, file)
    splits = [one.text() for one in config.get("evaluation_splits").optional(Node.elements) or []]
    return task_result(
        version=config.get("version").optional(Node.whole) or 0,
        dataset=DatasetInfo(
            config.get("hf_repo").optional(Node.text) or "",
            config.get("hf_subset").optional(Node.text),
            "+".join(splits),
            config.get("hf_revision").optional(Node.text),
            "lighteval",
            "",
        ),
        shots=config.get("num_fewshots").optional(Node.whole) or 0,
        prompt_sha256=_prompts(rows),
        metrics=metrics,
        samples=_judged(rows, samples, list(metrics)),
        settings={"decoding": _decoding(root["config_general"], config)},
    )


def _rows(file: Path) -> Iterator[Node]:
    """The rows of a file of details."""
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(file) as details:
            number = 0
            for batch in details.iter_batches(_ROWS_AT_A_TIME):
                for row in batch.to_pylist():
                    yield Node(f"{file.name}, row {number}", "", row, HINT)
                    number += 1
    except (ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {(str(error).splitlines() or [''])[0]}", hint=HINT) from error


def _index(row: Node) -> int:
    """The document's place in the dataset."""
    text = row["doc"]["id"].text()
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise row["doc"]["id"].error("is no whole number")
    return int(text)


def _samples(rows: Sequence[Node]) -> list[Sample]:
    """The documents with their numbers, their outcomes still open."""
    ids = unique_ids([document_id({name: row["doc"][name].value for name in ("query", "choices")}) for row in rows])
    return [
        Sample(
            identity,
            _index(row),
            None,
            "",
            {name: finite(node) for name, node in row["metric"].items() if _is_number(node.value)},
            {},
        )
        for identity, row in zip(ids, rows, strict=True)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _scores(root: Node, config: Node, name: str, samples: Sequence[Sample], file: Path) -> dict[str, MetricValue]:
    """Means of the documents' values where lighteval reports these; else its own value, without its standard error.

    Its bootstrap's standard errors are too small (divided by the root of the number of resamples once more).
    """
    directions, means = _directions(config), _means(config)
    metrics: dict[str, MetricValue] = {}
    for metric, reported in root["results"][name].items():
        if metric.endswith("_stderr") or not _is_number(reported.value):
            continue
        higher = directions.get(metric, True)
        valued = [sample for sample in samples if metric in sample.metrics]
        mean = mean_score(metric, valued, higher_is_better=higher) if valued else None
        if mean is not None and agrees(reported.number(), mean.value):
            metrics[metric] = mean
        elif mean is not None and metric in means:
            raise UsageError(
                f"{file}: the documents give {metric} = {mean.value}, but {root.file} says {reported.path} = "
                f"{reported.value}",
                hint="the files are not of the same run, or documents are missing",
            )
        else:
            metrics[metric] = MetricValue(finite(reported), None, None, higher, None)
    if not metrics:
        raise UsageError(f"{file}: no document has a value of any metric", hint=HINT)
    return metrics


def _directions(config: Node) -> Mapping[str, bool]:
    """Metric -> whether higher is better."""
    found: dict[str, bool] = {}
    for metric in config.get("metrics").optional(Node.elements) or []:
        higher = metric.get("higher_is_better").value
        if isinstance(higher, dict):
            found |= {name: value is not False for name, value in higher.items()}
        else:
            found[str(metric.get("metric_name").value)] = higher is not False
    return found


def _means(config: Node) -> set[str]:
    """Metrics whose score is certainly the mean of the documents'."""
    listed = config.get("metrics").optional(Node.elements) or []
    return {str(metric.get("metric_name").value) for metric in listed if metric.get("corpus_level_fn").value == "mean"}


def _judged(rows: Sequence[Node], samples: Sequence[Sample], metrics: Sequence[str]) -> list[Sample]:
    """The samples with their outcomes, and without metrics that the task has no score of."""
    judge = next((name for name in metrics if all(one.metrics.get(name) in (0.0, 1.0) for one in samples)), None)
    judged = []
    for row, sample in zip(rows, samples, strict=True):
        right = None if judge is None else sample.metrics[judge] == 1.0
        values = {name: value for name, value in sample.metrics.items() if name in metrics}
        outcome = _outcome(row, right) if values else "errored"
        judged.append(Sample(sample.id, sample.index, None, outcome, values, {}))
    return judged


def _outcome(row: Node, right: bool | None) -> str:
    """What became of a document; the log does not tell answers that were cut off, or in which nothing was found."""
    if right:
        return "right"
    texts = row["model_response"].get("text").optional(Node.elements) or []
    if texts and not (texts[0].optional(Node.text) or "").strip():
        return "empty"
    return "scored" if right is None else "wrong"


def _prompts(rows: Sequence[Node]) -> str:
    """Hash of what the model was given; empty where the log does not say."""
    prompts = [row["model_response"].get("input").value for row in rows]
    if any(prompt is None for prompt in prompts):
        return ""
    return hashlib.sha256(repr(prompts).encode("utf-8", "backslashreplace")).hexdigest()


def _decoding(general: Node, config: Node) -> dict[str, Any]:
    model = general.get("model_config").value
    given = model.get("generation_parameters") if isinstance(model, dict) else None
    own = {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else {}
    return {**own, "generation_size": config.get("generation_size").value, "stop": config.get("stop_sequence").value}


def _model(general: Node) -> ModelInfo:
    given = general.get("model_config").value
    config = given if isinstance(given, dict) else {}
    revision, dtype = config.get("revision"), config.get("dtype")
    return ModelInfo(
        name=general["model_name"].text(),
        source="lighteval",
        revision=revision if isinstance(revision, str) else None,
        parameters=None,
        dtype=dtype.removeprefix("torch.") if isinstance(dtype, str) else "",
        weights_sha256="",
        tokenizer_sha256="",
        adapter=None,
        extra={},
    )
