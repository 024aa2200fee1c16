"""What is compared: task, few-shot examples, documents. Sizes are for two CPU cores; `--scale` multiplies them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the parity table.

    Attributes:
        task: Name, the same in both programs.
        shots: Few-shot examples.
        documents: The first so many documents of the dataset.
        max_length: Context length for both; None takes the model's own.
    """

    task: str
    shots: int
    documents: int
    max_length: int | None = None


CASES = (
    Case("arc_easy", 0, 60),
    Case("arc_easy", 25, 8),
    Case("arc_challenge", 0, 60),
    Case("arc_challenge", 25, 8),
    Case("hellaswag", 0, 40),
    Case("hellaswag", 10, 6),
    Case("mmlu_anatomy", 0, 60),
    Case("mmlu_anatomy", 5, 25),
    Case("mmlu_high_school_us_history", 5, 6),
    Case("mmlu_abstract_algebra", 5, 25),
    Case("truthfulqa_mc1", 0, 16),
    Case("truthfulqa_mc2", 0, 16),
    Case("wikitext", 0, 3, max_length=1024),
    Case("lambada_openai", 0, 80),
    Case("boolq", 0, 30),
    Case("piqa", 0, 50),
    Case("winogrande", 0, 60),
    Case("openbookqa", 0, 60),
)
