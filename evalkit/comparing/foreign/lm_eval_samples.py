"""lm-eval's file of samples: a line a document and filter, put together to documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.comparing.foreign.building import opened
from evalkit.comparing.foreign.lm_eval_files import HINT
from evalkit.errors import UsageError
from evalkit.json_node import Node, parse

LONGEST_LINE = 64 * 2**20
"""Bytes of a line that are read at most: a document with all its prompts."""


@dataclass(slots=True)
class Logged:
    """One document.

    Attributes:
        index: Its place in the dataset (`doc_id`).
        document: The row, as the task's `process_docs` left it.
        doc_hash: lm-eval's hash of it.
        target: The right answer, as text.
        answers: Filter -> what it made of each request's responses, the main filter first.
        texts: The responses to the first request where text was generated.
        values: (metric, filter) -> the document's value.
    """

    index: int
    document: Mapping[str, Any]
    doc_hash: str
    target: str
    answers: dict[str, list[Any]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    values: dict[tuple[str, str], Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoggedTask:
    """All documents of a task.

    Attributes:
        file: Name of the file, for messages.
        documents: In the dataset's order.
        prompt_sha256: The hash that evalkit has for the same prompts in the same order; empty where it cannot be told.
        generation: How the first document's text was generated (lm-eval's `generation_kwargs`); empty without any.
    """

    file: str
    documents: Sequence[Logged]
    prompt_sha256: str
    generation: Mapping[str, Any]


def read_documents(path: Path, output_type: str) -> LoggedTask:
    """Reads a file of samples.

    Args:
        path: `samples_TASK_DATE.jsonl`.
        output_type: The task's, as lm-eval calls it: `multiple_choice`, `generate_until` ...

    Raises:
        UsageError: It cannot be read, a line is cut off or lacks a field, or a document is in it twice.
    """
    documents: dict[int, Logged] = {}
    prompts = _Prompts(output_type)
    generation: Mapping[str, Any] = {}
    for line in _lines(path):
        index = line["doc_id"].whole()
        name = line["filter"].text()
        known = documents.get(index)
        if known is None:
            known = documents[index] = _document(line, index, output_type)
            prompts.add(index, line.get("arguments"))
            generation = generation or _generation(line.get("arguments"))
        if name in known.answers:
            raise UsageError(
                f"{line.file}: document {index} is logged twice for the filter {name}",
                hint="the file holds several runs or was put together by hand; write it again into an empty folder",
            )
        known.answers[name] = [answer.value for answer in line["filtered_resps"].elements()]
        for metric in line["metrics"].elements():
            known.values[metric.text(), name] = line[metric.text()]
    if not documents:
        raise UsageError(f"{path} holds no samples", hint=HINT)
    ordered = [documents[index] for index in sorted(documents)]
    return LoggedTask(path.name, ordered, prompts.hexdigest(), generation)


def _generation(arguments: Node) -> Mapping[str, Any]:
    """The settings that stand after the prompt of a request for text."""
    for _, request in arguments.items() if isinstance(arguments.value, dict) else []:
        for value in request.mapping().values():
            if isinstance(value, dict):
                return value
    return {}


def _document(line: Node, index: int, output_type: str) -> Logged:
    texts: tuple[str, ...] = ()
    if output_type == "generate_until":
        responses = line["resps"].elements()
        first = responses[0].value if responses else None
        texts = tuple(text for text in first if isinstance(text, str)) if isinstance(first, list) else ()
    return Logged(index, line["doc"].mapping(), line["doc_hash"].text(), str(line["target"].value), texts=texts)


def _lines(path: Path) -> Iterator[Node]:
    with opened(path, HINT) as stream:
        number = 0
        while raw := stream.readline(LONGEST_LINE + 1):
            number += 1
            label = f"{path.name}, line {number}"
            if len(raw) > LONGEST_LINE:
                raise UsageError(f"{label} is longer than {LONGEST_LINE >> 20} MiB", hint=HINT)
            if raw.strip():
                yield parse(label, raw, hint=HINT, non_finite=True)


class _Prompts:
    """The hash of the prompts as `evalkit.runner.assemble` makes it, as long as documents come in the dataset's order.

    With several processes lm-eval logs them in another order; then there is no hash.
    """

    def __init__(self, output_type: str) -> None:
        # what evalkit hashes of a request: of a rolling one the text, of a generated one the prompt, else both texts
        self._texts = {"loglikelihood_rolling": 1, "generate_until": 1}.get(output_type, 2)
        self._digest = hashlib.sha256()
        self._last = -1
        self._known = True

    def add(self, index: int, arguments: Node) -> None:
        """The requests of one document: `{"gen_args_0": {"arg_0": ..., "arg_1": ...}, ...}`."""
        self._known = self._known and index > self._last and isinstance(arguments.value, dict)
        self._last = index
        if not self._known:
            return
        for _, request in arguments.items():
            texts = [value for value in request.mapping().values() if isinstance(value, str)][: self._texts]
            self._known = self._known and len(texts) == self._texts
            self._digest.update(repr(tuple(texts)).encode("utf-8", "backslashreplace"))

    def hexdigest(self) -> str:
        """Hexadecimal, or empty where it is not known."""
        return self._digest.hexdigest() if self._known else ""
