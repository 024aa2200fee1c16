"""Fine-tuning and what it did: rows, cleaning, contamination, training, before and after."""
