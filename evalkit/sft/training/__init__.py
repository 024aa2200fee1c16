"""Training: rows to token ids and labels, and the loop, which is TRL's."""
