"""What data sets are on this machine, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalkit.data import embedded, local
from evalkit.data.formats import count_rows
from evalkit.data.options import DataOptions, pulled_folder


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One configuration of a dataset in one place.

    Attributes:
        id: Dataset as on the hub.
        config: Configuration.
        splits: Split -> number of rows.
        source: `data-dir` or `embedded`.
        folder: The dataset's folder.
        licence: As its README.md declares; None where it does not.
        used: Whether this is the place that evalkit reads it from: false where an earlier place has it too.
    """

    id: str
    config: str
    splits: dict[str, int]
    source: str
    folder: Path
    licence: str | None
    used: bool


def catalogue(options: DataOptions) -> Iterator[CatalogueEntry]:
    """Lists data directories, pulled data and the embedded pack, in the order in which they are searched."""
    seen: set[tuple[str, str]] = set()
    for source, root in search_path(options):
        for dataset_id in dataset_ids(root):
            folder = root / dataset_id
            layout = local.folder_layout(folder)
            for config, splits in layout.configs.items():
                rows = {split: sum(count_rows(folder / name) for name in files) for split, files in splits.items()}
                used = (dataset_id, config) not in seen
                seen.add((dataset_id, config))
                yield CatalogueEntry(dataset_id, config, rows, source, folder, layout.licence, used)


def search_path(options: DataOptions) -> list[tuple[str, Path]]:
    """The folders that data sets are searched in, as (`DatasetInfo.source`, folder), first found wins."""
    roots = [("data-dir", directory) for directory in (*options.directories, pulled_folder())]
    if embedded.ensure() is not None:
        roots.append(("embedded", embedded.embedded_folder()))
    return [(source, root) for source, root in roots if root.is_dir()]


def dataset_ids(root: Path) -> list[str]:
    """Ids of the data sets in a folder: `org/name` directories, and `name` ones that hold files themselves."""
    found: list[str] = []
    for folder in _visible_folders(root):
        if any(path.is_file() for path in folder.iterdir()):
            found.append(folder.name)
        else:
            found += [f"{folder.name}/{inner.name}" for inner in _visible_folders(folder)]
    return [dataset_id for dataset_id in found if local.folder_layout(root / dataset_id).configs]


def _visible_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
