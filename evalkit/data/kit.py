"""The air-gap kit: data sets in one archive with a manifest that pins the hash of every file.

An archive is a gzipped tar whose first member is `manifest.json`; all others are the regular files that it lists, as
`org/name/path`. The same data sets give the same archive, bit for bit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from evalkit.data import catalogue, local
from evalkit.data.options import DataOptions
from evalkit.errors import DataError, OutputError, UsageError

SCHEMA = "evalkit.data-kit/1"
_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 64 * 2**20
_REFUSED = "Nothing was unpacked. Get the archive again from where it was packed."


@dataclass(frozen=True, slots=True)
class PackedDataset:
    """One dataset of an archive.

    Attributes:
        id: Dataset as on the hub.
        licence: As its README.md declares.
        files: Number of files.
        bytes: Their size in total.
    """

    id: str
    licence: str | None
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _File:
    """A file of an archive as its manifest lists it."""

    sha256: str
    bytes: int


def pack(archive: Path, ids: Sequence[str], options: DataOptions) -> tuple[PackedDataset, ...]:
    """Writes data sets of this machine into an archive.

    Args:
        archive: The file to write (`.tar.gz`).
        ids: Data sets to take; empty takes all that `catalogue` lists.
        options: Where to look; of a dataset that several places have, the first is taken.

    Raises:
        UsageError: A dataset is not on this machine.
        OutputError: The archive cannot be written.
    """
    folders = _choose(ids, options)
    licences = {dataset_id: local.folder_layout(folder).licence for dataset_id, folder in folders.items()}
    paths = {
        f"{dataset_id}/{name}": folder / name for dataset_id, folder in folders.items() for name in _with_notes(folder)
    }
    files = {name: _measure(path) for name, path in paths.items()}
    manifest = {
        "schema": SCHEMA,
        "datasets": [{"id": dataset_id, "licence": licence} for dataset_id, licence in licences.items()],
        "files": {name: asdict(file) for name, file in files.items()},
    }
    try:
        _write(archive, json.dumps(manifest, indent=1, sort_keys=True).encode(), paths)
    except OSError as error:
        raise OutputError(
            f"the archive {archive} cannot be written: {error}", hint="Choose another place for it."
        ) from error
    return tuple(_summary(dataset_id, licence, files) for dataset_id, licence in licences.items())


def unpack(archive: Path, target: Path, *, replace: bool = False) -> tuple[PackedDataset, ...]:
    """Unpacks an archive's data sets into a folder that evalkit searches.

    Every member must be a regular file that the manifest lists, with its size and hash; then, and only then, the data
    sets appear in `target`.

    Raises:
        DataError: The archive is damaged, or holds what no archive of `pack` holds (links, paths that lead out).
        UsageError: It does not exist, or a dataset is there already with other content and `replace` is false.
    """
    if not archive.is_file():
        raise UsageError(f"the archive {archive} does not exist", hint="Give the file that `evalkit data pack` wrote.")
    target.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=target))
    try:
        datasets = _extract(archive, scratch)
        for dataset in datasets:
            _install(scratch / dataset.id, target / dataset.id, dataset.id, replace)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the archive {archive} is damaged: {error}", hint=_REFUSED) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return datasets


def _choose(ids: Sequence[str], options: DataOptions) -> dict[str, Path]:
    """Dataset -> the folder that it is taken from."""
    here: dict[str, Path] = {}
    for _, root in catalogue.search_path(options):
        for dataset_id in catalogue.dataset_ids(root):
            here.setdefault(dataset_id, root / dataset_id)
    for dataset_id in ids:
        if dataset_id not in here:
            raise UsageError(
                f"dataset {dataset_id} is not on this machine",
                hint=f"Run `evalkit data pull {dataset_id}` first; `evalkit data list` shows what is here.",
            )
    if not here:
        raise UsageError(
            "there is no dataset on this machine to pack", hint="Run `evalkit data pull --embedded` first."
        )
    return {dataset_id: here[dataset_id] for dataset_id in sorted(set(ids) or here)}


def _with_notes(folder: Path) -> list[str]:
    """The dataset's files and, so that the commit stays known, the notes that the hub's library left about them."""
    names = local.list_files(folder)
    notes = [local.commit_note(name) for name in names]
    return names + [note for note in notes if (folder / note).is_file()]


def _measure(path: Path) -> _File:
    with path.open("rb") as file:
        return _File(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _write(archive: Path, manifest: bytes, paths: Mapping[str, Path]) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(f".{archive.name}.partial")
    # No time stamps and no owners anywhere, so that equal data gives an equal archive.
    with (
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, _MANIFEST, len(manifest), io.BytesIO(manifest))
        for name, path in paths.items():
            with path.open("rb") as content:
                _add(tar, name, path.stat().st_size, content)
    partial.replace(archive)


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    tar.addfile(member, content)


def _extract(archive: Path, scratch: Path) -> tuple[PackedDataset, ...]:
    with tarfile.open(archive, "r:*") as tar:
        first = tar.next()
        content = tar.extractfile(first) if first and first.isreg() and first.name == _MANIFEST else None
        if content is None:
            raise DataError(f"{archive} is no archive of `evalkit data pack`: it has no manifest", hint=_REFUSED)
        licences, files = _read_manifest(content.read(_MANIFEST_LIMIT), archive)
        missing = dict(files)
        while (member := tar.next()) is not None:
            expected = missing.pop(member.name, None)
            _refuse_hostile(member, expected, archive)
            with closing(tar.extractfile(member) or io.BytesIO()) as source:
                _extract_file(source, scratch / member.name, expected or _File("", 0), archive)
    if missing:
        raise DataError(f"the archive {archive} lacks the file {next(iter(missing))}", hint=_REFUSED)
    return tuple(_summary(dataset_id, licence, files) for dataset_id, licence in licences.items())


def _read_manifest(content: bytes, archive: Path) -> tuple[dict[str, str | None], dict[str, _File]]:
    """Dataset -> licence, and member -> file; every name in it is checked."""
    try:
        manifest = json.loads(content)
        if manifest["schema"] != SCHEMA:
            raise DataError(
                f"the archive {archive} is of the form {manifest['schema']!r}, expected {SCHEMA!r}",
                hint="Use the version of evalkit that packed it.",
            )
        licences = {str(each["id"]): each["licence"] for each in manifest["datasets"]}
        files = {name: _File(str(each["sha256"]), int(each["bytes"])) for name, each in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the manifest of the archive {archive} is damaged", hint=_REFUSED) from error
    for dataset_id in licences:
        local.check_id(dataset_id)
    for name in files:
        inside = any(name.startswith(f"{dataset_id}/") for dataset_id in licences)
        if not inside or _leads_out(name):
            raise DataError(f"the archive {archive} lists a file outside its data sets: {name!r}", hint=_REFUSED)
    return licences, files


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in path.parts[0]


def _refuse_hostile(member: tarfile.TarInfo, expected: _File | None, archive: Path) -> None:
    if not member.isreg():
        raise DataError(f"the archive {archive} holds {member.name!r}, which is not a regular file", hint=_REFUSED)
    if expected is None:
        raise DataError(f"the archive {archive} holds {member.name!r}, which its manifest does not list", hint=_REFUSED)
    if member.size != expected.bytes:
        raise DataError(f"the file {member.name} of the archive {archive} has another size than listed", hint=_REFUSED)


def _extract_file(source: IO[bytes], path: Path, expected: _File, archive: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as copy:
        shutil.copyfileobj(source, copy)
    if _measure(path) != expected:
        raise DataError(f"the file {path.name} of the archive {archive} has another hash than listed", hint=_REFUSED)


def _install(new: Path, target: Path, dataset_id: str, replace: bool) -> None:
    if target.exists():
        same = _contents(new) == _contents(target)
        if not same and not replace:
            raise UsageError(
                f"dataset {dataset_id} is in {target.parent.parent} already, with other content",
                hint="Give --replace to take the archive's, or --into another folder.",
            )
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new.rename(target)


def _contents(folder: Path) -> dict[str, _File]:
    return {name: _measure(folder / name) for name in local.list_files(folder)}


def _summary(dataset_id: str, licence: str | None, files: Mapping[str, _File]) -> PackedDataset:
    members = [file for name, file in files.items() if name.startswith(f"{dataset_id}/")]
    return PackedDataset(dataset_id, licence, len(members), sum(file.bytes for file in members))
