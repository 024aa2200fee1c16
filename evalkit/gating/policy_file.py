"""Reads a policy from YAML: known keys, right types, and a line number for every message."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from evalkit.errors import UsageError
from evalkit.gating.amount import Amount
from evalkit.gating.policy import MEAN, FloorBy, OnUndecided, Policy, Rule, mean_rule
from evalkit.yaml_text import compose

Choice = TypeVar("Choice", bound=StrEnum)

PRESET = """\
# What `evalkit gate --policy THIS-FILE` asks of a candidate. Every key may be left out; these are the defaults.
# docs/gating.md explains each. A real loss fails where it is measured as the margin or more: of candidates that truly lost
# a little less than that, some fail too.

defaults:                     # for every task that is not named below
  margin: 1pt                 # loss that is tolerated, as measured: 2pt (points of the metric's range), 0.02, 1% of base
  alpha: 0.05                 # level of the tests
  on_undecided: fail          # too few documents to tell: fail (exit code 3), warn or pass
  min_overlap: 95%            # share of the documents that both runs must have scored
  # min_items: 100            # with fewer documents only a regression is told
  # floor: 40pt               # score that must be reached; floor_by: limit asks it of the lower 95 % limit
  # floor_by: value
  # require_gain: 0.5pt       # the candidate must be surely better, by about so much
  # max_unreadable_rate: 5%   # answers that cannot be read, cut off, refused or missing
  # max_unreadable_rise: 2pt  # and how much more of them than the baseline has

# tasks:                      # by name or glob; an exact name wins, then the glob with the most letters
#   gsm8k:
#     primary: true           # where a task is primary, only such tasks decide
#     margin: 2pt
#   "mmlu*":
#     margin: 0.5pt
#     metric: acc             # instead of the main metric
#   wikitext:
#     margin: 2% of base
#     informational: true     # shown, decides nothing

# mean:                       # over all tasks, each with the same weight; it sees what no task shows alone
#   margin: 1pt
#   informational: false      # it decides with the tasks; by default its regression is a warning
#   primary: true             # it decides, and those tasks that are primary too

# allow: [prompt]             # settings in which the two runs may differ
"""
"""A commented policy to start from; it means the same as no policy."""


def read_policy(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        UsageError: The file cannot be read, is not YAML, or a key or a value of it is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="evalkit gate --print-policy > gate.yaml writes one"
        ) from error
    return parse_policy(decoded(content, str(path)), str(path))


def decoded(content: bytes, source: str) -> str:
    """The text of a policy's file.

    Raises:
        UsageError: It is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not UTF-8", hint="save it as UTF-8") from error


def parse_policy(text: str, source: str) -> Policy:
    """The policy in a text; `source` names it in messages.

    Raises:
        UsageError: As `read_policy`.
    """
    node = compose(text, source, 'a glob needs quotes: "mmlu*": {margin: 1pt}')
    if node is None:
        return Policy(source=source)
    top = {entry.key: entry for entry in _entries(node, source, _TOP, "a policy")}
    base = Rule()
    if "defaults" in top:
        base = _rule(top["defaults"], base, [key for key in _KEYS if key not in ("primary", "metric")])
    rules = {}
    if "tasks" in top and (tasks := top["tasks"]).node.tag != "tag:yaml.org,2002:null":
        for entry in _entries(tasks.node, source, None, "`tasks`"):
            rules[entry.key] = _rule(entry, base, list(_KEYS))
    mean = _rule(top[MEAN], mean_rule(base), _OF_THE_MEAN) if MEAN in top else None
    return Policy(base, rules, mean, _allowed(top.get("allow")), source)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key of a mapping with its value's node."""

    source: str
    line: int
    key: str
    node: Any

    def error(self, message: str, hint: str | None = None) -> UsageError:
        return UsageError(f"{self.source}, line {self.line}: {message}", hint=hint)

    def value(self) -> Any:
        """The value as plain Python."""
        import yaml

        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(self.node)
        except (yaml.YAMLError, RecursionError) as error:
            raise self.error(f"`{self.key}`: {getattr(error, 'problem', None) or error}") from error
        finally:
            loader.dispose()


_TOP = ("defaults", "tasks", MEAN, "allow")
_OF_THE_MEAN = [
    *("margin", "require_gain", "min_items", "min_overlap", "alpha", "primary", "informational", "on_undecided"),
]


