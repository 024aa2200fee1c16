"""Speed of generation: evalkit, lm-eval's `hf` model and transformers on the same prompts."""
