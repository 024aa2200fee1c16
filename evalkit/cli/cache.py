"""`evalkit cache`: the answers that were computed before, and getting rid of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.output import print_table
from evalkit.errors import OutputError, UsageError
from evalkit.reports.text import visible

if TYPE_CHECKING:
    from evalkit.response_store import Holding, ResponseStore

app = typer.Typer(
    help="Answers that models gave before, which runs take instead of computing them again: `info` shows what is kept, "
    "`prune` removes what is old or too much.",
    no_args_is_help=True,
)

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DAY = 86400.0


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Show what is kept: a line for each model and way of computing, the last used first.

    Answers computed with --deterministic serve any run of the same model; others serve the very same run again, whatever
    file it writes. A model is known by the content of its weights, so that one trained anew is another one.
    """
    with _store() as store:
        holdings, size = ([], 0) if store is None else (store.holdings(), store.size())
    path = _path()
    if as_json:
        document = {"file": path, "bytes": size, "holdings": [asdict(one) for one in holdings]}
        typer.echo(json.dumps(document, indent=1))
        return
    if holdings:
        print_table(("MODEL", "WEIGHTS", "DTYPE", "SERVES", "ANSWERS", "MB", "LAST USED"), list(_lines(holdings)))
    answers = sum(one.answers for one in holdings)
    typer.echo(f"{answers:,} answers, {size / 1e6:,.1f} MB in {path} (EVALKIT_CACHE_DIR moves it)", err=True)


@app.command()
def prune(
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", min=0, metavar="DAYS", help="Remove what was not used for so many days."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="500M", help="Remove what was not used for longest until the rest fits."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
) -> None:
    """Remove answers. They are computed again where they are needed; no result changes."""
    if older_than is None and max_size is None and not everything:
        raise UsageError("nothing says what to remove", hint="give --older-than DAYS, --max-size SIZE or --all")
    largest = 0 if everything else None if max_size is None else _bytes(max_size)
    unused_since = None if older_than is None else time.time() - older_than * _DAY
    with _store() as store:
        gone = [] if store is None else store.prune(largest=largest, unused_since=unused_since)
        left = 0 if store is None else store.size()
    answers, size = sum(one.answers for one in gone), sum(one.size for one in gone)
    typer.echo(f"{answers:,} answers removed ({size / 1e6:,.1f} MB); {left / 1e6:,.1f} MB are left")


def _path() -> str:
    from evalkit.response_store import store_path

    return str(store_path())


@contextmanager
def _store() -> Iterator[ResponseStore | None]:
    """The store; None where nothing was ever kept."""
    import sqlite3

    from evalkit.response_store import ResponseStore, store_path

    path = store_path()
    if not path.exists():
        yield None
        return
    try:
        with ResponseStore(path) as store:
            yield store
    except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: what stands in it is no JSON
        raise OutputError(
            f"the response store {path} cannot be used: {error}",
            hint="delete the file: it holds nothing that cannot be computed again",
        ) from error


def _lines(holdings: Sequence[Holding]) -> Iterator[tuple[str, ...]]:
    for one in holdings:
        about = one.about
        used = datetime.fromtimestamp(one.used, UTC).strftime("%Y-%m-%d %H:%M")
        yield (
            visible(str(about.get("model", ""))),
            str(about.get("weights_sha256", ""))[:12],
            str(about.get("dtype", "")),
            "any run" if about.get("alone") else "one run",
            f"{one.answers:,}",
            f"{one.size / 1e6:,.1f}",
            used,
        )


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)B?", text.strip().upper())
    if found is None:
        raise UsageError(f"--max-size {text} is no size", hint="write it as 500M or 2G")
    return int(float(found[1]) * _UNITS[found[2]])
