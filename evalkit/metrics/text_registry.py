"""Finds metrics of generated text by name; what needs a library is imported when it is asked for.

A name is one of those that the modules define, `NAME?option=value&...` for one that takes options, or `evaluate:...`
for a metric of the `evaluate` library (`evalkit.metrics.library`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from evalkit.errors import TaskDefinitionError
from evalkit.metrics.text import TextMetric

MODULES = ("matching", "answers", "translation", "overlap")
"""Modules of this package with a mapping `METRICS`, and perhaps `BUILDERS` of metrics with options, in the order in which
they are searched."""

LIBRARY = "evaluate:"
"""Names that begin so are metrics of the `evaluate` library."""


def find(name: str) -> TextMetric:
    """The metric of that name.

    Raises:
        TaskDefinitionError: There is none, or it takes no such option.
    """
    if name.startswith(LIBRARY):
        from evalkit.metrics.library import library_metric

        return library_metric(name)
    base, question_mark, options = name.partition("?")
    for module in MODULES:
        loaded = import_module(f"evalkit.metrics.{module}")
        metrics: Mapping[str, TextMetric] = loaded.METRICS
        if name in metrics:
            return metrics[name]
        builders: Mapping[str, Callable[..., TextMetric]] = getattr(loaded, "BUILDERS", {})
        if question_mark and base in builders:
            return _build(name, builders[base], read_options(name, options))
    if base in known():
        raise TaskDefinitionError(f"metric {base} takes no options", hint=f"name it {base}")
    near = difflib.get_close_matches(base, known(), n=3)
    hint = ("did you mean " if near else "there are ") + ", ".join(near or known())
    raise TaskDefinitionError(f"there is no metric of generated text named {name!r}", hint=hint)


def known() -> list[str]:
    """The names that the modules define."""
    return [name for module in MODULES for name in import_module(f"evalkit.metrics.{module}").METRICS]


def read_options(name: str, options: str) -> dict[str, Any]:
    """`a=1&b=words` -> {"a": 1, "b": "words"}: values are JSON where they can be, else text.

    Raises:
        TaskDefinitionError: One has no `=`.
    """
    found: dict[str, Any] = {}
    for option in filter(None, options.split("&")):
        key, equals, value = option.partition("=")
        if not equals:
            raise TaskDefinitionError(f"metric {name}: the option {option!r} has no value", hint="write option=value")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _build(name: str, builder: Callable[..., TextMetric], options: Mapping[str, Any]) -> TextMetric:
    import inspect

    takes = [parameter for parameter in inspect.signature(builder).parameters.values() if parameter.name != "name"]
    for key, value in options.items():
        parameter = next((one for one in takes if one.name == key), None)
        if parameter is None:
            raise TaskDefinitionError(
                f"metric {name}: there is no option {key!r}", hint=f"options are {', '.join(one.name for one in takes)}"
            )
        if type(value).__name__ != parameter.annotation:
            raise TaskDefinitionError(
                f"metric {name}: {key} is {value!r}", hint=f"give {parameter.annotation}, as {key}={parameter.default}"
            )
    return builder(name, **options)
