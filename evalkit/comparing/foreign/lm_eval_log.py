"""lm-eval's log as a run: `results_DATE.json` with the samples beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.comparing.foreign.building import finite, read_bounded, task_result
from evalkit.comparing.foreign.lm_eval_decoding import described
from evalkit.comparing.foreign.lm_eval_files import HINT, LogFiles, find
from evalkit.comparing.foreign.lm_eval_groups import read_groups
from evalkit.comparing.foreign.lm_eval_names import Naming, naming
from evalkit.comparing.foreign.lm_eval_samples import LoggedTask, read_documents
from evalkit.comparing.foreign.lm_eval_scores import Scores
from evalkit.data import DatasetInfo
from evalkit.errors import UsageError
from evalkit.json_node import Node, parse
from evalkit.results import ModelInfo, Run, TaskResult


def read_lm_eval(path: Path) -> Run | None:
    """The run in lm-eval's log.

    Args:
        path: See `evalkit.comparing.foreign.lm_eval_files.find`.

    Returns:
        The run; None where the path is no log of lm-eval's.

    Raises:
        UsageError: The log is damaged, or has no samples; the message names file and field.
    """
    files = find(path)
    if files is None:
        return None
    content = read_bounded(files.results, HINT)
    marked = b'"lm_eval_version"' in content or b'"n-shot"' in content
    if not marked and not any(files.results.parent.glob("samples_*.jsonl")):
        return None  # some other JSON; lighteval's results have the same name
    root = parse(files.results.name, content, hint=HINT, non_finite=True)
    asked = [name for name, _ in root["results"].items()]
    # lm-eval sorts the configurations by name, the results are in the order asked
    names = sorted(root["configs"].mapping(), key=lambda name: asked.index(name) if name in asked else len(asked))
    wanted = names if files.task is None else [name for name in names if name == files.task]
    if not wanted:
        raise UsageError(f"{root.file}: configs holds no task {files.task or ''}".rstrip(), hint=HINT)
    tasks = {name: _task(files, root, name) for name in wanted}
    by_key = {key: result for key, result in tasks.values()}
    keys = {name: key for name, (key, _) in tasks.items()}
    return Run(
        created=_created(root.get("date")),
        evalkit_version="",
        model=_model(root),
        settings=_settings(root),
        environment=_environment(root),
        tasks=by_key,
        groups={} if files.task else read_groups(root, keys, by_key),
        timing={},
    )


def _task(files: LogFiles, root: Node, name: str) -> tuple[str, TaskResult]:
    """One task, by its name in evalkit."""
    config = root["configs"][name]
    shots = root["n-shot"][name].whole()
    output_type = config["output_type"].text()
    logged = read_documents(files.samples(name), output_type)
    _check_count(root.get("n-samples"), name, len(logged.documents), logged.file)
    names = naming(name, config.mapping(), shots, logged)
    scores = Scores(names, config, logged, root["results"][name], _directions(root, name))
    read = scores.read()
    result = task_result(
        version=_version(root["versions"].get(name)),
        dataset=_dataset(config),
        shots=shots,
        prompt_sha256=logged.prompt_sha256,
        metrics=read.metrics,
        samples=read.samples,
        settings=_task_settings(root, config, names, logged)
        | ({"lm_eval_metrics": read.lm_eval_metrics} if read.lm_eval_metrics else {}),
    )
    return names.key, result


def _check_count(counts: Node, name: str, found: int, file: str) -> None:
    if counts.value is None or counts.get(name).value is None:
        return
    expected = counts[name]["effective"].whole()
    if expected != found:
        raise UsageError(
            f"{file} holds {found} documents, but {counts.file} says that {expected} of {name} were evaluated",
            hint=HINT,
        )


def _directions(root: Node, name: str) -> Mapping[str, bool]:
    """Metric -> whether higher is better; a metric that does not say is taken to be so."""
    directions = root.get("higher_is_better")
    values = directions.get(name).value if isinstance(directions.value, dict) else None
    return {metric: value is not False for metric, value in values.items()} if isinstance(values, dict) else {}


def _dataset(config: Node) -> DatasetInfo:
    """Where the rows came from; lm-eval's log has no hash of their content."""
    split = config.get("test_split").optional(Node.text) or config.get("validation_split").optional(Node.text) or ""
    options = config.get("dataset_kwargs").optional(Node.mapping) or {}
    revision = options.get("revision")
    return DatasetInfo(
        id=config.get("dataset_path").optional(Node.text) or "",
        config=config.get("dataset_name").optional(Node.text),
        split=split,
        revision=revision if isinstance(revision, str) else None,
        source="lm-eval",
        sha256="",
    )


