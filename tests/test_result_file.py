from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import OutputError, UsageError
from evalkit.results import MetricValue, Run, Sample
from tests.result_examples import group, run, task_result, text_result

TASKS = {"arc_easy": task_result([1, 0, 1]), "wikitext": text_result([-3.1, -2.9])}
RUN = run(TASKS, {"arc": group("arc", {"arc_easy": TASKS["arc_easy"]})})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    RUN.save(tmp_path / "base.json")
    return tmp_path / "base.json"


def rewritten(path: Path, change: Any) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_round_trip_is_exact(saved: Path) -> None:
    loaded = Run.load(saved)
    assert loaded == RUN
    assert loaded.tasks["arc_easy"].samples[0].fields["margin"] == 0.1 + 0.2  # 0.30000000000000004
    again = saved.with_name("again.json")
    loaded.save(again)
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("field", ["tasks", "groups", "tasks.wikitext.metrics", "groups.arc.metrics"])
def test_an_empty_name_is_refused(saved: Path, field: str, name: str) -> None:
    def change(document: Any) -> None:
        node = document
        for key in field.split("."):
            node = node[key]
        node[name] = next(iter(node.values()))

    with pytest.raises(UsageError, match=re.escape(f"base.json: {field} holds an empty name")):
        Run.load(rewritten(saved, change))


def test_the_documented_layout(saved: Path) -> None:
    document = json.loads(saved.read_text())
    assert list(document) == [
        *("schema", "created", "evalkit_version", "model", "settings", "environment", "tasks", "groups", "timing"),
    ]
    assert document["schema"] == "evalkit.result/1"
    task = document["tasks"]["arc_easy"]
    assert list(task) == ["version", "dataset", "shots", "prompt_sha256", "n", "metrics", "outcomes", "samples"]
    assert list(task["metrics"]["acc"]) == ["value", "stderr", "ci95", "higher_is_better", "chance"]
    observed = {"picked": 1, "gold": 0, "choices": 4, "margin": 0.30000000000000004}
    flat = {"id": "0000000000000001", "index": 1, "cluster": None, "acc": 0.0, "outcome": "wrong"} | observed
    assert list(task["samples"][1].items()) == list(flat.items())
    assert document["groups"]["arc"]["metrics"]["acc"]["weighting"] == "tasks"


def test_a_sample_a_line(saved: Path) -> None:
    lines = saved.read_text().splitlines()
    assert sum('"id": "000000000000000' in line for line in lines) == 5
    assert all(json.loads(line.rstrip(",")) for line in lines if line.strip().startswith('{"id"'))


