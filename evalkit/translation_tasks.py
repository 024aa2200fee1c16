"""The tasks behind `translation:SOURCE:PAIR`: BLEU, chrF++ and TER of a model's translations.

translation:wmt22:en-de                                   one of sacrebleu's own test sets
translation:haoranxu/WMT22-Test:en-de                     a hub dataset, its configuration named as the pair
translation:wmt/wmt16/de-en:en-de:test+validation         one with another configuration; examples from `validation`
translation:source.en+reference.de:en-de                  parallel text files, a sentence a line; more references
                                                          after further `+`
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.data.test_sets import PREFIX
from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.errors import UsageError
from evalkit.languages import language_name, short_code
from evalkit.metrics.translation import for_language
from evalkit.task import DataSource, Row, Task

METRICS = ("bleu", "chrf++", "ter")

_CODE = r"[A-Za-z]{2,3}(?:_[A-Za-z]{2,4})?"
_PAIR = re.compile(rf"({_CODE})-({_CODE})")
_FORMS = "translation:wmt22:en-de, translation:ORG/NAME:en-de or translation:source.txt+reference.txt:en-de"


@dataclass(frozen=True, slots=True)
class Pair:
    """From which language into which, by their codes."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True, slots=True)
class Translation:
    """Turns a row into a sentence to translate, asked as lm-eval's WMT tasks ask it."""

    pair: Pair

    def __call__(self, row: Row) -> OpenQuestion:
        """The document of a row."""
        source, references = _sentences(row, self.pair)
        question = f"{language_name(self.pair.source)} phrase: {source}\n{language_name(self.pair.target)} phrase:"
        return OpenQuestion(question, references[0], references, {"source": source})


def translation_task(spec: str, shots: int = 0) -> Task:
    """The task of a spec, what follows `translation:`.

    Args:
        spec: `SOURCE:PAIR` or `SOURCE:PAIR:SPLIT`; a split is `test` or `test+validation`, the latter for examples.
            Without a split for examples these are drawn from the other documents.
        shots: Number of few-shot examples.

    Raises:
        UsageError: The spec is malformed, a language or test set unknown, or a file cannot be read.
    """
    place, pair, split, shots_split = _parse(spec)
    languages = f"{language_name(pair.source)} to {language_name(pair.target)}"
    data = _data(place, pair, split, shots_split)
    metrics = for_language(short_code(pair.target))
    named = "+".join(Path(file).name for file in place.split("+")) if "+" in place else place
    return Task(
        name=f"translation:{named}:{pair}" + ("" if split == "test" else f":{split}"),
        data=data,
        document=Translation(pair),
        metrics=METRICS,
        own_metrics={name: metrics[name] for name in METRICS},
        decoding=Decoding(max_new_tokens=256, stop=("\n",)),
        chat=False,  # the prompt is lm-eval's, a text to be continued
        shots=shots,
        shots_exclude_self=data.shots_split == data.split,
        about=f"translation from {languages}",
        language=short_code(pair.target),
        tags=("translation", "generation"),
    )


def _parse(spec: str) -> tuple[str, Pair, str, str]:
    place, *rest = spec.split(":")
    match = _PAIR.fullmatch(rest[0]) if rest else None
    if match is None or not place or len(rest) > 2:
        raise UsageError(f"translation:{spec} names no languages", hint=f"write {_FORMS}")
    split, _, shots_split = (rest[1] if len(rest) > 1 else "test").partition("+")
    return place, Pair(match[1], match[2]), split, shots_split or split


def _data(place: str, pair: Pair, split: str, shots_split: str) -> DataSource:
    if "+" in place:
        if {split, shots_split} != {"test"}:
            raise UsageError("parallel files have no splits", hint=f"write translation:{place}:{pair}")
        rows = _parallel([Path(file) for file in place.split("+")])
        return DataSource(id="+".join(Path(file).name for file in place.split("+")), rows=rows, shots_split="test")
    if is_test_set(place):
        _check_test_set(place, pair)
        if {split, shots_split} != {"test"}:
            raise UsageError(f"{place} is a test set without splits", hint=f"write translation:{place}:{pair}")
        return DataSource(id=PREFIX + place, config=str(pair), shots_split="test")
    parts = place.split("/")
    if len(parts) not in (2, 3):
        raise _unknown(place)
    config = parts[2] if len(parts) == 3 else str(pair)
    return DataSource(id="/".join(parts[:2]), config=config, split=split, shots_split=shots_split)


def is_test_set(name: str) -> bool:
    """Whether sacrebleu has a test set of that name."""
    from sacrebleu.dataset import DATASETS

    return name in DATASETS


def _check_test_set(name: str, pair: Pair) -> None:
    from sacrebleu.dataset import DATASETS

    pairs = list(DATASETS[name].langpairs)
    if str(pair) not in pairs:
        raise UsageError(f"sacrebleu's test set {name} has no {pair}", hint=f"it has {', '.join(sorted(pairs))}")


def _unknown(name: str) -> UsageError:
    from sacrebleu.dataset import DATASETS

    near = difflib.get_close_matches(name, DATASETS, n=3)
    hint = f"did you mean {', '.join(near)}? `sacrebleu --list` shows all; else " if near else ""
    return UsageError(
        f"sacrebleu has no test set {name!r}, and it is no dataset or files", hint=f"{hint}write {_FORMS}"
    )


def _parallel(files: Sequence[Path]) -> tuple[dict[str, Any], ...]:
    """The rows of a file of sentences and of one or more with their translations, line by line."""
    texts = [_lines(file) for file in files]
    counts = [len(lines) for lines in texts]
    if len(set(counts)) != 1:
        shown = ", ".join(f"{file.name} {count}" for file, count in zip(files, counts, strict=True))
        raise UsageError(
            f"the files are not parallel; they have lines: {shown}", hint="give one sentence a line in each"
        )
    return tuple({"source": first, "references": others} for first, *others in zip(*texts, strict=True))


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the file {file} cannot be read: {error.strerror}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the file {file} is not UTF-8", hint="convert it, for example with `iconv`") from error
    if not text.strip():
        raise UsageError(f"the file {file} is empty", hint="give a sentence a line")
    # only line feeds end a line: str.splitlines would also cut at the rarer separators that Unicode has
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


def _sentences(row: Row, pair: Pair) -> tuple[str, tuple[str, ...]]:
    """The sentence and its translations, in any of the forms that datasets use."""
    inner = next((row[key] for key in (str(pair), f"{pair.target}-{pair.source}", "translation") if key in row), row)
    source = _first(inner, (pair.source, f"sentence_{pair.source}", "source", "src"))
    target = _first(inner, (pair.target, f"sentence_{pair.target}", "references", "reference", "target", "tgt", "ref"))
    references = (target,) if isinstance(target, str) else tuple(target)
    if not isinstance(source, str) or not references or not all(isinstance(one, str) for one in references):
        raise ValueError("the sentence or its translation is no text")
    return source, references


def _first(row: Row, names: Sequence[str]) -> Any:
    found = next((name for name in names if name in row), None)
    if found is None:
        raise ValueError(f"there is none of the columns {', '.join(names)} (there are {', '.join(row)})")
    return row[found]
