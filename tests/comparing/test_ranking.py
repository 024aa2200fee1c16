from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalkit.comparing.compare import compare_all
from evalkit.comparing.ranking import rank
from evalkit.comparison import Side, Verdict
from evalkit.errors import NotComparableError, UsageError
from evalkit.results import TaskResult
from tests.comparing.examples import real
from tests.comparing.rankings import pattern, side, side_of, with_chance
from tests.result_examples import group, task_result, text_result


def labels(ranking: object) -> list[str]:
    return [one.side.label for one in ranking.standings]  # type: ignore[attr-defined]


def test_the_best_comes_first_and_ranks_count_who_is_better_beyond_chance() -> None:
    sides = [side(name, {"arc": pattern(right, 400)}) for name, right in (("low", 200), ("high", 300), ("middle", 202))]
    found = rank(sides)
    assert labels(found) == ["high", "middle", "low"]
    assert [one.rank for one in found.standings] == [1, 2, 2]
    assert [one.ties for one in found.standings] == [(), ("low",), ("middle",)]
    assert found.tie_groups == (("middle", "low"),)
    assert found.standings[0].score == 0.75
    assert found.n == 400


def test_ties_come_from_pairs_not_from_overlapping_intervals() -> None:
    # 12 documents are won and none is lost: the intervals of 70 % and 67 % overlap widely
    sides = [side("a", {"arc": pattern(280, 400)}), side("b", {"arc": pattern(268, 400)})]
    found = rank(sides)
    first, second = (one.interval for one in found.standings)
    assert first is not None
    assert second is not None
    assert first[0] < second[1]
    assert found.tie_groups == ()
    # the same difference, with as many documents won and lost by chance
    noisy = side("b", {"arc": pattern(268, 400, flipped=[*range(100), *range(300, 400)])})
    assert rank([sides[0], noisy]).tie_groups == (("a", "b"),)


def test_one_task_has_mcnemars_mid_p_and_tangos_interval() -> None:
    # 12 won, 4 lost of 100 (golden numbers of research on paired proportions)
    better, worse = pattern(72, 100), pattern(72, 100, flipped=[*range(12), *range(96, 100)])
    change = rank([side("a", {"arc": better}), side("b", {"arc": worse})]).pairs["a", "b"]
    assert (change.fixed, change.broken) == (12, 4)
    assert change.p == pytest.approx(0.049042, abs=1e-6)
    assert change.interval == pytest.approx((0.00178, 0.16559), abs=1e-5)


def test_p_is_adjusted_for_all_pairs_as_statsmodels_does_it() -> None:
    from statsmodels.stats.multitest import multipletests

    sides = [side(f"m{right}", {"arc": pattern(right, 300)}) for right in (150, 153, 158, 171)]
    found = rank(sides)
    changes = list(found.pairs.values())
    assert len(changes) == 6
    expected = multipletests([change.p for change in changes], method="holm")[1]
    assert [change.p_adjusted for change in changes] == pytest.approx(list(expected))
    assert [change.verdict is Verdict.IMPROVED for change in changes] == [p < 0.05 for p in expected]


def test_a_run_may_be_in_two_tie_groups() -> None:
    found = rank([side(f"m{right}", {"arc": pattern(right, 300)}) for right in (150, 155, 160)])
    assert found.tie_groups == (("m160", "m155"), ("m155", "m150"))
    assert [one.rank for one in found.standings] == [1, 1, 2]


def bounded(task: TaskResult) -> TaskResult:
    return replace(task, metrics={name: replace(one, bounds=(0.0, 1.0)) for name, one in task.metrics.items()})


def mixed(generator: np.random.Generator, label: str, kind: str) -> Side:
    """A run with three unequal tasks: right or wrong, and of the kind a second one."""
    names = [f"passage {place // 4}" for place in range(120)]
    right = [task_result((generator.random(n) < 0.6).astype(float).tolist()) for n in (60, 200)]
    other = {
        "right or wrong": lambda: task_result((generator.random(90) < 0.5).astype(float).tolist()),
        "values": lambda: real(generator.beta(2, 2, 90).tolist(), "acc"),
        "clusters": lambda: bounded(task_result((generator.random(120) < 0.5).astype(float).tolist(), clusters=names)),
        "answers of some": lambda: real((generator.integers(0, 5 if label == "a" else 2, 90) / 4).tolist(), "acc"),
        "one document": lambda: real([float(generator.random())], "acc"),
    }[kind]()
    return side_of(label, {"arc": right[0], "boolq": right[1], "other": other})


