"""Texts ranked by the words that they share with another: BM25 over words and, where words are not spaced, characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts written without spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters."""

_PIECES = re.compile(rf"(?P<unspaced>[{UNSPACED}]+)|(?P<word>(?:(?![{UNSPACED}])\w)+)")


class WordIndex:
    """Texts to be ranked by BM25 as Lucene has it (k1 = 1.5, b = 0.75; Robertson & Zaragoza 2009), computed by `bm25s`.

    Args:
        texts: They; at least one.

    Raises:
        UsageError: The package `bm25s` is not installed.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        self._index = _index([words(text) for text in texts])

    def scores(self, query: str) -> npt.NDArray[np.float32]:
        """Score of every text, float32; 0 where it has no word of the query."""
        import numpy as np

        known = [] if self._index is None else [word for word in words(query) if word in self._index.vocab_dict]
        found: npt.NDArray[np.float32] = self._index.get_scores(known) if known else np.zeros(self._size, np.float32)
        return found

    def matching(self, query: str, count: int) -> list[int]:
        """As `best`, of the texts that have a word of the query."""
        scores = self.scores(query)
        return [place for place in _best(scores, count) if scores[place] > 0]

    def best(self, query: str, count: int) -> list[int]:
        """Places of the texts with the highest scores, the highest first; of equals the first; scores of 0 too."""
        return _best(self.scores(query), count)


def words(text: str) -> list[str]:
    """Lower-case words; of runs of characters without spaces between words every pair of neighbours."""
    found: list[str] = []
    for match in _PIECES.finditer(text.lower()):
        run = match["unspaced"]
        if run is None:
            found.append(match["word"])
        else:
            found += [run[place : place + 2] for place in range(max(1, len(run) - 1))]
    return found


def _index(corpus: list[list[str]]) -> Any:
    try:
        import bm25s
    except ImportError:
        raise UsageError(
            "ranking by words needs the package bm25s, which is not installed", hint="pip install bm25s"
        ) from None
    if not any(corpus):
        return None
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    return index


def _best(scores: npt.NDArray[np.float32], count: int) -> list[int]:
    """Places of the highest scores, the highest first."""
    import numpy as np

    count = min(count, len(scores))
    threshold = np.partition(scores, len(scores) - count)[len(scores) - count] if count else np.inf
    candidates = np.flatnonzero(scores >= threshold)
    order = np.lexsort((candidates, -scores[candidates]))
    return [int(place) for place in candidates[order][:count]]
