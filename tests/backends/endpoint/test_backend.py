"""An endpoint under the backend protocol, against a server whose every answer is known."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.backends.endpoint.address import parse
from evalkit.backends.endpoint.backend import EndpointBackend, EndpointOptions
from evalkit.backends.endpoint.client import RetryPolicy
from evalkit.backends.seeds import request_seed
from evalkit.decoding import Decoding
from evalkit.errors import EvalkitError, ModelError, OverLengthError
from evalkit.requests import Failure, Generate, Generation, Reply, Request, Response, Roll, Score
from tests.backends.endpoint.server import Fault, Server, answer_to, log_probability, serve, tokens_of
from tests.backends.endpoint.test_faults import quiz
from tests.tiny_models import tiny_tokenizer

POLICY = RetryPolicy(tries=2, first_wait=0.01, timeout=20)


def backend(server: Server, prefix: str = "openai:", **options: Any) -> EndpointBackend:
    return EndpointBackend(parse(f"{prefix}toy@{server.url}", {}), EndpointOptions(policy=POLICY, **options))


def ask(endpoint: EndpointBackend, requests: list[Request]) -> list[Reply]:
    found = dict(answer for answers in endpoint.compute(endpoint.prepare(requests)) for answer in answers)
    return [found[index] for index in range(len(requests))]


def generated(reply: Reply) -> list[str]:
    assert isinstance(reply, Generation)
    return [one.text for one in reply.completions]


TURNS = ({"role": "user", "content": "question of a turn"},)


def test_turns_go_to_chat_and_texts_to_completions() -> None:
    with serve() as server:
        replies = ask(backend(server), [Generate("question a"), Generate("shown", messages=TURNS)])
    assert [generated(reply) for reply in replies] == [[answer_to("question a")], [answer_to("question of a turn")]]
    assert {path for path, body in server.asked if "question" in str(body)} == {"/completions", "/chat/completions"}


def test_a_server_that_only_speaks_chat_gets_a_text_as_a_turn() -> None:
    with serve(apis=("/chat/completions",)) as server:
        endpoint = backend(server)
        assert endpoint.chat_only
        assert generated(ask(endpoint, [Generate("question a")])[0]) == [answer_to("question a")]
    with serve() as server:
        assert not backend(server).chat_only
        assert backend(server, "openai-chat:").chat_only


@pytest.mark.parametrize(
    ("thinking", "thinks", "told"), [("auto", False, True), ("auto", True, False), ("<think>,</think>", False, False)]
)
def test_a_server_without_tokenizer_is_told_where_to_stop(thinking: str, thinks: bool, told: bool) -> None:
    def behave(path: str, body: Any, before: int) -> Fault | None:
        if not thinks or path != "/chat/completions":
            return None
        message = {"role": "assistant", "content": "<think>hm\n</think>\n\nParis", "reasoning_content": None}
        reply = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
        return Fault(200, json.dumps(reply).encode())

    with serve(behave=behave, apis=("/chat/completions",)) as server:
        run = evalkit.run(model=backend(server), tasks=[quiz()], limit="first:2", thinking=thinking)
        asked = [body for _, body in server.asked if "question" in str(body)]
    assert len(asked) == 2
    assert all(("stop" in body) is told for body in asked)
    assert run.tasks["quiz"].settings["thinking"] == ["<think>", "</think>"]


def test_several_samples_in_one_request_or_in_several() -> None:
    drawn = Generate("question a", Decoding(temperature=1.0, samples=3, seed=5))
    with serve() as server:
        assert generated(ask(backend(server), [drawn])[0]) == [answer_to("question a")] * 3
        assert [body["n"] for _, body in server.asked if body.get("prompt") == "question a"] == [3]
    with serve(many=False) as server:
        assert generated(ask(backend(server), [drawn])[0]) == [answer_to("question a")] * 3
        asked = [body for _, body in server.asked if body.get("prompt") == "question a"]
        assert not any("n" in body for body in asked)
        seeds = {body["seed"] for body in asked}
        assert seeds == {request_seed(5, "question a", place) for place in range(3)}
        # neither the next seed nor another document shares a draw
        others = [replace(drawn, prompt="question b"), replace(drawn, decoding=replace(drawn.decoding, seed=6))]
        ask(backend(server), list(others))
        drawn_with = [body["seed"] for _, body in server.asked if "question" in str(body.get("prompt"))]
        assert len(drawn_with) == len(set(drawn_with)) == 9


@pytest.mark.parametrize("refused", ["seed", "top_k", "max_tokens"])
def test_what_a_server_does_not_take_is_left_out_and_recorded(refused: str, caplog: pytest.LogCaptureFixture) -> None:
    drawn = Generate("question a", Decoding(temperature=1.0, top_k=4, max_new_tokens=20), messages=TURNS)
    if refused == "max_tokens":

        def behave(path: str, body: Any, before: int) -> Fault | None:
            said = b'{"error": {"message": "Use \'max_completion_tokens\' in place of \'max_tokens\'."}}'
            return Fault(400, said) if "max_tokens" in body else None

        settings: dict[str, Any] = {"behave": behave}
    else:
        settings = {"refuses": (refused,)}
    with serve(**settings) as server:
        endpoint = backend(server)
        assert generated(ask(endpoint, [drawn])[0]) == [answer_to("question of a turn")]
    api = endpoint.settings()["api"]["chat"]
    assert api["not_sent"] == ([] if refused == "max_tokens" else [refused])
    assert api["limit"] == ("max_completion_tokens" if refused == "max_tokens" else "max_tokens")
    assert refused == "max_tokens" or f"does not take {refused}" in caplog.text


def test_beams_are_refused() -> None:
    with serve() as server, pytest.raises(ModelError, match="beam search"):
        backend(server).prepare([Generate("x", Decoding(beams=2))])


def scored(text: str, answer: str) -> float:
    return sum(map(log_probability, tokens_of(text)[-len(tokens_of(answer)) :]))


def test_scores_are_those_of_the_answers_tokens() -> None:
    requests: list[Request] = [
        Score("the cat", " sat on Mats"),
        Score("the cat ", "sat"),
        Score("the cat", " Is"),
        Score("the cat", "sat"),  # joins the last token of the context
    ]
    with serve() as server:
        endpoint = backend(server)
        replies = ask(endpoint, requests)
    assert endpoint.settings()["scoring"] == "echo"
    first, second, third, fourth = replies
    assert isinstance(first, Response)
    assert first.log_probability == pytest.approx(scored("the cat sat on Mats", " sat on Mats"))
    assert (first.tokens, first.context_tokens, first.greedy) == (3, 2, False)
    assert isinstance(second, Response)
    assert second.log_probability == pytest.approx(log_probability(" sat"))
    assert isinstance(third, Response)
    assert third.greedy
    assert isinstance(fourth, Failure)
    assert "inside a token" in fourth.reason
    assert "--tokenizer" in fourth.reason


def test_a_tokenizer_sends_ids() -> None:
    tokenizer = tiny_tokenizer()
    with serve() as server:
        endpoint = EndpointBackend(parse(f"openai:toy@{server.url}", {}), EndpointOptions(policy=POLICY), tokenizer)
        replies = ask(endpoint, [Score("The quick brown fox", " jumps"), Roll("energy " * 60)])
        assert endpoint.max_length == 62
    score, roll = replies
    assert isinstance(score, Response)
    assert isinstance(roll, Response)
    ids = tokenizer.encode("The quick brown fox jumps")
    assert ids in [body["prompt"] for _, body in server.asked]
    assert roll.tokens == len(tokenizer.encode("energy " * 60, add_special_tokens=False))
    assert all(len(body["prompt"]) <= 63 for _, body in server.asked if isinstance(body.get("prompt"), list))


def test_long_plain_prompts_are_cut_on_the_left_and_conversations_are_an_error() -> None:
    tokenizer = tiny_tokenizer()
    text = "water é 🦊 " * 40 + "question a"
    decoding = Decoding(max_new_tokens=20)
    with serve() as server:
        address, options = parse(f"openai:toy@{server.url}", {}), EndpointOptions(policy=POLICY)
        endpoint = EndpointBackend(address, options, tokenizer)
        long, short = ask(endpoint, [Generate(text, decoding), Generate("question b", decoding)])
        sent, whole = sorted(server.prompts(), key=len, reverse=True)
        assert endpoint.max_length == 62
        with pytest.raises(OverLengthError, match="turns are not cut"):
            ask(endpoint, [Generate(text, decoding, messages=({"role": "user", "content": text},))])
        with pytest.raises(OverLengthError, match="no room for a prompt"):
            ask(endpoint, [Generate("question c", Decoding(max_new_tokens=62))])
        assert len(server.prompts()) == 2
    assert isinstance(long, Generation)
    assert isinstance(short, Generation)
    assert text.endswith(sent)
    assert 38 <= len(tokenizer.encode(sent)) <= 42
    assert long.truncated == len(tokenizer.encode(text)) - len(tokenizer.encode(sent))
    assert (whole, short.truncated) == ("question b", 0)


@pytest.mark.parametrize(
    ("settings", "prefix", "words"),
    [
        ({"scores": False}, "openai:", "gives no log-probabilities of prompts"),
        ({"scores": "shifted"}, "openai:", "not those of its own tokens"),
        ({"apis": ("/chat/completions",)}, "openai:", "only speaks chat"),
        ({}, "openai-chat:", "only speaks chat"),
    ],
)
def test_a_server_that_cannot_score_is_a_clear_error(settings: dict[str, Any], prefix: str, words: str) -> None:
    with serve(**settings) as server, pytest.raises(ModelError, match=words) as error:
        backend(server, prefix).prepare([Score("a", " b")])
    assert "mmlu:cot" in str(error.value.hint)


def test_texts_need_a_tokenizer_and_so_do_answers_after_turns() -> None:
    with serve() as server:
        with pytest.raises(ModelError, match="windows of token ids"):
            backend(server).prepare([Roll("a text")])
        endpoint = backend(server)
        shown = endpoint.render_chat([{"role": "user", "content": "hi"}])
        assert shown == "<user> hi\n<assistant> "
        with pytest.raises(ModelError, match="only the server knows its chat template"):
            endpoint.prepare([Score(shown, " b")])
        with pytest.raises(ModelError, match="needs the model's own chat template"):
            backend(server, "openai-completions:").render_chat([{"role": "user", "content": "hi"}])


def test_template_variables_are_sent() -> None:
    with serve() as server:
        endpoint = backend(server)
        endpoint.render_chat(TURNS, enable_thinking=False)
        ask(endpoint, [Generate("shown", messages=TURNS)])
    assert server.asked[-1][1]["chat_template_kwargs"] == {"enable_thinking": False}
    assert endpoint.settings()["template_variables"] == {"enable_thinking": False}


def test_the_account_and_the_identity(tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    with serve() as server:
        endpoint = backend(server, price_prompt=2.0, price_completion=10.0)
        run = evalkit.run(model=endpoint, tasks=[quiz()], output=output)
        assert run.model.name == f"openai:toy@{server.url}"
    assert run.model.source == "endpoint"
    assert "not known" in run.model.extra["weights"]
    timing = json.loads(output.read_text())["timing"]
    assert timing["prompt_tokens"] == timing["tokens_asked"] > 0
    cost = (2.0 * timing["prompt_tokens"] + 10.0 * timing["completion_tokens"]) / 1e6
    assert timing["cost"] == pytest.approx(cost, abs=1e-6)
    assert timing["requests_sent"] == len(server.asked)
    assert run.settings["self_check"]["fingerprints"] == ["toy-1"]


def test_secrets_reach_the_server_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ("sk-hidden", "pass-word", "tok-en")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    caplog.set_level(logging.DEBUG)
    echoing = Fault(400, b'{"error": {"message": "bad key sk-hidden or tok-en"}}')
    with serve(behave=lambda path, body, before: echoing if body.get("prompt") == "question 3" else None) as server:
        spec = f"openai:toy@{server.url}?token=tok-en"
        run = evalkit.run(model=spec, tasks=[quiz()], output=tmp_path / "run.json")
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-hidden"}
        assert run.tasks["quiz"].outcomes["errored"] == 1
        with_password = spec.replace("//", "//user:pass-word@")
        server.behave = lambda path, body, before: Fault(401, b'{"detail": "pass-word is wrong"}')
        with pytest.raises(EvalkitError, match="refuses access") as error:
            evalkit.run(model=with_password, tasks=[quiz()])
        assert server.headers[-1]["Authorization"].startswith("Basic ")
    written = "".join(path.read_bytes().decode("latin-1") for path in tmp_path.iterdir())
    shown = written + caplog.text + error.value.message + str(error.value.hint)
    assert "bad key ***" in written
    assert not [secret for secret in secrets if secret in shown]
