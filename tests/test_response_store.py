"""The store of answers: what comes back is what was put there, or nothing."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.requests import Completion, Failure, Generation, Reply, Response
from evalkit.response_store import ResponseStore, Scope, Shelf

ONE, OTHER = Scope("a" * 64, {"model": "base"}), Scope("b" * 64, {"model": "tuned"})
SCORE = Response(-7.123456789012345, True, (-0.1, -1e-17), 4, 1)
TEXT = Generation((Completion("so 4\u2028\ud800", "stop", 3, (1, 2, 3), -0.25, None),), 12, 0)


def item(number: int) -> bytes:
    return number.to_bytes(4, "big")


def filled(path: Path, count: int = 2000) -> dict[bytes, Reply]:
    answers: dict[bytes, Reply] = {item(n): Response(-float(n), False, (-float(n),), n) for n in range(count)}
    with ResponseStore(path) as store:
        store.put(ONE, answers.items())
    return answers


def test_an_answer_comes_back_bit_for_bit_and_only_in_its_own_scope(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "s") as store:
        store.put(ONE, [(item(1), SCORE), (item(2), TEXT), (item(3), Failure("none"))])
        assert store.get(ONE, [item(n) for n in (1, 2, 3, 4)]) == {item(1): SCORE, item(2): TEXT}
        assert store.get(OTHER, [item(1)]) == {}
    with ResponseStore(tmp_path / "s") as again:
        assert again.get(ONE, [item(2)]) == {item(2): TEXT}


def test_many_at_once(tmp_path: Path) -> None:
    answers = filled(tmp_path / "s")
    with ResponseStore(tmp_path / "s") as store:
        assert store.get(ONE, [*answers, item(10**6)]) == answers


@given(damage=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=40))
@settings(max_examples=25)
def test_a_damaged_file_gives_right_answers_or_none(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "s"
    answers = filled(path, 200)
    content = bytearray(path.read_bytes())
    for place, byte in damage:
        content[place % len(content)] = byte
    path.write_bytes(content)
    shelf = Shelf(ONE, path)
    found = shelf.get(list(answers))
    shelf.put([(item(10**6), SCORE)])
    shelf.close()
    assert all(answers[one] == reply for one, reply in found.items())


@pytest.mark.parametrize("content", [b"", b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_store_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)
    for _ in range(2):
        shelf = Shelf(ONE, path)
        shelf.put([(item(1), SCORE)])
        shelf.close()
    shelf = Shelf(ONE, path)
    assert shelf.get([item(1)]) == {item(1): SCORE}
    shelf.close()
    assert len(caplog.records) == (1 if content else 0)
    if content:
        assert "moved to s.damaged" in caplog.text
        assert path.with_name("s.damaged").read_bytes() == content


def test_a_store_that_cannot_be_used_is_a_warning_and_no_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    shelf = Shelf(ONE, tmp_path / "file" / "s")
    assert shelf.get([item(1)]) == {}
    shelf.put([(item(1), SCORE)])
    shelf.close()
    assert "the run goes on without it" in caplog.text
    assert len(caplog.records) == 1


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 7")
    connection.close()
    shelf = Shelf(ONE, path)
    assert shelf.get([item(1)]) == {}
    shelf.close()
    assert "its format is 7" in caplog.text
    assert path.exists()


def test_pruning_removes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "s") as store:
        scopes = [Scope(letter * 64, {"model": letter}) for letter in "abc"]
        for scope in scopes:
            store.put(scope, [(item(n), SCORE) for n in range(1000)])
        store.get(scopes[0], [item(1)])
        size = store.holdings()[0].size
        before = store.size()
        assert [one.key[0] for one in store.prune(largest=2 * size)] == ["b"]
        assert [one.key[0] for one in store.holdings()] == ["a", "c"]
        assert store.size() < before
        assert store.prune(unused_since=0.0) == []
        assert [one.key[0] for one in store.prune(unused_since=2.0**40)] == ["a", "c"]
        assert store.get(scopes[0], [item(1)]) == {}


def write(path: Path, number: int) -> None:
    for start in range(0, 200, 10):
        shelf = Shelf(ONE, path)
        shelf.put([(item(1000 * number + n), SCORE) for n in range(start, start + 10)])
        shelf.close()


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with ResponseStore(path) as store:
        assert store.holdings()[0].answers == 600
