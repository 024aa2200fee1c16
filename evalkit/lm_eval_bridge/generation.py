"""What lm-eval's tasks ask a model to write, in evalkit's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalkit.decoding import Decoding
from evalkit.errors import UsageError
from evalkit.requests import Generation

MAX_NEW_TOKENS = 256
"""Tokens that lm-eval's `hf` model generates at most where a task names no limit."""

TOP_K = 50
"""Most probable tokens that transformers draws from where nobody says how many; lm-eval leaves that in force."""

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN = frozenset({"until", "do_sample", "temperature", "top_p", "top_k", "num_beams", "length_penalty", *_LIMITS})

JUDGES = frozenset({"exact_match", "em", "exact", "acc", "accuracy"})
"""Metrics of generated text whose 1 means right and whose 0 means wrong."""


def decoding_of(
    settings: Mapping[str, Any], repeats: int = 1, changed: Mapping[str, Any] | None = None, end: str | None = None
) -> Decoding:
    """How lm-eval's `hf` model would generate.

    Args:
        settings: The request's `generation_kwargs`.
        repeats: Answers that the task wants; those of greedy decoding are all the same, so it is asked once.
        changed: Fields of `Decoding` that the user set; they win.
        end: The model's end-of-text token as text, which `hf` adds to the stop texts.

    Raises:
        UsageError: The task needs what evalkit does not have, or the user asks for another number of answers.
    """
    from lm_eval.models.utils import normalize_gen_kwargs

    if unknown := sorted(settings.keys() - _KNOWN):
        raise UsageError(
            f"lm-eval's task asks for {', '.join(unknown)} in its generation_kwargs, which evalkit does not know",
            hint=f"It knows {', '.join(sorted(_KNOWN))}.",
        )
    changed = changed or {}
    read: Mapping[str, Any] = normalize_gen_kwargs(dict(settings), MAX_NEW_TOKENS)
    own = Decoding(
        max_new_tokens=read["max_gen_toks"],
        stop=stop_texts([*read["until"], *([end] if end else [])]),
        temperature=float(read.get("temperature") or 0.0) if read["do_sample"] else 0.0,
        top_p=float(read.get("top_p") or 1.0),
        beams=int(read.get("num_beams") or 1),
        length_penalty=float(read.get("length_penalty", 1.0)),
    )
    decoding = own.changed({**changed, "samples": None})
    asked = changed.get("samples")
    if asked not in (None, repeats) and not (asked == 1 and decoding.is_greedy):
        answers = "1 answer" if repeats == 1 else f"{repeats} answers"
        raise UsageError(
            f"lm-eval's task takes {answers} to each question, not {asked}",
            hint="Leave out --samples: no further answers would be scored. With evalkit's own tasks, such as gsm8k_cot, it "
            "adds maj@K and pass@K.",
        )
    if decoding.is_greedy:
        return decoding
    top_k = changed.get("top_k", read.get("top_k", TOP_K)) or 0
    return replace(decoding, top_k=top_k, samples=repeats)


def stop_texts(until: Sequence[str]) -> tuple[str, ...]:
    """Stop texts that cut where lm-eval cuts.

    lm-eval cuts at each stop text in turn, in the order given. That is where the first of them begins, but for one that
    contains an earlier one: it is never found, since the text was cut within it already.
    """
    kept: list[str] = []
    for stop in until:
        if stop and not any(earlier in stop for earlier in kept):
            kept.append(stop)
    return tuple(kept)


def texts_of(reply: Generation, decoding: Decoding, repeats: int) -> list[str]:
    """The answers as lm-eval's tasks take them: one a repeat, and of a beam search the best only."""
    texts = [completion.text for completion in reply.completions]
    if decoding.beams > 1:
        texts = texts[:1]
    return texts * repeats if len(texts) == 1 else texts
