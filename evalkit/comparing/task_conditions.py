"""What differs between two runs in one task besides the model: its data, prompts, answers, and what was too long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.comparing.pairing import Pairs
from evalkit.metrics.likelihood import METRICS
from evalkit.results import Run, TaskResult

SAME_DATA = 0.95
"""Share of the documents that two runs of the same data must have in common."""

_CHANGED_PROMPTS = ("truncated_tokens", "dropped_shots")
_SHOWN = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Found:
    """A difference in one task."""

    field: str
    before: str
    after: str
    blocks: bool


def _found(field: str, values: Sequence[str], blocks: bool) -> Found:
    before, after = values
    return Found(field, before, after, blocks)


def task_differences(before: Run, after: Run, name: str, pairs: Pairs, metric: str) -> Iterator[Found]:
    """All that differs in one task.

    Args:
        before: The first run.
        after: The second.
        name: A task of both.
        pairs: Its documents that both have.
        metric: Its main metric.
    """
    first, second = before.tasks[name], after.tasks[name]
    if first.version != second.version:
        yield Found("task version", str(first.version), str(second.version), True)
    yield from _data(before, after, first, second, pairs)
    yield from _asked(before, after, first, second)
    yield from _answered(first, second, metric)
    yield from _lengths(before, after, first, second, metric)
    yield from _setting(before, after, "compat_lm_eval", "compat", True)


def _data(before: Run, after: Run, first: TaskResult, second: TaskResult, pairs: Pairs) -> Iterator[Found]:
    one, two = first.dataset, second.dataset
    # the hub calls a data set's only configuration "default"; lm-eval's log leaves it out
    configs = ["" if data.config == "default" else data.config for data in (one, two)]
    named = zip((one, two), configs, strict=True)
    names = [" ".join(filter(None, (data.id, config, data.split))) for data, config in named]
    if names[0] != names[1]:
        # the same documents under another name are the same data
        yield _found("data", names, pairs.pairing.coverage < SAME_DATA)
    common = len(first.samples) - len(pairs.pairing.only_before)
    smaller = min(len(first.samples), len(second.samples))
    limited = [_limit(run) for run in (before, after)]
    whole = limited[0] == limited[1] or None in limited
    if common and whole and common < SAME_DATA * smaller:
        counts = [f"{task.n:,} documents, of which {common:,} are in both" for task in (first, second)]
        yield _found("data", counts, True)
    elif one.sha256 and two.sha256 and one.sha256 != two.sha256:
        yield _found("data revision", [data.revision or data.sha256[:12] for data in (one, two)], False)
    if limited[0] != limited[1]:
        yield _found("limit", [limit or "none" for limit in limited], False)


def _limit(run: Run) -> str | None:
    limit = run.settings.get("limit")
    if limit is None:
        return None
    seed = run.settings.get("seed")
    return str(limit) if str(limit).startswith("first:") or not seed else f"{limit}, seed {seed}"


def _asked(before: Run, after: Run, first: TaskResult, second: TaskResult) -> Iterator[Found]:
    """What decides the prompts. Where both runs asked about the same documents, the prompts themselves tell."""
    same_documents = [one.id for one in first.samples] == [one.id for one in second.samples]
    known = bool(first.prompt_sha256 and second.prompt_sha256) and same_documents
    if known and first.prompt_sha256 == second.prompt_sha256:
        return
    causes = [*_shots(first, second), *_chat(first, second)]
    systems = [run.settings.get("system") for run in (before, after)]
    if systems[0] != systems[1]:
        causes.append(_found("system prompt", [shown(system) for system in systems], True))
    causes += _passages(before, after, first, second)
    yield from causes
    if known and not causes:
        cut = any(
            sample.fields.get(field)
            for task in (first, second)
            for sample in task.samples
            for field in _CHANGED_PROMPTS
        )
        hashes = [f"sha256 {task.prompt_sha256[:12]}" for task in (first, second)]
        yield _found("prompt", hashes, not cut)


def _passages(before: Run, after: Run, first: TaskResult, second: TaskResult) -> Iterator[Found]:
    """Passages in the prompts, told by the settings: runs of unlike documents have no hashes that could tell."""
    corpora = [run.settings.get("retrieval") for run in (before, after)]
    if corpora[0] != corpora[1] and any(task.settings.get("with_passages") for task in (first, second)):
        yield _found("prompt", [_corpus(corpus) for corpus in corpora], True)


def _corpus(retrieval: Any) -> str:
    if not isinstance(retrieval, Mapping):
        return "without passages"
    corpus, sha256 = retrieval.get("corpus"), str(retrieval.get("sha256"))[:12]
    return f"{retrieval.get('passages')} passages of {corpus}, sha256 {sha256}"


def _shots(first: TaskResult, second: TaskResult) -> Iterator[Found]:
    if first.shots != second.shots:
        yield Found("shots", str(first.shots), str(second.shots), True)
        return
    drawn = [
        ", ".join(
            f"{name.removeprefix('shots_')} {shown(task.settings[name])}"
            for name in ("shots_sampler", "shots_seed", "shots_seeds")
            if name in task.settings
        )
        for task in (first, second)
    ]
    if first.shots and drawn[0] != drawn[1]:
        yield _found("shots", [f"{first.shots} drawn by {how or 'unknown'}" for how in drawn], True)


def _chat(first: TaskResult, second: TaskResult) -> Iterator[Found]:
    used: list[str | None] = []
    for task in (first, second):
        chat = task.settings.get("chat_template")
        if not isinstance(chat, Mapping):
            used.append(None)
        elif chat.get("used"):
            how = [
                f"{key} {shown(value)}"
                for key, value in sorted(chat.items())
                if key not in ("used", "available", "why")
            ]
            used.append(", ".join(["used", *how]))
        else:
            used.append("not used")
    if used[0] != used[1]:
        yield _found("chat template", [one or "not recorded" for one in used], None not in used)


def _answered(first: TaskResult, second: TaskResult, metric: str) -> Iterator[Found]:
    """How answers were generated, found in the text, and measured."""
    decoding = [_decoding(task) for task in (first, second)]
    if decoding[0] != decoding[1] and None not in decoding:
        yield _found("decoding", _what_differs(*decoding), True)
    seeds = [_mapping(task, "decoding").get("seed") for task in (first, second)]
    if seeds[0] != seeds[1] and any(_mapping(task, "decoding").get("temperature") for task in (first, second)):
        yield _found("sampling seed", [shown(seed) for seed in seeds], False)
    for field, key, blocks in (
        ("extraction", "extractors", True),
        ("thinking", "thinking", False),
        ("code execution", "code_execution", False),
    ):
        one, two = first.settings.get(key), second.settings.get(key)
        if one != two:
            both = isinstance(one, Mapping) and isinstance(two, Mapping)
            yield _found(field, (_what_differs(one, two) if both else (shown(one), shown(two))), blocks)
    signatures = [_mapping(task, "signatures").get(metric) for task in (first, second)]
    if signatures[0] != signatures[1]:
        yield _found("metric", [f"{metric} {shown(one)}" for one in signatures], None not in signatures)
    values = first.metrics[metric], second.metrics[metric]
    if values[0].higher_is_better != values[1].higher_is_better:
        said = ["higher" if value.higher_is_better else "lower" for value in values]
        yield _found("metric", [f"{metric}, {one} is better" for one in said], True)


def _lengths(before: Run, after: Run, first: TaskResult, second: TaskResult, metric: str) -> Iterator[Found]:
    """What was done with long prompts and long texts."""
    touched = any(
        task.outcomes.get("skipped")
        or any(sample.fields.get(name) for sample in task.samples for name in _CHANGED_PROMPTS)
        for task in (first, second)
    )
    yield from _setting(before, after, "over_length", "over length", touched)
    known = METRICS.get(metric)
    if known is not None and known.ratio is not None and known.ratio.denominator is not None:
        yield from _setting(before, after, "stride", "stride", True)
        yield from _setting(before, after, "max_length", "context length", False)
    elif touched:
        yield from _setting(before, after, "max_length", "context length", False)


def _setting(before: Run, after: Run, key: str, field: str, blocks: bool) -> Iterator[Found]:
    if key in before.settings and key in after.settings and before.settings[key] != after.settings[key]:
        yield Found(field, shown(before.settings[key]), shown(after.settings[key]), blocks)


def _decoding(task: TaskResult) -> dict[str, Any] | None:
    """How text was generated, but for what the model itself decides (tags of thoughts) and what no score rests on."""
    decoding = task.settings.get("decoding")
    if not isinstance(decoding, Mapping):
        return None
    return {key: value for key, value in decoding.items() if key not in ("thinking", "seed")}


def _mapping(task: TaskResult, key: str) -> Mapping[str, Any]:
    value = task.settings.get(key)
    return value if isinstance(value, Mapping) else {}


def _what_differs(first: Any, second: Any) -> tuple[str, str]:
    """Only the keys with different values, so that the difference is seen."""
    keys = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]
    said = [", ".join(f"{key} {shown(one[key]) if key in one else 'unset'}" for key in keys) for one in (first, second)]
    return said[0], said[1]


def shown(value: Any) -> str:
    """A value of a setting as text, not too long."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
