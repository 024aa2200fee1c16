"""Whole runs on a mock model: scores, files, interruption, and every kind of bad input."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit import Cloze, DataSource, Group, MockModel, MultipleChoice, OpenQuestion, Task, Text
from evalkit.backends.base import Answer, Prepared
from evalkit.errors import (
    DataError,
    InterruptedRunError,
    NonFiniteError,
    OutputError,
    OverLengthError,
    UsageError,
)
from evalkit.requests import Request, Roll, Score
from evalkit.runner.progress import Silent
from evalkit.task import Row

ROWS = [
    {"question": f"What is {n} plus {n}?", "choices": [str(2 * n), str(n), "none"], "answer": 0} for n in range(1, 21)
]


def choose(row: Row) -> MultipleChoice:
    return MultipleChoice(row["question"], row["choices"], row["answer"])


def quiz(folder: Path, rows: list[dict[str, object]] | None = None, **changes: object) -> Task:
    (folder / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (ROWS if rows is None else rows)))
    defaults: dict[str, object] = {
        "name": "quiz",
        "data": DataSource(files={"test": "quiz.jsonl"}, base=str(folder), shots_split="test"),
        "document": choose,
        "metrics": ("acc", "acc_norm"),
        "columns": {"question": str, "choices": [str], "answer": int},
    }
    return Task(**{**defaults, **changes})


def knows_small_sums(request: Request) -> float:
    """Right up to 10 + 10, wrong after."""
    assert isinstance(request, Score)
    n = int(request.context.rsplit("What is ", 1)[1].split()[0])
    return -1.0 if (request.continuation.strip() == str(2 * n)) == (n <= 10) else -5.0


def test_scores_samples_and_files(tmp_path: Path) -> None:
    output = tmp_path / "base.json"
    run = evalkit.run(model=MockModel(knows_small_sums), tasks=[quiz(tmp_path)], output=output)
    result = run.tasks["quiz"]
    assert (result.n, result.metrics["acc"].value, result.outcomes) == (20, 0.5, {"right": 10, "wrong": 10})
    low, high = result.metrics["acc"].ci95 or (0, 0)
    assert (round(low, 6), round(high, 6)) == (0.299298, 0.700702)  # Wilson, 10 of 20
    assert [sample.index for sample in result.samples] == list(range(20))
    assert evalkit.Run.load(output) == run
    assert (tmp_path / "base.samples.parquet").exists()
    assert not list(tmp_path.glob("*.journal"))


def test_the_sample_log_has_a_row_a_request(tmp_path: Path) -> None:
    from pyarrow import parquet

    evalkit.run(model=MockModel(knows_small_sums), tasks=[quiz(tmp_path)], output=tmp_path / "r.json", limit="first:2")
    rows = parquet.read_table(tmp_path / "r.samples.parquet").to_pylist()
    assert [(row["index"], row["request"], row["continuation"]) for row in rows[:4]] == [
        (0, 0, " 2"),
        (0, 1, " 1"),
        (0, 2, " none"),
        (1, 0, " 4"),
    ]
    assert rows[0]["prompt"] == "What is 1 plus 1?"
    assert (rows[0]["target"], rows[0]["answer"], rows[0]["log_probability"]) == ("2", "2", -1.0)


def test_the_same_command_gives_the_same_file_but_for_time(tmp_path: Path) -> None:
    contents = []
    for name in ("a.json", "b.json"):
        evalkit.run(model=MockModel(), tasks=[quiz(tmp_path)], output=tmp_path / name, shots=3, limit=7)
        content = json.loads((tmp_path / name).read_text())
        contents.append({key: value for key, value in content.items() if key not in {"created", "timing"}})
    assert contents[0] == contents[1]


class Interrupted(MockModel):
    """Stops like Ctrl-C after some batches."""

    def __init__(self, batches: int) -> None:
        super().__init__(knows_small_sums)
        self.left = batches

    def compute(self, prepared: Prepared, done: Collection[int] = ()) -> Iterator[list[Answer]]:
        for answers in super().compute(prepared, done):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            yield answers


@pytest.mark.parametrize("batches", [0, 1, 4, 7])
def test_an_interrupted_run_continues_where_it_stopped(tmp_path: Path, batches: int) -> None:
    output = tmp_path / "base.json"
    with pytest.raises(InterruptedRunError, match=f"after {8 * batches} of 60 requests, which are kept") as caught:
        evalkit.run(model=Interrupted(batches), tasks=[quiz(tmp_path)], output=output)
    assert caught.value.exit_code == 130
    assert not output.exists()
    model = MockModel(knows_small_sums)
    resumed = evalkit.run(model=model, tasks=[quiz(tmp_path)], output=output)
    assert model.requests_answered == 60 - 8 * batches
    whole = evalkit.run(model=MockModel(knows_small_sums), tasks=[quiz(tmp_path)], output=tmp_path / "whole.json")
    assert (resumed.tasks, resumed.groups) == (whole.tasks, whole.groups)
    assert (tmp_path / "base.samples.parquet").read_bytes() == (tmp_path / "whole.samples.parquet").read_bytes()


def test_another_model_does_not_continue_the_first_ones_run(tmp_path: Path) -> None:
    output = tmp_path / "base.json"
    with pytest.raises(InterruptedRunError):
        evalkit.run(model=Interrupted(3), tasks=[quiz(tmp_path)], output=output)
    other = MockModel(knows_small_sums, name="tuned")
    evalkit.run(model=other, tasks=[quiz(tmp_path)], output=output)
    assert other.requests_answered == 60


def test_prompts_do_not_depend_on_the_limit(tmp_path: Path) -> None:
    asked: dict[str, set[str]] = {}
    for limit in (None, 5, "first:6"):

        def record(request: Request, key: str = str(limit)) -> float:
            assert isinstance(request, Score)
            asked.setdefault(key, set()).add(request.context)
            return -1.0

        evalkit.run(model=MockModel(record), tasks=[quiz(tmp_path, shots_exclude_self=True)], shots=3, limit=limit)
    assert asked["5"] < asked["None"]
    assert asked["first:6"] < asked["None"]
    assert len(asked["5"]) == 5


def test_copies_of_a_document_have_ids_of_their_own(tmp_path: Path) -> None:
    run = evalkit.run(model=MockModel(), tasks=[quiz(tmp_path, [ROWS[0], ROWS[1], ROWS[0]])])
    ids = [sample.id for sample in run.tasks["quiz"].samples]
    assert ids[2] == ids[0] + "#2"


def test_a_group_is_scored_from_its_members(tmp_path: Path) -> None:
    one = quiz(tmp_path, name="one", metrics=("acc",))
    two = quiz(tmp_path, name="two", metrics=("acc",), keep=lambda row: row["question"] < "What is 2")
    group = Group(name="both", members=("one", "two"), metrics="acc", weighting="items")
    run = evalkit.run(model=MockModel(knows_small_sums), tasks=[one, two, group])
    right = sum(result.outcomes["right"] for result in run.tasks.values())
    assert run.groups["both"].metrics["acc"].value == pytest.approx(right / sum(r.n for r in run.tasks.values()))


def test_texts_and_clozes(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "one two three"}\n{"text": "four"}\n')
    source = DataSource(files={"test": "t.jsonl"}, base=str(tmp_path))
    text = Task(
        name="text", data=source, document=lambda row: Text(row["text"]), metrics=("word_perplexity", "bits_per_byte")
    )
    cloze = Task(
        name="cloze", data=source, document=lambda row: Cloze("say", row["text"]), metrics=("acc", "perplexity")
    )
    model = MockModel(lambda request: -4.0 if isinstance(request, Roll) else -0.5)
    run = evalkit.run(model=model, tasks=[text, cloze])
    assert run.tasks["text"].metrics["word_perplexity"].value == pytest.approx(
        2.718281828459045**2
    )  # e^(8 nats / 4 words)
    assert run.tasks["cloze"].metrics["acc"].value == 1.0
    assert run.tasks["cloze"].metrics["perplexity"].value == pytest.approx(2.718281828459045**0.5)


@pytest.mark.parametrize(("policy", "n", "shots_left"), [("drop-shots", 20, 1), ("skip", 0, 0), ("truncate", 20, 3)])
def test_prompts_that_are_too_long(tmp_path: Path, policy: str, n: int, shots_left: int) -> None:
    shots = []

    def record(request: Request) -> float:
        assert isinstance(request, Score)
        shots.append(request.context.count("What is") - 1)
        return -1.0

    model = MockModel(record, max_length=13)  # a question and its answer are 6 words, with an example 12
    arguments = {"model": model, "tasks": [quiz(tmp_path)], "shots": 3, "over_length": policy}
    if n == 0:
        with pytest.raises(OverLengthError, match="no document of quiz"):
            evalkit.run(**arguments)
        return
    run = evalkit.run(**arguments)
    (result,) = run.tasks.values()
    assert result.n == n
    assert set(shots) == {shots_left}
    if policy == "drop-shots":
        assert result.samples[0].fields["dropped_shots"] == 2


def test_a_prompt_that_is_too_long_is_an_error_by_default(tmp_path: Path) -> None:
    with pytest.raises(
        OverLengthError, match="document 0 of quiz:3shot needs 24 tokens, but the model takes 13"
    ) as caught:
        evalkit.run(model=MockModel(max_length=13), tasks=[quiz(tmp_path)], shots=3)
    assert "--over-length" in (caught.value.hint or "")


def test_documents_left_out_are_counted(tmp_path: Path) -> None:
    rows = [*ROWS[:5], {"question": "What " * 40, "choices": ["a", "b"], "answer": 0}]
    run = evalkit.run(model=MockModel(max_length=13), tasks=[quiz(tmp_path, rows)], over_length="skip")
    assert (run.tasks["quiz"].n, run.tasks["quiz"].outcomes["skipped"]) == (5, 1)


def test_a_row_that_breaks_the_schema_is_named(tmp_path: Path) -> None:
    rows = [*ROWS[:3], {"question": "What?", "choices": ["a"], "answer": "a"}]
    with pytest.raises(DataError, match=r"quiz.jsonl.*split test.*row 3.*'answer' is str"):
        evalkit.run(model=MockModel(), tasks=[quiz(tmp_path, rows)])


def test_a_row_that_the_task_cannot_read_is_named(tmp_path: Path) -> None:
    rows = [*ROWS[:3], {"question": "What?", "choices": ["a", "b"], "answer": 5}]
    with pytest.raises(DataError, match=r"task quiz cannot read row 3 of quiz.jsonl, split test: .*choice 5"):
        evalkit.run(model=MockModel(), tasks=[quiz(tmp_path, rows)])


def test_an_empty_or_filtered_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        evalkit.run(model=MockModel(), tasks=[quiz(tmp_path, [])])
    with pytest.raises(DataError, match="none of the 20 rows"):
        evalkit.run(model=MockModel(), tasks=[quiz(tmp_path, keep=lambda row: False)])


def test_more_shots_than_there_are_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="25 few-shot examples"):
        evalkit.run(model=MockModel(), tasks=[quiz(tmp_path)], shots=25)


def test_an_output_that_cannot_be_written_fails_before_the_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = MockModel()
    with pytest.raises(OutputError):
        evalkit.run(model=model, tasks=[quiz(tmp_path)], output=tmp_path / "file" / "base.json")
    with pytest.raises(UsageError, match=r"does not end in \.json"):
        evalkit.run(model=model, tasks=[quiz(tmp_path)], output=tmp_path / "base.txt")
    assert model.requests_answered == 0


def test_logits_that_are_not_finite_name_task_document_and_token(tmp_path: Path) -> None:
    class Broken(MockModel):
        def compute(self, prepared: Prepared, done: Collection[int] = ()) -> Iterator[list[Answer]]:
            error = NonFiniteError("not finite", hint="try float32")
            error.request, error.token = 7, 1  # type: ignore[attr-defined]
            raise error
            yield []

    with pytest.raises(NonFiniteError, match=r"task quiz, document 2 \(id [0-9a-f]{16}\), request 1, scored token 1"):
        evalkit.run(model=Broken(), tasks=[quiz(tmp_path)])


def test_a_system_instruction_and_the_chat_template_reach_the_prompt(tmp_path: Path) -> None:
    seen: list[str] = []

    def record(request: Request) -> float:
        assert isinstance(request, Score)
        seen.append(request.context + "|" + request.continuation)
        return -1.0

    task = quiz(tmp_path, ROWS[:1], description="Answer.\n")
    evalkit.run(model=MockModel(record), tasks=[task], system="Be brief.")
    assert seen[0] == "Be brief.\n\nAnswer.\nWhat is 1 plus 1?| 2"
    evalkit.run(model=MockModel(record), tasks=[task], system="Be brief.", chat_template="on")
    assert seen[3] == "<system> Be brief.\n\nAnswer.\n\n<user> What is 1 plus 1?\n<assistant> |2"


class Notes(Silent):
    """Keeps what the user is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_settings_of_generation_without_effect_are_said_and_left_out(tmp_path: Path) -> None:
    told = Notes()
    changes: dict[str, Any] = {"temperature": 0.7, "samples": 3, "sampling_seed": 5, "progress": told}
    run = evalkit.run(model=MockModel(), tasks=[quiz(tmp_path)], **changes)
    assert told.notes == ["no task generates: --temperature, --samples, --sampling-seed have no effect"]
    assert not {"decoding", "sampling_seed"} & set(run.settings)
    told.notes.clear()
    answered = quiz(tmp_path, name="open", document=lambda row: OpenQuestion(row["question"], "2"), metrics=["bleu"])
    both = evalkit.run(model=MockModel(texts=lambda _: ["2"] * 3), tasks=[quiz(tmp_path), answered], **changes)
    assert told.notes == []
    assert both.settings["decoding"] == {"temperature": 0.7, "samples": 3}
    assert both.settings["sampling_seed"] == 5
