"""What differs between two runs besides the model, and whether their scores still answer the same question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.comparing.pairing import Pairs
from evalkit.comparing.task_conditions import Found, shown, task_differences
from evalkit.comparison import FieldDifference
from evalkit.errors import UsageError
from evalkit.results import Run

BLOCKING = (
    "task version",
    "data",
    "prompt",
    "shots",
    "chat template",
    "system prompt",
    "decoding",
    "extraction",
    "metric",
    "over length",
    "compat",
    "stride",
    "group",
)
"""Fields that make scores answers to different questions; each can be allowed."""

_BY_TASK = frozenset(
    {
        *("chat_template", "decoding", "sampling_seed", "thinking", "system_as_user", "fewshot_as_multiturn"),
        *("enable_thinking", "shots_sampler", "shots_seed", "shots_seeds", "template_variables"),
    }
)
"""Settings of a run whose effect each task records, and where it is compared."""
_HARMLESS = frozenset({"batch_tokens", "deterministic", "share_prefixes", "self_check", "allow_code_execution"})
"""Settings of a run that move a log-probability by rounding at most."""
_HANDLED = frozenset({"limit", "seed", "system", "over_length", "compat_lm_eval", "stride", "max_length", "engine"})


def allowed_fields(allow: Sequence[str]) -> frozenset[str]:
    """The blocking fields that the user allows, by the names that the report uses; `all` for all of them.

    Raises:
        UsageError: One is no such field.
    """
    names = {" ".join(name.lower().replace("-", " ").replace("_", " ").split()) for name in allow}
    unknown = sorted(names - {*BLOCKING, "all"})
    if unknown:
        raise UsageError(
            f"there is no field {unknown[0]!r} to allow",
            hint=f"fields are {', '.join(BLOCKING)}; or all",
        )
    return frozenset(BLOCKING) if "all" in names else frozenset(names)


def conditions(
    before: Run, after: Run, pairs: Mapping[str, Pairs], metrics: Mapping[str, str], allowed: frozenset[str]
) -> tuple[FieldDifference, ...]:
    """All that differs, blocking differences first; tasks that differ in the same way are one difference.

    Args:
        before: The first run.
        after: The second.
        pairs: Task -> documents that both have; the tasks that are compared.
        metrics: Task -> its main metric.
        allowed: Blocking fields that the user allows.
    """
    found: dict[Found, list[str]] = {}
    for task, its_pairs in pairs.items():
        for one in task_differences(before, after, task, its_pairs, metrics[task]):
            found.setdefault(one, []).append(task)
    differences = [
        FieldDifference(
            one.field,
            one.before,
            one.after,
            () if len(tasks) == len(pairs) else tuple(tasks),
            one.blocks,
            one.blocks and one.field in allowed,
        )
        for one, tasks in found.items()
    ]
    differences += _of_runs(before, after)
    rank = {name: place for place, name in enumerate(BLOCKING)}
    return tuple(sorted(differences, key=lambda one: (not one.blocks, one.allowed, rank.get(one.field, len(rank)))))


def _of_runs(before: Run, after: Run) -> list[FieldDifference]:
    """What holds for all tasks, and is worth a word but no block."""
    pairs = [
        ("tokenizer", before.model.tokenizer_sha256[:12], after.model.tokenizer_sha256[:12]),
        ("dtype", before.model.dtype, after.model.dtype),
        ("engine", before.settings.get("engine"), after.settings.get("engine")),
        ("device", before.environment.get("device"), after.environment.get("device")),
        ("evalkit version", before.evalkit_version, after.evalkit_version),
    ]
    others = sorted({*before.settings, *after.settings} - _BY_TASK - _HARMLESS - _HANDLED)
    pairs += [(name.replace("_", " "), before.settings.get(name), after.settings.get(name)) for name in others]
    # other harnesses do not record all of it: what is unknown is empty, and no difference
    known = [(field, one, two) for field, one, two in pairs if "" not in (one, two)]
    return [FieldDifference(field, shown(one), shown(two)) for field, one, two in known if one != two]
