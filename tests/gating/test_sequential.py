"""A gate that evaluates its candidate as it goes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import evalkit
from evalkit import DataSource, Group, MockModel, MultipleChoice, Task, Text
from evalkit.backends.base import Answer, Prepared
from evalkit.comparison import Side, Verdict
from evalkit.errors import InterruptedRunError, NotComparableError, UnknownTaskError, UsageError
from evalkit.gating.policy import Policy
from evalkit.gating.result import GateResult, Reason, Status
from evalkit.requests import Request, Score
from evalkit.sequential_gate import gate_while_evaluating
from evalkit.task import Row
from tests.gating.examples import policy


def choose(row: Row) -> MultipleChoice:
    return MultipleChoice(row["question"], ["yes", "no"], 0)


def quiz(name: str = "quiz", n: int = 600, **changes: object) -> Task:
    rows = [{"question": f"{name} {place}", "passage": str(place // 3)} for place in range(n)]
    data = DataSource(id=f"tests/{name}", rows=rows)
    return Task(name=name, data=data, document=choose, metrics=("acc",), **changes)  # type: ignore[arg-type]


def uniform(text: str) -> float:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8


class Knows:
    """Right on 70 % of the questions, but for those lost or learned; losses can be kept to some tasks."""

    def __init__(self, lost: float = 0.0, learned: float = 0.0, only: str = "") -> None:
        self.lost, self.learned, self.only = lost, learned, only

    def __call__(self, request: Request) -> float:
        assert isinstance(request, Score)
        question = request.context.strip()
        knew = uniform(f"skill {question}") < 0.7
        changed = uniform(f"change {question}") if self.only in question else 1.0
        right = changed >= self.lost if knew else changed < self.learned
        return -1.0 if (request.continuation.strip() == "yes") == right else -2.0


def base_of(tasks: list[Task | Group], **options: object) -> Side:
    run = evalkit.run(model=MockModel(Knows(), name="base"), tasks=tasks, **options)  # type: ignore[arg-type]
    return Side("base", run)


def gate(
    base: Side, knows: Knows, tasks: list[Task | Group], asked: Policy | None = None, **options: object
) -> tuple[GateResult, MockModel]:
    model = MockModel(knows, name="tuned", batch=64)
    return gate_while_evaluating(base, model, policy=asked, tasks=tasks, **options), model  # type: ignore[arg-type]


def test_a_clear_regression_spends_a_fraction(tmp_path: Path) -> None:
    lines: list[str] = []
    output = tmp_path / "tuned.json"
    result, model = gate(base_of([quiz()]), Knows(0.3), [quiz()], output=output, note=lines.append)
    assert (result.exit_code, result.findings[0].reason) == (1, Reason.REGRESSED)
    looks = result.looks
    assert looks is not None
    assert looks.stopped
    assert looks.total == 600
    assert looks.asked == looks.tasks["quiz"].asked < 200
    assert model.requests_answered == 2 * looks.asked
    assert looks.tasks["quiz"].evidence["the loss is within the margin"] >= 40  # half of alpha
    assert looks.tasks["quiz"].settled is Status.FAIL
    run = evalkit.Run.load(output)
    assert run.tasks["quiz"].n == looks.asked == result.rows[0].n
    assert run.settings["sequential"]["seed"] == 0  # type: ignore[index]
    assert not list(tmp_path.glob("*.journal"))
    assert lines[0] == "tasks of base: quiz"
    assert lines[-1].startswith(f"look {len(looks.sizes)}: {looks.asked} of 600 documents")
    assert "quiz fail" in lines[-1]


def test_the_documents_are_a_seeded_sample(tmp_path: Path) -> None:
    base = base_of([quiz()])
    asked = {}
    for seed in (0, 1):
        gate(base, Knows(0.3), [quiz()], output=tmp_path / "tuned.json", seed=seed)
        run = evalkit.Run.load(tmp_path / "tuned.json")
        asked[seed] = {sample.id for sample in run.tasks["quiz"].samples}
        sample = evalkit.run(model=MockModel(Knows()), tasks=[quiz()], limit=len(asked[seed]), seed=seed)
        assert {one.id for one in sample.tasks["quiz"].samples} == asked[seed]
    assert asked[0] != asked[1]


def test_limits_after_an_early_stop_are_those_that_may_be_looked_at() -> None:
    result, _ = gate(base_of([quiz()]), Knows(0.3), [quiz()])
    row = result.rows[0]
    assert row.verdict is Verdict.REGRESSED
    assert row.test == "bets on every document, valid at any look"
    assert row.interval is not None
    low, high = row.interval
    assert -1 < low < row.gain < high < -0.01


def test_without_certainty_the_usual_test_at_the_end_has_the_rest_of_alpha() -> None:
    base, knows = base_of([quiz()]), Knows(0.04, 0.05)
    result, model = gate(base, knows, [quiz()])
    assert result.looks is not None
    assert (result.looks.asked, result.looks.stopped, model.requests_answered) == (600, False, 1200)
    whole = evalkit.run(model=MockModel(knows, name="tuned"), tasks=[quiz()])
    usual = evalkit.gate(base.run, whole, policy("defaults: {alpha: 0.025}"))
    assert result.rows == usual.rows
    assert [one.sentence for one in result.findings] == [one.sentence for one in usual.findings]
    assert result.exit_code == 3


def test_a_harmless_candidate_passes_early_where_the_margin_is_wide() -> None:
    result, _ = gate(base_of([quiz()]), Knows(), [quiz()], policy("defaults: {margin: 5pt}"))
    assert result.exit_code == 0
    assert result.looks is not None
    assert result.looks.asked < 300
    assert "certain after" in result.findings[0].sentence


def test_min_items_holds_back_a_pass_but_no_failure() -> None:
    base = base_of([quiz()])
    result, _ = gate(base, Knows(), [quiz()], policy("defaults: {margin: 5pt, min_items: 400}"))
    assert result.looks is not None
    assert 400 <= result.looks.asked < 600
    result, _ = gate(base, Knows(0.3), [quiz()], policy("defaults: {min_items: 400}"))
    assert result.looks is not None
    assert result.looks.asked < 200
    assert result.exit_code == 1


def test_a_rule_that_no_candidate_can_be_bet_to_reach_is_broken_by_one_document() -> None:
    base = base_of([quiz()])
    result, _ = gate(base, Knows(0.25), [quiz()], policy("defaults: {margin: 20pt, floor: 100%}"))
    assert result.exit_code == 1
    failed = result.of(Status.FAIL)
    assert [one.reason for one in failed] == [Reason.FLOOR_BROKEN]
    assert "is impossible by now" in failed[0].sentence
    assert result.looks is not None
    assert result.looks.asked == 50
    assert GateResult.to_json(result)


def test_a_floor_at_the_end_of_the_range_is_held_by_all_documents_only() -> None:
    perfect = Side("base", evalkit.run(model=MockModel(Knows(learned=1.0), name="base"), tasks=[quiz()]))
    result, _ = gate(perfect, Knows(learned=1.0), [quiz()], policy("defaults: {margin: 20pt, floor: 100%}"))
    assert result.exit_code == 0
    assert result.looks is not None
    assert result.looks.asked == 600


def test_a_candidate_that_lost_everything() -> None:
    perfect = Side("base", evalkit.run(model=MockModel(Knows(learned=1.0), name="base"), tasks=[quiz()]))
    result, _ = gate(perfect, Knows(lost=1.0, learned=0.0), [quiz()])
    assert result.exit_code == 1
    model = MockModel(lambda request: -1.0 if "no" in request.continuation else -2.0, name="tuned")  # type: ignore[union-attr]
    assert gate_while_evaluating(perfect, model, tasks=[quiz()]).rows[0].interval is not None


def test_one_regressed_task_ends_the_gate_for_all() -> None:
    tasks: list[Task | Group] = [quiz("good"), quiz("bad")]
    result, _ = gate(base_of(tasks), Knows(0.4, only="bad"), tasks)
    assert result.headline() == "failed on bad"
    good = next(one for one in result.findings if one.task == "good")
    assert (good.status, good.reason) == (Status.SKIPPED, Reason.NOT_EVALUATED)


def test_what_is_settled_is_asked_no_more() -> None:
    tasks: list[Task | Group] = [quiz("easy"), quiz("hard")]
    asked = policy("tasks: {easy: {margin: 20pt}, hard: {margin: 0.5pt}}")
    result, _ = gate(base_of(tasks), Knows(), tasks, asked)
    assert result.looks is not None
    assert result.looks.tasks["easy"].asked < 150
    assert result.looks.tasks["hard"].asked == 600
    assert result.looks.stopped


def test_informational_tasks_are_not_evaluated() -> None:
    tasks: list[Task | Group] = [quiz("counts"), quiz("shown")]
    base = base_of(tasks)
    result, _ = gate(base, Knows(0.4), tasks[:1], policy("tasks: {shown: {informational: true}}"))
    assert [row.task for row in result.rows] == ["counts"]
    assert "not evaluated, as they do not decide: shown" in result.notes
    with pytest.raises(UsageError, match=r"gate.yaml: no task decides"):
        gate(base, Knows(), tasks, policy('tasks: {"*": {informational: true}}'))


@pytest.mark.parametrize("weighting", ["items", "tasks"])
def test_groups(weighting: str) -> None:
    small, large = quiz("small", 90), quiz("large", 600)
    exam = Group(name="exam", members=("small", "large"), metrics="acc", weighting=weighting)  # type: ignore[arg-type]
    tasks: list[Task | Group] = [small, large, exam]
    base = base_of(tasks)
    result, _ = gate(base, Knows(0.35), tasks)
    assert result.looks is not None
    assert [row.task for row in result.rows] == ["exam"]
    assert result.exit_code == 1
    assert result.looks.asked < 400
    harmless, _ = gate(base, Knows(0.03, 0.05), tasks)
    whole = evalkit.run(model=MockModel(Knows(0.03, 0.05), name="tuned"), tasks=tasks)
    usual = evalkit.gate(base.run, whole, policy("defaults: {alpha: 0.025}"))
    assert harmless.rows == usual.rows


def test_a_first_look_that_misses_a_member_of_a_group() -> None:
    members = [quiz(f"part{place}", 12 if place else 900) for place in range(8)]
    exam = Group(name="exam", members=tuple(one.name for one in members), metrics="acc", weighting="tasks")
    tasks: list[Task | Group] = [*members, exam]
    result, _ = gate(base_of(tasks), Knows(0.9), tasks)
    assert result.exit_code == 1
    assert result.looks is not None
    assert result.looks.asked < 984


def test_clusters_are_asked_whole() -> None:
    task = quiz(cluster=lambda row: row["passage"])
    result, _ = gate(base_of([task]), Knows(0.4), [task])
    assert result.exit_code == 1
    assert result.looks is not None
    assert all(size % 3 == 0 for size in result.looks.sizes)


def test_the_baselines_sample_and_settings_are_taken_over(tmp_path: Path) -> None:
    lines: list[str] = []
    base = base_of([quiz()], limit=120, seed=5, system="Answer.")
    result, _ = gate(base, Knows(), [quiz()], output=tmp_path / "t.json", note=lines.append)
    assert result.looks is not None
    assert result.looks.total == 120
    assert result.findings[0].status is not Status.NOT_COMPARABLE
    run = evalkit.Run.load(tmp_path / "t.json")
    assert {one.id for one in run.tasks["quiz"].samples} == {one.id for one in base.run.tasks["quiz"].samples}
    assert lines[1] == "settings of base: limit 120, seed 5, system Answer."


def test_other_prompts_are_refused_before_anything_is_asked() -> None:
    base = base_of([quiz(description="Think. ")])
    model = MockModel(Knows(), name="tuned")
    with pytest.raises(NotComparableError, match="prompts are not those of the baseline") as caught:
        gate_while_evaluating(base, model, tasks=[quiz()])
    assert model.requests_answered == 0
    assert "--allow prompt" in str(caught.value.hint)
    result, _ = gate(base, Knows(0.4), [quiz()], policy("allow: prompt"))
    assert result.exit_code == 1


def test_other_data_or_another_version_are_refused() -> None:
    base = base_of([quiz()])
    for task, message in ((quiz(n=400), "only 400 of 600 documents"), (quiz(version=2), "is version 2 now")):
        with pytest.raises(NotComparableError, match=message):
            gate(base, Knows(), [task])


def test_a_score_that_is_no_mean_is_asked_whole() -> None:
    data = DataSource(id="tests/text", rows=[{"text": f"some words of text {place}"} for place in range(80)])
    text = Task(name="text", data=data, document=lambda row: Text(row["text"]), metrics=("word_perplexity",))
    base = Side("base", evalkit.run(model=MockModel(lambda request: -4.0, name="base"), tasks=[text]))
    worse = MockModel(lambda request: -5.0 - 0.1 * uniform(str(request)), name="tuned")
    result = gate_while_evaluating(base, worse, tasks=[text])
    assert result.exit_code == 1
    assert result.looks is not None
    assert (result.looks.asked, result.looks.total) == (80, 80)
    assert "text: its score is no mean of bounded values, so it is asked whole" in result.notes


def test_an_unknown_task_needs_to_be_told_where_it_is() -> None:
    with pytest.raises(UnknownTaskError) as caught:
        gate_while_evaluating(base_of([quiz()]), MockModel(Knows()))
    assert "--tasks ./mine.yaml" in str(caught.value.hint)


def test_only_baselines_of_evalkit_can_be_imitated() -> None:
    base = replace(base_of([quiz()]), origin="lm-eval")
    with pytest.raises(UsageError, match="was written by lm-eval"):
        gate(base, Knows(), [quiz()])


class Interrupted(MockModel):
    """Stopped by the user after some batches."""

    left = 3

    def compute(
        self, prepared: Prepared, done: Collection[int] = (), left_out: Collection[int] = ()
    ) -> Iterator[list[Answer]]:
        for batch in super().compute(prepared, done, left_out):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield batch


def test_an_interrupted_gate_goes_on_with_the_same_command(tmp_path: Path) -> None:
    base, output = base_of([quiz()]), tmp_path / "tuned.json"
    with pytest.raises(InterruptedRunError):
        gate_while_evaluating(base, Interrupted(Knows(0.3), name="tuned", batch=64), tasks=[quiz()], output=output)
    result, model = gate(base, Knows(0.3), [quiz()], output=output)
    assert result.looks is not None
    assert model.requests_answered < 2 * result.looks.asked
    straight, _ = gate(base, Knows(0.3), [quiz()])
    assert (result.rows, result.looks) == (straight.rows, straight.looks)


def test_documents_that_could_not_be_answered_are_missing_at_the_end() -> None:
    class Fails(MockModel):
        def _answer(self, request: Request) -> object:  # type: ignore[override]
            from evalkit.requests import Failure

            assert isinstance(request, Score)
            return Failure("no answer") if uniform(request.context) < 0.2 else super()._answer(request)

    result = gate_while_evaluating(base_of([quiz()]), Fails(Knows(), name="tuned"), tasks=[quiz()])
    assert (result.exit_code, result.findings[0].reason) == (4, Reason.LOW_OVERLAP)