def _entries(node: Any, source: str, known: tuple[str, ...] | list[str] | None, what: str) -> list[_Entry]:
    """The keys of a mapping, each known and there once."""
    import yaml

    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{source}, line {line}: {what} is a mapping of keys to values", hint="write `margin: 1pt`")
    found: dict[str, _Entry] = {}
    for key_node, value in node.value:
        entry = _Entry(source, key_node.start_mark.line + 1, str(key_node.value), value)
        if entry.key in found:
            raise entry.error(f"`{entry.key}` is there twice")
        if known is not None and entry.key not in known:
            near = difflib.get_close_matches(entry.key, known, n=1)
            elsewhere = _place_of(entry.key)
            hint = elsewhere or (f"did you mean `{near[0]}`?" if near else f"keys are {', '.join(known)}")
            raise entry.error(f"`{entry.key}` is not a key of {what}", hint)
        found[entry.key] = entry
    return list(found.values())


def _place_of(key: str) -> str | None:
    """Where a key belongs that stands where it does not; None for one that there is not."""
    if key in ("metric", "primary"):
        return "it belongs under a task of `tasks`"
    return "it belongs under `defaults` or a task" if key in _KEYS else None


def _rule(entry: _Entry, base: Rule, known: list[str]) -> Rule:
    what = f"`{entry.key}`" if entry.key in _TOP and known != list(_KEYS) else "a task"
    if entry.node.tag == "tag:yaml.org,2002:null":  # `mmlu:` with nothing after it names the task and no more
        return base
    values: dict[str, Any] = {}
    for one in _entries(entry.node, entry.source, known, what):
        value = one.value()
        read = _KEYS[one.key]
        try:
            values[one.key] = read(value)
        except (ValueError, TypeError) as error:
            raise one.error(
                f"`{one.key}` is {_shown(value)}, expected {_EXPECTED[read]}", str(error) or None
            ) from error
    if values.get("primary") and values.get("informational"):
        raise entry.error(f"`{entry.key}` is both primary and informational", "leave one out")
    if values.get("primary"):
        values["informational"] = False
    return replace(base, **values)


def _shown(value: Any) -> str:
    """A value as the file has it; YAML reads `2026-01-01` as a date."""
    if value is None or isinstance(value, list | dict):
        return "empty" if value is None else "a list" if isinstance(value, list) else "a mapping"
    return repr(value) if isinstance(value, str) else str(value)


def _allowed(entry: _Entry | None) -> tuple[str, ...]:
    if entry is None:
        return ()
    value = entry.value()
    fields = [value] if isinstance(value, str) else value
    if not isinstance(fields, list) or not all(isinstance(one, str) for one in fields):
        raise entry.error("`allow` is a list of settings", "write `allow: [prompt, chat template]`")
    return tuple(fields)


def _size(value: Any) -> Amount:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    return Amount.size(value)


def _any_amount(value: Any) -> Amount:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    try:
        return Amount.parse(value)
    except ValueError:
        raise ValueError("examples: 2pt, 0.02, 1% of base") from None


def _share(value: Any) -> float:
    return _any_amount(value).share()


def _rise(value: Any) -> float:
    return _size(value).share()


def _alpha(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 0.5:
        raise ValueError("0.05 lets one harmless candidate in twenty fail, at most")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _on_undecided(value: Any) -> OnUndecided:
    return _choice(OnUndecided, value)


def _floor_by(value: Any) -> FloorBy:
    return _choice(FloorBy, value)


def _choice(kind: type[Choice], value: Any) -> Choice:
    if value not in list(kind):
        raise ValueError
    return kind(value)


_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "metric": _name,
    "margin": _size,
    "floor": _any_amount,
    "floor_by": _floor_by,
    "require_gain": _size,
    "min_items": _count,
    "min_overlap": _share,
    "alpha": _alpha,
    "max_unreadable_rate": _share,
    "max_unreadable_rise": _rise,
    "primary": _truth,
    "informational": _truth,
    "on_undecided": _on_undecided,
}
"""Keys of a rule and what reads their values."""

_EXPECTED: Mapping[Callable[[Any], Any], str] = {
    _name: "a name",
    _size: "a size such as 2pt or 0.02",
    _rise: "a rise such as 2pt or 0.02",
    _any_amount: "a score such as 40pt or 0.4",
    _floor_by: "value or limit",
    _count: "a whole number from 1 on",
    _share: "a share such as 95% or 0.95",
    _alpha: "a number between 0 and 0.5",
    _truth: "true or false",
    _on_undecided: "fail, warn or pass",
}
