"""Runs the command line within the test's process, as users meet it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from evalkit.cli import main


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object, columns: int = 80
) -> Done:
    """Runs `evalkit ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["evalkit", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", str(columns))
    capsys.readouterr()
    try:
        main.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    shown = capsys.readouterr()
    return Done(code, shown.out, shown.err)
