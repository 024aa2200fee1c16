"""Writes `inspect/`: logs that Inspect itself made with its mock model, which answers from a list.

    pip install inspect-ai        # in an environment of its own
    python tests/comparing/foreign/make_inspect_logs.py

`letters` is multiple choice, and stands as Inspect wrote it, compressed with Zstandard. `numbers` has two scorers, two
epochs and a sample that fails in both; its tracebacks and events, which name the machine's folders, are taken out.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import tiktoken

# Inspect counts tokens with an encoding that it would fetch
tiktoken.get_encoding = lambda *_: SimpleNamespace(encode=lambda text, **_: text.split())

from inspect_ai import Task, eval, task  # noqa: E402
from inspect_ai.dataset import MemoryDataset, Sample  # noqa: E402
from inspect_ai.log import read_eval_log  # noqa: E402
from inspect_ai.model import ModelOutput, get_model  # noqa: E402
from inspect_ai.scorer import Score, choice, match, mean, scorer  # noqa: E402
from inspect_ai.solver import generate, multiple_choice, solver  # noqa: E402

TARGET = Path(__file__).parent / "inspect"
QUESTIONS = [
    ("How many legs has a spider?", "8"),
    ("How many sides has a hexagon?", "6"),
    ("How many days has a week?", "7"),
    ("How many months has a year?", "12"),
    ("How many hours has a day?", "24"),
    ("How many minutes has an hour?", "60"),
]


@scorer(metrics=[mean()])
def length():
    async def score(state, target):
        return Score(value=len(state.output.completion))

    return score


@solver
def fail_on(word):
    async def solve(state, generate):
        if word in state.input_text:
            raise ValueError("the tool did not answer")
        return state

    return solve


@task
def numbers():
    samples = [
        Sample(input=question, target=answer, id=number) for number, (question, answer) in enumerate(QUESTIONS, 1)
    ]
    return Task(
        dataset=MemoryDataset(samples, name="numbers"),
        solver=[fail_on("minutes"), generate()],
        scorer=[match(numeric=True), length()],
        fail_on_error=0.5,
        epochs=2,
    )


@task
def letters():
    samples = [
        Sample(input=question, target="B", choices=["5", answer, "100"], id=f"q{number}")
        for number, (question, answer) in enumerate(QUESTIONS)
    ]
    return Task(dataset=MemoryDataset(samples, name="letters"), solver=multiple_choice(), scorer=choice())


def answers(*texts):
    return get_model(
        "mockllm/model", custom_outputs=(ModelOutput.from_content("mockllm/model", text) for text in texts)
    )


def without_machine(log: Path, target: Path) -> None:
    """The log without events and tracebacks, deflated as Inspect's logs were before it took to Zstandard."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        header = read_eval_log(str(log), header_only=True)
        archive.writestr("header.json", header.model_dump_json(exclude_none=True, exclude={"samples"}))
        for sample in read_eval_log(str(log)).samples:
            kept = json.loads(
                sample.model_dump_json(exclude_none=True, exclude={"events", "events_data", "attachments"})
            )
            if "error" in kept:
                kept["error"] |= {"traceback": "", "traceback_ansi": ""}
            archive.writestr(f"samples/{sample.id}_epoch_{sample.epoch}.json", json.dumps(kept))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        said = ("8", "ANSWER: 6", "seven", "12", "It is 24.", "6", "7", "8 legs", "12", "no idea", "24")
        eval(numbers(), model=answers(*said), log_dir=folder, max_samples=1, display="none")
        said = ("ANSWER: B", "ANSWER: A", "I cannot say", "ANSWER: B", "ANSWER: C", "ANSWER: B")
        eval(letters(), model=answers(*said), log_dir=folder, max_samples=1, display="none")
        TARGET.mkdir(exist_ok=True)
        shutil.copy(next(Path(folder).glob("*_letters_*.eval")), TARGET / "letters.eval")
        without_machine(next(Path(folder).glob("*_numbers_*.eval")), TARGET / "numbers.eval")


if __name__ == "__main__":
    main()
