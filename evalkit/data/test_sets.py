"""sacrebleu's own test sets (WMT, IWSLT, MTNT ...): a data source `sacrebleu:NAME` with the language pair as its config.

Their rows are `{"source": text, "references": [text, ...]}`, wherever they come from.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.data.local import Found
from evalkit.errors import DataError
from evalkit.task import DataSource, Row

PREFIX = "sacrebleu:"
"""Ids of data sources that begin so are test sets of sacrebleu."""

TWINS: Mapping[str, str] = {"wmt22": "haoranxu/WMT22-Test"}
"""Test set -> hub dataset with the same sentences, a configuration a language pair."""


def cached(source: DataSource) -> Found | None:
    """The test set, where sacrebleu has its archives in its cache (`SACREBLEU`, else ~/.sacrebleu).

    Raises:
        DataError: They are damaged.
    """
    return _read(source) if all(file.is_file() and file.stat().st_size for file in _archives(source)) else None


def download(source: DataSource) -> Found:
    """The test set, fetched by sacrebleu into its cache.

    Raises:
        DataError: It cannot be had.
    """
    return _read(source)


def twin(source: DataSource) -> DataSource | None:
    """The hub dataset with the same sentences."""
    hub = TWINS.get(source.id.removeprefix(PREFIX))
    return None if hub is None else replace(source, id=hub)


def twin_rows(rows: Iterable[Row], pair: str) -> list[dict[str, Any]]:
    """Rows of a twin in the form of a test set."""
    first, second = pair.split("-")
    return [{"source": row[pair][first], "references": [row[pair][second]]} for row in rows]


def label(source: DataSource) -> str:
    """How messages name it."""
    return f"sacrebleu's test set {source.id.removeprefix(PREFIX)} {source.config}"


def ways(source: DataSource) -> str:
    """What helps where the test set is missing."""
    name = source.id.removeprefix(PREFIX)
    hint = (
        f"fetch it where there is a network, with `sacrebleu -t {name} -l {source.config} --echo src`, and copy the folder "
        f"~/.sacrebleu/{name} (or set SACREBLEU to where it is)"
    )
    other = twin(source)
    return hint + (f"; or put the hub dataset {other.id} into a data directory (--data-dir)" if other else "")


def _dataset(source: DataSource) -> Any:
    from sacrebleu.dataset import DATASETS

    return DATASETS[source.id.removeprefix(PREFIX)]


def _archives(source: DataSource) -> list[Path]:
    """What sacrebleu downloads; the texts are taken out of it without the network."""
    dataset = _dataset(source)
    return [Path(dataset._rawdir) / dataset._get_tarball_filename(url) for url in dataset.data]


def _read(source: DataSource) -> Found:
    dataset = _dataset(source)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            files = [dataset.get_source_file(source.config), *dataset.get_reference_files(source.config)]
        texts = [_lines(Path(file)) for file in files]
    except (Exception, SystemExit) as error:  # urllib's errors, damaged archives, sacrebleu's own exit
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"sacrebleu cannot provide {label(source)}: {reason}", hint=ways(source)) from error
    if len(texts) < 2 or len({len(lines) for lines in texts}) != 1:
        raise DataError(
            f"the {len(texts)} files of {label(source)} have {', '.join(str(len(lines)) for lines in texts)} lines",
            hint=f"they are damaged: remove the folder {dataset._outdir}, and sacrebleu fetches them again",
        )
    rows = [{"source": first, "references": list(others)} for first, *others in zip(*texts, strict=True)]
    return Found(rows, source.config, None)


def _lines(file: Path) -> list[str]:
    # only line feeds end a line: the sentences may hold the rarer separators that Unicode has
    with file.open(encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\r\n") for line in lines]
