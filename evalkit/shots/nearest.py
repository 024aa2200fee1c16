"""Examples whose questions are most like the document's, by BM25 over words and, where words are not spaced, characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalkit.documents import ContextChoice, Document, Text
from evalkit.errors import UsageError
from evalkit.shots.source import ShotSource

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts written without spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters."""

_PIECES = re.compile(rf"(?P<unspaced>[{UNSPACED}]+)|(?P<word>(?:(?![{UNSPACED}])\w)+)")


class Nearest:
    """Takes the rows whose questions BM25 ranks highest for the document's, the most similar last (Liu et al. 2022).

    BM25 is that of Lucene (k1 = 1.5, b = 0.75), computed by `bm25s`.
    """

    def draw(self, source: ShotSource, wanted: Sequence[int]) -> list[tuple[int, ...]]:
        """Indexes the pool once and ranks it for each document; of equals the first in the data set's order is taken."""
        size = len(source.pool)
        index = _index([words(_question(source, source.solved(place))) for place in range(size)])
        drawn = []
        for document in wanted:
            copies = source.copies(document)
            query = words(_question(source, source.asked(document)))
            ranked = _best(_scores(index, query, size), source.task.shots + len(copies))
            shots = [place for place in ranked if place not in copies][: source.task.shots]
            if len(shots) < source.task.shots:
                raise source.too_few(len(shots))
            drawn.append(tuple(reversed(shots)))
        return drawn


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


def _question(source: ShotSource, document: Document) -> str:
    if isinstance(document, Text):
        raise UsageError(f"task {source.task.name} scores whole texts, which have no examples", hint="use 0 shots")
    # of several candidate questions all, so that nothing depends on which is right
    return "\n".join(document.questions) if isinstance(document, ContextChoice) else document.question


def _index(corpus: list[list[str]]) -> Any:
    try:
        import bm25s
    except ImportError:
        raise UsageError(
            "--shots-sampler nearest needs the package bm25s, which is not installed", hint="pip install bm25s"
        ) from None
    if not any(corpus):
        return None
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    return index


def _scores(index: Any, query: list[str], size: int) -> npt.NDArray[np.float32]:
    import numpy as np

    known = [] if index is None else [word for word in query if word in index.vocab_dict]
    scores: npt.NDArray[np.float32] = index.get_scores(known) if known else np.zeros(size, dtype=np.float32)
    return scores


def _best(scores: npt.NDArray[np.float32], count: int) -> list[int]:
    """Places of the highest scores, the highest first."""
    import numpy as np

    count = min(count, len(scores))
    threshold = np.partition(scores, len(scores) - count)[len(scores) - count] if count else np.inf
    candidates = np.flatnonzero(scores >= threshold)
    order = np.lexsort((candidates, -scores[candidates]))
    return [int(place) for place in candidates[order][:count]]
