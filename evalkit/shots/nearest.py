"""Examples whose questions are most like the document's (`evalkit.word_index`)."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.documents import ContextChoice, Document, Text
from evalkit.errors import UsageError
from evalkit.shots.source import ShotSource
from evalkit.word_index import WordIndex


class Nearest:
    """Takes the rows whose questions BM25 ranks highest for the document's, the most similar last (Liu et al. 2022)."""

    def draw(self, source: ShotSource, wanted: Sequence[int]) -> list[tuple[int, ...]]:
        """Indexes the pool once and ranks it for each document; of equals the first in the data set's order is taken."""
        size = len(source.pool)
        index = WordIndex([_question(source, source.solved(place)) for place in range(size)])
        drawn = []
        for document in wanted:
            copies = source.copies(document)
            ranked = index.best(_question(source, source.asked(document)), source.task.shots + len(copies))
            shots = [place for place in ranked if place not in copies][: source.task.shots]
            if len(shots) < source.task.shots:
                raise source.too_few(len(shots))
            drawn.append(tuple(reversed(shots)))
        return drawn


def _question(source: ShotSource, document: Document) -> str:
    if isinstance(document, Text):
        raise UsageError(f"task {source.task.name} scores whole texts, which have no examples", hint="use 0 shots")
    # of several candidate questions all, so that nothing depends on which is right
    return "\n".join(document.questions) if isinstance(document, ContextChoice) else document.question
