"""What a fine-tuning moved: retention, drift, outputs, seeds, stages."""
