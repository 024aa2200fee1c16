from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from evalkit.errors import OutputError
from evalkit.ratings.items import Output, RatingItem
from evalkit.ratings.model import Rating
from evalkit.ratings.session import Session, readable


def item(number: int, tuned: str | None = "omega says", base: str = "alpha says") -> RatingItem:
    outputs = {"base": Output(f"{base} {number}", "stop")}
    if tuned is not None:
        outputs["tuned"] = Output(f"{tuned} {number}", "length")
    return RatingItem(
        "task", f"{number:02x}", None, f"question {number}", f"few shots\nquestion {number}", "42", outputs
    )  # type: ignore[arg-type]


ITEMS = [item(number) for number in range(20)]


def session(items: list[RatingItem] = ITEMS, rater: str = "ann", mode: Any = "choice", **options: Any) -> Session:
    saved = options.pop("saved", [])
    return Session(items, rater, mode, saved.extend, **options)


def place_of(one: Session) -> int:
    assert one.position is not None
    return one.position


def choose(one: Session, choice: str) -> None:
    one.rate(place_of(one), {"choice": choice}, 2.0)


def test_a_choice_is_mapped_back_to_the_model() -> None:
    saved: list[Rating] = []
    one = session(saved=saved)
    for _ in ITEMS:
        choose(one, "left" if "omega" in one.view()["item"]["answers"][0]["text"] else "right")
    assert {rating.choice for rating in saved} == {"tuned"}
    assert all((rating.left == "tuned") == (rating.left != "base") for rating in saved)
    assert {rating.left for rating in saved} == {"base", "tuned"}
    assert one.view()["item"] is None
    assert one.rated == 20


def test_ties_and_neither_stay_what_they_are() -> None:
    saved: list[Rating] = []
    one = session(saved=saved)
    choose(one, "tie")
    choose(one, "both_bad")
    assert [rating.choice for rating in saved] == ["tie", "both_bad"]


def lefts(one: Session) -> dict[str, bool]:
    found = {}
    for place, asked in enumerate(one.asked):
        one.position = place
        found[asked.document] = "omega" in one.view()["item"]["answers"][0]["text"]
    return found


def test_sides_are_drawn_by_seed_document_and_rater() -> None:
    many = [item(number) for number in range(400)]
    sides = lefts(session(many))
    assert lefts(session(many)) == sides
    assert lefts(session(many[::-1])) == sides
    for other in (session(many, rater="bob"), session(many, seed=1)):
        assert Counter(sides[document] == side for document, side in lefts(other).items())[True] == pytest.approx(
            200, abs=50
        )
    assert sum(sides.values()) == pytest.approx(200, abs=50)


def test_all_raters_are_asked_the_same_in_the_same_order() -> None:
    def order(one: Session) -> list[str]:
        return [asked.document for asked in one.asked]

    assert order(session()) == order(session(ITEMS[::-1], rater="bob"))
    assert order(session(seed=1)) != order(session())
    assert order(session(limit=7)) == order(session())[:7]


def test_nothing_in_a_view_names_a_model() -> None:
    one = session([item(1, "an answer", "another")])
    text = json.dumps(one.view())
    for word in ("base", "tuned"):
        assert word not in text


def test_identical_answers_are_ties_that_nobody_is_asked_about() -> None:
    same = [item(number, "alpha says") for number in range(100, 160)]
    saved: list[Rating] = []
    one = session([*ITEMS, *same], saved=saved)
    assert (len(one.asked), one.identical) == (20, 60)
    for _ in range(5):
        choose(one, "left")
    passed = [rating for rating in saved if rating.identical]
    # as many as lie among the first five of the order, about three times as many, not all
    assert 3 <= len(passed) <= 35
    for _ in range(15):
        choose(one, "left")
    ties = [rating for rating in saved if rating.identical]
    assert len(ties) == len({rating.document for rating in ties}) == 60
    assert {(rating.choice, rating.left) for rating in ties} == {("tie", None)}
    again = session([*ITEMS, *same], saved=saved, earlier=list(saved))
    assert again.rated == 20
    assert len(saved) == 80


def test_only_identical_answers_leave_nothing_to_ask() -> None:
    saved: list[Rating] = []
    one = session([item(number, "alpha says") for number in range(3)], saved=saved)
    assert one.view()["item"] is None
    assert [rating.choice for rating in saved] == ["tie"] * 3


def scores(*numbers: int) -> dict[str, int]:
    return dict(zip(("fluency", "coherence", "relevance"), numbers, strict=True))


def test_scores_are_mapped_back_to_the_model() -> None:
    saved: list[Rating] = []
    one = session(saved=saved, mode="score")
    for _ in ITEMS:
        tuned_left = "omega" in one.view()["item"]["answers"][0]["text"]
        given = [scores(5, 4, 3), scores(1, 2, 1)]
        one.rate(place_of(one), {"scores": given if tuned_left else given[::-1]}, 1)
    for rating in saved:
        assert rating.scores == {"base": scores(1, 2, 1), "tuned": scores(5, 4, 3)}


def test_identical_answers_are_scored_once_for_both() -> None:
    saved: list[Rating] = []
    one = session([item(1, "alpha says")], saved=saved, mode="score")
    assert len(one.view()["item"]["answers"]) == 1
    one.rate(0, {"scores": [scores(1, 2, 3)]}, 1)
    assert saved[0].scores == {"base": scores(1, 2, 3), "tuned": scores(1, 2, 3)}
    assert (saved[0].identical, saved[0].left) == (True, None)