def test_insertion_order_of_free_mappings_does_not_matter(tmp_path: Path) -> None:
    one, other = (
        replace(RUN, settings={"a": 1, "b": {"c": 2, "d": 3}}),
        replace(RUN, settings={"b": {"d": 3, "c": 2}, "a": 1}),
    )
    one.save(tmp_path / "one.json")
    other.save(tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(value=finite, name=st.text(min_size=1), extra=st.dictionaries(st.text(), json_values, max_size=3))
def test_any_run_survives(tmp_path_factory: pytest.TempPathFactory, value: float, name: str, extra: Any) -> None:
    scored = Sample("id", 3, "clüster \u2028", "scored", {"mc2": value}, {"picked": [1, 2]})
    metrics = {"mc2": MetricValue(value, None, (value, value), False, None)}
    task = replace(TASKS["arc_easy"], samples=(scored,), metrics=metrics)
    original = replace(run({name: task}), settings=extra, environment=extra, timing=extra)
    path = tmp_path_factory.mktemp("run") / "run.json"
    original.save(path)
    assert Run.load(path) == original


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    original = replace(RUN, settings={"system": "broken \ud83d"})
    original.save(tmp_path / "run.json")
    assert Run.load(tmp_path / "run.json") == original


def test_30000_samples_stay_under_10_megabytes(tmp_path: Path) -> None:
    run({"hellaswag": task_result([i % 3 == 0 for i in range(30_000)])}).save(tmp_path / "large.json")
    assert (tmp_path / "large.json").stat().st_size < 10_000_000
    assert len(Run.load(tmp_path / "large.json").tasks["hellaswag"].samples) == 30_000


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_is_never_written_and_the_old_file_stays(saved: Path, bad: float) -> None:
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        replace(RUN, timing={"total_seconds": bad}).save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["base.json"]


@pytest.mark.parametrize("fields", [{"acc": 1}, {"id": "x"}, {"cluster": 1}])
def test_a_field_cannot_hide_another(tmp_path: Path, fields: dict[str, Any]) -> None:
    clash = Sample("abc", 0, None, "right", {"acc": 1.0}, fields)
    with pytest.raises(ValueError, match=r"sample abc: .*name used twice"):
        run({"t": replace(TASKS["arc_easy"], samples=(clash,))}).save(tmp_path / "run.json")


def set_field(path: str, value: Any) -> Any:
    def change(document: Any) -> None:
        *parents, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
        for parent in parents:
            document = document[parent]
        document[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tasks/arc_easy/n", "12", "base.json: tasks.arc_easy.n is a string, expected a whole number"),
        ("tasks/arc_easy/n", True, "base.json: tasks.arc_easy.n is true or false, expected a whole number"),
        ("tasks/arc_easy/n", None, "base.json: tasks.arc_easy.n is null, expected a whole number"),
        ("tasks", [], "base.json: tasks is a list, expected an object"),
        ("model/name", 5, "base.json: model.name is a whole number, expected a string"),
        (
            "tasks/arc_easy/metrics/acc/ci95",
            [1],
            "base.json: tasks.arc_easy.metrics.acc.ci95 has 1 elements, expected 2",
        ),
        (
            "tasks/arc_easy/samples/1/acc",
            "x",
            "base.json: tasks.arc_easy.samples[1].acc is a string, expected a number",
        ),
        ("groups/arc/tasks", ["gone"], "base.json: groups.arc.tasks holds gone, which is not in the file"),
        ("groups/arc/tasks", ["arc"], "base.json: groups.arc.tasks holds arc, which is the group itself or holds it"),
        ("groups/arc/metrics", {}, "base.json: groups.arc.metrics has no weighting, or several"),
        ("schema", "evalkit.result/2", "base.json: the schema is evalkit.result/2, this version of evalkit reads"),
        ("schema", "other", "base.json: the schema is 'other', expected evalkit.result/1"),
    ],
)
def test_a_wrong_field_is_named(saved: Path, path: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match="^" + re.escape(message)) as caught:
        Run.load(rewritten(saved, set_field(path, value)))
    assert caught.value.hint


def test_a_missing_field_is_named(saved: Path) -> None:
    with pytest.raises(UsageError, match=r"^base.json: tasks.wikitext.dataset.sha256 is missing$"):
        Run.load(rewritten(saved, lambda document: document["tasks"]["wikitext"]["dataset"].pop("sha256")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is not JSON"),
        (b'{"schema": "evalkit.result/1", "created": ', r"the file is not JSON: .* \(line 1, column 43\)"),
        (b"\xff\xfe{}", "the file is not UTF-8 text"),
        (b'{"schema": NaN}', "holds NaN, which is not a JSON number"),
        (b'{"schema": 1e999}', "holds 1e999, which is not a JSON number"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "the content is a list, expected an object"),
        (b"{}", "schema is missing"),
    ],
)
def test_what_is_no_result_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UsageError, match=f"^x.json: .*{message}|^x.json: {message}"):
        Run.load(tmp_path / "x.json")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.json cannot be read: No such file"):
        Run.load(tmp_path / "none.json")


def test_a_byte_order_mark_is_no_error(saved: Path) -> None:
    saved.write_bytes(b"\xef\xbb\xbf" + saved.read_bytes())
    assert Run.load(saved) == RUN


def test_a_directory_is_no_place_for_a_result(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory"):
        RUN.save(tmp_path)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0), (0.0, 100.0), (0.0, math.inf), (-math.inf, 1.0)])
def test_the_range_of_a_metric_survives(tmp_path: Path, bounds: tuple[float, float] | None) -> None:
    scores = {"acc": MetricValue(0.5, None, None, True, None, bounds=bounds)}
    original = run({"quiz": replace(task_result([1, 0]), metrics=scores)})
    original.save(tmp_path / "run.json")
    assert Run.load(tmp_path / "run.json") == original
    assert ('"bounds"' in (tmp_path / "run.json").read_text()) == (bounds is not None)
