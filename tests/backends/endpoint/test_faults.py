"""Servers that fail: nothing lost, nothing doubled, what cannot be had is a failure with its reason."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from time import monotonic, time

import pytest

import evalkit
from evalkit.backends.endpoint.address import parse
from evalkit.backends.endpoint.backend import EndpointBackend, EndpointOptions
from evalkit.backends.endpoint.client import RetryPolicy
from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.errors import InterruptedRunError, ModelError
from evalkit.requests import Failure, Generate, Generation, Reply, Request
from evalkit.task import DataSource, Task
from tests.backends.endpoint.server import Behaviour, Body, Fault, Server, answer_to, serve, wait_until

QUICK = RetryPolicy(tries=4, first_wait=0.005, longest_wait=0.02, timeout=20, longest_pause=2.0)
IMPATIENT = replace(QUICK, timeout=0.7)
QUESTIONS = [f"question {number}" for number in range(24)]
HELD = 7


def backend(server: Server, policy: RetryPolicy = QUICK, *, concurrency: int = 8) -> EndpointBackend:
    return EndpointBackend(parse(f"openai:toy@{server.url}", {}), EndpointOptions(concurrency, policy))


def ask(endpoint: EndpointBackend, questions: list[str] = QUESTIONS) -> list[Reply]:
    requests: list[Request] = [Generate(text, Decoding(max_new_tokens=32, stop=("\n",))) for text in questions]
    found: dict[int, Reply] = {}
    for answers in endpoint.compute(endpoint.prepare(requests)):
        for index, reply in answers:
            assert index not in found, "an answer came twice"
            found[index] = reply
    assert sorted(found) == list(range(len(questions))), "an answer is lost"
    return [found[index] for index in range(len(questions))]


def collect(answers: Iterator[list[tuple[int, Reply]]], found: list[tuple[int, Reply]]) -> None:
    for some in answers:
        found.extend(some)


def expected(question: str) -> str:
    return answer_to(question).split("\n")[0]


def first_times(fault: Fault, times: int = 2) -> Behaviour:
    """The fault for the first tries of every second question."""

    def behave(path: str, body: Body, before: int) -> Fault | None:
        prompt = str(body.get("prompt"))
        return fault if prompt in QUESTIONS[::2] and before < times else None

    return behave


PASSING = {
    "429": Fault(429),
    "429 with Retry-After": Fault(429, headers={"Retry-After": "0.05"}),
    "429 with a date": Fault(429, headers={"Retry-After": formatdate(time() - 5, usegmt=True)}),
    "429 with nonsense": Fault(429, headers={"Retry-After": "soon"}),
    "500": Fault(500),
    "502 in HTML": Fault(502, b"<html>Bad gateway</html>"),
    "503": Fault(503),
    "504": Fault(504),
    "reset": Fault(how="reset"),
    "hang": Fault(how="hang"),
    "drip": Fault(200, b" " * 200, how="drip"),
    "cut off": Fault(200, b'{"choices": [{"index"', how="cut"),
    "truncated JSON": Fault(200, b'{"choices": [{"index": 0, "text": "half an'),
    "JSON of another kind": Fault(200, b"[]"),
    "no choices": Fault(200, b'{"choices": []}'),
    "two choices": Fault(200, json.dumps({"choices": [{"index": i, "text": "x"} for i in (0, 1)]}).encode()),
    "no text": Fault(200, b'{"choices": [{"index": 0, "finish_reason": "stop"}]}'),
    "no reason to stop": Fault(200, b'{"choices": [{"index": 0, "text": "half", "finish_reason": null}]}'),
    "error with status 200": Fault(200, b'{"error": {"message": "upstream", "code": 502}}'),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again_and_nothing_is_lost_or_doubled(fault: Fault) -> None:
    slow = fault.how in ("hang", "drip")
    times = 1 if slow else 2
    with serve(behave=first_times(fault, times)) as server:
        endpoint = backend(server, IMPATIENT if slow else QUICK)
        replies = ask(endpoint)
    for question, reply in zip(QUESTIONS, replies, strict=True):
        assert isinstance(reply, Generation)
        assert [one.text for one in reply.completions] == [expected(question)]
    if slow:  # a busy machine may miss the short time limit once more
        assert endpoint.counters()["retries"] >= times * len(QUESTIONS[::2])
        return
    assert Counter(server.prompts()) == {
        question: times + 1 if place % 2 == 0 else 1 for place, question in enumerate(QUESTIONS)
    }
    assert endpoint.counters()["retries"] == times * len(QUESTIONS[::2])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(500), "status 500: fault 500 (tried 4 times)"),
        (Fault(429), "status 429"),
        (Fault(how="reset"), "the connection broke"),
        (Fault(200, b"{"), "not JSON, or was cut off (tried 4 times)"),
        (Fault(400), "refused the request (status 400: fault 400)"),
    ],
)
def test_what_does_not_pass_fails_by_itself_and_the_run_goes_on(fault: Fault, words: str) -> None:
    bad = QUESTIONS[5]
    with serve(behave=lambda path, body, before: fault if body.get("prompt") == bad else None) as server:
        replies = ask(backend(server))
    failure = replies.pop(5)
    assert isinstance(failure, Failure)
    assert words in failure.reason
    assert all(isinstance(reply, Generation) for reply in replies)
    assert server.prompts().count(bad) == (1 if fault.status == 400 else QUICK.tries)


def test_a_refused_request_is_not_sent_again_but_a_wrong_parameter_for_all_ends_the_run() -> None:
    with (
        serve(behave=lambda path, body, before: Fault(400) if body.get("prompt") in QUESTIONS else None) as server,
        pytest.raises(ModelError, match=r"has answered none of 8 requests.*fault 400"),
    ):
        ask(backend(server))
    assert len(server.prompts()) <= len(QUESTIONS)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(401), "refuses access .status 401"),
        (Fault(403), "refuses access"),
        (Fault(402), "no money left"),
        (
            Fault(429, b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'),
            "no money left",
        ),
        (Fault(404), "does not answer: the endpoint refused the request .status 404"),
        (Fault(429, headers={"Retry-After": "86400"}), "asks to wait 86,400 seconds"),
    ],
)
def test_a_dead_endpoint_ends_the_run_at_once(fault: Fault, words: str) -> None:
    with serve(behave=lambda path, body, before: fault) as server, pytest.raises(ModelError, match=words) as error:
        ask(backend(server))
    assert error.value.hint
    assert len(server.asked) <= 2


def test_no_server_at_all_is_one_sentence() -> None:
    with serve() as server:
        pass
    start = monotonic()
    with pytest.raises(ModelError, match=f"openai:toy@{server.url} does not answer: no connection"):
        ask(backend(server))
    assert monotonic() - start < 2


def test_an_endpoint_that_dies_halfway_ends_the_run_after_its_last_answers() -> None:
    dead = threading.Event()

    def behave(path: str, body: Body, before: int) -> Fault | None:
        if body.get("prompt") == QUESTIONS[12]:
            dead.set()
        return Fault(how="reset") if dead.is_set() else None

    with serve(behave=behave) as server:
        endpoint = backend(server, concurrency=1)
        requests: list[Request] = [Generate(text, Decoding(max_new_tokens=32)) for text in QUESTIONS]
        found: list[tuple[int, Reply]] = []
        answers = endpoint.compute(endpoint.prepare(requests))
        with pytest.raises(ModelError, match=r"no longer answers.*connection broke") as error:
            collect(answers, found)
    assert "the same command" in str(error.value.hint)
    assert [index for index, reply in found if isinstance(reply, Generation)] == list(range(12))


def test_fewer_requests_are_under_way_where_the_server_has_too_much() -> None:
    bears = 3

    def behave(path: str, body: Body, before: int) -> Fault | None:
        return Fault(429) if server.under_way > bears else None

    with serve(behave=behave, seconds=0.01) as server:
        endpoint = backend(server, RetryPolicy(tries=30, first_wait=0.01, longest_wait=0.05), concurrency=64)
        replies = ask(endpoint, [f"question {number}" for number in range(120)])
        assert all(isinstance(reply, Generation) for reply in replies)
        assert endpoint.counters()["retries"] < 120
    with serve(seconds=0.2) as server:
        ask(backend(server, concurrency=16), [f"question {number}" for number in range(60)])
        assert 8 < server.most <= 16


def test_a_pause_that_the_server_asks_for_holds_for_all() -> None:
    asked: list[float] = []

    def behave(path: str, body: Body, before: int) -> Fault | None:
        if body.get("prompt") not in QUESTIONS:
            return None
        asked.append(monotonic())
        return Fault(429, headers={"Retry-After": "0.3"}) if len(asked) == 1 else None

    with serve(behave=behave) as server:
        ask(backend(server, concurrency=1))
    assert asked[1] - asked[0] >= 0.29


def test_leaving_early_lets_go_of_what_is_under_way() -> None:
    with serve(
        behave=lambda path, body, before: Fault(how="hang") if "17" in str(body.get("prompt")) else None
    ) as server:
        endpoint = backend(server, RetryPolicy(timeout=60))
        start = monotonic()
        answers = endpoint.compute(endpoint.prepare([Generate(text) for text in QUESTIONS]))
        next(answers)
        answers.close()  # type: ignore[attr-defined]
        assert monotonic() - start < 5
        asked = len(server.asked)
        wait_until(lambda: server.under_way == 0 or len(server.asked) == asked)


def quiz() -> Task:
    rows = [{"question": question} for question in QUESTIONS]
    return Task(
        name="quiz",
        data=DataSource(id="quiz", rows=rows),
        document=lambda row: OpenQuestion(row["question"], expected(row["question"])),
        metrics=("exact_match",),
        decoding=Decoding(max_new_tokens=32, stop=("\n",)),
        target_delimiter="",
        chat=False,
    )


def test_a_run_whose_endpoint_died_continues_and_asks_only_for_the_rest(tmp_path: Path) -> None:
    dead = threading.Event()

    def behave(path: str, body: Body, before: int) -> Fault | None:
        if body.get("prompt") == QUESTIONS[HELD]:
            dead.set()
        return Fault(503) if dead.is_set() and body.get("prompt") in QUESTIONS[HELD:] else None

    output = tmp_path / "quiz.json"
    with serve(behave=behave) as server:
        endpoint = backend(server, concurrency=1)
        first = evalkit.run(model=endpoint, tasks=[quiz()], output=output)
        outcomes = first.tasks["quiz"].outcomes
        assert outcomes["errored"] == len(QUESTIONS) - HELD
        assert first.tasks["quiz"].metrics["exact_match"].value == 1.0
        errored = next(sample for sample in first.tasks["quiz"].samples if sample.outcome == "errored")
        assert "status 503" in errored.fields["error"]
        server.behave = lambda path, body, before: None
        server.asked.clear()
        second = evalkit.run(model=backend(server), tasks=[quiz()], output=output)
    assert second.tasks["quiz"].outcomes == {"right": len(QUESTIONS)}
    assert sorted(server.prompts()) == sorted(QUESTIONS[HELD:])
    assert not list(tmp_path.glob("*.journal"))


def test_an_interrupted_run_keeps_what_was_answered(tmp_path: Path) -> None:

    from evalkit.runner.progress import Silent, Status

    class Impatient(Silent):
        def update(self, status: Status) -> None:
            if status.requests >= HELD:
                raise KeyboardInterrupt

    output = tmp_path / "quiz.json"
    with serve(seconds=0.01) as server:
        with pytest.raises(InterruptedRunError, match="which are kept"):
            evalkit.run(model=backend(server, concurrency=1), tasks=[quiz()], output=output, progress=Impatient())
        asked = server.prompts()
        run = evalkit.run(model=backend(server), tasks=[quiz()], output=output)
    assert run.tasks["quiz"].outcomes == {"right": len(QUESTIONS)}
    again = [question for question, times in Counter(server.prompts()).items() if times > 1]
    assert len(again) <= 2, "only what was under way may be asked twice"
    assert len(asked) >= HELD
