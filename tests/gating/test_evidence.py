"""Evidence that may be looked at at any time."""

from __future__ import annotations

import hashlib
import math
import random

import numpy as np
import pytest

from evalkit.gating.evidence import Document, TaskEvidence, ordered
from evalkit.gating.hypotheses import BEYOND, BROKEN, HELD, NO_LOSS, WITHIN, hypotheses
from evalkit.runner.limit import Limit
from evalkit.stats.sequential import MeanBet


def documents(n: int, clusters: int | None = None, weight: float = 1.0, task: str = "quiz") -> list[Document]:
    return [
        Document((task, f"{place:016x}"), None if clusters is None else str(place % clusters), weight, float(place % 2))
        for place in range(n)
    ]


def evidence(found: list[Document], margin: float = 0.01, floor: float | None = None, seed: int = 0) -> TaskEvidence:
    tested = hypotheses(margin, None, floor, higher_is_better=True)
    return TaskEvidence(found, (0.0, 1.0), True, tested, seed)


def ask_all(one: TaskEvidence, values: dict[tuple[str, str], float], step: int = 50) -> None:
    while not one.finished:
        keys = one.next(step)
        one.add({key: values[key] for key in keys if key in values})


def test_the_order_is_that_of_a_seeded_sample() -> None:
    found = documents(200)
    ids = [one.key[1] for one in found]
    order = [unit[0].key[1] for unit in ordered(found, 7)]
    for count in (1, 20, 150):
        assert {ids[place] for place in Limit(count=count).choose(ids, 7)} == set(order[:count])
    assert order != [unit[0].key[1] for unit in ordered(found, 8)]
    assert order[0] == min(ids, key=lambda one: hashlib.sha256(f"7:{one}".encode()).digest())


def test_documents_of_a_cluster_are_asked_and_bet_on_together() -> None:
    one = evidence(documents(60, clusters=6))
    keys = one.next(5)
    assert len({int(identity, 16) % 6 for _, identity in keys}) == 1
    assert (len(keys), one.asked) == (10, 10)


def test_without_clusters_and_weights_it_is_the_plain_bet() -> None:
    found = documents(100)
    values = {one.key: 0.0 if place < 30 else one.before for place, one in enumerate(found)}
    one = evidence(found)
    ask_all(one, values)
    plain = MeanBet(-0.01, "less", -1, 1)
    plain.update([values[unit[0].key] - unit[0].before for unit in ordered(found, 0)])
    assert one.against(WITHIN) == pytest.approx(plain.largest)
    assert one.gain == pytest.approx(-0.15)


def test_evidence_does_not_depend_on_the_looks() -> None:
    found = documents(300, clusters=40)
    values = {one.key: max(0.0, one.before - (place % 5 == 0)) for place, one in enumerate(found)}
    often, once = evidence(found), evidence(found)
    ask_all(often, values, step=7)
    ask_all(once, values, step=300)
    for name in (NO_LOSS, WITHIN, BEYOND):
        assert often.against(name) == pytest.approx(once.against(name))


def test_a_weighted_mean_is_what_is_tested() -> None:
    # a small task of two counts half: it loses 20 points, the large one gains as many; together nothing is lost
    rng = random.Random(1)
    small, large = documents(400, weight=2.5, task="small"), documents(1600, weight=0.625, task="large")
    values = {one.key: one.before * (rng.random() >= 0.4) for one in small}
    values |= {one.key: max(one.before, float(rng.random() < 0.4)) for one in large}
    one = evidence([*small, *large])
    ask_all(one, values)
    assert abs(one.gain) < 0.04
    low, high = one.limits(0.05)
    assert low < one.gain < high
    assert one.against(WITHIN) < 20


def test_weights_scale_the_hypothesis_too() -> None:
    # every document loses exactly the margin: whatever its weight, nothing can be won by betting on either side
    found = [Document(("quiz", str(place)), None, 0.25 + place % 4, 0.5) for place in range(200)]
    one = evidence(found, margin=0.1)
    ask_all(one, {document.key: 0.4 for document in found})
    assert one.against(WITHIN) == pytest.approx(1.0)
    assert one.against(BEYOND) == pytest.approx(1.0)
    assert one.against(NO_LOSS) > 100


