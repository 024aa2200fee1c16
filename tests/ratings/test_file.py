from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.errors import NotComparableError, OutputError, UsageError
from evalkit.ratings.file import RatingLog, merge, read_ratings, write_ratings
from evalkit.ratings.model import RatedRun, RatedTask, Rating, Ratings

TASKS = {"questions": RatedTask(5, "p" * 64, "o" * 64)}
BASE = RatedRun("alpha", None, "a" * 64, TASKS)
TUNED = RatedRun("omega", "adapter", "b" * 64, TASKS)
CHOICE = Rating(
    rater="ann", mode="choice", task="questions", document="00", choice="tuned", left="base", seconds=3.5, time="t1"
)
SCORES = {side: {"fluency": 5, "coherence": 4, "relevance": 1} for side in ("base", "tuned")}
SCORE = Rating(
    rater="小明", mode="score", task="questions", document="01", cluster="c", scores=SCORES, reference=True, time="t2"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "ratings.jsonl"


def test_what_was_said_is_read_back(path: Path) -> None:
    with RatingLog(path, BASE, TUNED) as log:
        log.add([CHOICE])
        assert read_ratings(path).ratings == (CHOICE,)  # while the session goes on
        log.add([SCORE])
    assert read_ratings(path) == Ratings(BASE, TUNED, (CHOICE, SCORE))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["schema"] == "evalkit.ratings/1"
    assert lines[0]["runs"]["tuned"]["tasks"]["questions"]["outputs_sha256"] == "o" * 64
    assert set(lines[1]) == {"rater", "mode", "task", "document", "choice", "left", "seconds", "time"}


def test_a_later_session_goes_on(path: Path) -> None:
    with RatingLog(path, BASE, TUNED) as log:
        log.add([CHOICE])
    with RatingLog(path, BASE, TUNED) as log:
        assert log.ratings.ratings == (CHOICE,)
        log.add([SCORE])
    assert read_ratings(path).ratings == (CHOICE, SCORE)


@pytest.mark.parametrize("torn", [1, 20, 100])
def test_a_torn_last_line_is_left_out(path: Path, torn: int) -> None:
    with RatingLog(path, BASE, TUNED) as log:
        log.add([CHOICE])
        log.add([SCORE])
    content = path.read_bytes()
    whole = content[: content.rindex(b"\n", 0, -1) + 1]
    path.write_bytes(content[: len(whole) + torn])
    assert read_ratings(path).ratings == (CHOICE,)
    with RatingLog(path, BASE, TUNED) as log:
        log.add([SCORE])
    assert path.read_bytes() == content


def test_a_last_line_that_lacks_only_its_end_counts(path: Path) -> None:
    with RatingLog(path, BASE, TUNED) as log:
        log.add([CHOICE])
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with RatingLog(path, BASE, TUNED) as log:
        assert log.ratings.ratings == (CHOICE,)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"\n", b'{"schema": "eva', b'{"schema": "evalkit.ratings/1", "runs": {'])
def test_a_file_torn_within_its_header_begins_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with RatingLog(path, BASE, TUNED) as log:
        log.add([CHOICE])
    assert read_ratings(path).ratings == (CHOICE,)


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b'{"rater": "ann"}\n', b'{"schema": "other/1"}\n'])
def test_no_other_file_is_overwritten(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"ratings\.jsonl line 1"):
        RatingLog(path, BASE, TUNED)
    assert path.read_bytes() == content


def test_ratings_of_other_runs_are_refused(path: Path) -> None:
    with RatingLog(path, BASE, TUNED):
        pass
    other = replace(TUNED, tasks={"questions": replace(TASKS["questions"], outputs_sha256="x")})
    with pytest.raises(UsageError, match=r"holds ratings of other runs: texts of questions"):
        RatingLog(path, BASE, other)
    with pytest.raises(UsageError, match="weights of alpha and omega"):
        RatingLog(path, TUNED, BASE)
    with pytest.raises(UsageError, match="one run in one of them"):
        RatingLog(path, BASE, None)


