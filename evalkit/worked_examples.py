"""Worked examples of a benchmark that come with lm-eval: texts of others, read from its files and not copied here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.task import DataSource


class WorkedExamples(Sequence[Mapping[str, Any]]):
    """The examples in one of lm-eval's task files, read when they are asked for.

    Args:
        file: Path of the YAML file within lm-eval's folder of tasks.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._rows: list[Mapping[str, Any]] | None = None

    def __getitem__(self, place: Any) -> Any:
        return self._read()[place]

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._read())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.file!r})"

    def _read(self) -> list[Mapping[str, Any]]:
        if self._rows is None:
            self._rows = _read(self.file)
        return self._rows


def worked_examples(file: str) -> DataSource:
    """The examples in one of lm-eval's task files, as a task's `shots_data`.

    Args:
        file: Path of the YAML file within lm-eval's folder of tasks.
    """
    return DataSource(id=f"lm_eval/tasks/{file}", rows=WorkedExamples(file))


def _read(file: str) -> list[Mapping[str, Any]]:
    """The samples of the file.

    Raises:
        UsageError: lm-eval is not installed, or its file is not what it was.
    """
    import yaml

    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "the worked examples of this benchmark come with lm-eval, which is not installed",
            hint="pip install 'evalkit[lm-eval]', or ask without examples, as in `bbh:0shot`",
        )
    path = Path(spec.submodule_search_locations[0]) / "tasks" / file
    try:
        samples = yaml.safe_load(path.read_text(encoding="utf-8"))["fewshot_config"]["samples"]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UsageError(
            f"the installed lm-eval has no worked examples in {file}: {error}", hint="pip install 'lm-eval==0.4.13'"
        ) from error
    return [dict(sample) for sample in samples]