@pytest.mark.parametrize("kind", ["right or wrong", "values", "clusters", "answers of some", "one document"])
@pytest.mark.parametrize("tasks", [None, ["other"], ["arc", "other"]])
def test_every_pair_has_the_interval_and_p_of_comparing_the_two_runs(kind: str, tasks: list[str] | None) -> None:
    generator = np.random.default_rng(3)
    sides = [mixed(generator, label, kind) for label in ("a", "b", "c", "d")]
    if kind == "one document" and tasks == ["other"]:
        return  # `compare` tests nothing there
    found = rank(sides, tasks=tasks)
    compared = {}
    for one in compare_all([one.run for one in sides], tasks=tasks).pairs:
        change = one.overall if len(one.roots) > 1 else one.tasks["other"].change
        compared[one.before.label, one.after.label] = compared[one.after.label, one.before.label] = change
    assert len(found.pairs) == 6
    for labels, change in found.pairs.items():
        expected = compared[labels]
        assert expected is not None
        assert abs(change.difference) == pytest.approx(abs(expected.difference))
        sign = math.copysign(1, change.difference * expected.difference)
        assert expected.interval is not None
        assert change.interval == pytest.approx(tuple(sorted(sign * end for end in expected.interval)), abs=1e-12)
        assert change.p == pytest.approx(expected.p, rel=1e-12)
        assert change.p_adjusted == pytest.approx(expected.p_adjusted, rel=1e-12)
        assert change.test == expected.test


@pytest.mark.parametrize("binary", [True, False])
def test_twenty_runs_on_a_large_benchmark_take_seconds(binary: bool) -> None:
    generator = np.random.default_rng(0)
    shares = 4 * np.ones(57) + generator.random(57)
    sizes = (14_042 * shares / shares.sum()).astype(int)

    def values(n: int) -> TaskResult:
        drawn = generator.random(n)
        return task_result((drawn < 0.6).astype(float).tolist()) if binary else real(drawn.tolist(), "acc")

    sides = [side_of(f"m{run}", {f"t{number}": values(n) for number, n in enumerate(sizes)}) for run in range(20)]
    start = time.process_time()
    assert len(rank(sides).pairs) == 190
    assert time.process_time() - start < 15  # a third of it where nothing else runs


def test_clusters_of_documents_have_the_error_that_statsmodels_gives() -> None:
    import statsmodels.api as sm

    generator = np.random.default_rng(0)
    clusters = [f"passage {place // 4}" for place in range(200)]
    rough = np.repeat(generator.normal(0, 0.3, 50), 4)
    first = ((generator.random(200) + rough) > 0.3).astype(float)
    second = ((generator.random(200) - rough) > 0.5).astype(float)
    sides = [
        side_of(name, {"boolq": task_result(list(values), clusters=clusters)})
        for name, values in (("a", first), ("b", second))
    ]
    change = rank(sides).pairs["a", "b"]
    codes = np.repeat(np.arange(50), 4)
    fit = sm.OLS(first - second, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": codes, "use_correction": True, "df_correction": True}, use_t=True
    )
    # statsmodels' small-sample factor has (n - 1) / (n - k), 1 for a mean
    assert change.clusters == 50
    assert change.stderr == pytest.approx(float(fit.bse[0]), rel=1e-6)
    assert change.interval == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-6)


def test_a_mean_of_unequal_tasks_weighs_tasks_alike() -> None:
    sides = [
        side("a", {"small": pattern(9, 10), "large": pattern(500, 1000)}),
        side("b", {"small": pattern(5, 10), "large": pattern(520, 1000)}),
    ]
    found = rank(sides)
    assert [one.score for one in found.standings] == pytest.approx([(0.9 + 0.5) / 2, (0.5 + 0.52) / 2])
    change = found.pairs["a", "b"]
    assert change.difference == pytest.approx(0.19)
    # 4 documents decide, each of 1/20: that is 2 / 2^4 by themselves, and the 20 others are small
    assert change.p is not None
    assert 0.1 < change.p < 0.2


def test_the_open_llm_leaderboards_normalisation() -> None:
    """The worked example of its documentation: GPQA 0.6 is 46.67; MuSR's subtasks are normalised one by one."""
    raw = {"murder": (0.7, 0.5), "placement": (0.4, 0.2), "allocation": (0.6, 0.333)}
    members = {name: with_chance(task_result(pattern(round(100 * s), 100)), c) for name, (s, c) in raw.items()}
    gpqa = {"acc": (60, 0.25), "below": (10, 0.25)}
    single = {name: with_chance(task_result(pattern(right, 100)), c) for name, (right, c) in gpqa.items()}
    tasks = {**members, **single, "open": with_chance(task_result(pattern(30, 100)), None)}
    musr = {"musr": group("musr", members)}
    found = rank([side_of("a", tasks, musr), side_of("b", tasks, musr)]).standings[0]
    assert found.normalized["acc"] == pytest.approx(0.46667, abs=1e-4)
    assert found.normalized["below"] == 0.0
    assert found.normalized["open"] == pytest.approx(0.3)  # guessing has no meaning: chance is 0
    expected = (0.4 + 0.25 + (0.6 - 0.333) / 0.667) / 3
    assert found.normalized["musr"] == pytest.approx(expected)
    assert found.normalized_score == pytest.approx((expected + 7 / 15 + 0 + 0.3) / 4)
    assert found.score == pytest.approx((1.7 / 3 + 0.6 + 0.1 + 0.3) / 4)


