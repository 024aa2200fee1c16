"""Which benchmark items stand in the training rows, and what the scores are without them."""

from __future__ import annotations

from evalkit.sft.contamination.clean import clean_comparison
from evalkit.sft.contamination.find import find_contamination
from evalkit.sft.contamination.items import BenchmarkItem, BenchmarkItems, benchmark_item, benchmark_items

__all__ = [
    "BenchmarkItem",
    "BenchmarkItems",
    "benchmark_item",
    "benchmark_items",
    "clean_comparison",
    "find_contamination",
]
