"""Lets lm-eval's tasks read their data where evalkit looks for data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.data import DataOptions, embedded, local
from evalkit.data.formats import read_file
from evalkit.data.options import pulled_folder
from evalkit.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


@dataclass(slots=True)
class Origin:
    """Where a task's data came from.

    Attributes:
        id: Dataset as on the hub; empty while nothing was loaded.
        config: Its configuration.
        source: `data-dir`, `embedded` or `hub`, as in `DatasetInfo.source`.
        revision: Commit, where known.
    """

    id: str = ""
    config: str | None = None
    source: str = "hub"
    revision: str | None = None


@contextlib.contextmanager
def data_from(options: DataOptions) -> Iterator[Origin]:
    """Within it, `datasets.load_dataset` looks in evalkit's places first and in lm-eval's own way last.

    Rows from evalkit's places never go through the cache of `datasets`, which (seen in 5.2) answers for a local folder
    with the rows of another folder of the same name.

    Yields:
        What was loaded, filled in when it is.
    """
    import datasets
    from huggingface_hub import constants

    origin = Origin()
    original = datasets.load_dataset

    def load_dataset(path: str, name: str | None = None, **arguments: Any) -> Any:
        origin.id, origin.config = path, name
        found = None if arguments.get("data_files") else _folder(path, name, options)
        if found is None:
            return _load_elsewhere(original, path, name, arguments)
        folder, origin.source = found
        splits, origin.revision = _read(folder, name)
        split = arguments.get("split")
        return splits if split is None else splits[str(split)]

    kept = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.load_dataset = load_dataset
    datasets.disable_progress_bars()
    if options.offline:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield origin
    finally:
        datasets.load_dataset = original
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = kept
        if bars:
            datasets.enable_progress_bars()


def _folder(dataset_id: str, config: str | None, options: DataOptions) -> tuple[Path, str] | None:
    """The dataset's folder in the first place that has the configuration, and what that place is called."""
    places = [(directory, "data-dir") for directory in (*options.directories, pulled_folder())]
    if embedded.ensure() is not None:
        places.append((embedded.embedded_folder(), "embedded"))
    for directory, source in places:
        folder = directory / dataset_id
        if folder.is_dir():
            with contextlib.suppress(KeyError):  # it has other configurations: the next place may have this one
                local.folder_layout(folder).splits(config)
                return folder, source
    return None


def _read(folder: Path, config: str | None) -> tuple[DatasetDict, str | None]:
    from datasets import DatasetDict

    splits = local.folder_layout(folder).splits(config)
    revision = next((local.downloaded_commit(folder, files[0]) for files in splits.values()), None)
    return DatasetDict({name: _dataset(folder, files) for name, files in splits.items()}), revision


def _dataset(folder: Path, files: tuple[str, ...]) -> Dataset:
    import pyarrow
    from datasets import Dataset
    from pyarrow import parquet

    if all(name.endswith(".parquet") for name in files):
        # the table's own schema says which columns are class labels
        return Dataset(pyarrow.concat_tables([parquet.read_table(folder / name) for name in files]))
    return Dataset.from_list([row for name in files for row in read_file(folder / name, {})])


def _load_elsewhere(
    original: Callable[..., Any], path: str, name: str | None, arguments: Mapping[str, Any]
) -> DatasetDict | Dataset:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return original(path, name, **arguments)
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, OfflineModeIsEnabled) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"the dataset {path}{f' ({name})' if name else ''} of lm-eval's task cannot be loaded: {reason}",
            hint=f"Put it as DIR/{path} into a folder of datasets and name that with `--data-dir DIR`, "
            f"or fetch it with `evalkit data pull {path}`.",
        ) from error
