"""What is measured. Sizes are for two CPU cores, where lm-eval's `hf` takes one to two minutes for each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Case:
    """One command, the same work for every engine.

    Attributes:
        name: What the table calls it.
        tasks: Names, the same in lm-eval and evalkit.
        shots: Few-shot examples.
        documents: The first so many documents of each task.
        metric: The metric shown, by lm-eval's name.
        max_length: Context length for every engine; None takes the model's own.
    """

    name: str
    tasks: tuple[str, ...]
    shots: int
    documents: int
    metric: str
    max_length: int | None = None

    def scaled(self, factor: float) -> Case:
        """The same with `factor` times the documents, but at least two."""
        return replace(self, documents=max(2, math.ceil(self.documents * factor)))


CASES = (
    # a whole subject: of the small ones the one that gains from sharing what all of MMLU does (7.3 x fewer tokens; 7.4 x)
    Case("mmlu", ("mmlu_business_ethics",), 5, 100, "acc"),
    Case("hellaswag", ("hellaswag",), 10, 5, "acc_norm"),
    Case("arc_challenge", ("arc_challenge",), 25, 5, "acc_norm"),
    Case("truthfulqa", ("truthfulqa_mc1", "truthfulqa_mc2"), 0, 12, "acc"),
    # lm-eval keeps the logits of whole batches, [8, 8192, 49152] floats with the model's own length
    Case("wikitext", ("wikitext",), 0, 2, "word_perplexity", max_length=1024),
)
