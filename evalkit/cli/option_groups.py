"""Options that belong together, which a command gets as one mapping instead of as so many parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import Any, get_type_hints


def takes_group(
    command: Callable[..., None],
    parameter: str,
    group: type,
    *,
    only: Sequence[str] | None = None,
    optional: Collection[str] = (),
) -> Callable[..., None]:
    """Gives a command the options that a class describes, one attribute each.

    Args:
        command: The command; several groups are given one after another.
        parameter: Its parameter that gets them, as a dictionary; choices as their texts.
        group: The class: attribute -> annotation of the option, and its default where it has one.
        only: These options; by default all.
        optional: Those of them that may be left out and are None then.
    """
    annotations = get_type_hints(group, include_extras=True)
    annotations = {name: annotations[name] for name in (annotations if only is None else only)}
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if name in optional else getattr(group, name, inspect.Parameter.empty),
            annotation=annotation,
        )
        for name, annotation in annotations.items()
    ]
    own = [one for one in _parameters(command) if one.name != parameter]

    def expanded(**arguments: Any) -> None:
        given = {name: _plain(arguments.pop(name)) for name in annotations}
        command(**{parameter: given}, **arguments)

    expanded.__doc__ = command.__doc__
    expanded.__signature__ = inspect.Signature([*options, *own])  # type: ignore[attr-defined]
    return expanded


def _parameters(command: Callable[..., None]) -> list[inspect.Parameter]:
    hints = get_type_hints(command, include_extras=True)
    return [
        one.replace(annotation=hints.get(one.name, one.annotation), kind=inspect.Parameter.KEYWORD_ONLY)
        for one in inspect.signature(command).parameters.values()
    ]


def _plain(choice: Any) -> Any:
    return choice.value if isinstance(choice, StrEnum) else choice
