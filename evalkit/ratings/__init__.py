"""People rate generated texts: blind choices between two models, or scores for fluency, coherence and relevance.

from evalkit.ratings import summarize
summary = summarize("ann.jsonl", "bob.jsonl")
print(summary.preference.win_rate.value, summary.preference.agreement.alpha)

docs/rating.md says what the numbers mean.
"""

from __future__ import annotations

from evalkit.ratings.file import merge, read_ratings, write_ratings
from evalkit.ratings.items import RatingItem, load_items
from evalkit.ratings.model import CRITERIA, RatedRun, Rating, Ratings
from evalkit.ratings.summary import RatingSummary, summarize

__all__ = [
    "CRITERIA",
    "RatedRun",
    "Rating",
    "RatingItem",
    "RatingSummary",
    "Ratings",
    "load_items",
    "merge",
    "read_ratings",
    "summarize",
    "write_ratings",
]
