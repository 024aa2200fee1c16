"""The page around all reports: one file, nothing fetched, nothing of a model ever run or read as markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from evalkit.files import atomic_writer

STYLES = ("page.css", "explorer.css")
SCRIPTS = ("page.js", "explorer.js")


def write_page(path: Path, template: str, context: Mapping[str, Any]) -> Path:
    """Fills a template and writes it, whole or not at all.

    Returns:
        `path`.

    Raises:
        OutputError: The place cannot be written.
    """
    text = render(template, context)
    with atomic_writer(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))
    return path


def render(template: str, context: Mapping[str, Any]) -> str:
    """A template of this package as HTML."""
    style, script = _joined(STYLES), _joined(SCRIPTS)
    return (
        _environment()
        .get_template(template)
        .render(
            **context,
            style=Markup(style),
            script=Markup(script),
            policy=policy(script, style),
        )
    )


def policy(script: str, style: str) -> str:
    """The content security policy: exactly this script and this style, no connection, no markup made by a script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(lambda name: _read(f"templates/{name}")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join(map(_read, names))


@cache
def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
