"""Reads a YAML file of tasks into checked entries: known keys, right types, a line number for every message."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import TaskDefinitionError
from evalkit.yaml_text import compose

TASK_KEYS: Mapping[str, tuple[type, ...]] = {
    "task": (str,),
    "kind": (str,),
    "data": (str,),
    "dataset": (str,),
    "config": (str,),
    "split": (str,),
    "revision": (str,),
    "question": (str,),
    "choices": (str, list),
    "answer": (str,),
    "gold_is": (str,),
    "references": (str, list),
    "stop": (str, list),
    "max_new_tokens": (int,),
    "extract": (str, dict),
    "extract_last": (str, dict),
    "text": (str,),
    "metrics": (str, list),
    "description": (str,),
    "shots": (int,),
    "shots_data": (str,),
    "shots_split": (str,),
    "target_delimiter": (str,),
    "shots_delimiter": (str,),
    "cluster": (str,),
    "version": (int,),
    "about": (str,),
    "citation": (str,),
    "language": (str,),
    "tags": (list,),
}
"""Keys of a task and the types their values may have; a list is one of texts."""

GROUP_KEYS: Mapping[str, tuple[type, ...]] = {
    "group": (str,),
    "members": (list,),
    "metrics": (str, dict),
    "weighting": (str,),
    "metric_name": (str,),
    "about": (str,),
    "version": (int,),
}
"""The same of a group."""

_TYPE_NAMES = {str: "text", int: "a whole number", list: "a list of texts", dict: "a mapping of texts"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One task or group of a file.

    Attributes:
        path: The file.
        line: Where the entry starts, counted from 1.
        values: Key -> value, checked against `TASK_KEYS` or `GROUP_KEYS`.
        lines: Key -> line.
    """

    path: Path
    line: int
    values: Mapping[str, Any]
    lines: Mapping[str, int]

    @property
    def is_group(self) -> bool:
        """Whether it is a group."""
        return "group" in self.values

    def place(self, key: str | None = None) -> str:
        """File and line, for messages."""
        return f"{self.path}, line {self.lines.get(key or '', self.line)}"

    def required(self, key: str, why: str) -> Any:
        """The value of a key that must be there."""
        if key not in self.values:
            raise TaskDefinitionError(f"{self.place()}: there is no `{key}`", hint=f"{key} {why}")
        return self.values[key]


def read_entries(path: Path) -> list[Entry]:
    """All entries of a file: one mapping, or a list of them.

    Raises:
        TaskDefinitionError: The file is not YAML, or an entry has an unknown, repeated or ill-typed key.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskDefinitionError(f"{path} is not UTF-8", hint="save it as UTF-8") from error
    hint = "texts with `: ` or `{{` in them need quotes; lines of one entry are indented alike"
    node = compose(text, str(path), hint, TaskDefinitionError)
    entries = node.value if isinstance(node, yaml.SequenceNode) else [] if node is None else [node]
    return [_entry(path, one) for one in entries]


def _entry(path: Path, node: Any) -> Entry:
    import yaml

    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise TaskDefinitionError(
            f"{path}, line {line}: this is not a task", hint="a task is a mapping: `task: NAME`, ..."
        )
    lines: dict[str, int] = {}
    for key_node, _ in node.value:
        key = str(key_node.value)
        if key in lines:
            raise TaskDefinitionError(f"{path}, line {key_node.start_mark.line + 1}: `{key}` is there twice")
        lines[key] = key_node.start_mark.line + 1
    loader = yaml.SafeLoader("")
    try:
        values = {str(key): value for key, value in loader.construct_document(node).items()}
    except yaml.YAMLError as error:
        raise TaskDefinitionError(f"{path}, line {line}: {getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()
    entry = Entry(path, line, values, lines)
    for message, hint, key in _problems(entry):
        raise TaskDefinitionError(f"{entry.place(key)}: {message}", hint=hint)
    return entry


def _problems(entry: Entry) -> Iterator[tuple[str, str, str]]:
    known = GROUP_KEYS if entry.is_group else TASK_KEYS
    for key, value in entry.values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=2)
            hint = (
                f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else f"keys are {', '.join(known)}"
            )
            yield f"`{key}` is not a key of a {'group' if entry.is_group else 'task'}", hint, key
        elif not _fits(value, known[key]):
            expected = " or ".join(_TYPE_NAMES[one] for one in known[key])
            # `yes`, `no`, `on` and numbers are not texts in YAML
            yield f"`{key}` is {_shown(value)}, expected {expected}", "put texts in quotes", key


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool) or not isinstance(value, types):
        return False
    inner = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else []
    return all(isinstance(one, str) for one in inner)


def _shown(value: Any) -> str:
    return "empty" if value is None else repr(value)
