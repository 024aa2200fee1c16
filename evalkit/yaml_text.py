"""YAML that somebody wrote by hand: composed into nodes that know their lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from yaml import Node


def compose(text: str, source: str, hint: str, error: type[UsageError] = UsageError) -> Node | None:
    """The root of a YAML text; None where it is empty.

    Args:
        text: The text.
        source: What to call it in messages.
        hint: What to do about a mistake.
        error: What to raise.

    Raises:
        UsageError: It is not YAML, or is nested too deeply; the message names the line.
    """
    import yaml

    try:
        root: Node | None = yaml.compose(text, yaml.SafeLoader)
        return root
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark else source
        said = getattr(problem, "problem", None) or str(problem)
        raise error(f"{where}: this is not YAML: {said}", hint=hint) from problem
    except RecursionError as problem:
        raise error(f"{source}: it is nested too deeply", hint=hint) from problem