def test_one_model_alone_is_scored() -> None:
    saved: list[Rating] = []
    one = session([item(1, None)], saved=saved, mode="score")
    one.rate(0, {"scores": [scores(1, 2, 3)]}, 1)
    assert saved[0].scores == {"base": scores(1, 2, 3)}


def test_undo_takes_back_and_asks_again() -> None:
    saved: list[Rating] = []
    one = session(saved=saved)
    one.undo()
    assert saved == []
    first = one.asked[0].document
    choose(one, "left")
    choose(one, "right")
    one.undo()
    one.undo()
    assert one.rated == 0
    assert one.view()["item"]["position"] == 0
    assert one.view()["item"]["given"] is None
    assert not one.view()["canUndo"]
    assert (saved[-1].document, saved[-1].withdrawn, saved[-1].choice) == (first, True, None)


def test_going_back_shows_what_was_said_and_changes_it() -> None:
    saved: list[Rating] = []
    one = session(saved=saved)
    choose(one, "right")
    choose(one, "tie")
    one.back()
    one.back()
    assert one.view()["item"]["given"] == {"choice": "right"}
    choose(one, "left")
    assert one.rated == 2
    assert one.position == 2  # on to what waits, not through what is rated
    one.back()
    assert one.view()["item"]["given"] == {"choice": "tie"}
    one.forward()
    assert one.position == 2
    one.undo()
    assert one.position == 0


def test_scores_given_are_shown_as_they_stood() -> None:
    one = session(mode="score")
    given = [scores(5, 4, 3), scores(1, 2, 1)]
    for _ in range(6):
        one.rate(place_of(one), {"scores": given}, 1)
        one.back()
        assert one.view()["item"]["given"] == {"scores": given}
        one.forward()


def test_skipped_items_come_again_at_the_end() -> None:
    one = session(limit=3)
    one.skip(0)
    assert one.view()["skipped"] == 1
    choose(one, "left")
    choose(one, "left")
    assert one.position == 0
    one.skip(0)
    assert one.position == 0
    choose(one, "tie")
    assert one.view()["item"] is None
    assert one.view()["skipped"] == 0
    one.back()
    assert one.position == 2


def test_a_rater_goes_on_where_they_stopped() -> None:
    saved: list[Rating] = []
    one = session(saved=saved)
    choose(one, "left")
    choose(one, "left")
    again = session(saved=saved, earlier=list(saved))
    assert (again.rated, again.position) == (2, 2)
    again.undo()
    assert again.position == 1
    assert session(rater="bob", earlier=saved).rated == 0
    assert session(mode="score", earlier=saved).rated == 0


def test_the_reference_is_shown_on_request_and_recorded() -> None:
    saved: list[Rating] = []
    one = session(saved=saved)
    assert one.view()["item"]["hasReference"]
    assert "42" not in json.dumps(one.view())
    choose(one, "tie")
    assert one.reference(1) == "42"
    choose(one, "tie")
    assert [rating.reference for rating in saved] == [False, True]
    hidden = session(show_reference=False)
    assert not hidden.view()["item"]["hasReference"]
    with pytest.raises(ValueError, match="not shown"):
        hidden.reference(0)


@pytest.mark.parametrize("place", [-1, 20, 10**9])
def test_no_such_item(place: int) -> None:
    with pytest.raises(ValueError, match="no item"):
        session().rate(place, {"choice": "tie"}, 1)


@pytest.mark.parametrize("answer", [{}, {"choice": "base"}, {"choice": "tuned"}, {"choice": None}, {"scores": []}])
def test_no_choice(answer: dict[str, Any]) -> None:
    saved: list[Rating] = []
    with pytest.raises(ValueError, match="not a choice"):
        session(saved=saved).rate(0, answer, 1)
    assert saved == []


@pytest.mark.parametrize(
    "given",
    [
        None,
        [scores(1, 2, 3)],
        [scores(1, 2, 3)] * 3,
        [scores(1, 2, 3), {"fluency": 1}],
        [scores(1, 2, 3), scores(0, 1, 1)],
        [scores(1, 2, 3), scores(6, 1, 1)],
        [scores(1, 2, 3), {**scores(1, 1, 1), "fluency": True}],
        [scores(1, 2, 3), {**scores(1, 1, 1), "fluency": "5"}],
        [scores(1, 2, 3), {**scores(1, 1, 1), "charm": 5}],
    ],
)
def test_no_scores(given: Any) -> None:
    with pytest.raises(ValueError, match="not "):
        session(mode="score").rate(0, {"scores": given}, 1)


def test_what_cannot_be_saved_does_not_count() -> None:
    def refuse(ratings: object) -> None:
        if list(ratings):  # type: ignore[call-overload]
            raise OutputError("the disk is full")

    one = Session(ITEMS, "ann", "choice", refuse)
    with pytest.raises(OutputError):
        choose(one, "tie")
    assert (one.rated, one.position) == (0, 0)


def test_seconds_are_kept_within_reason() -> None:
    saved: list[Rating] = []
    one = session(saved=saved)
    for seconds in (-5, 1.26, 1e9):
        one.rate(place_of(one), {"choice": "tie"}, seconds)
    assert [rating.seconds for rating in saved] == [0, 1.3, 86400]


def test_readable() -> None:
    assert readable("a\r\nb\tc 北京 é") == "a\nb\tc 北京 é"
    assert readable("a\x1b[31m\x00\u202eb\u2066\u200f") == "a\\x1b[31m\\x00\\u202eb\\u2066\\u200f"
    assert readable("👩\u200d👩\u200d👧 می\u200cخواهم") == "👩\u200d👩\u200d👧 می\u200cخواهم"
