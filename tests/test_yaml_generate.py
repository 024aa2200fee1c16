from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.backends.mock import MockModel
from evalkit.decoding import Decoding
from evalkit.errors import TaskDefinitionError
from evalkit.extraction import Pattern
from evalkit.registry import load_file
from evalkit.results import TaskResult
from evalkit.task import Task

ROWS = [
    {"q": "Capital of France?", "a": ["Paris", "paris city"], "n": 1, "b": "City of Light"},
    {"q": "2 + 2?", "a": ["4"], "n": 2, "b": "four"},
    {"q": "Who?", "a": ["Ann"], "n": 3, "b": "Anna"},
]
TEXTS = {"Capital of France?": " Paris\nQ: next", "2 + 2?": " It is 4.\n", "Who?": " \n"}


def write(folder: Path, **keys: Any) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    entry = {
        "task": "t",
        "kind": "generate",
        "data": "rows.jsonl",
        "question": "{{q}}",
        "answer": "a",
        "stop": "\n",
        **keys,
    }
    path = folder / "t.yaml"
    path.write_text(json.dumps({key: value for key, value in entry.items() if value is not None}))
    return path


def only(path: Path) -> Task:
    (entry,) = load_file(path)
    assert isinstance(entry, Task)
    return entry


def run(path: Path) -> TaskResult:
    return evalkit.run(model=MockModel(texts=TEXTS), tasks=str(path)).tasks["t"]


def values(result: TaskResult) -> dict[str, float]:
    return {name: round(value.value, 4) for name, value in result.metrics.items()}


def test_by_default_answers_are_compared_as_squad_does(tmp_path: Path) -> None:
    result = run(write(tmp_path))
    assert values(result) == {"quasi_exact_match": 0.3333, "token_f1": 0.5}
    assert result.outcomes == {"right": 1, "wrong": 1, "empty": 1}
    assert only(write(tmp_path, stop=None, max_new_tokens=9)).decoding == Decoding(stop=("\n\n",), max_new_tokens=9)
    assert only(write(tmp_path, stop=None, shots_delimiter="\n###\n")).decoding.stop == ("\n###\n",)


def test_exact_match_does_not_mind_the_blank_before_the_answer(tmp_path: Path) -> None:
    assert values(run(write(tmp_path, metrics=["exact_match"]))) == {"exact_match": 0.3333}


def test_metrics_look_at_what_is_extracted(tmp_path: Path) -> None:
    path = write(tmp_path, extract=r"\b(\d|[A-Z][a-z]+s)\b", metrics=["exact_match", "token_f1"])
    result = run(path)
    assert values(result) == {"exact_match@answer": 0.6667, "token_f1@answer": 0.6667}
    assert result.outcomes == {"right": 2, "empty": 1}
    extract = {"first": r"\w+", "digit": r"\d"}
    task = only(write(tmp_path, extract=extract, extract_last=r"\w+", metrics=["exact_match", "bleu@digit"]))
    assert task.metrics == ("exact_match@first", "bleu@digit")
    assert task.extractors == {"first": Pattern(r"\w+"), "digit": Pattern(r"\d"), "last_answer": Pattern(r"\w+", -1)}
    assert only(write(tmp_path, extract_last=r"\d")).metrics == ("quasi_exact_match@answer", "token_f1@answer")


@pytest.mark.parametrize(
    ("keys", "answer", "references"),
    [
        ({}, "Paris", ("Paris", "paris city")),
        ({"answer": "n"}, "1", ("1",)),
        ({"answer": "{{b}}", "references": "a"}, "City of Light", ("Paris", "paris city")),
        ({"answer": None, "references": ["b", "n"]}, "City of Light", ("City of Light", "1")),
        ({"answer": None, "references": "{{ a + [b] }}"}, "Paris", ("Paris", "paris city", "City of Light")),
    ],
)
def test_references(tmp_path: Path, keys: dict[str, Any], answer: str, references: tuple[str, ...]) -> None:
    document = only(write(tmp_path, **keys)).document(ROWS[0])
    assert (document.answer, document.references) == (answer, references)  # type: ignore[union-attr]


def test_the_language_chooses_how_texts_are_cut(tmp_path: Path) -> None:
    own = only(write(tmp_path, language="zh", metrics=["bleu", "rouge1", "ter", "token_f1"])).own_metrics
    assert list(own) == ["bleu", "rouge1", "ter"]
    signed = [metric.signed([]) for metric in own.values()]
    assert all(part in text for part, text in zip(("tok:zh", "tokens:characters", "asian:yes"), signed, strict=True))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"answer": None}, "there is no `answer`"),
        ({"extract": "("}, "is no regular expression"),
        ({"extract": {"a": "x"}, "extract_last": {"a": "y"}}, "two extractors are called 'a'"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"stop": ""}, "empty stop text"),
        ({"metrics": ["blue"]}, "no metric named 'blue'"),
        ({"metrics": ["bleu@digits"]}, "names no extractor"),
        ({"metrics": ["acc", "bleu"]}, "a metric of scored answers"),
        ({"metrics": ["pass@5"]}, "needs a metric that says right or wrong"),
        ({"metrics": ["evaluate:./nothing.py"]}, "there is no metric at"),
        ({"language": "zx"}, "no language with the code"),
        ({"kind": "cloze"}, "belongs to tasks of `kind: generate`"),
    ],
)
def test_mistakes_are_told_with_their_file(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskDefinitionError, match=message) as caught:
        load_file(write(tmp_path, **keys))
    assert "t.yaml" in caught.value.message
    assert caught.value.hint


def test_the_nearest_name_of_both_kinds_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(TaskDefinitionError) as caught:
        load_file(write(tmp_path, metrics=["rouge_l"]))
    assert "rougeL" in (caught.value.hint or "")