def test_documents_without_an_answer_say_nothing() -> None:
    one = evidence(documents(50))
    keys = one.next(50)
    one.add({key: 1.0 for key in keys[:20]})
    assert (one.asked, one.scored) == (50, 20)


def test_a_floor_is_bet_on_too() -> None:
    found = documents(400)
    good, bad = evidence(found, floor=0.5), evidence(found, floor=0.5)
    ask_all(good, {one.key: float(place % 10 > 0) for place, one in enumerate(found)})
    ask_all(bad, {one.key: float(place % 10 == 0) for place, one in enumerate(found)})
    assert good.against(BROKEN) > 1000 > 20 > good.against(HELD)
    assert bad.against(HELD) > 1000 > 20 > bad.against(BROKEN)


@pytest.mark.parametrize(
    ("floor", "wrong", "held", "broken"),
    [
        (1.0, 0, 1.0, 1.0),  # nothing is certain before all documents are asked
        (1.0, 1, math.inf, 1.0),
        (1.5, 0, math.inf, 1.0),
        (0.0, 99, 1.0, math.inf),
        (-0.5, 100, 1.0, math.inf),
    ],
)
def test_a_mean_at_the_end_of_the_range_is_refuted_for_sure_or_never(
    floor: float, wrong: int, held: float, broken: float
) -> None:
    one = evidence(documents(100), floor=floor)
    ask_all(one, {key.key: float(place >= wrong) for place, key in enumerate(documents(100))})
    assert (one.against(HELD), one.against(BROKEN)) == (held, broken)
    assert not one.is_chance(HELD)


def test_a_margin_as_wide_as_the_range() -> None:
    one = evidence(documents(100), margin=1.0)
    ask_all(one, {key.key: 0.0 for key in documents(100)})
    assert (one.against(WITHIN), one.against(BEYOND)) == (1.0, math.inf)
    assert one.is_chance(NO_LOSS)


def test_a_score_below_the_floor_in_a_direction_where_lower_is_better() -> None:
    tested = hypotheses(0.01, None, 0.0, higher_is_better=False)
    one = TaskEvidence(documents(100), (0.0, 1.0), False, tested, 0)
    ask_all(one, {key.key: float(place == 7) for place, key in enumerate(documents(100))})
    assert (one.against(HELD), one.against(BROKEN)) == (math.inf, 1.0)


def test_limits_where_all_is_lost() -> None:
    found = [Document(("quiz", str(place)), None, 1.0, 1.0) for place in range(60)]
    one = evidence(found)
    ask_all(one, {key.key: 0.0 for key in found})
    low, high = one.limits(0.05)
    assert low == -1.0 < high < -0.5


def test_a_true_hypothesis_is_refuted_as_rarely_as_promised() -> None:
    """Looked at after every document, clustered and weighted, a loss of exactly the margin is hardly ever refuted."""
    rng = np.random.default_rng(5)
    refuted = 0
    for _ in range(200):
        found = [
            Document(("quiz", str(place)), str(place // 3), float(rng.choice([0.5, 1.5])), 0.0 if place % 2 else 1.0)
            for place in range(300)
        ]
        effect = rng.normal(0, 0.2, 100)  # of the cluster
        values = {}
        for place, one in enumerate(found):
            lose = 0.2 + effect[place // 3]
            changed = rng.random() < min(max(lose, 0.0), 1.0)
            values[one.key] = 1 - one.before if changed else one.before
        one_task = evidence(found, margin=0.02)
        ask_all(one_task, values, step=12)
        refuted += one_task.against(NO_LOSS) >= 20
    assert refuted <= 200 * 0.05 + 2 * (200 * 0.05 * 0.95) ** 0.5


def test_limits_hold_the_truth_and_shrink() -> None:
    found = documents(1000)
    rng = random.Random(4)
    values = {one.key: one.before if rng.random() > 0.2 else 1 - one.before for one in found}
    one = evidence(found)
    widths = []
    while not one.finished:
        keys = one.next(250)
        one.add({key: values[key] for key in keys})
        low, high = one.limits(0.05)
        assert low < 0.0 < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
