from __future__ import annotations

import builtins
import math
from typing import Any

import pytest

from evalkit.documents import ContextChoice, OpenQuestion
from evalkit.errors import UsageError
from evalkit.shots import sampler
from evalkit.word_index import words
from tests.shots.test_samplers import rows, source


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What is 2+2? It's 4.", ["what", "is", "2", "2", "it", "s", "4"]),
        ("Größe ÉCOLE", ["größe", "école"]),
        ("猫坐在", ["猫坐", "坐在"]),
        ("用GPT写 x", ["用", "gpt", "写", "x"]),
        ("ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        ("?!", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


def bm25(query: list[str], corpus: list[list[str]], k1: float = 1.5, b: float = 0.75) -> list[float]:
    """Lucene's BM25, from its formula (Kamphuis et al. 2020, table 1)."""
    average = sum(map(len, corpus)) / len(corpus)
    scores = []
    for document in corpus:
        score = 0.0
        for word in query:
            count = document.count(word)
            holding = sum(word in other for other in corpus)
            idf = math.log(1 + (len(corpus) - holding + 0.5) / (holding + 0.5))
            score += idf * count / (count + k1 * (1 - b + b * len(document) / average))
        scores.append(score)
    return scores


def test_the_most_similar_stand_last() -> None:
    pytest.importorskip("bm25s", reason="bm25s is not installed")
    pool = [
        {"q": text, "n": 0}
        for text in (
            *("the cat sat on the mat", "a dog ran over the hill", "the cat and the dog", "planes fly far"),
            *("cat cat cat", "nothing of the kind", "我喜欢吃苹果", "苹果很好吃"),
        )
    ]
    documents = [{"q": "the cat on the hill", "n": 1}, {"q": "我爱吃苹果", "n": 2}, {"q": "", "n": 3}]
    drawn = sampler("nearest", 0).draw(source(documents, pool, shots=3), [0, 1, 2])
    corpus = [words(row["q"]) for row in pool]
    for document, shots in zip(documents, drawn, strict=True):
        scores = bm25(words(document["q"]), corpus)
        best = sorted(range(len(pool)), key=lambda place: (-scores[place], place))[:3]
        assert shots == tuple(reversed(best))
    assert drawn[1][-1] in (6, 7)


def test_the_document_itself_is_left_out() -> None:
    pytest.importorskip("bm25s", reason="bm25s is not installed")
    documents = rows(9)
    for index, shots in enumerate(sampler("nearest", 0).draw(source(documents, documents), range(9))):
        assert index not in shots
        assert len(set(shots)) == 4


def test_which_of_several_contexts_is_right_has_no_part_in_it() -> None:
    pytest.importorskip("bm25s", reason="bm25s is not installed")
    pool = rows(20)

    def nearest(gold: int) -> list[tuple[int, ...]]:
        one = source(
            [{"q": "question 3", "n": 50}],
            pool,
            document=lambda row: ContextChoice([row["q"], "question 7"], "x", gold),
        )
        return sampler("nearest", 0).draw(one, [0])

    assert nearest(0) == nearest(1)


def test_pools_without_words_still_give_examples() -> None:
    pytest.importorskip("bm25s", reason="bm25s is not installed")
    pool = [{"q": "?", "n": number} for number in range(5)]
    one = source(rows(1), pool, shots=2, document=lambda row: OpenQuestion(row["q"], "x"))
    assert sampler("nearest", 0).draw(one, [0]) == [(1, 0)]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "bm25s":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="needs the package bm25s"):
        sampler("nearest", 0).draw(source(rows(1, 50), rows(9)), [0])
