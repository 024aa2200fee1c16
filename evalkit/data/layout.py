"""Finds the configurations and splits of a dataset among its files, as the Hugging Face hub does.

A README.md with a YAML header says it outright (`configs`, each with `data_files`); without one the names of files and
folders say it. Source: https://huggingface.co/docs/hub/datasets-data-files-configuration and datasets/data_files.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from evalkit.data.formats import EXTENSIONS, extension
from evalkit.errors import DataError

_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_WORDS = {word: split for split, words in _SYNONYMS.items() for word in words}
_SHARD = re.compile(r"^(?P<split>\w[\w.]*?)-\d{5}-of-\d{5}$")
_METADATA = re.compile(
    r"^(dataset_infos?|dataset_dict|state|manifest|package|config|readme|licen[cs]e|requirements|croissant)(\.\w+)+$",
    re.IGNORECASE,
)
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Layout:
    """What a dataset holds.

    Attributes:
        configs: Configuration -> split -> files (paths relative to the dataset's folder, `/` between parts).
        default: The configuration that is meant when none is named; None where there are several and no default.
        declared: Whether the README.md says so; split names are then taken literally.
        licence: The `license` of the README.md's header.
    """

    configs: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    default: str | None = None
    declared: bool = False
    licence: str | None = None

    def splits(self, config: str | None) -> Mapping[str, tuple[str, ...]]:
        """Split -> files of a configuration (None: the default one).

        Raises:
            KeyError: There is no such configuration, or no default; the argument is one clause saying so.
        """
        name = config if config is not None else self.default
        if name is None:
            raise KeyError(f"has several configurations and no default ({_join(self.configs)})")
        if name not in self.configs:
            raise KeyError(f"has no configuration '{name}' (it has {_join(self.configs, near=name)})")
        return self.configs[name]

    def files(self, config: str | None, split: str) -> tuple[str, ...]:
        """The files of one split, in the order in which their rows follow.

        Raises:
            KeyError: Nothing of that name; the argument is one clause saying what there is.
        """
        splits = self.splits(config)
        if split in splits:
            return splits[split]
        if not self.declared:
            # By convention `dev.jsonl` is a validation split; only an unambiguous synonym is taken.
            family = _SPLIT_WORDS.get(split.lower(), split)
            kin = [name for name in splits if _SPLIT_WORDS.get(name.lower(), name) == family]
            if len(kin) == 1:
                return splits[kin[0]]
        raise KeyError(f"has no split '{split}' (it has {_join(splits)})")


def find_layout(paths: Iterable[str], readme: str | None = None) -> Layout:
    """Sorts a dataset's files into configurations and splits.

    Args:
        paths: All files, relative to the dataset's folder, `/` between parts.
        readme: Text of its README.md, if it has one.

    Raises:
        DataError: The README.md's header is not valid YAML or not of the documented form.
    """
    files = sorted(path for path in paths if _is_data(path))
    header = dict(_header(readme or ""))
    licence = header.get("license")
    licence = ", ".join(map(str, licence)) if isinstance(licence, list) else licence
    declared = header.get("configs")
    if not declared:
        return _with_default(_by_name(files), None, False, licence)
    configs: dict[str, Mapping[str, tuple[str, ...]]] = {}
    default = None
    for entry in declared:
        if not isinstance(entry, Mapping):
            raise DataError(f"the dataset's README.md declares a configuration that is no mapping: {entry!r}")
        name = str(entry.get("config_name", "default"))
        configs[name] = _declared_splits(entry, files)
        if entry.get("default"):
            default = name
    return _with_default(configs, default, True, licence)


def _with_default(
    configs: Mapping[str, Mapping[str, tuple[str, ...]]], default: str | None, declared: bool, licence: str | None
) -> Layout:
    if default is None:
        default = "default" if "default" in configs else next(iter(configs)) if len(configs) == 1 else None
    return Layout(configs, default, declared, licence)


def _is_data(path: str) -> bool:
    parts = path.split("/")
    hidden = any(part.startswith((".", "__")) for part in parts)
    return not hidden and extension(path) is not None and not _METADATA.match(parts[-1])


@lru_cache(maxsize=64)
def _header(readme: str) -> Mapping[str, Any]:
    """The YAML between the first two `---` lines; empty where there is none."""
    import yaml

    match = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", readme, re.DOTALL)
    if not match:
        return {}
    try:
        # The C loader, where built, reads headers of hundreds of configurations fifteen times faster.
        header = yaml.load(match[1], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise DataError(
            f"the header of the dataset's README.md is not valid YAML: {' '.join(str(error).split())}",
            hint="Correct or delete the part between the two --- lines.",
        ) from error
    return header if isinstance(header, dict) else {}


def _declared_splits(entry: Mapping[str, Any], files: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    folder = str(entry.get("data_dir") or "").strip("/")
    prefix = f"{folder}/" if folder and folder != "." else ""
    declared = entry.get("data_files")
    if declared is None:
        inside = [path.removeprefix(prefix) for path in files if path.startswith(prefix)]
        by_name = _by_name(inside)
        found = by_name.get("default") or (next(iter(by_name.values())) if len(by_name) == 1 else {})
        return {split: tuple(prefix + path for path in paths) for split, paths in found.items()}
    splits: dict[str, tuple[str, ...]] = {}
    for split, patterns in _patterns(declared):
        matches = [path for pattern in patterns for path in _match(prefix + pattern.removeprefix("./"), files)]
        if matches:
            splits[split] = (*splits.get(split, ()), *dict.fromkeys(matches))
    return splits


def _patterns(declared: Any) -> list[tuple[str, list[str]]]:
    """The forms that `data_files` may take, as (split, patterns) pairs."""
    if isinstance(declared, str):
        return [("train", [declared])]
    if isinstance(declared, Mapping):
        return [(str(split), _as_list(patterns)) for split, patterns in declared.items()]
    pairs: list[tuple[str, list[str]]] = []
    for entry in declared:
        if isinstance(entry, str):
            pairs.append(("train", [entry]))
        elif isinstance(entry, Mapping) and "path" in entry:
            pairs.append((str(entry.get("split", "train")), _as_list(entry["path"])))
        else:
            raise DataError(f"the dataset's README.md declares data_files of an unknown form: {entry!r}")
    return pairs


def _as_list(patterns: Any) -> list[str]:
    return [str(pattern) for pattern in patterns] if isinstance(patterns, list) else [str(patterns)]


def _match(pattern: str, files: Sequence[str]) -> list[str]:
    if not _GLOB.search(pattern):
        return [path for path in files if path == pattern]
    from fsspec.utils import glob_translate  # type: ignore[import-untyped]

    expression = re.compile(glob_translate(pattern))
    return [path for path in files if expression.match(path)]


def _by_name(files: Sequence[str]) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Sorts by the hub's naming conventions; files whose names tell no split are the train split if none tells one."""
    placed = [(path, place) for path in files if (place := _place(path)) is not None]
    if not placed:
        placed = [(path, (_config(path.split("/")[:-1]), "train")) for path in files]
    groups: dict[str, dict[str, list[str]]] = {}
    for path, (config, split) in placed:
        groups.setdefault(config, {}).setdefault(split, []).append(path)
    return {
        config: {split: _one_format(paths) for split, paths in sorted(splits.items())}
        for config, splits in sorted(groups.items())
    }


def _place(path: str) -> tuple[str, str] | None:
    """(configuration, split) that a path tells; None when it tells no split."""
    *folders, name = path.split("/")
    stem = re.sub(r"(\.gz)?$", "", name, flags=re.IGNORECASE).rsplit(".", 1)[0]
    shard = _SHARD.match(stem)
    if shard and shard["split"] != "data":
        return _config(folders), shard["split"]
    if word := _split_word(stem):
        return _config(folders), word
    # `anatomy/test/0000.parquet` (the hub's own conversions), `test/data-00000-of-00001.arrow` (save_to_disk).
    for depth in range(len(folders) - 1, -1, -1):
        if folders[depth].startswith("partial-"):
            # The hub converts only the beginning of a large split; that must not pass for the split.
            return _config(folders[:depth]), folders[depth]
        if word := _split_word(folders[depth]):
            return _config(folders[:depth]), word
    if shard and folders:
        return _config(folders[:-1]), folders[-1]
    return None


def _split_word(text: str) -> str | None:
    """The word for a split in a name such as `arc_test` or `dev-v2`, the last where there are several; None without."""
    words = [word for word in re.split(r"[^a-zA-Z]+", text) if word.lower() in _SPLIT_WORDS]
    return words[-1].lower() if words else None


def _config(folders: Sequence[str]) -> str:
    inner = [folder for folder in folders if folder not in ("data", ".")]
    return "/".join(inner) or "default"


def _one_format(paths: Sequence[str]) -> tuple[str, ...]:
    """The files of the preferred format: the same split is often there as .csv and .jsonl both."""
    best = min((extension(path) or "" for path in paths), key=EXTENSIONS.index)
    return tuple(path for path in paths if extension(path) == best)


def _join(names: Iterable[str], near: str = "") -> str:
    """The names, or of a long list the likeliest."""
    listed = list(names)
    shown = listed if len(listed) <= 12 else difflib.get_close_matches(near, listed, 4, 0.3) or listed[:6]
    more = f" and {len(listed) - len(shown)} more" if len(shown) < len(listed) else ""
    return (", ".join(f"'{name}'" for name in shown) + more) or "none that can be read"
