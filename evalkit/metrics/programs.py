"""Metrics of generated programs: whether they pass their tests. Judging means running them; the user must allow it."""

from __future__ import annotations

from evalkit.documents import OpenQuestion
from evalkit.metrics.text import TextMetric


def passes(name: str = "passes", *, seconds: float = 3.0) -> TextMetric:
    """Whether a program runs to its end without an error, in the sandbox of `evalkit.code_execution`.

    The document's `details` have what stands around the generated text: "before" (the head of a function, say) and
    "after" (tests that call it), both Python. As `pass@K` it is the metric of HumanEval and MBPP.

    Args:
        name: Of the metric.
        seconds: Time that a program may take.
    """

    def value(document: OpenQuestion, text: str | None) -> float:
        if text is None:
            return 0.0
        from evalkit.code_execution import Limits, run_program

        program = f"{document.details['before']}{text}\n{document.details['after']}"
        return float(run_program(program, Limits(seconds=seconds)).ending == "passed")

    return TextMetric(name, True, True, (0.0, 1.0), value, lm_eval="pass@1", executes_code=True)
