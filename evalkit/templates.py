"""What a YAML task says of a field: the name of a column, or a Jinja2 template over a row's columns.

Templates run in Jinja's sandbox (a task file from elsewhere cannot reach into the process), a column that a row lacks
is an error, and so is a null that would be written as "None".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from evalkit.errors import TaskDefinitionError
from evalkit.task import Row

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_EXPRESSION = re.compile(r"\{\{-?(?P<inside>(?:(?!\}\}|\{\{).)*?)-?\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Field:
    """A compiled field of a YAML task.

    Attributes:
        source: As written in the file.
        columns: Columns that it reads.
        column: It is the name of a column; otherwise a template.
    """

    source: str
    columns: frozenset[str]
    column: bool
    _evaluate: Any = field(repr=False, compare=False)

    def text(self, row: Row) -> str:
        """The field for a row, as text.

        Raises:
            ValueError: The row lacks a column, holds null there, or the template fails.
        """
        value = self.value(row) if self.column else self._render(row)
        return value if isinstance(value, str) else str(value)

    def value(self, row: Row) -> Any:
        """The field for a row as it is: a column's value, or what a single `{{ expression }}` gives; else text.

        Raises:
            ValueError: As for `text`.
        """
        if not self.column:
            return self._render(row)
        if self.source not in row:
            raise ValueError(f"there is no column {self.source!r} (there are {', '.join(row)})")
        return _not_null(row[self.source], self.source)

    def _render(self, row: Row) -> Any:
        from jinja2 import TemplateError

        try:
            return _not_null(self._evaluate(row), self.source)
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise ValueError(f"the template {self.source!r} fails: {error}") from error


def compile_field(source: str, key: str, place: str) -> Field:
    """Compiles a field once, for all rows.

    Args:
        source: Column name or template.
        key: Key of the task file, for messages.
        place: File and line, for messages.

    Raises:
        TaskDefinitionError: The template is broken.
    """
    if not is_template(source):
        return Field(source, frozenset((source,)), True, None)
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    try:
        columns = frozenset(meta.find_undeclared_variables(environment.parse(source)))
        return Field(source, columns, False, _compile(source, environment))
    except TemplateSyntaxError as error:
        raise TaskDefinitionError(
            f"{place}: the template of `{key}` is broken: {error.message}", hint="columns stand in braces: {{question}}"
        ) from error


def is_template(source: str) -> bool:
    """Whether a field is a template rather than a column's name."""
    return "{{" in source or "{%" in source


def _compile(source: str, environment: SandboxedEnvironment) -> Any:
    from jinja2 import Undefined

    if match := _EXPRESSION.fullmatch(source.strip()):
        # a lone expression keeps its type, so that a list stays a list
        expression = environment.compile_expression(match["inside"].strip(), undefined_to_none=False)

        def evaluate(row: Row) -> Any:
            value = expression(dict(row))
            return str(value) if isinstance(value, Undefined) else value  # str of an undefined value raises

        return evaluate
    template = environment.from_string(source)
    return lambda row: template.render(dict(row))


LARGEST = 10_000_000
"""Characters, elements or bits that a product or a power in a template may have."""


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class Modest(SandboxedEnvironment):
        """One whose products and powers stay small: a file of somebody else's must not take the memory."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            sizes = [len(one) if isinstance(one, str | list | tuple) else one for one in (left, right)]
            if all(isinstance(one, int) for one in sizes):
                digits = sizes[0].bit_length() * (abs(sizes[1]) if operator == "**" else 1)
                grows = not all(isinstance(one, int) for one in (left, right)) and sizes[0] * sizes[1] > LARGEST
                if grows or (operator == "**" and digits > LARGEST):
                    raise ValueError(f"the result of {operator} is larger than a template may make")
            return super().call_binop(context, operator, left, right)

    return Modest(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=lambda value: _not_null(value, "a part of the template"),
    )


def _not_null(value: Any, source: str) -> Any:
    if value is None:
        raise ValueError(f"{source!r} is null" if source.isidentifier() else f"{source} is null")
    return value
