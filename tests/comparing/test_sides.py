from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.comparing.compare import compare
from evalkit.comparing.ranking import leaderboard
from evalkit.comparing.sides import load_sides
from evalkit.errors import EvalkitError, NotComparableError, UsageError
from evalkit.results import MetricValue, Run, Sample, TaskResult
from tests.comparing.examples import group, model_run, task_result, text_result, with_setting
from tests.result_examples import DATASET

ARC = task_result([1.0, 0.0, 1.0])
RUN = model_run("base", {"arc": ARC, "book": text_result([-2.0, -3.0])}, {"all": group("all", {"arc": ARC})})


def saved(folder: Path, name: str = "base.json", run: Run = RUN) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    run.save(folder / name)
    return folder / name


def refused(*sources: Path | str | Run) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_sides(list(sources))
    assert caught.value.hint
    return caught.value


def test_labels_are_the_models_names(tmp_path: Path) -> None:
    other = replace(RUN, model=replace(RUN.model, name="/models/tuned", adapter="out/lora"))
    assert [side.label for side in load_sides([saved(tmp_path), other])] == ["base", "tuned+lora"]


def test_of_one_model_the_files_tell(tmp_path: Path) -> None:
    files = [saved(tmp_path / folder, name) for folder, name in (("a", "x.json"), ("b", "x.json"), ("b", "y.json"))]
    assert [side.label for side in load_sides(files)] == ["a/x", "b/x", "y"]
    assert [side.label for side in load_sides([RUN, RUN, RUN])] == ["base", "base (2)", "base (3)"]


def test_a_folder_with_one_result(tmp_path: Path) -> None:
    path = saved(tmp_path / "run")
    (tmp_path / "run" / "other.json").write_text("{}")
    assert load_sides([tmp_path / "run"])[0].path == path
    saved(tmp_path / "run", "second.json")
    assert "holds 2 results" in refused(tmp_path / "run").message
    (tmp_path / "empty").mkdir()
    assert "holds no result" in refused(tmp_path / "empty").message


