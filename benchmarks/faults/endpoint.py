"""Endpoints that fail, in every way that the test server knows."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

from benchmarks.faults.counting import Bench, Row

QUESTIONS = 40


def passing(bench: Bench, injections: int, seed: int) -> Row:
    """Random first tries meet a fault: refusals, errors, resets, hangs, slow drips, truncated and wrong replies."""
    from tests.backends.endpoint.test_faults import PASSING

    row = Row("endpoint: faults that pass (" + str(len(PASSING)) + " kinds)")
    kinds = list(PASSING.items())
    each = -(-injections // len(kinds))
    for number, (name, fault) in enumerate(kinds):
        struck, problems = _ask(fault, random.Random(seed + number), each, lasting=False)
        row.injections += struck
        for problem in problems:
            row.error(f"{name}: {problem}")
    return row


def lasting(bench: Bench, injections: int, seed: int) -> Row:
    """Some questions never get an answer: they are errored with the reason, and the others are scored."""
    from tests.backends.endpoint.server import Fault

    kinds = {
        "500": Fault(500),
        "503": Fault(503),
        "reset": Fault(how="reset"),
        "cut off": Fault(200, b"{"),
        "refused": Fault(400),
    }
    row = Row("endpoint: questions that never get an answer")
    while row.injections < injections:
        for number, (name, fault) in enumerate(kinds.items()):
            struck, problems = _ask(fault, random.Random(seed + row.injections + number), 6, lasting=True)
            row.injections += struck
            row.resumed += 1
            for problem in problems:
                row.error(f"{name}: {problem}")
    return row


def _ask(fault: Any, draw: random.Random, times: int, *, lasting: bool) -> tuple[int, list[str]]:
    """How often the fault struck, and what was not as it should be."""
    import evalkit
    from evalkit.backends.endpoint.address import parse
    from evalkit.backends.endpoint.backend import EndpointBackend, EndpointOptions
    from evalkit.backends.endpoint.client import RetryPolicy
    from evalkit.task import DataSource, Task
    from tests.backends.endpoint.server import answer_to, serve

    questions = [f"question {number}" for number in range(QUESTIONS)]
    unlucky = set(draw.sample(questions, min(times, QUESTIONS)))
    lock, struck = threading.Lock(), Counter[str]()

    def behave(path: str, body: Any, before: int) -> Any:
        prompt = str(body.get("prompt"))
        with lock:
            if prompt in unlucky and (lasting or before == 0):
                struck[prompt] += 1
                return fault
        return None

    def expected(question: str) -> str:
        return answer_to(question).split("\n")[0]

    task = Task(
        name="quiz",
        data=DataSource(id="quiz", rows=[{"question": question} for question in questions]),
        document=lambda row: evalkit.OpenQuestion(row["question"], expected(row["question"])),
        metrics=("exact_match",),
        decoding=evalkit.Decoding(max_new_tokens=32, stop=("\n",)),
        target_delimiter="",
        chat=False,
    )
    slow = fault.how in ("hang", "drip")
    policy = RetryPolicy(tries=3, first_wait=0.005, longest_wait=0.02, timeout=1.5 if slow else 20, longest_pause=2.0)
    with serve(behave=behave) as server:

        def run() -> Any:
            backend = EndpointBackend(parse(f"openai:toy@{server.url}", {}), EndpointOptions(8, policy))
            return evalkit.run(model=backend, tasks=[task])

        problems = _judge(run(), unlucky if lasting else set(), questions)
        answered = Counter(server.prompts())
        doubled = [question for question in questions if question not in unlucky and answered[question] != 1]
        if doubled and not slow:
            problems.append(f"{doubled[0]} was asked {answered[doubled[0]]} times")
        if lasting:
            unlucky.clear()
            problems += _judge(run(), set(), questions)
    return (len(struck) if lasting else sum(struck.values())), problems


def _judge(run: Any, errored: set[str], questions: list[str]) -> list[str]:
    result = run.tasks["quiz"]
    problems = []
    if len(result.samples) != len(questions):
        problems.append(f"{len(result.samples)} documents of {len(questions)}")
    failed = [sample for sample in result.samples if sample.outcome == "errored"]
    if len(failed) != len(errored):
        problems.append(f"{len(failed)} errored, expected {len(errored)}")
    if not all(sample.fields.get("error") for sample in failed):
        problems.append("an errored document has no reason")
    if any(sample.metrics for sample in failed):
        problems.append("an errored document has a score")
    if result.metrics["exact_match"].value != 1.0:
        problems.append(f"the score is {result.metrics['exact_match'].value}")
    return problems
