"""In-context examples: which solved documents stand before a question.

`lm-eval` draws as lm-evaluation-harness does (`evalkit.prompts.draw_shots`); the others are `evalkit.shots.samplers` and
`evalkit.shots.nearest`. All of them leave copies of the document itself out, so that no prompt shows its own answer.
"""

from __future__ import annotations

from evalkit.shots.samplers import ShotSampler, depends_on_seed, sampler
from evalkit.shots.source import ShotSource

__all__ = ["ShotSampler", "ShotSource", "depends_on_seed", "sampler"]