def test_two_sessions_at_once_are_refused(path: Path) -> None:
    with RatingLog(path, BASE, TUNED), pytest.raises(OutputError, match="open in another session"):
        RatingLog(path, BASE, TUNED)


def test_an_unwritable_place_is_known_before_any_rating(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        RatingLog(tmp_path, BASE, TUNED)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        RatingLog(tmp_path / "file" / "ratings.jsonl", BASE, TUNED)


def test_the_last_word_counts_and_replacements_are_counted(path: Path) -> None:
    with RatingLog(path, BASE, TUNED) as log:
        log.add([CHOICE, replace(CHOICE, choice="base", time="t3")])
        log.add([SCORE, replace(SCORE, scores=None, withdrawn=True)])
        log.add([replace(CHOICE, rater="bob")])
    found = read_ratings(path)
    assert [(one.rater, one.choice) for one in found.ratings] == [("ann", "base"), ("bob", "tuned")]
    assert found.replaced == 1


def test_what_was_taken_back_and_given_again_is_no_replacement(path: Path) -> None:
    with RatingLog(path, BASE, TUNED) as log:
        log.add([CHOICE, replace(CHOICE, choice=None, withdrawn=True), replace(CHOICE, choice="tie")])
    found = read_ratings(path)
    assert [one.choice for one in found.ratings] == ["tie"]
    assert found.replaced == 0


def test_raters_merge(tmp_path: Path) -> None:
    ann = Ratings(BASE, TUNED, (replace(CHOICE, time="t5"), SCORE))
    bob = Ratings(BASE, TUNED, (replace(CHOICE, rater="bob"), replace(CHOICE, choice="base", time="t4")), replaced=2)
    merged = merge([ann, bob], ["ann.jsonl", "bob.jsonl"])
    # ann's rating in bob's file is the older one
    assert {(one.rater, one.mode, one.choice) for one in merged.ratings} == {
        ("ann", "choice", "tuned"),
        ("bob", "choice", "tuned"),
        ("小明", "score", None),
    }
    assert merged.replaced == 3
    write_ratings(merged, tmp_path / "all.jsonl")
    assert read_ratings(tmp_path / "all.jsonl") == replace(merged, replaced=0)
    # a file merged with its own copy says nothing new
    assert merge([ann, ann], ["a", "b"]).replaced == 0


def test_other_runs_do_not_merge() -> None:
    other = Ratings(BASE, replace(TUNED, weights_sha256="c"), ())
    with pytest.raises(NotComparableError, match="a and b rate different runs: weights of omega and omega"):
        merge([Ratings(BASE, TUNED, ()), other], ["a", "b"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"rater": "ann"}', "line 2: mode is missing"),
        ("[]", "line 2: the content is a list"),
        ("not json\n{}", "line 2: the file is not JSON"),
        (
            '{"rater": "a", "mode": "choice", "task": "t", "document": "d", "seconds": 1, "time": ""}',
            "choice is missing",
        ),
        (
            '{"rater": "a", "mode": "choice", "task": "t", "document": "d", "seconds": 1, "time": "", "choice": "omega"}',
            "choice is 'omega', expected one of base, tuned, tie, both_bad",
        ),
        (
            '{"rater": "a", "mode": "score", "task": "t", "document": "d", "seconds": 1, "time": "", '
            '"scores": {"base": {"fluency": 6, "coherence": 1, "relevance": 1}}}',
            "scores.base.fluency is not between 1 and 5",
        ),
    ],
)
def test_damaged_lines_are_named(path: Path, line: str, words: str) -> None:
    with RatingLog(path, BASE, TUNED):
        pass
    with path.open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UsageError, match=r"ratings\.jsonl line 2") as caught:
        read_ratings(path)
    assert words in caught.value.message


def test_a_newer_schema_asks_for_a_newer_evalkit(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"schema": "evalkit.ratings/2"}\n')
    with pytest.raises(UsageError, match=r"this version of evalkit reads evalkit.ratings/1"):
        read_ratings(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_ratings(path.with_name("missing.jsonl"))
