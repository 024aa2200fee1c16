"""Checks that a row meets a task's schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.task import Row


def check_row(row: Row, columns: Mapping[str, Any]) -> str | None:
    """Says what is wrong with a row, or None when it meets the schema.

    Args:
        row: Column -> value.
        columns: Column -> type, as `{"question": str, "choices": {"text": [str]}}`: a dict describes a nested dict, a
            list of one type a list of any length, a tuple any of its types; `None` (or `type(None)`) allows null,
            `object` anything. Columns that are not named may hold anything. An int passes for a float; a bool never for
            an int.

    Returns:
        One clause such as "column 'choices.text' is missing" or "column 'answer' is str, expected int".
    """
    return _check_fields(row, columns, "")


def _check_fields(fields: Mapping[str, Any], columns: Mapping[str, Any], prefix: str) -> str | None:
    for name, expected in columns.items():
        path = f"{prefix}{name}"
        if name not in fields:
            if _accepts_null(expected):
                continue
            return f"column '{path}' is missing{_present(fields, prefix)}"
        if problem := _check_value(fields[name], expected, path):
            return problem
    return None


def _check_value(value: Any, expected: Any, path: str) -> str | None:
    if isinstance(expected, Mapping):
        if not isinstance(value, Mapping):
            return _mismatch(value, expected, path)
        return _check_fields(value, expected, f"{path}.")
    if isinstance(expected, list):
        if not _is_list(value):
            return _mismatch(value, expected, path)
        for index, element in enumerate(value):
            if problem := _check_value(element, expected[0], f"{path}[{index}]"):
                return problem
        return None
    if isinstance(expected, tuple):
        # One alternative that fits is enough; a nested mismatch is told for the whole value.
        fits = any(_check_value(value, alternative, path) is None for alternative in expected)
        return None if fits else _mismatch(value, expected, path)
    return None if _is_instance(value, expected) else _mismatch(value, expected, path)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_instance(value: Any, expected: Any) -> bool:
    if expected is object or expected is Any:
        return True
    if expected is None:
        return value is None
    if isinstance(value, bool) and expected in (int, float):
        return False
    return isinstance(value, (int, float) if expected is float else expected)


def _accepts_null(expected: Any) -> bool:
    alternatives = expected if isinstance(expected, tuple) else (expected,)
    return any(alternative in (None, type(None), object, Any) for alternative in alternatives if _is_plain(alternative))


def _is_plain(expected: Any) -> bool:
    return not isinstance(expected, Mapping | list)


def _mismatch(value: Any, expected: Any, path: str) -> str:
    found = "null" if value is None else "list" if _is_list(value) else type(value).__name__
    return f"column '{path}' is {found}, expected {_describe(expected)}"


def _describe(expected: Any) -> str:
    if isinstance(expected, Mapping):
        return "a dict with " + ", ".join(f"'{name}'" for name in expected)
    if isinstance(expected, list):
        return f"a list of {_describe(expected[0])}"
    if isinstance(expected, tuple):
        return " or ".join(_describe(alternative) for alternative in expected)
    if expected is None or expected is type(None):
        return "null"
    return getattr(expected, "__name__", str(expected))


def _present(fields: Mapping[str, Any], prefix: str) -> str:
    if not fields:
        return " (the row is empty)"
    shown = [f"'{prefix}{name}'" for name in list(fields)[:8]]
    return f" (there are {', '.join(shown)}{' and more' if len(fields) > 8 else ''})"
