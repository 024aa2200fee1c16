"""How lm-eval generated text, in the words of `evalkit.decoding.Decoding`, so that two decodings can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_MAX_NEW_TOKENS = 256
"""Tokens that lm-eval's models generate at most where a task names no limit."""
_TOP_K = 50
"""Most probable tokens that transformers draws from where nobody says how many."""


def described(settings: Mapping[str, Any], repeats: Any) -> dict[str, Any]:
    """A decoding as evalkit's results have it.

    Args:
        settings: A request's `generation_kwargs`. What evalkit has no word for keeps lm-eval's.
        repeats: Answers to each question; those of greedy decoding are all the same.
    """
    left = dict(settings)
    until = left.pop("until", None) or []
    limits = [left.pop(name) for name in _LIMITS if name in left]
    temperature = left.pop("temperature", None) or 0.0
    sampled = left.pop("do_sample", None)
    greedy = temperature == 0.0 if sampled is None else not sampled
    top_k, top_p = left.pop("top_k", None), left.pop("top_p", None)
    beams, length_penalty = left.pop("num_beams", None), left.pop("length_penalty", 1.0)
    return {
        **left,
        "beams": beams or 1,
        "length_penalty": length_penalty,
        "max_new_tokens": limits[0] if limits else _MAX_NEW_TOKENS,
        "samples": 1 if greedy else repeats,
        "stop": [until] if isinstance(until, str) else until,
        "temperature": 0.0 if greedy else temperature,
        "top_k": 0 if greedy else (_TOP_K if top_k is None else top_k),
        "top_p": 1.0 if greedy or top_p is None else top_p,
    }
