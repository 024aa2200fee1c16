from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from evalkit.errors import NotComparableError, UsageError
from evalkit.ratings import summarize, write_ratings
from evalkit.ratings.model import CRITERIA, Choice, RatedRun, RatedTask, Rating, Ratings
from evalkit.ratings.summary import RatingSummary
from evalkit.stats.agreement import krippendorff_alpha
from evalkit.stats.intervals import student_t, wilson
from evalkit.stats.paired import tango

TASKS = {"questions": RatedTask(5, "p", "o")}
BASE = RatedRun("alpha", None, "a", TASKS)
TUNED = RatedRun("omega", None, "b", TASKS)


def choice(document: int, what: Choice, rater: str = "ann", **fields: Any) -> Rating:
    given = {"task": "questions", "left": "base", "seconds": 4.0, **fields}
    return Rating(rater=rater, mode="choice", document=str(document), choice=what, **given)


def choices(*counts: tuple[Choice, int]) -> list[Rating]:
    listed = [what for what, number in counts for _ in range(number)]
    return [choice(document, what) for document, what in enumerate(listed)]


def score(document: int, base: int, tuned: int | None, rater: str = "ann", **fields: Any) -> Rating:
    scores = {"base": dict.fromkeys(CRITERIA, base)} | (
        {} if tuned is None else {"tuned": dict.fromkeys(CRITERIA, tuned)}
    )
    given = {"task": "questions", **fields}
    return Rating(rater=rater, mode="score", document=str(document), scores=scores, **given)  # type: ignore[arg-type]


def summary_of(ratings: Sequence[Rating], tuned: RatedRun | None = TUNED) -> RatingSummary:
    return summarize(Ratings(BASE, tuned, tuple(ratings)))


def test_a_single_rater_without_ties_is_a_proportion() -> None:
    found = summary_of(choices(("tuned", 28), ("base", 2))).preference
    assert found is not None
    expected = wilson(28, 30)
    assert found.win_rate.value == pytest.approx(28 / 30)
    assert found.win_rate.ci95 == pytest.approx((0.786765, 0.981523), abs=1e-6)
    assert found.win_rate.ci95 == pytest.approx((expected.low, expected.high))
    assert found.p_value == pytest.approx(scipy.stats.binomtest(28, 30).pvalue)
    assert found.agreement.alpha is None


def test_ties_count_half_and_narrow_the_interval() -> None:
    found = summary_of(choices(("tuned", 12), ("base", 4), ("tie", 60), ("both_bad", 24))).preference
    assert found is not None
    assert (found.tuned, found.base, found.ties, found.both_bad, found.identical) == (12, 4, 60, 24, 0)
    assert found.win_rate.value == pytest.approx(0.54)
    # the golden interval of 12 and 4 of 100, on the scale of shares
    assert found.win_rate.ci95 == pytest.approx(((1 + 0.00178) / 2, (1 + 0.16559) / 2), abs=1e-5)
    assert found.p_value == pytest.approx(0.076813, abs=1e-6)


def test_identical_answers_are_ties() -> None:
    same = [choice(document, "tie", identical=True, left=None) for document in range(100, 110)]
    found = summary_of([*choices(("tuned", 10)), *same])
    assert found.preference is not None
    assert (found.preference.identical, found.preference.ties, found.preference.documents) == (10, 0, 20)
    assert found.preference.win_rate.value == pytest.approx(0.75)
    assert found.raters["ann"].choices == 10


def test_several_raters_are_averaged_by_document() -> None:
    generator = np.random.default_rng(0)
    ratings = []
    for document in range(60):
        truth = generator.choice(["tuned", "base"], p=[0.7, 0.3])
        for rater in ("ann", "bob", "cyd")[: generator.integers(1, 4)]:
            said = truth if generator.random() < 0.9 else "tie"
            ratings.append(choice(document, said, rater))
    found = summary_of(ratings).preference
    assert found is not None
    points = {"tuned": 1.0, "base": 0.0, "tie": 0.5}
    means = [
        np.mean([points[str(one.choice)] for one in ratings if one.document == str(document)]) for document in range(60)
    ]
    assert found.documents == 60
    assert found.win_rate.value == pytest.approx(np.mean(means))
    assert found.win_rate.ci95 is not None
    # near the plain interval of the documents' means, far from that of all ratings as if independent
    plain = student_t([float(mean) for mean in means])
    assert plain is not None
    assert found.win_rate.ci95 == pytest.approx((plain.low, plain.high), abs=0.02)
    units = [[str(one.choice) for one in ratings if one.document == str(document)] for document in range(60)]
    assert found.agreement == krippendorff_alpha(units, "nominal")
    assert found.agreement.alpha is not None
    assert found.documents_won + found.documents_lost <= 60


