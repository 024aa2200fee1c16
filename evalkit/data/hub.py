"""Reads data sets from the Hugging Face hub, or from the hub's local cache when offline."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from evalkit.data import local
from evalkit.data.formats import read_file
from evalkit.data.layout import Layout, find_layout
from evalkit.data.local import Found, NotHere
from evalkit.errors import DataError
from evalkit.task import DataSource

logger = logging.getLogger(__name__)

CONVERTED = "refs/convert/parquet"
"""Branch on which the hub keeps Parquet conversions, among them of data sets that come with a loading script."""


class _Unreachable(Exception):
    """The hub did not answer."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """The files of one commit of a dataset's repository.

    Attributes:
        id: Dataset.
        reference: The branch, or commit, that was asked for.
        commit: The commit that the branch is at.
        layout: What the repository holds.
        has_readme: Whether a README.md belongs to that layout.
        noted: Whether the cache knows by now which commit the branch is at.
    """

    id: str
    reference: str
    commit: str
    layout: Layout
    has_readme: bool
    noted: bool

    def fetch(self, name: str, folder: Path | None = None) -> Path:
        """Downloads one file into the hub's cache (or into `folder`) unless it is there; returns its path."""
        import huggingface_hub

        if folder is None and not self.noted:
            return _fetch_and_note(self.id, name, self.reference, self.commit)
        with _plain_errors(self.id):
            path = huggingface_hub.hf_hub_download(
                self.id, name, repo_type="dataset", revision=self.commit, local_dir=folder
            )
        return Path(path)


def read(source: DataSource, split: str, columns: Mapping[str, Any], *, offline: bool) -> Found:
    """Reads one split of a dataset on the hub.

    The files that the split needs go into the hub library's own cache (`HF_HOME`) at one commit, which all splits read
    by this process share. When the hub does not answer, a copy in the cache is taken, with a warning.

    Raises:
        NotHere: The hub has no such dataset, configuration or split, or did not answer and the cache has no copy.
        DataError: The dataset is gated, or a file is broken.
    """
    if offline:
        return _read_cache(source, split, columns)
    try:
        return _read_online(source, split, columns)
    except _Unreachable as error:
        try:
            found = _read_cache(source, split, columns)
        except NotHere:
            raise NotHere(f"could not be reached ({error}), and its local cache has no copy") from error
        logger.warning(
            "the hub could not be reached; dataset %s is read from its local cache, commit %s",
            source.id,
            found.revision,
        )
        return found


def pull(dataset_id: str, config: str | None, folder: Path) -> str:
    """Downloads a dataset, or one configuration of it, into `folder`, laid out as on the hub.

    Returns:
        The commit that was fetched.

    Raises:
        DataError: The hub cannot be reached or has no such dataset or configuration.
    """
    try:
        listing = _list(dataset_id, None)
        if not listing.layout.configs:
            listing = _list(dataset_id, CONVERTED)
        names = [config] if config is not None else list(listing.layout.configs)
        wanted = [name for each in names for files in listing.layout.splits(each).values() for name in files]
    except (_Unreachable, NotHere, KeyError) as error:
        clause = f"could not be reached ({error})" if isinstance(error, _Unreachable) else str(error.args[0])
        raise DataError(
            f"dataset {dataset_id} cannot be pulled: the hub {clause}",
            hint="Check the id and the network; a private dataset needs a token (HF_TOKEN or `hf auth login`).",
        ) from error
    if not wanted:
        raise DataError(f"dataset {dataset_id} has no data files on the hub that evalkit reads")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ["README.md", *wanted] if listing.has_readme else wanted:
        listing.fetch(name, folder)
    return listing.commit


def _read_online(source: DataSource, split: str, columns: Mapping[str, Any]) -> Found:
    listing = _list(source.id, source.revision)
    try:
        files = listing.layout.files(source.config, split)
    except KeyError as error:
        converted = _converted(source)
        try:
            if converted is None:
                raise KeyError
            listing, files = converted, converted.layout.files(source.config, split)
        except KeyError:
            raise NotHere(str(error.args[0]), holds=True) from error
    rows = [row for name in files for row in read_file(listing.fetch(name), columns)]
    config = source.config if source.config is not None else listing.layout.default
    return Found(rows, config, listing.commit)


