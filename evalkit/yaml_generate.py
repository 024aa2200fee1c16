r"""What a YAML task of `kind: generate` adds: references, where an answer ends, how it is found, and its metrics.

    task: my_questions
    kind: generate
    data: questions.jsonl
    question: "Q: {{question}}\nA:"
    answer: answer                     # or `references`, a column with several, or several columns
    stop: ["\n"]
    max_new_tokens: 32
    extract: 'answer is (.*?)\.'       # the first match; `extract_last` takes the last; or {name: pattern, ...}
    metrics: [exact_match, token_f1, evaluate:./my_metric.py/score]

A metric looks at what the first extractor finds, or with `NAME@EXTRACTOR` at another's; without any, at the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.errors import TaskDefinitionError, UsageError
from evalkit.extraction import Pattern
from evalkit.task import Row
from evalkit.templates import Field
from evalkit.yaml_file import Entry

if TYPE_CHECKING:
    from evalkit.metrics.text import TextMetric

DEFAULT_METRICS = ("quasi_exact_match", "token_f1")

KEYS = ("references", "stop", "max_new_tokens", "extract", "extract_last")
"""Keys that only this kind has."""


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """Turns a row into a question to answer freely.

    Attributes:
        question: What is asked.
        answer: What a few-shot example shows; None for the first reference.
        references: What is right: a field that gives a text or a list, or several fields; None for the answer.
    """

    question: Field
    answer: Field | None
    references: Field | tuple[Field, ...] | None

    def __call__(self, row: Row) -> OpenQuestion:
        """The document of a row."""
        answers = _texts(self.answer.value(row)) if self.answer else ()
        if isinstance(self.references, tuple):
            references = tuple(one.text(row) for one in self.references)
        else:
            references = _texts(self.references.value(row)) if self.references else answers
        if not references:
            raise ValueError("there is no reference")
        return OpenQuestion(self.question.text(row), (answers or references)[0], references)


def fields_needed(entry: Entry) -> Mapping[str, str]:
    """The keys that name columns, and what each is for."""
    needed = {"question": "is what is asked"}
    if "answer" in entry.values or "references" not in entry.values:
        needed["answer"] = "is what is right; where several are, name their columns as `references`"
    if "references" in entry.values:
        needed["references"] = "are the texts to compare with"
    return needed


def decoding(entry: Entry) -> Decoding:
    """How answers are generated; by default up to what stands between examples.

    Raises:
        TaskDefinitionError: A setting is out of range.
    """
    stop = entry.values.get("stop", [entry.values.get("shots_delimiter") or "\n\n"])
    try:
        return Decoding(
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            max_new_tokens=entry.values.get("max_new_tokens", Decoding().max_new_tokens),
        )
    except UsageError as error:
        key = "max_new_tokens" if "max_new_tokens" in error.message else "stop"
        raise TaskDefinitionError(f"{entry.place(key)}: {error.message}", hint=error.hint) from error


def extractors(entry: Entry) -> dict[str, Pattern]:
    """Name -> pattern; one without a name is called `answer`, or `last_answer` where both keys have one.

    Raises:
        TaskDefinitionError: A pattern is no regular expression, or two have one name.
    """
    found: dict[str, Pattern] = {}
    for key, place, name in (("extract", 0, "answer"), ("extract_last", -1, "last_answer")):
        given = entry.values.get(key, {})
        if isinstance(given, str):
            given = {name if "extract" in entry.values else "answer": given}
        for one, pattern in given.items():
            if one in found:
                raise TaskDefinitionError(f"{entry.place(key)}: two extractors are called {one!r}", hint="rename one")
            try:
                re.compile(pattern)
            except re.error as error:
                raise TaskDefinitionError(
                    f"{entry.place(key)}: {pattern!r} is no regular expression: {error}",
                    hint="in single quotes YAML leaves backslashes as they are",
                ) from error
            found[one] = Pattern(pattern, place)
    return found


def metric_names(names: Sequence[str], found: Mapping[str, Pattern]) -> tuple[str, ...]:
    """The task's metrics, those without an extractor of their own on what the first one finds."""
    main = next(iter(found), None)
    return tuple(name if main is None or "@" in name else f"{name}@{main}" for name in names)


def own_metrics(entry: Entry, names: Sequence[str], extracted: bool) -> dict[str, TextMetric]:
    """The metrics that depend on the file: its folder, its language, and whether answers are extracted.

    Args:
        entry: The task.
        names: Its metrics.
        extracted: It has extractors; without one the text may begin with a blank, which no exact match should mind.

    Raises:
        TaskDefinitionError: A metric's path leads nowhere, or the language is unknown.
    """
    from evalkit.metrics import overlap, translation
    from evalkit.metrics.library import library_metric
    from evalkit.metrics.matching import exact_match
    from evalkit.metrics.text_registry import LIBRARY

    suited: dict[str, TextMetric] = {}
    if "language" in entry.values:
        from evalkit.languages import short_code

        try:
            code = short_code(entry.values["language"])
        except UsageError as error:
            raise TaskDefinitionError(f"{entry.place('language')}: {error.message}", hint=error.hint) from error
        suited = {**translation.for_language(code), **overlap.for_language(code)}
    if not extracted:
        suited["exact_match"] = exact_match(normalize=str.strip)
    own: dict[str, TextMetric] = {}
    for name in (name.partition("@")[0] for name in names):
        if name.startswith(LIBRARY):
            try:
                own[name] = library_metric(name, entry.path.resolve().parent)
            except TaskDefinitionError as error:
                raise TaskDefinitionError(f"{entry.place('metrics')}: {error.message}", hint=error.hint) from error
        elif name in suited:
            own[name] = suited[name]
    return own


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in (value if isinstance(value, list | tuple) else (value,)))
