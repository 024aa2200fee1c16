"""Any metric of the `evaluate` library: `evaluate:NAME`, `evaluate:PATH`, each with `/KEY` and `?option=value` after it.

PATH is a metric's folder or .py file, NAME one of a folder `metrics/` in the data directories, else of the hub: that is
Python code from elsewhere and needs `--trust-remote-code`. KEY says which number of the metric's answer counts. Options
are given to its `compute`, but for `lower_is_better=true` and `config=...`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.documents import OpenQuestion
from evalkit.errors import EvaluationError, TaskDefinitionError
from evalkit.metrics.text import TextMetric
from evalkit.metrics.text_registry import LIBRARY, read_options

if TYPE_CHECKING:
    from evalkit.data import DataOptions

_LOWER = frozenset({"wer", "cer", "ter", "character", "perplexity", "mean_perplexity", "mse", "mae"})
"""Metrics and keys of the library of which less is better; it does not say so itself."""

_PROBE = "The quick brown fox jumps over the lazy dog."
"""What a metric is tried on before the run: a text and a reference that equals it."""


def library_metric(spec: str, base: Path | None = None) -> TextMetric:
    """The metric that a name stands for; its code is loaded by `TextMetric.prepare`, or when first asked.

    Args:
        spec: `evaluate:NAME_OR_PATH`, with `/KEY` and `?option=value&...` after it where wanted.
        base: Folder that a relative path is taken from first (that of the task's file), before the working directory.

    Raises:
        TaskDefinitionError: The name is empty, or it looks like a path and nothing is there.
    """
    named, _, written = spec.removeprefix(LIBRARY).partition("?")
    options = read_options(spec, written)
    lower = options.pop("lower_is_better", None)
    config = options.pop("config", None)
    place, key = _place(spec, named, base)
    if lower is None:
        lower = bool(_LOWER & {key, Path(place).stem})
    module = _Module(spec, place, key, config, options)

    def value(document: OpenQuestion, text: str | None) -> float | None:
        return module.single(text or "", document.references)

    return TextMetric(
        name=spec,
        higher_is_better=not lower,
        binary=False,
        bounds=(-math.inf, math.inf),
        value=value,
        whole=module.score,
        signature=lambda _: module.signature(),
        prepare=module.prepare,
        check=lambda documents: module.check([one.references for one in documents]),
    )


def _place(spec: str, named: str, base: Path | None) -> tuple[str, str | None]:
    """Where the metric is, a path that exists or a name, and the key."""
    if not named.strip("/"):
        raise TaskDefinitionError(
            f"{spec} names no metric", hint="write evaluate:rouge/rougeL or evaluate:./my_metric.py"
        )
    head, slash, tail = named.rpartition("/")
    for candidate, key in ((named, None), (head, tail)) if slash else ((named, None),):
        for folder in (base, Path()) if base else (Path(),):
            path = folder / candidate if candidate else None
            if path is not None and _holds_metric(path):
                return str(path.resolve()), key
    if named.startswith((".", "/", "~")) or ".py" in named:
        raise TaskDefinitionError(
            f"there is no metric at {named}",
            hint="give a .py file, or a folder X with X.py in it; relative paths start at the task's file",
        )
    parts = named.split("/")
    if len(parts) > 3:
        raise TaskDefinitionError(f"{spec} is no name of the evaluate library", hint="write NAME/KEY or ORG/NAME/KEY")
    return ("/".join(parts[:2]), parts[2]) if len(parts) == 3 else (parts[0], parts[1] if slash else None)


def _holds_metric(path: Path) -> bool:
    return path.is_file() and path.suffix == ".py" if path.suffix else (path / f"{path.name}.py").is_file()


@dataclass(slots=True)
class _Module:
    """A metric of the library, loaded when it is needed.

    Attributes:
        spec: As the task names it.
        place: Path, or name on the hub.
        key: Which number of its answer; None where it has only one.
        config: Its configuration.
        options: Arguments of `compute`.
    """

    spec: str
    place: str
    key: str | None
    config: str | None
    options: Mapping[str, Any]
    _loaded: Any = None
    _several: bool = False

    def prepare(self, data: DataOptions) -> None:
        """Loads the metric and tries it.

        Raises:
            TaskDefinitionError: It is not there, needs trust or a package, or is no metric of texts.
            EvaluationError: It fails on a simple text.
        """
        if self._loaded is not None:
            return
        import evaluate
        from datasets import DownloadConfig

        place = _in_data_directories(self.place, data)
        local = Path(place).exists()
        if not local and not data.trust_remote_code:
            raise TaskDefinitionError(
                f"{self.spec}: the metric {self.place} would be fetched from the hub as Python code, if it exists",
                hint=f"put its folder at metrics/{self.place} in a data directory, or name it by its path; or read it on "
                f"the hub, and if you trust it, pass --trust-remote-code. Without it there are bleu, chrf, ter, rouge1, "
                "rougeL, token_f1, exact_match",
            )
        download = DownloadConfig(local_files_only=True) if data.offline else None
        try:
            # one seed for all: some metrics draw (ROUGE's own aggregator), and a result must repeat
            loaded = evaluate.load(place, self.config, keep_in_memory=True, seed=0, download_config=download)
        except ImportError as error:
            raise TaskDefinitionError(
                f"{self.spec}: {error}",
                hint="install what it names; in the metric's file each import stands on a line of its own",
            ) from error
        except (FileNotFoundError, ConnectionError) as error:
            raise TaskDefinitionError(
                f"{self.spec}: the metric {self.place} was not found"
                + (", and nothing may be fetched offline" if data.offline else " on the hub"),
                hint=f"check the name, or put the metric's folder at metrics/{self.place} in a data directory",
            ) from error
        except Exception as error:  # whatever the metric's own code raises
            raise TaskDefinitionError(
                f"{self.spec}: the metric cannot be loaded: {type(error).__name__}: {error}", hint="correct its code"
            ) from error
        self._several = _takes_several(self.spec, loaded)
        self._loaded = loaded
        self.score([_PROBE], [[_PROBE]])

    def check(self, references: Sequence[Sequence[str]]) -> None:
        """Makes sure that the metric takes as many references as each text has.

        Raises:
            TaskDefinitionError: It takes one, and there are several.
        """
        self._ready()
        if not self._several and any(len(those) != 1 for those in references):
            raise TaskDefinitionError(
                f"{self.spec} takes one reference a text, and there are several", hint="choose another metric"
            )

    def single(self, text: str, references: Sequence[str]) -> float | None:
        """The score of one text; None where the metric is not defined for it alone (an empty one, a correlation)."""
        try:
            value = self._computed([text], [references])
        except (ArithmeticError, ValueError):
            return None
        return value if math.isfinite(value) else None

    def score(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """The score of all texts together.

        Raises:
            EvaluationError: The metric fails.
            TaskDefinitionError: Its answer has no such key, or it takes one reference a text and there are several.
        """
        try:
            return self._computed(texts, references)
        except (EvaluationError, TaskDefinitionError):
            raise
        except Exception as error:  # the metric's own code
            raise EvaluationError(
                f"{self.spec} fails on {len(texts)} texts: {type(error).__name__}: {error}",
                hint="look at the metric's code and at its options (?option=value)",
            ) from error

    def signature(self) -> str:
        """Library, module with the hash of its code, and what it was given."""
        from importlib.metadata import version

        loaded = self._ready()
        options = "".join(f"|{key}:{value}" for key, value in sorted(self.options.items()))
        return f"module:{loaded.name}|code:{loaded._hash[:16]}{options}|evaluate:{version('evaluate')}"

    def _ready(self) -> Any:
        if self._loaded is None:
            from evalkit.data import DataOptions

            self.prepare(DataOptions.resolve())
        return self._loaded

    def _computed(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        loaded = self._ready()
        if self._several:
            given: list[Any] = [list(those) for those in references]
        else:
            self.check(references)
            given = [those[0] for those in references]
        try:
            answer = loaded.compute(predictions=list(texts), references=given, **self.options)
        except Exception:
            # a computation that failed leaves its texts behind, which the next one would count in
            loaded.buf_writer = loaded.writer = loaded.data = None
            raise
        return self._number(answer, len(texts))

    def _number(self, answer: Any, count: int) -> float:
        numbers = {key: one for key, one in answer.items() if _is_number(one, count)}
        if self.key is None and len(numbers) == 1:
            self.key = next(iter(numbers))
        if self.key not in numbers:
            missing = "gives several numbers" if self.key is None else f"gives no number {self.key!r}"
            raise TaskDefinitionError(
                f"{self.spec} {missing}", hint=f"name one of {', '.join(numbers) or 'none'}: evaluate:NAME/KEY"
            )
        value = numbers[self.key]
        return float(value) if not hasattr(value, "__len__") else math.fsum(map(float, value)) / count


def _is_number(value: Any, count: int) -> bool:
    """Whether an answer is a number, or one for each text."""
    if hasattr(value, "__len__"):
        return not isinstance(value, str | dict) and len(value) == count and all(_is_number(one, -1) for one in value)
    return isinstance(value, int | float) or hasattr(value, "__float__")


def _in_data_directories(place: str, data: DataOptions) -> str:
    """The folder `metrics/NAME` of a data directory that has one, else the place as it is."""
    from evalkit.data.options import pulled_folder

    if Path(place).is_absolute():
        return place
    for directory in (*data.directories, pulled_folder()):
        if _holds_metric(directory / "metrics" / place):
            return str((directory / "metrics" / place).resolve())
    return place


def _takes_several(spec: str, loaded: Any) -> bool:
    """Whether it takes several references a text.

    Raises:
        TaskDefinitionError: It does not compare texts with references.
    """
    from datasets import Value

    formats = loaded.features if isinstance(loaded.features, list) else [loaded.features]
    several = single = False
    for features in formats:
        if set(features) != {"predictions", "references"} or not _is_text(features["predictions"]):
            continue
        references = features["references"]
        single |= _is_text(references)
        several |= not isinstance(references, Value) and _is_text(getattr(references, "feature", None))
    if not (single or several):
        raise TaskDefinitionError(
            f"{spec} does not compare texts with references; it takes {formats[0]}", hint="choose another metric"
        )
    return several


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")