def test_slips(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert "is given twice" in refused(path, tmp_path / "." / "base.json").message
    log = tmp_path / "base.samples.parquet"
    log.write_bytes(b"PAR1")
    error = refused(log, path)
    assert "is a sample log" in error.message
    assert "base.json" in (error.hint or "")
    assert "does not exist" in refused(tmp_path / "nothing.json").message


def test_a_file_without_tasks(tmp_path: Path) -> None:
    path = saved(tmp_path, run=replace(RUN, tasks={}, groups={}))
    assert refused(path).message == f"{path} holds no tasks"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("details_arc.parquet", b"PAR1", "details_arc.parquet is neither a result of evalkit nor a log of"),
        ("samples.jsonl", b"", "samples.jsonl is neither a result of evalkit nor a log of"),
        ("list.json", b"[]", "list.json: the content is a list"),
        ("empty.json", b"", "empty.json: the file is not JSON"),
    ],
)
def test_a_file_of_another_kind_is_not_to_be_written_again(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    error = refused(tmp_path / name)
    assert expected in error.message
    assert error.hint is not None
    assert "lighteval" in error.hint
    assert "write it again" not in error.hint


def test_errors_name_files_not_models(tmp_path: Path) -> None:
    arc = saved(tmp_path, "arc.json", model_run("same", {"arc": ARC}))
    boolq = saved(tmp_path, "boolq.json", model_run("same", {"boolq": ARC}))
    with pytest.raises(NotComparableError) as caught:
        compare(arc, boolq)
    assert caught.value.message.startswith(f"{arc} and {boolq} have no task in common")
    with pytest.raises(UsageError, match=r"arc\.json has no task or group foo"):
        leaderboard([arc, boolq], tasks=["foo"])
    with pytest.raises(UsageError, match=r"boolq\.json lacks arc|arc\.json lacks boolq"):
        leaderboard([arc, boolq])


def edited(folder: Path, change: Any) -> str:
    path = saved(folder)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return refused(path).message


def assigned(*place: Any, value: Any) -> Any:
    def change(document: Any) -> None:
        for key in place[:-1]:
            document = document[key]
        document[place[-1]] = value

    return change


EDITS: dict[str, tuple[Any, str]] = {
    "score": (
        assigned("tasks", "arc", "metrics", "acc", "value", value=0.9),
        "base.json: tasks.arc.metrics.acc.value is 0.9, but its samples give 0.666",
    ),
    "perplexity": (
        assigned("tasks", "book", "metrics", "word_perplexity", "value", value=20.0),
        "base.json: tasks.book.metrics.word_perplexity.value is 20.0, but its samples give 35.5",
    ),
    "sample": (
        assigned("tasks", "arc", "samples", 1, "acc", value=1.0),
        "base.json: tasks.arc.metrics.acc.value is 0.666",
    ),
    "n": (assigned("tasks", "arc", "n", value=4), "base.json: tasks.arc.n is 4, but the file holds 3 samples"),
    "outcomes": (
        assigned("tasks", "arc", "outcomes", "right", value=3),
        "base.json: tasks.arc.outcomes.right is 3, but 2 samples have it",
    ),
    "id": (
        assigned("tasks", "arc", "samples", 1, "id", value="0000000000000000"),
        "base.json: tasks.arc.samples holds the id 0000000000000000 twice",
    ),
    "type": (
        assigned("tasks", "arc", "samples", 1, "acc", value="1.0"),
        "base.json: tasks.arc.samples[1].acc is a string, expected a number",
    ),
    "cluster": (
        assigned("tasks", "arc", "samples", 1, "cluster", value=3),
        "base.json: tasks.arc.samples[1].cluster is a whole number, expected a string",
    ),
    "index": (
        assigned("tasks", "arc", "samples", 1, "index", value=True),
        "base.json: tasks.arc.samples[1].index is true or false, expected a whole number",
    ),
    "huge": (assigned("tasks", "arc", "samples", 1, "acc", value=10**400), "samples[1].acc is too large a number"),
    "interval": (
        assigned("tasks", "arc", "metrics", "acc", "ci95", value=[0.1, 0.2]),
        "base.json: tasks.arc.metrics.acc.ci95 is [0.1, 0.2], but the value is 0.666",
    ),
    "interval the wrong way round": (
        assigned("tasks", "arc", "metrics", "acc", "ci95", value=[0.9, 0.1]),
        "base.json: tasks.arc.metrics.acc.ci95 is [0.9, 0.1]",
    ),
    "stderr": (
        assigned("tasks", "arc", "metrics", "acc", "stderr", value=0.01),
        "base.json: tasks.arc.metrics.acc.stderr is 0.01, but its samples give 0.333",
    ),
    "negative stderr": (
        assigned("tasks", "book", "metrics", "word_perplexity", "stderr", value=-1.0),
        "base.json: tasks.book.metrics.word_perplexity.stderr is -1.0",
    ),
    "chance": (
        assigned("tasks", "arc", "metrics", "acc", "chance", value=1.0),
        "base.json: tasks.arc.metrics.acc.chance is 1.0, but the score goes from 0.0 to 1.0",
    ),
    "group": (
        assigned("groups", "all", "metrics", "acc", "ci95", value=[0.1, 0.2]),
        "base.json: groups.all.metrics.acc.ci95 is [0.1, 0.2]",
    ),
    "created": (assigned("created", value="yesterday"), "base.json: created is 'yesterday', which is no ISO 8601 date"),
    "schema": (assigned("schema", value="evalkit.result/9"), "base.json: the schema is evalkit.result/9"),
}


@pytest.mark.parametrize("case", EDITS)
def test_hand_edited_files(tmp_path: Path, case: str) -> None:
    change, expected = EDITS[case]
    assert expected in edited(tmp_path, change)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_truncated_file_is_an_error_that_names_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = saved(tmp_path_factory.mktemp("cut"))
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 3))])
    assert "base.json" in refused(path).message


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document; of lists the first two."""
    keys = (
        list(value) if isinstance(value, dict) else list(range(min(len(value), 2))) if isinstance(value, list) else []
    )
    for key in keys:
        yield (*above, key)
        yield from places(value[key], (*above, key))


STRANGE: list[Any] = [None, True, -1, 0, 1.5, 10**400, "x", "", [], {}, [1], {"a": 1}, "\ud800"]


def test_any_wrong_value_is_an_error_or_a_comparison_never_a_crash(tmp_path: Path) -> None:
    settings = {
        "chat_template": {"used": True},
        "decoding": {"temperature": 0.5, "seed": 1},
        "signatures": {"acc": "x"},
    }
    tasks = {name: with_setting(task, **settings) for name, task in RUN.tasks.items()}
    run = replace(RUN, tasks=tasks, groups={"all": group("all", {"arc": tasks["arc"]})})
    path = saved(tmp_path, run=run)
    text = path.read_text()
    generator = random.Random(0)
    for place in places(json.loads(text)):
        document = json.loads(text)
        assigned(*place, value=generator.choice(STRANGE))(document)
        path.write_text(json.dumps(document))
        try:
            found = compare(path, run, allow=["all"])
        except EvalkitError as error:
            assert error.exit_code in (2, 4), (place, error)  # noqa: PT017
        else:
            assert found.headline()
            assert json.dumps(found.to_json())
            assert found.to_markdown()


@pytest.mark.parametrize("value", [None, "x", [], 10**400, True])
@pytest.mark.parametrize("field", ["log_likelihood", "words"])
def test_what_a_perplexity_is_made_of_must_be_numbers(tmp_path: Path, field: str, value: Any) -> None:
    message = edited(tmp_path, assigned("tasks", "book", "samples", 0, field, value=value))
    assert message.startswith(f"base.json: tasks.book.samples[0].{field} is no number")


def bleu_run(rows: list[Any], value: float) -> Run:
    samples = tuple(
        Sample(f"{place:016x}", place, None, "scored", {"bleu": 1.0}, {"bleu_statistics": row})
        for place, row in enumerate(rows)
    )
    score = MetricValue(value, None, None, True, None, bounds=(0.0, 100.0))
    return model_run("base", {"wmt": TaskResult(1, DATASET, 0, "e" * 64, 2, {"bleu": score}, {"scored": 2}, samples)})


def test_what_a_corpus_score_is_made_of(tmp_path: Path) -> None:
    row = [[10.0, 10.0, 10.0, 9.0, 8.0, 7.0, 10.0, 9.0, 8.0, 7.0]]
    assert load_sides([bleu_run([row, row], 100.0)])
    assert (
        "tasks.wmt.metrics.bleu.value is 50.0, but its samples give 100.0"
        in refused(bleu_run([row, row], 50.0)).message
    )
    for strange in ([row[0][:-1]], [["x"] * 10], "x", [row], [], row * 2):
        message = refused(bleu_run([row, strange], 100.0)).message
        assert "tasks.wmt.samples[1].bleu_statistics is no list of lists of numbers" in message
