from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparison import Comparison, FieldDifference, Verdict
from evalkit.results import Run, TaskResult
from tests.comparing.examples import model_run, task_result, text_result, with_setting

TASK = task_result([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
OTHER = replace(TASK, prompt_sha256="1" * 64)
CHAT = {"used": True, "available": True, "why": "--chat-template on"}
PLAIN = {"used": False, "available": True, "why": "log-likelihoods are scored in plain text"}


def between(first: TaskResult, second: TaskResult, before: dict[str, Any] | None = None, **after: Any) -> Comparison:
    return compare(model_run("base", {"arc": first}, **(before or {})), model_run("tuned", {"arc": second}, **after))


def only(found: Comparison) -> FieldDifference:
    assert len(found.conditions) == 1, found.conditions
    return found.conditions[0]


def dataset(**fields: Any) -> TaskResult:
    return replace(TASK, dataset=replace(TASK.dataset, **fields))


BLOCKS: dict[str, tuple[str, Callable[[], Comparison], str, str]] = {
    "version": ("task version", lambda: between(TASK, replace(TASK, version=2)), "1", "2"),
    "prompt": ("prompt", lambda: between(TASK, OTHER), "sha256 eeeeeeeeeeee", "sha256 111111111111"),
    "shots": ("shots", lambda: between(TASK, replace(OTHER, shots=5)), "0", "5"),
    "draw": (
        "shots",
        lambda: between(
            with_setting(replace(TASK, shots=5), shots_sampler="fixed"),
            with_setting(replace(OTHER, shots=5), shots_sampler="random", shots_seed=7),
        ),
        "5 drawn by sampler fixed",
        "5 drawn by sampler random, seed 7",
    ),
    "chat": (
        "chat template",
        lambda: between(with_setting(TASK, chat_template=PLAIN), with_setting(OTHER, chat_template=CHAT)),
        "not used",
        "used",
    ),
    "thinking": (
        "chat template",
        lambda: between(
            with_setting(TASK, chat_template=CHAT),
            with_setting(OTHER, chat_template={**CHAT, "enable_thinking": False}),
        ),
        "used",
        "used, enable_thinking false",
    ),
    "system": ("system prompt", lambda: between(TASK, OTHER, system="Be brief."), "none", "Be brief."),
    "decoding": (
        "decoding",
        lambda: between(
            with_setting(TASK, decoding={"max_new_tokens": 256, "temperature": 0.0}),
            with_setting(TASK, decoding={"max_new_tokens": 32, "temperature": 0.0}),
        ),
        "max_new_tokens 256",
        "max_new_tokens 32",
    ),
    "extraction": (
        "extraction",
        lambda: between(with_setting(TASK, extractors={"strict": "A"}), with_setting(TASK, extractors={"strict": "B"})),
        "strict A",
        "strict B",
    ),
    "metric": (
        "metric",
        lambda: between(with_setting(TASK, signatures={"acc": "v:1"}), with_setting(TASK, signatures={"acc": "v:2"})),
        "acc v:1",
        "acc v:2",
    ),
    "data": (
        "data",
        lambda: between(
            dataset(split="validation"),
            replace(TASK, samples=tuple(replace(s, id=f"x{s.id}") for s in TASK.samples[:1]) + TASK.samples[1:]),
        ),
        "allenai/ai2_arc ARC-Easy validation",
        "allenai/ai2_arc ARC-Easy test",
    ),
    "compat": (
        "compat",
        lambda: between(TASK, TASK, {"compat_lm_eval": False}, compat_lm_eval=True),
        "false",
        "true",
    ),
}


@pytest.mark.parametrize("case", BLOCKS)
def test_what_blocks(case: str) -> None:
    field, make, before, after = BLOCKS[case]
    found = make()
    blocking = [one for one in found.conditions if one.blocks]
    assert blocking[0].field == field
    assert (blocking[0].before, blocking[0].after) == (before, after)
    change = found.tasks["arc"].change
    assert change.verdict is Verdict.NOT_COMPARABLE
    assert change.interval is None
    assert change.p is None
    assert f"{field} differs ({before}; {after})" in change.reason
    assert found.headline() == "tuned and base cannot be compared"


@pytest.mark.parametrize("allow", [["Prompt"], ["all"], ["shots", "prompt"]])
def test_what_is_allowed_is_compared_and_marked(allow: list[str]) -> None:
    found = compare(model_run("base", {"arc": TASK}), model_run("tuned", {"arc": OTHER}), allow=allow)
    assert only(found).allowed
    assert found.tasks["arc"].change.verdict is not Verdict.NOT_COMPARABLE


def test_the_same_prompts_are_the_same_question_however_they_came_about() -> None:
    """A base model and its chat model asked in plain text, another tokenizer, other words for why."""
    base = model_run("base", {"arc": with_setting(TASK, chat_template={**PLAIN, "available": False, "why": "none"})})
    tuned = model_run("tuned", {"arc": with_setting(TASK, chat_template=PLAIN)}, chat_template="off")
    tuned = replace(tuned, model=replace(tuned.model, tokenizer_sha256="9" * 64, dtype="bfloat16"))
    found = compare(base, tuned)
    assert [one.field for one in found.conditions] == ["tokenizer", "dtype"]
    assert not any(one.blocks for one in found.conditions)
    assert found.tasks["arc"].change.verdict is not Verdict.NOT_COMPARABLE


def test_documents_that_differ_by_more_than_a_twentieth_are_other_data() -> None:
    many = task_result([1.0, 0.0] * 50)

    def with_new_ids(count: int) -> TaskResult:
        samples = tuple(
            replace(sample, id=f"new{place}") if place < count else sample for place, sample in enumerate(many.samples)
        )
        return replace(many, samples=samples, prompt_sha256="2" * 64, dataset=replace(many.dataset, sha256="2" * 64))

    few = between(many, with_new_ids(5))
    assert [one.field for one in few.conditions] == ["data revision"]
    assert few.tasks["arc"].pairing.paired == 95
    lot = between(many, with_new_ids(6))
    assert lot.conditions[0].field == "data"
    assert lot.conditions[0].before == "100 documents, of which 94 are in both"
    assert lot.tasks["arc"].change.verdict is Verdict.NOT_COMPARABLE


def test_no_document_in_common() -> None:
    strangers = replace(TASK, samples=tuple(replace(sample, id=f"x{sample.id}") for sample in TASK.samples))
    change = between(TASK, strangers).tasks["arc"].change
    assert change.verdict is Verdict.NOT_COMPARABLE
    assert change.n == 0
    assert change.before == TASK.metrics["acc"].value
    assert "share no document" in change.reason


def test_other_limits_are_named_only() -> None:
    kept = TASK.samples[2:6]
    limited = task_result([sample.metrics["acc"] for sample in kept])
    found = between(TASK, replace(limited, samples=kept), limit="4")
    assert [(one.field, one.before, one.after, one.blocks) for one in found.conditions] == [
        ("limit", "none", "4, seed 1234", False)
    ]


def test_a_policy_for_long_prompts_matters_where_one_was_long() -> None:
    assert not only(between(TASK, TASK, {"over_length": "error"}, over_length="truncate")).blocks
    cut = replace(TASK, samples=(replace(TASK.samples[0], fields={"truncated_tokens": 9}), *TASK.samples[1:]))
    found = between(TASK, cut, {"over_length": "error"}, over_length="truncate")
    assert found.conditions[0].field == "over length"
    assert found.conditions[0].blocks


def test_a_stride_matters_to_texts_only() -> None:
    book = text_result([-2.0, -2.5])
    assert only(between(book, book, {"stride": None}, stride=512)).blocks
    assert not between(TASK, TASK, {"stride": None}, stride=512).conditions
    assert not only(between(book, book, {"max_length": 2048}, max_length=8192)).blocks


def test_differences_of_several_tasks_are_told_once() -> None:
    def both(second: TaskResult) -> Comparison:
        one, two = {"a": TASK, "b": TASK, "c": TASK}, {"a": second, "b": second, "c": TASK}
        return compare(model_run("base", one), model_run("tuned", two))

    found = both(OTHER)
    assert only(found).tasks == ("a", "b")
    assert found.tasks["c"].change.verdict is not Verdict.NOT_COMPARABLE
    assert found.overall is not None
    assert found.overall.verdict is Verdict.NOT_COMPARABLE


def test_what_is_not_compared_is_no_test_to_correct_for() -> None:
    one, two = {"a": TASK, "b": TASK}, {"a": OTHER, "b": task_result([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0])}
    found = compare(model_run("base", one), model_run("tuned", two))
    change = found.tasks["b"].change
    assert change.p == change.p_adjusted
    assert change.p is not None
    assert change.p < 1


def test_settings_that_nobody_foresaw_are_named() -> None:
    found = between(TASK, TASK, {"endpoint_mode": "a", "batch_tokens": 1}, endpoint_mode="b", batch_tokens=2)
    assert only(found) == FieldDifference("endpoint mode", "a", "b")


def test_groups_of_other_members() -> None:
    from tests.result_examples import group

    tasks = {name: TASK for name in "abc"}
    runs: list[Run] = []
    for names in ("abc", "ab"):
        members = {name: tasks[name] for name in names}
        runs.append(model_run("base" if len(names) == 3 else "tuned", members, {"all": group("all", members)}))
    found = compare(runs[0], runs[1])
    assert only(found).field == "group"
    assert only(found).before == "3 members, alone c"
    assert found.roots == ("a", "b")
    assert found.only_before == ("c",)