def _task_settings(root: Node, config: Node, names: Naming, logged: LoggedTask) -> dict[str, Any]:
    found: dict[str, Any] = {"lm_eval_task": names.lm_eval_name, "chat_template": {"used": _chat(root) is not None}}
    if root["n-shot"][names.lm_eval_name].value:
        found |= {"shots_sampler": "lm-eval", "shots_seed": root["config"].get("fewshot_seed").value}
        multiturn = root.get("fewshot_as_multiturn").value
        found["chat_template"] |= {} if _chat(root) is None else {"fewshot_as_multiturn": bool(multiturn)}
    if config["output_type"].value == "generate_until":
        found |= {"decoding": described(logged.generation, config.get("repeats").value or 1)}
        found |= {"extractors": _extractors(config, names)}
    return found


def _extractors(config: Node, names: Naming) -> dict[str, str]:
    """How answers were found in texts: in evalkit's words where its task has lm-eval's metrics, else lm-eval's filters."""
    if names.task is not None:
        return {name: repr(extractor) for name, extractor in names.task.extractors.items()}
    listed = config.get("filter_list").value
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return {str(entry.get("name")): json.dumps(entry.get("filter"), sort_keys=True) for entry in entries}


def _chat(root: Node) -> str | None:
    return root.get("chat_template").optional(Node.text)


def _settings(root: Node) -> dict[str, Any]:
    """In the words of evalkit's own settings; what lm-eval's log does not say is left out."""
    limit = root["config"].get("limit").optional(finite)
    shown = None if limit is None else f"first:{int(limit) if limit >= 1 else limit}"
    return {
        "limit": shown,
        "chat_template": "on" if _chat(root) else "off",
        "system": root.get("system_instruction").optional(Node.text),
        "engine": f"lm-eval {root['config']['model'].text()}",
    }


def _model(root: Node) -> ModelInfo:
    config = root["config"]
    arguments = config.get("model_args").value
    # an object since lm-eval 0.4.9, before that "pretrained=NAME,dtype=float32"
    given = arguments if isinstance(arguments, dict) else _pairs(arguments if isinstance(arguments, str) else "")
    adapter = given.get("peft") or given.get("delta")
    dtype = config.get("model_dtype").optional(Node.text) or str(given.get("dtype") or "")
    return ModelInfo(
        name=root.get("model_name").optional(Node.text) or str(given.get("pretrained") or config["model"].text()),
        source="lm-eval",
        revision=config.get("model_sha").optional(Node.text) or None,
        parameters=config.get("model_num_parameters").optional(Node.whole),
        dtype=dtype.removeprefix("torch."),
        weights_sha256="",
        tokenizer_sha256="",
        adapter=str(adapter) if adapter else None,
        extra={},
    )


def _pairs(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _environment(root: Node) -> dict[str, Any]:
    versions = {"lm_eval": root.get("lm_eval_version").value, "transformers": root.get("transformers_version").value}
    versions["device"] = root["config"].get("device").value
    return {"file": root.file, **{name: version for name, version in versions.items() if version is not None}}


def _created(date: Node) -> str:
    seconds = date.optional(finite)
    try:
        return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError) as error:
        raise date.error(f"is {seconds}, which is no time") from error


def _version(node: Node) -> int:
    """lm-eval's versions are numbers or texts, as 1.0 or "Yaml"."""
    try:
        return int(float(node.value))
    except (TypeError, ValueError, OverflowError):
        return 0
