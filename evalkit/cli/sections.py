"""Help in sections: a command with many options names them by what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperCommand


def sectioned(sections: Mapping[str, Sequence[str]]) -> type[TyperCommand]:
    """A kind of command whose help lists its options in sections.

    Args:
        sections: Heading -> names of parameters, both in the order of the help; what no section names comes last, under
            "Other".
    """

    class Sectioned(TyperCommand):
        """Writes the sections."""

        def format_options(self, ctx: Any, formatter: Any) -> None:
            records = {
                parameter.name: record
                for parameter in self.get_params(ctx)
                if (record := parameter.get_help_record(ctx)) is not None
            }
            named = {name for names in sections.values() for name in names}
            other = [name for name in records if name not in named]
            for heading, names in {**sections, "Other": other}.items():
                if found := [records[name] for name in names if name in records]:
                    with formatter.section(heading):
                        formatter.write_dl(found)

    return Sectioned
