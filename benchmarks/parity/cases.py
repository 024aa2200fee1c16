"""What is compared: task, few-shot examples, documents. Sizes are for two CPU cores; `--scale` multiplies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LM_EVAL_TASKS = Path(__file__).parent / "lm_eval_tasks"
"""Tasks in lm-eval's format that its library lacks."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the parity table.

    Attributes:
        task: What evalkit calls it.
        shots: Few-shot examples.
        documents: The first so many documents of the dataset.
        max_length: Context length for both; None takes the model's own.
        lm_eval: What lm-eval calls the task, where that is another name.
        generates: Whether the model writes its answers, greedily.
        metrics: evalkit's metric of a generated text -> lm-eval's, with its filter; others are called the same.
    """

    task: str
    shots: int
    documents: int
    max_length: int | None = None
    lm_eval: str = ""
    generates: bool = False
    metrics: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the table and `--tasks` call it: the task, that of a file without its folder."""
        return f"lm-eval:{Path(self.task).stem}" if self.task.endswith(".yaml") else self.task

    @property
    def lm_eval_task(self) -> str:
        """What lm-eval calls it."""
        return self.lm_eval or self.task

    @property
    def evalkit_task(self) -> str:
        """The task with its number of examples, for evalkit."""
        return self.task if self.shots == 0 else f"{self.task}:{self.shots}shot"


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
    Case(
        "gsm8k",
        5,
        8,
        generates=True,
        metrics={
            "exact_match@strict": "exact_match,strict-match",
            "exact_match@flexible": "exact_match,flexible-extract",
        },
    ),
    Case(
        "lm-eval:gsm8k",
        5,
        8,
        lm_eval="gsm8k",
        generates=True,
        metrics={
            "exact_match": "exact_match,strict-match",
            "exact_match@flexible-extract": "exact_match,flexible-extract",
        },
    ),
    Case("truthfulqa_gen", 0, 12, generates=True),
    Case("lm-eval:truthfulqa_gen", 0, 12, lm_eval="truthfulqa_gen", generates=True),
    Case("translation:haoranxu/WMT22-Test:en-de", 0, 12, lm_eval="wmt22_en_de", generates=True),
    Case(f"lm-eval:{LM_EVAL_TASKS / 'wmt22_en_de.yaml'}", 0, 12, lm_eval="wmt22_en_de", generates=True),
)
