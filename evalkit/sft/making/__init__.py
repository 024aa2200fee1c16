"""Training data made by a model: new prompts grown from seeds, answered, filtered (self-instruct; Wang et al. 2023)."""

from __future__ import annotations

from evalkit.sft.making.make import make_training_data
from evalkit.sft.making.request import MakingRequest

__all__ = ["MakingRequest", "make_training_data"]
