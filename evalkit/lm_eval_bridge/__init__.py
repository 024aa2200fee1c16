"""lm-evaluation-harness both ways: its tasks on evalkit's engine, and evalkit's engine as one of its models."""
