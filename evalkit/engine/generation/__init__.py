"""Text generation: prompts of token ids in, continuations out, many at once."""