def test_the_same_ratings_from_more_raters_are_no_more_certain() -> None:
    one = choices(("tuned", 14), ("base", 6))
    alone = summary_of(one).preference
    three = summary_of([replace(rating, rater=rater) for rating in one for rater in ("a", "b", "c")]).preference
    assert alone is not None
    assert three is not None
    assert three.win_rate.value == alone.win_rate.value
    assert three.win_rate.ci95 is not None
    assert alone.win_rate.ci95 is not None
    width, single = (end[1] - end[0] for end in (three.win_rate.ci95, alone.win_rate.ci95))
    assert width == pytest.approx(single, rel=0.1)
    assert three.p_value == alone.p_value
    assert three.agreement.alpha == 1


def test_unanimous_raters_still_have_a_width() -> None:
    ratings = [choice(document, "tuned", rater) for document in range(8) for rater in ("a", "b")]
    found = summary_of(ratings).preference
    assert found is not None
    expected = wilson(8, 8)
    assert found.win_rate.ci95 == pytest.approx((expected.low, 1.0))


def test_documents_of_one_cluster_go_together() -> None:
    alone = summary_of(choices(("tuned", 20), ("base", 20))).preference
    pairs = [
        replace(rating, cluster=str(place // 4)) for place, rating in enumerate(choices(("tuned", 20), ("base", 20)))
    ]
    found = summary_of(pairs).preference
    assert alone is not None
    assert found is not None
    assert alone.win_rate.ci95 is not None
    assert found.win_rate.ci95 is not None
    assert found.win_rate.ci95[0] < alone.win_rate.ci95[0] - 0.05
    single = summary_of([replace(rating, cluster="one") for rating in pairs]).preference
    assert single is not None
    assert single.win_rate.ci95 is None


def test_a_habit_of_sides_shows() -> None:
    ratings = [choice(place, ("base", "tuned")[place % 2], left=("base", "tuned")[place % 2]) for place in range(20)]  # type: ignore[arg-type]
    found = summary_of(ratings).preference
    assert found is not None
    assert found.left == 20
    assert found.left_p_value == pytest.approx(2 / 2**20)
    assert found.p_value == 1


@pytest.mark.slow
@pytest.mark.parametrize("raters", [1, 3])
def test_coverage_of_the_win_rate(raters: int) -> None:
    generator = np.random.default_rng(raters)
    hits = 0
    for _ in range(400):
        ratings = []
        for document in range(40):
            chance = generator.beta(2, 1)  # documents differ in how clear they are; the mean is 2/3
            for rater in range(raters):
                drawn = generator.random()
                said: Choice = "tie" if drawn < 0.2 else "tuned" if generator.random() < chance else "base"
                ratings.append(choice(document, said, str(rater)))
        found = summarize_quickly(ratings)
        hits += found[0] <= 0.2 * 0.5 + 0.8 * 2 / 3 <= found[1]
    assert 0.92 <= hits / 400 <= 0.985


def summarize_quickly(ratings: Sequence[Rating]) -> tuple[float, float]:
    from evalkit.ratings.summary import _POINTS, _by_document, _clusters, _share_interval

    points = _by_document(ratings, lambda rating: _POINTS[str(rating.choice)])
    if len(points) == len(ratings):
        won = sum(rating.choice == "tuned" for rating in ratings)
        lost = sum(rating.choice == "base" for rating in ratings)
        interval = tango(won, lost, len(ratings))
        return (1 + interval.low) / 2, (1 + interval.high) / 2
    found = _share_interval([float(np.mean(values)) for values in points.values()], _clusters(ratings, points))
    assert found is not None
    return found


def test_scores_are_paired_by_document() -> None:
    generator = np.random.default_rng(2)
    base = generator.integers(1, 5, size=30)
    tuned = np.clip(base + generator.integers(-1, 3, size=30), 1, 5)
    found = summary_of([score(place, int(a), int(b)) for place, (a, b) in enumerate(zip(base, tuned, strict=True))])
    assert found.preference is None
    assert [one.criterion for one in found.scores] == ["fluency", "coherence", "relevance"]
    first = found.scores[0]
    assert first.base.value == pytest.approx(base.mean())
    assert first.tuned is not None
    assert first.tuned.value == pytest.approx(tuned.mean())
    expected = scipy.stats.ttest_rel(tuned, base).confidence_interval()
    assert first.difference is not None
    assert first.difference.value == pytest.approx((tuned - base).mean())
    assert first.difference.ci95 == pytest.approx((expected.low, expected.high))
    alone = student_t([float(value) for value in base])
    assert alone is not None
    assert first.base.ci95 == pytest.approx((alone.low, alone.high))


def test_scores_of_several_raters() -> None:
    ratings = [score(place, 1 + place % 3, 3 + place % 3, rater) for place in range(9) for rater in ("ann", "bob")]
    ratings.append(score(3, 5, 1, "cyd"))
    first = summary_of(ratings).scores[0]
    assert first.documents == 9
    units = [[float(1 + place % 3)] * 2 + [5.0] * (place == 3) for place in range(9)]
    units += [[float(3 + place % 3)] * 2 + [1.0] * (place == 3) for place in range(9)]
    assert first.agreement.alpha == pytest.approx(krippendorff_alpha(units, "ordinal", resamples=0).alpha)
    assert first.agreement.units == 18


def test_one_run_alone() -> None:
    found = summary_of([score(place, 1 + place, None) for place in range(5)], tuned=None)
    assert found.tuned is None
    assert found.scores[0].base.value == 3
    assert found.scores[0].tuned is None
    assert found.scores[0].difference is None


def test_tasks_apart_and_together() -> None:
    both = [*choices(("tuned", 4)), *(replace(one, task="other", choice="base") for one in choices(("tuned", 6)))]
    found = summary_of(both)
    rates = {name: task.preference.win_rate.value for name, task in found.tasks.items() if task.preference}
    assert rates == {"questions": 1.0, "other": 0.0}
    assert found.preference is not None
    assert found.preference.documents == 10
    assert found.preference.win_rate.value == pytest.approx(0.4)


def test_raters_are_counted() -> None:
    found = summary_of(
        [*choices(("tie", 3)), choice(0, "tie", "bob", seconds=10.0), score(0, 1, 2, "bob", seconds=20.0)]
    )
    assert {name: (one.choices, one.scored, one.seconds) for name, one in found.raters.items()} == {
        "ann": (3, 0, 4.0),
        "bob": (1, 1, 15.0),
    }


def test_files_are_read_and_merged(tmp_path: Path) -> None:
    write_ratings(Ratings(BASE, TUNED, tuple(choices(("tuned", 3)))), tmp_path / "ann.jsonl")
    bob = tuple(replace(one, rater="bob") for one in choices(("base", 3)))
    write_ratings(Ratings(BASE, TUNED, bob), tmp_path / "bob.jsonl")
    found = summarize(tmp_path / "ann.jsonl", str(tmp_path / "bob.jsonl"))
    assert list(found.raters) == ["ann", "bob"]
    assert json.loads(json.dumps(found.to_json()))["preference"]["win_rate"]["value"] == 0.5
    write_ratings(Ratings(BASE, BASE, bob), tmp_path / "other.jsonl")
    with pytest.raises(NotComparableError, match="rate different runs"):
        summarize(tmp_path / "ann.jsonl", tmp_path / "other.jsonl")


def test_nothing_rated_is_an_error() -> None:
    with pytest.raises(UsageError, match="holds no rating yet"):
        summary_of([])
    with pytest.raises(UsageError, match="no ratings file"):
        summarize()
