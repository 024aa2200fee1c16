"""Finds metrics of generated text by name; what needs a library is imported when it is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module

from evalkit.errors import TaskDefinitionError
from evalkit.metrics.text import TextMetric

MODULES = ("matching",)
"""Modules of this package with a mapping `METRICS`, in the order in which they are searched."""


def find(name: str) -> TextMetric:
    """The metric of that name.

    Raises:
        TaskDefinitionError: There is none.
    """
    known: list[str] = []
    for module in MODULES:
        found: Mapping[str, TextMetric] = import_module(f"evalkit.metrics.{module}").METRICS
        if name in found:
            return found[name]
        known += found
    near = difflib.get_close_matches(name, known, n=3)
    hint = ("did you mean " if near else "there are ") + ", ".join(near or known)
    raise TaskDefinitionError(f"there is no metric of generated text named {name!r}", hint=hint)
