"""What moved besides the scores, and what makes them doubtful."""

from __future__ import annotations

from evalkit.sft.outcome.alarms import alarms
from evalkit.sft.outcome.drift import drift, general_text, prompts_of
from evalkit.sft.outcome.outputs import outputs
from evalkit.sft.outcome.retrieval import retrieval_table
from evalkit.sft.outcome.spread import seed_spread, stage_matrix

__all__ = ["alarms", "drift", "general_text", "outputs", "prompts_of", "retrieval_table", "seed_spread", "stage_matrix"]