def _converted(source: DataSource) -> _Listing | None:
    """The hub's Parquet conversion; None where there is none or the task pins a commit, which it would not honour."""
    if source.revision is not None:
        return None
    try:
        return _list(source.id, CONVERTED)
    except NotHere:
        return None


@lru_cache(maxsize=256)
def _list(dataset_id: str, revision: str | None) -> _Listing:
    """Lists a repository once a process, so that all splits of a run come from one commit."""
    import huggingface_hub

    with _plain_errors(dataset_id):
        information = huggingface_hub.HfApi().dataset_info(dataset_id, revision=revision)
    names = [sibling.rfilename for sibling in information.siblings or []]
    reference = revision or "main"
    readme = None
    has_readme = "README.md" in names and reference != CONVERTED
    commit = str(information.sha)
    small = next((name for name in ("README.md", ".gitattributes") if name in names), None)
    if small:
        path = _fetch_and_note(dataset_id, small, reference, commit)
        readme = path.read_text(encoding="utf-8", errors="replace") if has_readme else None
    try:
        layout = find_layout(names, readme)
    except DataError as error:
        raise DataError(f"dataset {dataset_id} on the hub: {error.message}", hint=error.hint) from error
    return _Listing(dataset_id, reference, commit, layout, has_readme, noted=small is not None)


def _fetch_and_note(dataset_id: str, name: str, reference: str, commit: str) -> Path:
    """Fetches a file by branch name, so that the cache notes which commit the branch is at, for runs offline."""
    import huggingface_hub

    with _plain_errors(dataset_id):
        path = Path(huggingface_hub.hf_hub_download(dataset_id, name, repo_type="dataset", revision=reference))
        if commit not in path.parts:
            # Somebody has pushed since the listing; the listed commit is what is read.
            path = Path(huggingface_hub.hf_hub_download(dataset_id, name, repo_type="dataset", revision=commit))
    return path


def _read_cache(source: DataSource, split: str, columns: Mapping[str, Any]) -> Found:
    """Reads from the hub library's cache folder, whose layout is documented ("Understand caching")."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / "--".join(["datasets", *source.id.split("/")])
    kept = None
    for reference in (source.revision or "main", CONVERTED):
        noted = repository / "refs" / reference
        commit = noted.read_text().strip() if noted.is_file() else reference
        folder = repository / "snapshots" / commit
        if not folder.is_dir():
            continue
        try:
            found = local.read_folder(folder, source.config, split, columns)
        except NotHere as reason:
            kept = kept or reason
            continue
        return Found(found.rows, found.config, commit)
    if kept:
        raise NotHere(f"is not asked (offline), and its local cache {kept}", holds=True)
    raise NotHere("is not asked (offline), and its local cache does not have it")


@contextmanager
def _plain_errors(dataset_id: str) -> Iterator[None]:
    """Turns the hub library's errors into ours."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/datasets/{dataset_id}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise DataError(
            f"dataset {dataset_id} on the hub is gated: its owners ask you to accept their terms first",
            hint=f"Accept them on {page}, then give your token (HF_TOKEN, or `hf auth login`).",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise NotHere("has no dataset of that name, or it is private (HF_TOKEN gives a token)") from error
    except errors.RevisionNotFoundError as error:
        raise NotHere("has the dataset, but not the revision that was asked for") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise NotHere(f"refuses access (HTTP {status}); HF_TOKEN gives a token") from error
        raise _Unreachable(f"HTTP {status}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise _Unreachable(str(error).split("\n")[0]) from error
    except errors.HTTPError as error:
        # The HTTP library's own base class, under whatever name the hub library imports it: no connection, time-out.
        raise _Unreachable(str(error) or type(error).__name__) from error