def test_a_single_group_is_shown_and_normalised_by_its_members() -> None:
    members = {"arc": task_result(pattern(60, 100)), "boolq": task_result(pattern(20, 100))}
    groups = {"leaderboard": group("leaderboard", members)}
    found = rank([side_of("a", members, groups), side_of("b", members, groups)])
    assert found.tasks == ("leaderboard",)
    assert found.columns == ("arc", "boolq")
    assert found.standings[0].score == pytest.approx(0.4)
    assert found.standings[0].normalized_score == pytest.approx((0.35 / 0.75 + 0) / 2)


@pytest.mark.parametrize(
    ("by", "columns"),
    [
        ("benchmark", ("mmlu", "arc")),
        ("category", ("stem", "other", "arc")),
        ("task", ("algebra", "physics", "law", "arc")),
    ],
)
def test_columns_are_benchmarks_categories_or_tasks(by: str, columns: tuple[str, ...]) -> None:
    from evalkit.aggregate import aggregate_group
    from evalkit.task import Group

    tasks = {name: task_result(pattern(30 + k, 60)) for k, name in enumerate(("algebra", "physics", "law", "arc"))}
    stem = Group(name="stem", members=("algebra", "physics"), weighting="items")
    other = Group(name="other", members=("law",), weighting="items")
    mmlu = Group(name="mmlu", members=("stem", "other"), weighting="items")
    inner = {one.name: aggregate_group(one, {name: tasks[name] for name in one.members}) for one in (stem, other)}
    whole = aggregate_group(mmlu, inner, {**tasks, **inner}, {"stem": stem, "other": other})
    groups = {"mmlu": whole, **inner}
    found = rank([side_of(name, tasks, groups) for name in ("a", "b")], by=by)  # type: ignore[arg-type]
    assert found.columns == columns
    assert found.standings[0].scores[columns[0]] == pytest.approx(
        {"mmlu": 93 / 180, "stem": 61 / 120, "algebra": 0.5}[columns[0]]
    )


def test_only_documents_that_all_runs_have_count() -> None:
    whole = task_result(pattern(50, 100))
    part = replace(whole, n=80, samples=whole.samples[:80], outcomes={"right": 50, "wrong": 30})
    part = replace(part, metrics={"acc": replace(part.metrics["acc"], value=50 / 80)}, prompt_sha256="")
    found = rank([side_of("a", {"arc": whole}), side_of("b", {"arc": part}, limit="80")])
    assert found.n == 80
    assert [one.score for one in found.standings] == [0.625, 0.625]
    assert any("20 documents" in note for note in found.notes)
    assert found.pairs["a", "b"].reason == "the scores of all documents are the same"


def test_tasks_that_not_all_runs_have_are_named_and_left_out() -> None:
    both = {"arc": pattern(60, 100)}
    found = rank([side("a", {**both, "boolq": pattern(1, 9)}), side("b", both)])
    assert found.tasks == ("arc",)
    assert found.missing == {"b": ("boolq",)}
    assert found.left_out == {"boolq": "not in all runs"}


def test_of_a_group_that_not_all_have_its_common_members_count() -> None:
    members = {"arc_easy": task_result(pattern(60, 100)), "arc_hard": task_result(pattern(20, 100))}
    one = side_of("a", members, {"arc": group("arc", members)})
    other = side_of("b", {"arc_easy": members["arc_easy"]})
    assert rank([one, other]).tasks == ("arc_easy",)


def test_runs_that_were_asked_something_else_are_not_ranked_in_silence() -> None:
    good = [side(name, {"arc": pattern(right, 100)}) for name, right in (("a", 50), ("b", 60))]
    other = side("c", {"arc": pattern(90, 100)})
    other = replace(
        other, run=replace(other.run, tasks={"arc": replace(other.run.tasks["arc"], shots=5, prompt_sha256="0")})
    )
    found = rank([*good, other])
    assert labels(found) == ["b", "a"]
    assert found.not_ranked == {"c": "shots 5, not 0"}
    assert labels(rank([*good, other], allow=["shots"])) == ["c", "b", "a"]
    with pytest.raises(NotComparableError, match="shots 5, not 0") as caught:
        rank([good[0], other])
    assert caught.value.exit_code == 4
    assert "--allow" in (caught.value.hint or "")
    # the same, where only the tasks that count must agree
    with_second = [
        replace(one, run=replace(one.run, tasks={**one.run.tasks, "boolq": task_result([1, 0])}))
        for one in (good[0], other)
    ]
    assert len(rank(with_second, tasks=["boolq"]).standings) == 2


