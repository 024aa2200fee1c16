"""What a user asks of `evalkit sft-data`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.api import Evaluation
from evalkit.errors import UsageError
from evalkit.sft.making.filters import Limits

SCHEMA = "evalkit.sft-data/1"


@dataclass(frozen=True, kw_only=True)
class MakingRequest:
    """What to grow, and what of it to keep.

    Attributes:
        evaluation: Its model and how it is run; tasks are left out.
        seeds: Rows to grow from, in any form that `evalkit sft` reads.
        output: File of the rows (.jsonl); the rejected ones, a report and, meanwhile, a journal stand beside it.
        count: Rows wanted.
        mapping: Column of the user's -> evalkit's name for it.
        examples: Rows shown for a new prompt: of four, three are seeds and one was made before, where there is one.
        round_size: Prompts grown at once.
        temperature: Of growing; answers take the most probable token.
        top_p: Of growing.
        prompt_tokens: Tokens of a new prompt at most.
        answer_tokens: Tokens of an answer at most.
        seed: Of all draws.
        limits: What is rejected.
        agree: Further answers drawn to each prompt, of which half must be the same as the answer; 0 draws none
            (self-consistency; Wang et al. 2022).
        verify: (prompt, answer) -> whether it is right; None does not ask.
        fresh: Start anew where an earlier attempt lies.
        command: The command that repeats it; empty for a call from Python.
    """

    evaluation: Evaluation
    seeds: str
    output: Path
    count: int
    mapping: Mapping[str, str] = field(default_factory=dict)
    examples: int = 4
    round_size: int = 32
    temperature: float = 0.8
    top_p: float = 0.95
    prompt_tokens: int = 96
    answer_tokens: int = 256
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    agree: int = 0
    verify: Callable[[str, str], bool] | None = None
    fresh: bool = False
    command: str = ""

    def check(self) -> None:
        """What can be known to be wrong before anything is read.

        Raises:
            UsageError: An option cannot be meant.
        """
        for wrong, message, hint in (
            (self.count < 1, f"-n is {self.count}", "give 1 or more"),
            (self.examples < 1, f"--examples is {self.examples}", "give 1 or more"),
            (self.round_size < 1, f"the round size is {self.round_size}", "give 1 or more"),
            (self.temperature <= 0, "at temperature 0 every prompt from the same seeds is the same", "give 0.8 or so"),
            (self.agree < 0, f"--agree is {self.agree}", "give 0 or more"),
            (
                self.output.suffix != ".jsonl",
                f"-o {self.output} does not end in .jsonl",
                f"use -o {self.output.with_suffix('.jsonl')}",
            ),
        ):
            if wrong:
                raise UsageError(message, hint=hint)

    def configuration(self) -> dict[str, Any]:
        """Every setting that decides the rows, as JSON values."""
        model = self.evaluation.model
        return {
            "model": model if isinstance(model, str) else model.info.name,
            "seeds": self.seeds,
            "count": self.count,
            "mapping": dict(self.mapping),
            "examples": self.examples,
            "round_size": self.round_size,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens,
            "seed": self.seed,
            "limits": self.limits.to_json(),
            "agree": self.agree,
            "verified": self.verify is not None,
        }
