"""The whole way: two runs in, verdicts out."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

import evalkit
from evalkit.comparing.compare import compare, compare_all
from evalkit.comparison import Change, Comparison, Verdict
from evalkit.errors import NotComparableError, UsageError
from evalkit.results import Run, Spread, TaskResult
from evalkit.stats.paired import mcnemar_mid_p, tango
from tests.comparing.examples import generated, group, model_run, paired, real, task_result, text_result


def two(**tasks: tuple[TaskResult, TaskResult]) -> tuple[Run, Run]:
    return (
        model_run("base", {name: pair[0] for name, pair in tasks.items()}),
        model_run("tuned", {name: pair[1] for name, pair in tasks.items()}),
    )


def test_it_is_public() -> None:
    assert evalkit.compare is compare
    assert evalkit.compare_all is compare_all
    found = evalkit.compare(*two(arc=paired(60, 12, 4, 24)))
    assert isinstance(found, evalkit.Comparison)


def test_a_task_without_a_name_is_not_the_mean() -> None:
    both = {"b": paired(40, 12, 3, 45), "c": paired(40, 9, 5, 46)}
    named = compare(*two(a=paired(40, 20, 1, 39), **both))
    unnamed = compare(*two(**{"": paired(40, 20, 1, 39)}, **both), margins={"": 0.5})
    assert named.overall is not None
    assert unnamed.overall is not None
    # seen wrong: the task's margin, and its p, or the mean's, for both
    assert unnamed.overall == named.overall
    assert replace(unnamed.tasks[""].change, margin=0.01, reason="") == replace(named.tasks["a"].change, reason="")


def test_a_run_without_tasks_has_none() -> None:
    full, _ = two(arc=paired(1, 1, 1, 1))
    with pytest.raises(NotComparableError, match=r"no task in common: .* has none"):
        compare(model_run("empty", {}), full)


def test_holm_is_over_the_roots() -> None:
    tables = {"a": (40, 14, 3, 43), "b": (40, 9, 8, 43), "c": (50, 12, 4, 34), "d": (50, 5, 1, 44)}
    found = compare(*two(**{name: paired(*table) for name, table in tables.items()}))
    raw = [mcnemar_mid_p(table[1], table[2]) for table in tables.values()]
    expected = multipletests(raw, method="holm")[1]
    assert [found.tasks[name].change.p for name in tables] == pytest.approx(raw)
    assert [found.tasks[name].change.p_adjusted for name in tables] == pytest.approx(list(expected))
    assert found.roots == tuple(tables)


def test_a_group_that_weighs_documents_alike_is_their_pool() -> None:
    tables = {"one": (20, 5, 1, 14), "two": (50, 10, 4, 36), "three": (5, 0, 2, 3)}
    both = {name: paired(*table) for name, table in tables.items()}
    runs = [
        model_run(label, members, {"all": group("all", members, "items")})
        for place, label in enumerate(("base", "tuned"))
        for members in [{name: pair[place] for name, pair in both.items()}]
    ]
    found = compare(runs[0], runs[1])
    change = found.tasks["all"].change
    assert found.roots == ("all",)
    assert list(found.tasks) == ["all", "one", "two", "three"]
    expected = tango(15, 7, 150)
    assert change.interval == pytest.approx((expected.low, expected.high))
    assert change.p == pytest.approx(mcnemar_mid_p(15, 7))
    assert change.difference == pytest.approx(8 / 150)
    assert (change.n, change.fixed, change.broken) == (150, 15, 7)
    # the members are a family of their own
    raw = [mcnemar_mid_p(table[1], table[2]) for table in tables.values()]
    adjusted = [found.tasks[name].change.p_adjusted for name in tables]
    assert adjusted == pytest.approx(list(multipletests(raw, method="holm")[1]))
    assert change.p_adjusted == change.p


def test_a_group_that_weighs_tasks_alike() -> None:
    both = {"small": paired(5, 4, 0, 11), "large": paired(100, 20, 18, 62), "third": paired(5, 0, 1, 4)}
    runs = [
        model_run(label, members, {"all": group("all", members, "tasks")})
        for place, label in enumerate(("base", "tuned"))
        for members in [{name: pair[place] for name, pair in both.items()}]
    ]
    change = compare(runs[0], runs[1]).tasks["all"].change
    assert change.difference == pytest.approx((4 / 20 + 2 / 200 - 1 / 10) / 3)
    parts = [compare(*two(task=pair)).tasks["task"].change for pair in both.values()]
    assert change.stderr == pytest.approx(sum((part.stderr or 0) ** 2 for part in parts) ** 0.5 / 3)
    assert change.before == pytest.approx(runs[0].groups["all"].metrics["acc"].value)
    assert change.after == pytest.approx(runs[1].groups["all"].metrics["acc"].value)
    attribution = change.attribution
    assert attribution is not None
    assert sum(attribution.parts.values()) == pytest.approx(change.difference)


def test_groups_within_groups_and_the_overall_mean() -> None:
    both = {"x": paired(10, 5, 1, 4), "y": paired(10, 1, 2, 7), "z": paired(10, 6, 0, 4)}
    runs = []
    for place, label in enumerate(("base", "tuned")):
        tasks = {name: pair[place] for name, pair in both.items()}
        inner = group("inner", {"x": tasks["x"], "y": tasks["y"]})
        value = (inner.metrics["acc"].value + tasks["z"].metrics["acc"].value) / 2
        outer = replace(inner, tasks=("inner", "z"), metrics={"acc": replace(inner.metrics["acc"], value=value)})
        extra = task_result([1.0, 0.0] if place else [0.0, 0.0])
        runs.append(model_run(label, {**tasks, "extra": extra}, {"inner": inner, "outer": outer}))
    found = compare(runs[0], runs[1])
    assert found.roots == ("outer", "extra")
    assert list(found.tasks) == ["outer", "inner", "x", "y", "z", "extra"]
    assert found.tasks["outer"].members == ("inner", "z")
    assert found.tasks["outer"].change.difference == pytest.approx(((4 / 20 - 1 / 20) / 2 + 6 / 20) / 2)
    assert found.overall is not None
    assert found.overall.difference == pytest.approx((found.tasks["outer"].change.difference + 0.5) / 2)
    assert found.overall.p == found.overall.p_adjusted


def test_no_mean_over_tasks_of_different_kinds() -> None:
    found = compare(*two(arc=paired(5, 1, 1, 3), book=(text_result([-2.0, -3.0]), text_result([-2.0, -3.1]))))
    assert found.overall is None


def test_one_document_is_undefined() -> None:
    found = compare(*two(arc=(task_result([0.0]), task_result([1.0])), f1=(real([0.2]), real([0.4]))))
    for name in ("arc", "f1"):
        change = found.tasks[name].change
        assert change.interval is None
        assert change.p is None
        assert change.verdict is Verdict.UNDECIDED
        assert "undefined" in change.reason
    assert found.tasks["f1"].change.difference == pytest.approx(0.2)


def test_one_cluster_is_undefined() -> None:
    before, after = (task_result(values, clusters=["c"] * 3) for values in ([0.0, 1.0, 0.0], [1.0, 1.0, 0.0]))
    change = compare(*two(squad=(before, after))).tasks["squad"].change
    assert change.interval is None
    assert "undefined" in change.reason


def test_identical_runs_are_said_to_be() -> None:
    task = task_result([1.0, 0.0] * 200)
    book = text_result([-2.0, -3.0, -2.5])
    first = model_run("base", {"arc": task, "book": book})
    found = compare(first, model_run("base", {"arc": task, "book": book}))
    assert any("the models are the same" in note and "every document" in note for note in found.notes)
    assert found.headline() == "base (2) and base are the same: every document has the same score in both"
    arc, word = found.tasks["arc"].change, found.tasks["book"].change
    assert arc.verdict is Verdict.WITHIN_MARGIN
    assert arc.interval is not None
    assert arc.interval[0] < 0 < arc.interval[1]
    assert arc.p == 1
    assert word.verdict is Verdict.WITHIN_MARGIN
    assert word.interval is None
    assert "exactly the same score" in word.reason
    assert compare(first, model_run("copy", {"arc": task, "book": book})).notes == (
        "every document has the same score in both runs, though the weights differ",
    )


def test_an_adapter_that_changed_nothing() -> None:
    task = task_result([1.0, 0.0])
    base = model_run("base", {"arc": task})
    tuned = replace(base, model=replace(base.model, adapter="./lora"))
    assert "the adapter changed nothing" in compare(base, tuned).notes[0]


def test_a_task_that_only_one_run_has_is_named() -> None:
    before, after = two(arc=paired(5, 1, 1, 3))
    after = replace(after, tasks={**after.tasks, "new": task_result([1.0])})
    found = compare(before, after)
    assert found.only_after == ("new",)
    assert found.only_before == ()


def test_nothing_in_common() -> None:
    one, other = model_run("a", {"arc": task_result([1.0])}), model_run("b", {"boolq": task_result([1.0])})
    with pytest.raises(NotComparableError, match="no task in common: a has arc, b has boolq"):
        compare(one, other)
    real_one = model_run("b", {"arc": real([0.5])})
    with pytest.raises(NotComparableError, match="share no metric of arc: a has acc, b has f1"):
        compare(one, real_one)


def test_what_was_asked_for_must_exist() -> None:
    runs = two(arc=paired(5, 1, 1, 3))
    with pytest.raises(UsageError, match="neither run has a task 'arx'"):
        compare(*runs, tasks=["arx"])
    with pytest.raises(UsageError, match="neither run has a metric 'bleu'"):
        compare(*runs, metrics=["bleu"])
    with pytest.raises(UsageError, match="no field 'colour' to allow"):
        compare(*runs, allow=["colour"])
    with pytest.raises(UsageError, match="margin is 2"):
        compare(*runs, margin=2)
    with pytest.raises(UsageError, match="alpha is 0"):
        compare(*runs, alpha=0)


def test_the_chosen_metric_decides() -> None:
    both = [text_result([-2.0, -2.5, -3.0]), text_result([-2.1, -2.4, -3.2])]
    runs = two(book=(both[0], both[1]))
    assert compare(*runs).tasks["book"].change.metric == "word_perplexity"
    found = compare(*runs, metrics=["bits_per_byte"])
    assert found.tasks["book"].change.metric == "bits_per_byte"
    assert not found.tasks["book"].others


def test_margins() -> None:
    runs = two(arc=paired(5, 1, 1, 3), book=(text_result([-2.0, -3.0]), text_result([-2.0, -3.1])))
    found = compare(*runs, margin=0.02, margins={"arc": 0.05})
    assert found.tasks["arc"].change.margin == pytest.approx(0.05)
    book = found.tasks["book"].change
    assert book.margin == pytest.approx(0.02 * book.before)


def test_a_limited_run_is_compared_on_what_both_have() -> None:
    before, after = paired(40, 10, 6, 44)
    kept = after.samples[10:60]
    limited = task_result([sample.metrics["acc"] for sample in kept])
    limited = replace(limited, samples=kept, metrics=limited.metrics)
    found = compare(model_run("base", {"arc": before}), model_run("tuned", {"arc": limited}, limit="50"))
    task = found.tasks["arc"]
    assert task.pairing.paired == 50
    assert len(task.pairing.only_before) == 50
    assert task.change.before == pytest.approx(sum(s.metrics["acc"] for s in before.samples[10:60]) / 50)
    assert "arc: compared on the 50 documents that both runs scored (base has 100, tuned 50)" in found.notes
    assert any(one.field == "limit" and not one.blocks for one in found.conditions)
    assert task.change.verdict is not Verdict.NOT_COMPARABLE


def test_unscored_documents_are_counted_and_listed() -> None:
    before, after = paired(3, 1, 0, 1)
    failed = replace(after.samples[0], outcome="errored", metrics={})
    outcomes = {"right": 3, "wrong": 1, "errored": 1}
    value = replace(after.metrics["acc"], value=3 / 4)
    after = replace(after, samples=(failed, *after.samples[1:]), outcomes=outcomes, metrics={"acc": value})
    pairing = compare(*two(arc=(before, after))).tasks["arc"].pairing
    assert pairing.unscored_after == (failed.id,)
    assert pairing.paired == 4
    assert pairing.coverage == pytest.approx(4 / 5)


def test_unreadable_answers_are_told_from_knowledge() -> None:
    before = generated(["right"] * 40 + ["wrong"] * 20)
    after = generated(["right"] * 20 + ["truncated"] * 15 + ["wrong"] * 5 + ["wrong"] * 20)
    found = compare(*two(gsm8k=(before, after)))
    task = found.tasks["gsm8k"]
    assert task.change.verdict is Verdict.REGRESSED
    assert task.change.attribution is not None
    assert task.change.attribution.unreadable == pytest.approx(-15 / 60)
    assert task.outcomes_after == {"right": 20, "truncated": 15, "wrong": 25}
    assert [flip.cause.value for flip in task.flips].count("truncated") == 15


def test_flips_that_changed_with_most_conviction_come_first() -> None:
    before, after = paired(1, 3, 0, 0)
    samples = tuple(
        replace(sample, fields={**sample.fields, "margin": 0.3 + margin})
        for sample, margin in zip(after.samples, (0, 1, 5, 2), strict=True)
    )
    flips = compare(*two(arc=(before, replace(after, samples=samples)))).tasks["arc"].flips
    assert [int(flip.id, 16) for flip in flips] == [2, 3, 1]


def test_few_shot_seeds_are_taken_together_and_said_to_be() -> None:
    def seeded(values: list[float]) -> TaskResult:
        task = real(values, "acc")
        samples = tuple(
            replace(sample, outcome="mixed" if sample.metrics["acc"] == 0.5 else "right", fields={"by_seed": []})
            for sample in task.samples
        )
        value = replace(task.metrics["acc"], spread=Spread((1, 2), (task.metrics["acc"].value,) * 2))
        counts = {name: sum(one.outcome == name for one in samples) for name in ("mixed", "right")}
        return replace(task, samples=samples, metrics={"acc": value}, outcomes=counts)

    found = compare(*two(arc=(seeded([0.5, 1.0, 0.5, 1.0]), seeded([1.0, 1.0, 0.5, 0.5]))))
    change = found.tasks["arc"].change
    assert change.test.startswith("paired t")
    assert (change.fixed, change.broken) == (1, 1)
    assert "arc: scores are means over few-shot seeds" in found.notes[-1]


def test_files_of_older_versions_tell_no_range() -> None:
    before, after = (
        replace(task, metrics={"acc": replace(task.metrics["acc"], bounds=None)}) for task in paired(60, 12, 4, 24)
    )
    change = compare(*two(arc=(before, after))).tasks["arc"].change
    assert change.bounds == (0.0, 1.0)
    assert change.margin == pytest.approx(0.01)


def test_all_pairs_share_the_correction() -> None:
    tasks = [paired(40, 14, 3, 43)[0], paired(40, 14, 3, 43)[1], paired(40, 9, 8, 43)[1]]
    runs = [model_run(name, {"arc": task}) for name, task in zip("abc", tasks, strict=True)]
    found = compare_all(runs)
    assert [(pair.before.label, pair.after.label) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    raw = [pair.tasks["arc"].change.p or 0 for pair in found.pairs]
    adjusted = [pair.tasks["arc"].change.p_adjusted for pair in found.pairs]
    assert adjusted == pytest.approx(list(multipletests(raw, method="holm")[1]))


# --- properties


def numbers(change: Change) -> tuple[object, ...]:
    return (change.difference, change.interval, change.margin_interval, change.p, change.fixed, change.broken)


def random_runs(seed: int, kind: str) -> tuple[Run, Run]:
    generator = random.Random(seed)
    n = generator.randint(2, 40)
    clusters = [f"c{place // 3}" for place in range(n)] if kind == "clusters" else None
    if kind == "text":
        both = [text_result([-generator.uniform(1, 4) for _ in range(n)]) for _ in range(2)]
    elif kind == "real":
        both = [real([generator.random() for _ in range(n)]) for _ in range(2)]
    else:
        both = [task_result([float(generator.random() < 0.5) for _ in range(n)], clusters=clusters) for _ in range(2)]
    return two(task=(both[0], both[1]))


KINDS = st.sampled_from(["binary", "clusters", "text", "real"])


def mirrored(value: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if value is None else (-value[1], -value[0])


@given(st.integers(0, 10**6), KINDS)
@settings(max_examples=40, deadline=None)
def test_swapping_the_sides_turns_everything_round(seed: int, kind: str) -> None:
    before, after = random_runs(seed, kind)
    there, back = (compare(*pair).tasks["task"].change for pair in ((before, after), (after, before)))
    assert back.difference == pytest.approx(-there.difference, abs=1e-12)
    assert (back.fixed, back.broken) == (there.broken, there.fixed)
    assert back.p == pytest.approx(there.p)
    for one, other in ((there.interval, back.interval), (there.margin_interval, back.margin_interval)):
        assert (one is None) == (other is None)
        if one is not None:
            assert other == pytest.approx(mirrored(one), abs=1e-9)
            assert one[0] < one[1]
    if there.p is not None:
        assert 0 < there.p <= 1


@given(st.integers(0, 10**6), KINDS)
@settings(max_examples=25, deadline=None)
def test_the_order_of_documents_changes_nothing(seed: int, kind: str) -> None:
    before, after = random_runs(seed, kind)
    task = after.tasks["task"]
    shuffled = list(task.samples)
    random.Random(seed).shuffle(shuffled)
    # prompts are hashed in order, so that another order is another hash
    other = replace(after, tasks={"task": replace(task, samples=tuple(shuffled), prompt_sha256="0" * 64)})
    assert numbers(compare(before, other).tasks["task"].change) == numbers(compare(before, after).tasks["task"].change)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_interval_and_verdict_never_contradict_each_other_in_silence(seed: int) -> None:
    generator = random.Random(seed)
    tables = {
        name: paired(*(generator.randint(0, 60) for _ in range(4)))
        for name in ("a", "b", "c", "d", "e")[: generator.randint(1, 5)]
    }
    found = compare(*two(**{name: pair for name, pair in tables.items() if pair[0].samples}))
    for name in found.roots:
        check(found, name)


def check(found: Comparison, name: str) -> None:
    change = found.tasks[name].change
    limits = change.gain_interval
    if limits is None:
        return
    excludes = not limits[0] <= 0 <= limits[1]
    if change.verdict is Verdict.UNDECIDED and excludes:
        assert "Holm" in change.reason or "just" in change.reason or "loss" in change.reason
    if change.verdict in (Verdict.IMPROVED, Verdict.REGRESSED) and not excludes:
        assert "just holds 0" in change.reason
    if change.verdict is Verdict.WITHIN_MARGIN and excludes and change.gain < 0:
        assert "real loss" in change.reason or "Holm" in change.reason or "just" in change.reason
    assert change.reason


def test_files_are_read(tmp_path: Path) -> None:
    before, after = two(arc=paired(60, 12, 4, 24))
    before.save(tmp_path / "base.json")
    after.save(tmp_path / "tuned.json")
    found = compare(tmp_path / "base.json", str(tmp_path / "tuned.json"))
    assert found.before.path == tmp_path / "base.json"
    assert numbers(found.tasks["arc"].change) == numbers(compare(before, after).tasks["arc"].change)
    assert found.headline() == "tuned is better than base on arc by 8.0 points"
