"""Whatever the bytes of a file are, reading it gives a run or an error of evalkit's: never another exception."""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.comparing.foreign import read_foreign
from evalkit.errors import EvalkitError, UsageError
from evalkit.result_file import read_run, write_run
from evalkit.results import Run
from tests.comparing.foreign.lighteval_files import lay_out, results_of

LOGS = Path(__file__).parent
RUN = (LOGS / "lm_eval" / "evalkit.json").read_bytes()
INSPECT = (LOGS / "inspect" / "numbers.eval").read_bytes()
LETTERS = (LOGS / "inspect" / "letters.eval").read_bytes()

COUNT = int(os.environ.get("EVALKIT_FUZZ", "0"))
"""Examples of each test: the same few every time, unless more are asked for, which are then drawn anew."""

many = settings(
    max_examples=COUNT or 15,
    derandomize=not COUNT,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.sampled_from([0, 1, -1, 2**70, 10**310])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "C", "N", "nan", "-1", "1e999", "[invalid]", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def survives(read: Callable[[], Any]) -> Any:
    """What the reader gives; None where it says in a sentence what is wrong."""
    try:
        return read()
    except EvalkitError as error:
        said = error.message
    assert said
    assert "Traceback" not in said
    return None


def mutated(document: Any, data: st.DataObject) -> Any:
    """The document with one to three values replaced, removed or added, anywhere in it."""
    changed = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        holder = changed
        while True:
            if not isinstance(holder, dict | list) or not holder:
                break
            keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = data.draw(st.sampled_from(keys))
            inner = holder[key]
            if isinstance(inner, dict | list) and inner and data.draw(st.integers(0, 5)):
                holder = inner
                continue
            how = data.draw(st.sampled_from(["replace", "replace", "remove", "add"]))
            if how == "replace":
                holder[key] = data.draw(JSON)
            elif how == "remove":
                del holder[key]
            elif isinstance(holder, dict):
                holder[data.draw(st.text(max_size=4))] = data.draw(JSON)
            else:
                holder.append(data.draw(JSON | st.just(inner)))
            break
    return changed


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """The bytes with some changed, or the end cut off."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed[: data.draw(st.just(len(changed)) | st.integers(0, len(changed)))])


# --- any bytes


@many
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.json", "a.eval", "results_x.json", "a.parquet"]))
def test_any_bytes(content: bytes, name: str) -> None:
    with folder() as place:
        (place / name).write_bytes(content)
        survives(lambda: read_foreign(place / name))
        survives(lambda: read_run(place / name))


@many
@given(document=JSON, name=st.sampled_from(["a.json", "samples_a_2026-01-01T00-00-00.1.jsonl"]))
def test_any_json(document: Any, name: str) -> None:
    with folder() as place:
        (place / name).write_text(json.dumps(document))
        (place / "results_2026-01-01T00-00-00.1.json").write_text(json.dumps(document))
        survives(lambda: read_foreign(place / name))
        survives(lambda: read_foreign(place))
        survives(lambda: read_run(place / name))


# --- evalkit's own result file


@many
@given(data=st.data())
def test_a_result_file_with_values_changed(data: st.DataObject) -> None:
    with folder() as place:
        (place / "run.json").write_text(json.dumps(mutated(json.loads(RUN), data)))
        run = survives(lambda: read_run(place / "run.json"))
        if run is not None:
            _can_be_written(run, place)


@many
@given(data=st.data())
def test_a_result_file_with_bytes_changed(data: st.DataObject) -> None:
    with folder() as place:
        (place / "run.json").write_bytes(damaged(RUN, data))
        survives(lambda: read_run(place / "run.json"))


def _can_be_written(run: Run, place: Path) -> None:
    write_run(run, place / "again.json")
    assert read_run(place / "again.json") == run


# --- lm-eval


@many
@given(data=st.data())
def test_an_lm_eval_log_with_values_changed(data: st.DataObject) -> None:
    with folder() as place:
        log = Path(shutil.copytree(LOGS / "lm_eval" / "tiny", place / "tiny"))
        file = data.draw(st.sampled_from(sorted(log.iterdir())))
        if file.suffix == ".json":
            file.write_text(json.dumps(mutated(json.loads(file.read_text()), data)))
        else:
            lines = mutated([json.loads(line) for line in file.read_text().splitlines()], data)
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        found = survives(lambda: read_foreign(log))
        if found is not None:
            survives(lambda: write_run(found[0], place / "again.json"))


@many
@given(data=st.data())
def test_an_lm_eval_log_with_bytes_changed(data: st.DataObject) -> None:
    with folder() as place:
        log = Path(shutil.copytree(LOGS / "lm_eval" / "tiny", place / "tiny"))
        file = data.draw(st.sampled_from(sorted(log.iterdir())))
        file.write_bytes(damaged(file.read_bytes(), data))
        survives(lambda: read_foreign(log))


# --- Inspect


@many
@given(data=st.data())
def test_an_inspect_log_with_values_changed(data: st.DataObject) -> None:
    with folder() as place:
        (place / "log.eval").write_bytes(INSPECT)
        with zipfile.ZipFile(place / "log.eval") as archive:
            members = {name: json.loads(archive.read(name)) for name in archive.namelist()}
        chosen = data.draw(st.sampled_from(["header.json", *members]))
        members[chosen] = mutated(members[chosen], data)
        with zipfile.ZipFile(place / "log.eval", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, json.dumps(content))
        found = survives(lambda: read_foreign(place / "log.eval"))
        if found is not None:
            survives(lambda: write_run(found[0], place / "again.json"))


@many
@given(data=st.data(), content=st.sampled_from([INSPECT, LETTERS]))
def test_an_inspect_log_with_bytes_changed(data: st.DataObject, content: bytes) -> None:
    with folder() as place:
        (place / "log.eval").write_bytes(damaged(content, data))
        survives(lambda: read_foreign(place / "log.eval"))


# --- lighteval


@many
@given(data=st.data(), name=st.sampled_from(["results", "legs"]), whole=st.booleans())
def test_a_lighteval_log_changed(data: st.DataObject, name: str, whole: bool) -> None:
    with folder() as place:
        log = lay_out(place / "out")
        file = results_of(log) if name == "results" else next(log.glob("details/dummy/*/details_legs|0*"))
        if name == "results" and whole:
            file.write_text(json.dumps(mutated(json.loads(file.read_text()), data)))
        else:
            file.write_bytes(damaged(file.read_bytes(), data))
        found = survives(lambda: read_foreign(log))
        if found is not None:
            survives(lambda: write_run(found[0], place / "again.json"))


def test_the_files_are_read_as_they_are() -> None:
    """Otherwise all of the above would only ever see errors."""
    with folder() as place:
        (place / "run.json").write_bytes(RUN)
        _can_be_written(read_run(place / "run.json"), place)
    assert read_foreign(LOGS / "lm_eval" / "tiny") is not None
    assert read_foreign(LOGS / "inspect") is not None


def test_an_error_that_is_none_of_evalkits_would_be_seen() -> None:
    def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        survives(broken)
    assert survives(lambda: (_ for _ in ()).throw(UsageError("no"))) is None
