"""Where an answer begins among a server's tokens."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.backends.endpoint.client import Retryable
from evalkit.backends.endpoint.scoring import (
    BoundaryError,
    PromptScores,
    read_scores,
    response,
    tokens_after,
    tokens_at_end,
)


def scores(*tokens: str) -> PromptScores:
    values = (None, *(-float(place) for place in range(1, len(tokens))))
    return PromptScores(tokens, values, (False, *([True] * (len(tokens) - 1))))


@pytest.mark.parametrize(
    ("tokens", "answer", "expected"),
    [
        (["The", " cat", " sat"], " sat", 1),
        (["The", " cat", " sat"], " cat sat", 2),
        (["<s>", "The", " cat"], "The cat", 2),
        (["The", " catsat"], "sat", None),  # the answer begins inside a token
        (["a", "", "", "🙂"], "🙂", None),  # bytes of the emoji before its last token: the answer begins earlier
        (["a", "�", "�", "x"], "x", None),
        (["token_id:5", "token_id:9"], " sat", None),
        (["a"], "longer than all", None),
    ],
)
def test_tokens_that_spell_the_answer(tokens: list[str], answer: str, expected: int | None) -> None:
    assert tokens_at_end(scores(*tokens), answer) == expected


def test_tokens_after_the_context_alone() -> None:
    assert tokens_after(scores("a", "", "", "🙂"), scores("a")) == 3
    with pytest.raises(BoundaryError):
        tokens_after(scores("The", " catsat"), scores("The", " cat"))
    with pytest.raises(BoundaryError):
        tokens_after(scores("The", " cat"), scores("The", " cat"))


def test_an_answer_is_the_sum_of_its_tokens() -> None:
    found = response([(scores("a", "b", "c", "d"), 2)])
    assert (found.log_probability, found.greedy, found.token_log_probabilities) == (-5.0, True, (-2.0, -3.0))
    assert found.context_tokens == 2
    with pytest.raises(BoundaryError):
        response([(scores("a", "b"), 2)])


def echo(**changes: Any) -> dict[str, Any]:
    logprobs: dict[str, Any] = {
        "tokens": ["a", "b", "c", "!"],
        "token_logprobs": [None, -1.0, -2.0, -0.5],
        "top_logprobs": [None, {"b": -1.0}, {"z": -0.1, "c": -2.0}, {"!": -0.5}],
    }
    usage = changes.pop("usage", {"prompt_tokens": 3, "completion_tokens": 1})
    return {"choices": [{"logprobs": logprobs | changes}], "usage": usage}


@pytest.mark.parametrize("usage", [{"prompt_tokens": 3, "completion_tokens": 1}, None])
def test_echoed_scores_without_the_generated_token(usage: dict[str, int] | None) -> None:
    found = read_scores(echo(usage=usage), "echo")
    assert found == PromptScores(("a", "b", "c"), (None, -1.0, -2.0), (False, True, False))


@pytest.mark.parametrize("prompt", [4, 5])
def test_servers_that_list_the_prompt_alone_with_or_without_its_first_token(prompt: int) -> None:
    found = read_scores(echo(usage={"prompt_tokens": prompt, "completion_tokens": 1}), "echo")
    assert found.tokens == ("a", "b", "c", "!")


def test_prompt_logprobs_as_vllm_gives_them() -> None:
    places = [
        None,
        {"17": {"logprob": -1.0, "rank": 1, "decoded_token": "b"}},
        {"9": {"logprob": -2.0, "rank": 5}, "4": {"logprob": -0.1, "rank": 1}},
    ]
    found = read_scores({"choices": [{"prompt_logprobs": places}]}, "prompt_logprobs")
    assert found == PromptScores(("", "17", "9"), (None, -1.0, -2.0), (False, True, False))


@pytest.mark.parametrize(
    "reply",
    [
        echo(top_logprobs=None),
        echo(usage={"prompt_tokens": 9, "completion_tokens": 1}),
        echo(token_logprobs=[-1.0]),
        echo(tokens=["a"], token_logprobs=[-1.0], top_logprobs=[{}]),
        {"choices": [{"logprobs": None}]},
        {"choices": []},
    ],
)
def test_scores_that_cannot_be_read(reply: dict[str, Any]) -> None:
    with pytest.raises(Retryable):
        read_scores(reply, "echo")