def test_the_largest_set_of_like_runs_is_ranked_whatever_comes_first() -> None:
    odd = side("odd", {"arc": pattern(90, 100)})
    odd = replace(odd, run=replace(odd.run, tasks={"arc": replace(odd.run.tasks["arc"], version=9)}))
    like = [side(name, {"arc": pattern(50, 100)}) for name in ("a", "b")]
    found = rank([odd, *like])
    assert labels(found) == ["a", "b"]
    assert "task version 9, not 1" in found.not_ranked["odd"]


def test_a_perplexity_is_no_part_of_a_mean_but_ranks_by_itself() -> None:
    def one(label: str, shift: float, *, arc: bool) -> Side:
        tasks = {"wikitext": text_result([-3.0 - 0.01 * k + shift for k in range(12)])}
        return side_of(label, {**tasks, "arc": task_result(pattern(5, 10))} if arc else tasks)

    mixed = rank([one("a", 0.0, arc=True), one("b", 0.5, arc=True)])
    assert mixed.tasks == ("arc",)
    assert "no share of 1" in mixed.left_out["wikitext"]
    alone = rank([one("a", 0.0, arc=False), one("b", 0.5, arc=False), one("c", 0.5, arc=False)])
    assert labels(alone) == ["b", "c", "a"]  # less is better
    assert [standing.rank for standing in alone.standings] == [1, 1, 3]
    assert alone.standings[0].normalized_score is None
    assert alone.pairs["b", "a"].difference < 0 < alone.pairs["b", "a"].gain
    assert alone.standings[0].score == pytest.approx(math.exp(100 / 70 * (3.055 - 0.5)), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tasks": ["nothing"]}, "nothing"),
        ({"tasks": ["arc", "arc_easy"]}, "arc_easy is part of arc"),
        ({"alpha": 2.0}, "alpha"),
        ({"alpha": 0.6}, "alpha"),
        ({"alpha": 0.5}, "alpha"),
        ({"allow": ["colour"]}, "colour"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], words: str) -> None:
    members = {"arc_easy": task_result(pattern(60, 100))}
    sides = [side_of(name, members, {"arc": group("arc", members)}) for name in ("a", "b")]
    with pytest.raises(UsageError, match=words):
        rank(sides, **arguments)  # type: ignore[arg-type]


def test_fewer_than_two_runs_or_no_common_task_are_errors() -> None:
    one = side("a", {"arc": [1.0, 0.0]})
    with pytest.raises(UsageError, match="at least two"):
        rank([one])
    with pytest.raises(UsageError, match="no task in common"):
        rank([one, side("b", {"boolq": [1.0, 0.0]})])


def test_a_document_a_task_is_enough_where_tasks_weigh_alike() -> None:
    """One document a task shows no spread within tasks, and the test of documents still works."""
    names = [f"t{number:02d}" for number in range(40)]
    more = {"large": task_result(pattern(5, 10))}
    best = {name: task_result([1.0]) for name in names} | more
    worst = {name: task_result([0.0 if number < 20 else 1.0]) for number, name in enumerate(names)} | more
    change = rank([side_of("a", best), side_of("b", worst)]).pairs["a", "b"]
    assert change.verdict is Verdict.IMPROVED
    assert change.p == pytest.approx(2 / 2**20)


def test_runs_without_a_difference_are_seldom_told_apart() -> None:
    """20 draws of 5 equal models on two unequal tasks: with Holm, at most one in twenty rankings errs."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(20):
        sides = [
            side(
                name,
                {
                    "arc": list(map(float, generator.integers(0, 2, 40))),
                    "b": list(map(float, generator.integers(0, 2, 90))),
                },
            )
            for name in "vwxyz"
        ]
        wrong += any(change.verdict is Verdict.IMPROVED for change in rank(sides).pairs.values())
    assert wrong <= 3


def test_the_public_function_takes_runs_or_files(tmp_path: Path) -> None:
    import evalkit

    runs = [side(name, {"arc": pattern(right, 50)}).run for name, right in (("a", 20), ("b", 40))]
    runs[0].save(tmp_path / "a.json")
    found = evalkit.leaderboard([tmp_path / "a.json", runs[1]])
    assert labels(found) == ["b", "a"]
    assert found.to_json()["standings"][0]["label"] == "b"
    assert found.to_markdown().startswith("**b is best, beyond chance**")
