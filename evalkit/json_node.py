"""A value in a JSON file that knows its file and its path, so that an error can say where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from evalkit.errors import UsageError

Result = TypeVar("Result")

_HINT = "the file is damaged or was edited; write it again with evalkit run"
_NAMES = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a JSON document.

    Every reading method raises a `UsageError` that names file and field when the value is of another type.

    Attributes:
        file: Name of the file, for messages.
        path: Keys from the root, joined by dots; empty for the root.
        value: The parsed value.
        hint: What to do about a wrong value.
    """

    file: str
    path: str
    value: Any
    hint: str = _HINT

    def __getitem__(self, key: str) -> Node:
        """The field of an object."""
        values = self.mapping()
        if key not in values:
            raise UsageError(f"{self.file}: {self._child(key)} is missing", hint=self.hint)
        return Node(self.file, self._child(key), values[key], self.hint)

    def get(self, key: str) -> Node:
        """The field of an object; null where it is missing."""
        return Node(self.file, self._child(key), self.mapping().get(key), self.hint)

    def items(self) -> list[tuple[str, Node]]:
        """The fields of an object, in order."""
        return [(key, Node(self.file, self._child(key), value, self.hint)) for key, value in self.mapping().items()]

    def elements(self) -> list[Node]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            self._unexpected("a list")
        return [
            Node(self.file, f"{self.path}[{position}]", value, self.hint) for position, value in enumerate(self.value)
        ]

    def mapping(self) -> dict[str, Any]:
        """An object, as it is."""
        if not isinstance(self.value, dict):
            self._unexpected("an object")
        return self.value

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            self._unexpected("a string")
        return self.value

    def whole(self) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self._unexpected("a whole number")
        return self.value

    def number(self) -> float:
        """A number."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            self._unexpected("a number")
        try:
            return float(self.value)
        except OverflowError as error:
            raise self.error("is too large a number") from error

    def truth(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self._unexpected("true or false")
        return self.value

    def optional(self, read: Callable[[Node], Result]) -> Result | None:
        """None for `null`, else what `read` makes of it."""
        return None if self.value is None else read(self)

    def error(self, what: str) -> UsageError:
        """An error about this value: "base.json: groups.arc.tasks WHAT"."""
        return UsageError(f"{self.file}: {self.path or 'the content'} {what}", hint=self.hint)

    def _unexpected(self, expected: str) -> NoReturn:
        found = "null" if self.value is None else _NAMES[type(self.value)]
        subject = self.path or "the content"
        raise UsageError(f"{self.file}: {subject} is {found}, expected {expected}", hint=self.hint)

    def _child(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def parse(file: str, content: bytes, *, hint: str = _HINT, non_finite: bool = False) -> Node:
    """Parses a JSON document, UTF-8, without NaN or infinite numbers.

    Args:
        file: Its name, for messages.
        content: The document.
        hint: What to do about a wrong value.
        non_finite: Takes `NaN` and `Infinity`, which other programs write, for numbers.

    Raises:
        UsageError: It is not one.
    """

    def refuse(constant: str) -> NoReturn:
        raise UsageError(f"{file}: the file holds {constant}, which is not a JSON number", hint=hint)

    def finite(digits: str) -> float:
        value = float(digits)
        return value if abs(value) != float("inf") else refuse(digits)

    constant: Callable[[str], float] = float if non_finite else refuse
    number: Callable[[str], float] = float if non_finite else finite
    try:
        value = json.loads(content.decode("utf-8-sig"), parse_constant=constant, parse_float=number)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: the file is not UTF-8 text (byte {error.start})", hint=hint) from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{file}: the file is not JSON: {error.msg} ({place})", hint=hint) from error
    except ValueError as error:
        raise UsageError(f"{file}: the file holds a number with thousands of digits", hint=hint) from error
    except RecursionError as error:
        raise UsageError(f"{file}: the file is nested too deeply", hint=hint) from error
    return Node(file, "", value, hint)
