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
def test_another_run_starts_anew_and_each_goes_on_with_its_own_answers(tmp_path: Path, other: str) -> None:
    assert other != KEY
    path = tmp_path / "j.journal"
    journal_with(path, [{0: response(-1)}])
    with Journal(path, other, 512) as journal:
        assert journal.answers == {}
        aside = journal.set_aside
        assert aside is not None
        assert aside.is_file()
        journal.add({1: response(-2)}.items(), 512)
    assert found(path) == {0: response(-1)}
    assert not aside.exists()
    assert found(path, other) == {1: response(-2)}


def test_a_run_that_answered_nothing_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "j.journal"
    journal_with(path, [])
    with Journal(path, run_key({"model": "other"}, REQUESTS), 512) as journal:
        assert journal.set_aside is None
    assert [one.name for one in tmp_path.iterdir()] == ["j.journal"]


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
    "damage", ["", "{}", "[1]", "0123456789abcdef {}", '{"budget":1,"answers":[[0]]}', "\x00\x00", "\xff"]
)
def test_lines_that_are_no_journals_are_left_out_and_those_after_them_stay(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j"
    journal_with(path, [{0: response(-1)}, {1: response(-2)}])
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], damage.encode("latin-1"), *lines[2:]]) + b"\n")
    with Journal(path, KEY, 512) as journal:
        assert journal.answers == {0: response(-1), 1: response(-2)}
        assert journal.damaged == 1


@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
@settings(max_examples=200)
def test_a_bit_that_flips_costs_a_line_and_gives_no_other_number(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    batches = [{0: response(-0.5)}, {1: response(-1.5)}, {2: response(-2.5)}]
    journal_with(path, batches)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)
    answers = found(path)
    assert len(answers) >= 1  # two lines where the damage is to the line break between them
    assert all(answers[index] == batches[index][index] for index in answers)
    journal_with(path, [{0: response(-0.5), 1: response(-1.5), 2: response(-2.5)}])
    assert found(path) == {0: response(-0.5), 1: response(-1.5), 2: response(-2.5)}


def test_a_journal_of_this_run_without_a_whole_line_is_set_aside_for_good(tmp_path: Path) -> None:
    path = tmp_path / "base.json.journal"
    journal_with(path, [{0: response(-1)}, {1: response(-2)}])
    path.write_bytes(path.read_bytes().replace(b"[", b"[ ").replace(b"evalkit.journal", b"evalkit.journai"))
    with Journal(path, KEY, 512) as journal:
        assert journal.answers == {}
        assert journal.set_aside is not None
        journal.add({0: response(-1)}.items(), 512)
    assert found(path) == {0: response(-1)}


def test_nobody_else_can_open_it(tmp_path: Path) -> None:
    path = tmp_path / "base.json.journal"
    with Journal(path, KEY, 512) as journal:
        journal.add({0: response(-1)}.items(), 512)
        for key in (KEY, run_key({"model": "other"}, REQUESTS)):
            with pytest.raises(OutputError, match=r"another process is writing base\.json"):
                Journal(path, key, 512)
        journal.add({1: response(-2)}.items(), 512)
    assert found(path) == {0: response(-1), 1: response(-2)}


def test_other_machines_that_had_a_part_in_it_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for number, machine in enumerate(["a", "b", "b", "a"]):
        with Journal(path, KEY, 512) as journal:
            journal.begin({"processor": machine})
            journal.add({number: response(-1)}.items(), 512)
            others = {1: [{"processor": "a"}], 2: [{"processor": "a"}], 3: [{"processor": "b"}]}
            assert journal.environments == others.get(number, [])


def test_every_line_is_on_the_disk_before_the_next_batch(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, KEY, 2048) as journal:
        journal.add({0: response(-1)}.items(), 2048)
        assert json.loads(path.read_text().splitlines()[-1].partition(" ")[2])["answers"][0][0] == 0


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
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "missing" / "j", KEY, 1)
