"""Bodies and replies of OpenAI's two APIs."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.backends.endpoint.client import Retryable, RetryPolicy, _retry_after
from evalkit.backends.endpoint.wire import Dialect, Usage, completions_of, shows_thought, usage_of
from evalkit.decoding import Decoding
from evalkit.requests import Completion, Generate, Generation
from evalkit.thinking import answer

STOPS = ("a", "b", "c", "d", "e")


def test_a_greedy_request_has_no_seed_and_four_stop_texts() -> None:
    request = Generate("text", Decoding(max_new_tokens=7, stop=STOPS))
    body = Dialect("completions").body("m", request, 3, 1)
    assert body == {"model": "m", "max_tokens": 7, "prompt": "text", "temperature": 0.0, "stop": ["a", "b", "c", "d"]}


def test_a_drawn_request_has_all_that_decides_the_draw() -> None:
    decoding = Decoding(max_new_tokens=7, temperature=0.5, top_p=0.9, top_k=5, samples=3)
    turns = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"})
    body = Dialect("chat", limit="max_completion_tokens").body("m", Generate("x", decoding, messages=turns), 11, 3)
    assert body.pop("messages") == [dict(turn) for turn in turns]
    expected = {
        "model": "m",
        "max_completion_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "seed": 11,
        "n": 3,
    }
    assert body == expected
    fewer = Dialect("chat", refused=frozenset({"seed", "top_k"})).body("m", Generate("x", decoding), 11, 1)
    assert not {"seed", "top_k", "n"} & set(fewer)
    assert fewer["messages"] == [{"role": "user", "content": "x"}]


def test_stop_texts_are_kept_from_a_server_that_would_stop_inside_a_thought() -> None:
    decoding = Decoding(stop=("\n",), thinking=("<think>", "</think>"))
    turns = ({"role": "user", "content": "x"},)

    def sent(request: Generate, dialect: Dialect = Dialect("chat")) -> bool:  # noqa: B008
        return "stop" in dialect.body("m", request, 0, 1)

    assert not sent(Generate("x", decoding, messages=turns, thinks=True))
    assert not sent(Generate("x <think>\n", decoding))
    assert not sent(Generate("x", decoding, messages=turns), Dialect("chat", thinks=True))
    # plain text, and turns to a model of which nothing is known
    assert sent(Generate("x", decoding, thinks=True), Dialect("completions"))
    assert sent(Generate("x", decoding, messages=turns))
    assert sent(Generate("x", Decoding(stop=("\n",)), messages=turns), Dialect("chat", thinks=True))


@pytest.mark.parametrize(
    ("message", "thinks"),
    [
        ({"content": "Paris."}, False),
        ({"content": "Paris.", "reasoning_content": None}, False),
        ({"content": "<think>"}, True),
        ({"content": "Paris.", "reasoning_content": "hm"}, True),
        ({"content": None, "reasoning": "hm"}, True),
        ({"content": ""}, True),
    ],
)
def test_a_first_answer_shows_whether_the_model_thinks(message: dict[str, Any], thinks: bool) -> None:
    assert shows_thought({"choices": [{"message": message}]}, "chat") is thinks
    assert not shows_thought({"choices": [{"text": "<think>"}]}, "completions")


def chat(finish: str, **message: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (chat("stop", content="yes"), Completion("yes", "stop", 6)),
        (chat("length", content="yes and"), Completion("yes and", "length", 6)),
        (chat("length", content="yes e no"), Completion("y", "stop", 6)),
        (chat("content_filter", content=None), Completion("", "refused", 6)),
        (chat("stop", content=None, refusal="I will not"), Completion("I will not", "refused", 6)),
        (chat("length", content=None, reasoning_content="hm"), Completion("", "length", 6)),
        (chat("stop", content="yes", reasoning_content="hm"), Completion("yes", "stop", 6)),
    ],
)
def test_reasons_to_stop(choice: dict[str, Any], expected: Completion) -> None:
    request = Generate("x", Decoding(stop=("e no", "es e")))
    reply = {"choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 6}}
    assert completions_of(reply, "chat", request, 1) == [expected]


def test_a_thought_that_the_prompt_opens_and_the_server_takes_out() -> None:
    decoding = Decoding(stop=("\n",), thinking=("<think>", "</think>"))
    request = Generate("x <think>\n", decoding, messages=({"role": "user", "content": "x"},), thinks=True)
    reply = {"choices": [chat("stop", content="\n\nParis\nNext", reasoning_content="hm")], "usage": {}}
    (one,) = completions_of(reply, "chat", request, 1)
    scored = answer(request, Generation((one,), 1))
    assert isinstance(scored, Generation)
    assert (scored.completions[0].text, scored.completions[0].answered) == ("Paris", True)


def test_several_choices_are_put_in_order_and_share_the_account() -> None:
    choices = [{"index": index, "finish_reason": "stop", "text": f"text {index}"} for index in (2, 0, 1)]
    found = completions_of({"choices": choices, "usage": {"completion_tokens": 8}}, "completions", Generate("x"), 3)
    assert [(one.text, one.tokens) for one in found] == [("text 0", 3), ("text 1", 3), ("text 2", 2)]


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"choices": "x"},
        {"choices": [{"finish_reason": "stop", "text": "x"}] * 2},
        {"choices": [{"finish_reason": "error", "text": "x"}]},
        {"choices": [{"finish_reason": "stop", "text": 5}]},
    ],
)
def test_replies_that_are_not_what_was_asked_for(reply: dict[str, Any]) -> None:
    with pytest.raises(Retryable):
        completions_of(reply, "completions", Generate("x"), 1)


def test_the_account_of_a_reply() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}}
    assert usage_of({"usage": usage}) == Usage(10, 3, 8)
    assert usage_of({}) == usage_of({"usage": None}) == usage_of({"usage": {"prompt_tokens": "many"}}) == Usage()


def test_retry_after_is_seconds_or_a_date() -> None:
    assert _retry_after("7") == 7.0
    assert _retry_after("-7") == 0.0
    assert _retry_after("nan") is None
    assert _retry_after("inf") is None
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (_retry_after("Fri, 31 Dec 2399 23:59:59 GMT") or 0) > 1e9
    assert _retry_after("soon") is None
    # the server's own clock counts, not the one here
    assert _retry_after("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT") == 30.0
    assert _retry_after("Fri, 31 Dec 2399 23:59:59 GMT", "Fri, 31 Dec 2399 23:59:58 GMT") == 1.0
    assert (_retry_after("Fri, 31 Dec 2399 23:59:59 GMT", "yesterday") or 0) > 1e9
    assert _retry_after(None) is None


def test_waits_are_drawn_below_a_bound_that_doubles() -> None:
    policy = RetryPolicy(first_wait=1.0, longest_wait=8.0)
    for tried, bound in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (9, 8.0)):
        waits = [policy.wait(tried) for _ in range(200)]
        assert 0 <= min(waits) < bound / 4
        assert bound / 2 < max(waits) <= bound
