"""Training: rows to token ids and labels, and the loop, which is TRL's."""

from __future__ import annotations

from evalkit.sft.training.changed import weights_changed
from evalkit.sft.training.tokens import tokenize
from evalkit.sft.training.train import train

__all__ = ["tokenize", "train", "weights_changed"]
