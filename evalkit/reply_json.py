"""Replies as JSON values, bit for bit: the form in which the journal and the response store keep them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalkit.requests import Completion, Generation, Reply, Response


def values_of(reply: Reply) -> list[Any]:
    """A reply as JSON values, from which `reply_of` makes the same again."""
    if isinstance(reply, Generation):
        completions = [
            [one.text, one.finish, one.tokens, list(one.token_ids), one.log_probability, one.score]
            for one in reply.completions
        ]
        return [completions, reply.context_tokens, reply.truncated]
    assert isinstance(reply, Response)
    response = reply
    return [
        response.log_probability,
        int(response.greedy),
        list(response.token_log_probabilities),
        response.context_tokens,
        response.truncated,
    ]


def reply_of(values: Sequence[Any]) -> Reply:
    """The reply of `values_of`."""
    if values and isinstance(values[0], list):
        texts, context_tokens, truncated = values
        completions = tuple(
            Completion(str(text), finish, int(tokens), tuple(map(int, ids)), log_probability, score)
            for text, finish, tokens, ids, log_probability, score in texts
        )
        return Generation(completions, int(context_tokens), int(truncated))
    total, greedy, tokens, context_tokens, truncated = values
    return Response(float(total), bool(greedy), tuple(float(t) for t in tokens), int(context_tokens), int(truncated))
