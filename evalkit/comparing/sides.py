"""The runs of a comparison: read from files of any known kind, and each with a short name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.comparing.consistency import check_consistency
from evalkit.comparison import Side
from evalkit.errors import UsageError
from evalkit.results import Run

Source = Run | Path | str
"""A run, or the file or folder that one is in."""

_SAMPLES = ".samples.parquet"
_SNIFFED = 4096
"""Bytes of a file that tell whether evalkit wrote it."""


def load_sides(sources: Sequence[Source]) -> tuple[Side, ...]:
    """The runs with labels that tell them apart: the models' names, or the files' where models have the same.

    Raises:
        UsageError: A file cannot be read, holds no run, contradicts itself, or is given twice.
    """
    seen: dict[Path, Path] = {}
    for source in sources:
        if not isinstance(source, Run):
            path = Path(source)
            if path.resolve() in seen:
                raise UsageError(f"{path} is given twice", hint="give the results of two different runs")
            seen[path.resolve()] = path
    loaded = _aligned([_load(source) for source in sources])
    return tuple(replace(side, label=label) for side, label in zip(loaded, _labels(loaded), strict=True))


def _aligned(sides: Sequence[Side]) -> list[Side]:
    """Tasks of other harnesses' runs named as in the first run of evalkit's."""
    like = next((side.run for side in sides if side.origin == "evalkit"), None)
    if like is None or all(side.origin == "evalkit" for side in sides):
        return list(sides)
    from evalkit.comparing.foreign import aligned

    return [side if side.origin == "evalkit" else replace(side, run=aligned(side.run, like)) for side in sides]


def _load(source: Source) -> Side:
    if isinstance(source, Run):
        side = Side("", source)
        check_consistency(source, _model_name(source))
        return side
    path = Path(source)
    run, origin, found = _read(path)
    if not run.tasks:
        raise UsageError(f"{found} holds no tasks", hint="give the result of a run that evaluated something")
    if origin == "evalkit":
        check_consistency(run, found.name)
    return Side("", run, found, origin)


def _read(path: Path) -> tuple[Run, str, Path]:
    """The run, what wrote it, and its file."""
    if path.name.endswith(_SAMPLES):
        result = path.with_name(path.name.removesuffix(_SAMPLES) + ".json")
        raise UsageError(f"{path} is a sample log, not a result file", hint=f"give {result}, which belongs to it")
    if not path.exists():
        raise UsageError(f"the file {path} does not exist", hint="give a file that evalkit run wrote")
    if path.is_file() and _is_evalkit(path):
        return Run.load(path), "evalkit", path
    foreign = _read_foreign(path)
    if foreign is not None:
        return *foreign, path
    if path.is_dir():
        only = _only_result(path)
        return Run.load(only), "evalkit", only
    return Run.load(path), "evalkit", path


def _read_foreign(path: Path) -> tuple[Run, str] | None:
    """The run of another harness's log, and that harness's name; None where no reader knows the file."""
    from evalkit.comparing.foreign import read_foreign

    return read_foreign(path)


def _is_evalkit(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(_SNIFFED)
    except OSError:
        return True  # the reader says why it cannot be read
    return b'"evalkit.' in head


def _only_result(folder: Path) -> Path:
    results = [path for path in sorted(folder.glob("*.json")) if _is_evalkit(path)]
    if len(results) == 1:
        return results[0]
    if not results:
        raise UsageError(f"the folder {folder} holds no result of evalkit", hint="give a file that evalkit run wrote")
    names = ", ".join(path.name for path in results[:5])
    raise UsageError(f"the folder {folder} holds {len(results)} results", hint=f"give one of {names}")


def _labels(sides: Sequence[Side]) -> list[str]:
    names = [_model_name(side.run) for side in sides]
    shared = Counter(names)
    labels = [
        side.path.stem if shared[name] > 1 and side.path is not None else name
        for side, name in zip(sides, names, strict=True)
    ]
    if len(set(labels)) < len(labels):
        shared = Counter(labels)
        # files of the same name in different folders
        labels = [
            f"{side.path.parent.name}/{label}" if shared[label] > 1 and side.path and side.path.parent.name else label
            for side, label in zip(sides, labels, strict=True)
        ]
    seen: Counter[str] = Counter()
    unique = []
    for label in labels:
        seen[label] += 1
        unique.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return unique


def _model_name(run: Run) -> str:
    """The model's name without folders, with its adapter's."""
    name = Path(run.model.name).name or run.model.name or "model"
    return f"{name}+{Path(run.model.adapter).name}" if run.model.adapter else name
