"""Training rows: read, understood, described, cleaned, split and mixed."""

from __future__ import annotations

from evalkit.sft.data.cleaning import CleaningOptions
from evalkit.sft.data.dropped import Dropped, write_dropped
from evalkit.sft.data.mixing import mix, parse_mix, parse_replay, replay
from evalkit.sft.data.read import TrainingData, read_training_data
from evalkit.sft.data.splitting import split

__all__ = [
    "CleaningOptions",
    "Dropped",
    "TrainingData",
    "mix",
    "parse_mix",
    "parse_replay",
    "read_training_data",
    "replay",
    "split",
    "write_dropped",
]
