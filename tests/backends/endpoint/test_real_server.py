"""A real server, started by the test: `transformers serve` on a tiny model, compared with transformers' own `generate`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.decoding import Decoding
from evalkit.documents import MultipleChoice, OpenQuestion
from evalkit.errors import ModelError
from evalkit.models import ModelOptions, load_model
from evalkit.results import Run
from evalkit.task import DataSource, Task
from tests.tiny_models import CHAT_TEMPLATE, tiny_model, tiny_tokenizer

NEEDED = ("fastapi", "uvicorn", "openai")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, NEEDED)),
        reason="transformers' server is not installed: pip install transformers[serving]",
    ),
]

QUESTIONS = ["The quick brown fox", "Which gas do plants take in?", "In 1969 two people walked"]
NEW_TOKENS = 10


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tiny_model("llama", tmp_path_factory.mktemp("served"))
    tiny_tokenizer(chat_template=CHAT_TEMPLATE).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def url(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "server.log"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(directory), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(log.parent)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=output, stderr=output, env=environment
        )
        try:
            end = time.monotonic() + 240
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def expected(directory: Path) -> dict[str, str]:
    """What the model writes after each question, plain and as a turn, by transformers itself."""
    loaded = load_model(str(directory), ModelOptions(dtype="float32", device="cpu"))
    tokenizer = loaded.tokenizer
    texts = {question: question for question in QUESTIONS}
    for question in QUESTIONS:
        turn = [{"role": "user", "content": question}]
        texts[f"<user> {question}\n<assistant> "] = str(
            tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        )
    found = {}
    for name, text in texts.items():
        inputs = tokenizer(text, return_tensors="pt")
        output = loaded.model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        found[name] = str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return found


def evaluate(
    directory: Path, url: str, output: Path, chat_template: str, samples: int = 1
) -> tuple[Run, list[dict[str, Any]]]:
    import pyarrow.parquet as parquet

    task = Task(
        name="open",
        data=DataSource(id="open", rows=[{"question": question} for question in QUESTIONS]),
        document=lambda row: OpenQuestion(row["question"], "anything"),
        metrics=("exact_match",),
        decoding=Decoding(max_new_tokens=NEW_TOKENS, samples=samples, temperature=float(samples > 1)),
        target_delimiter="",
    )
    run = evalkit.run(
        model=f"openai:{directory}@{url}", tasks=[task], output=output, chat_template=chat_template, offline=True
    )
    return run, parquet.read_table(output.with_name("run.samples.parquet")).to_pylist()


@pytest.mark.parametrize("chat_template", ["off", "on"])
def test_greedy_texts_are_those_of_generate(
    directory: Path, url: str, expected: dict[str, str], tmp_path: Path, chat_template: str
) -> None:
    run, rows = evaluate(directory, url, tmp_path / "run.json", chat_template)
    assert {row["prompt"]: row["continuation"] for row in rows} == {
        prompt: text for prompt, text in expected.items() if prompt.startswith("<user>") == (chat_template == "on")
    }
    assert {row["tokens"] for row in rows} <= set(range(1, NEW_TOKENS + 1))
    assert list(run.settings["api"]) == ["chat" if chat_template == "on" else "completions"]
    assert run.tasks["open"].outcomes.get("errored", 0) == 0
    assert run.timing["completion_tokens"] > 0


def test_several_samples_from_a_server_that_gives_one_at_a_time(directory: Path, url: str, tmp_path: Path) -> None:
    run, rows = evaluate(directory, url, tmp_path / "run.json", "off", samples=3)
    assert run.settings["api"]["completions"]["several_at_once"] is False
    assert len(rows) == 3 * len(QUESTIONS)


def test_it_cannot_score_and_says_so(directory: Path, url: str) -> None:
    task = Task(
        name="given",
        data=DataSource(id="given", rows=[{"question": "1 + 1 ="}]),
        document=lambda row: MultipleChoice(row["question"], ["2", "3"], 0),
        metrics=("acc",),
    )
    with pytest.raises(ModelError, match="gives no log-probabilities of prompts") as error:
        evalkit.run(model=f"openai:{directory}@{url}", tasks=[task], offline=True)
    assert "mmlu:cot" in str(error.value.hint)


def test_another_models_name_is_one_sentence(url: str) -> None:
    task = Task(
        name="open",
        data=DataSource(id="open", rows=[{"question": "x"}]),
        document=lambda row: OpenQuestion(row["question"], "y"),
        metrics=("exact_match",),
    )
    with pytest.raises(ModelError, match="pinned to"):
        evalkit.run(model=f"openai:another@{url}", tasks=[task], offline=True)
