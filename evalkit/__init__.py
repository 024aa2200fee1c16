"""evalkit evaluates language models and says whether a change made them better."""

__version__ = "0.1.0"
