import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import OutputError
from evalkit.requests import Response, Roll, Score
from evalkit.runner.journal import Journal, run_key

REQUESTS = [Score("a", " b"), Roll("text")]
KEY = run_key({"model": "m"}, REQUESTS)


def response(value: float) -> Response:
    return Response(value, True, (value / 3, value * 2 / 3), 4, 1)


def journal_with(path: Path, batches: list[dict[int, Response]]) -> None:
    with Journal(path, KEY, 2048) as journal:
        for batch in batches:
            journal.add(batch.items(), 1024)


def found(path: Path, key: str = KEY) -> dict[int, Response]:
    with Journal(path, key, 512) as journal:
        assert journal.resumed == len(journal.answers)
        return journal.answers


def test_the_same_run_finds_its_answers_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal_with(path, [{0: response(-0.1)}, {1: response(-1e-17), 2: response(-7.123456789012345)}])
    assert found(path) == {0: response(-0.1), 1: response(-1e-17), 2: response(-7.123456789012345)}
    with Journal(path, KEY, 2048) as again:
        assert again.budget == 1024


@pytest.mark.parametrize(
    "other",
    [
        run_key({"model": "other"}, REQUESTS),
        run_key({"model": "m"}, REQUESTS[:1]),
        run_key({"model": "m"}, [Score("a", " c"), Roll("text")]),
        run_key({"model": "m"}, [Score("a b", ""), Roll("text")]),
    ],
)
def test_another_run_starts_anew(tmp_path: Path, other: str) -> None:
    assert other != KEY
    path = tmp_path / "j"
    journal_with(path, [{0: response(-1)}])
    assert found(path, other) == {}
    assert found(path) == {}


@given(cut=st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_a_journal_cut_anywhere_keeps_every_whole_batch(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    batches = [{0: response(-0.5)}, {1: response(-1.5)}, {2: response(-2.5)}]
    journal_with(path, batches)
    content = path.read_bytes()[:cut]
    whole_lines = content.count(b"\n")
    path.write_bytes(content)
    with Journal(path, KEY, 2048) as journal:
        assert set(journal.answers) == set(range(max(0, whole_lines - 1)))
        journal.add({9: response(-9)}.items(), 2048)
    assert set(found(path)) == {*range(max(0, whole_lines - 1)), 9}


@pytest.mark.parametrize(
    "damage", ["{}", "[1]", '{"budget":1,"answers":[[0]]}', "\x00\x00", '{"budget":1,"answers":{"0":1}}']
)
def test_what_follows_a_damaged_line_is_computed_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j"
    journal_with(path, [{0: response(-1)}, {1: response(-2)}])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], damage, *lines[2:]]) + "\n")
    assert set(found(path)) == {0}


def test_every_line_is_on_the_disk_before_the_next_batch(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, KEY, 2048) as journal:
        journal.add({0: response(-1)}.items(), 2048)
        assert json.loads(path.read_text().splitlines()[-1])["answers"][0][0] == 0


def test_without_a_path_nothing_is_written_and_a_removed_journal_is_gone(tmp_path: Path) -> None:
    with Journal(None, KEY, 64) as journal:
        journal.add({0: response(-1)}.items(), 64)
        assert journal.answers == {0: response(-1)}
        journal.remove()
    path = tmp_path / "j"
    with Journal(path, KEY, 64) as journal:
        journal.remove()
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the journal"):
        Journal(tmp_path / "missing" / "j", KEY, 1)
