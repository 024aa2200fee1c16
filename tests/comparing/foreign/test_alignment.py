"""lm-eval's log beside evalkit's run of lm-eval's own definition of the task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.comparing.foreign import aligned, read_foreign
from evalkit.results import Run

LOGS = Path(__file__).parent / "lm_eval"


@pytest.fixture(scope="module")
def theirs() -> Run:
    found = read_foreign(LOGS / "tiny")
    assert found is not None
    return found[0]


def renamed(run: Run, **names: str) -> Run:
    return replace(run, tasks={names[key]: task for key, task in run.tasks.items() if key in names})


def test_names_that_both_have_stay(theirs: Run) -> None:
    assert aligned(theirs, Run.load(LOGS / "evalkit.json")) == theirs


def test_a_task_is_named_as_in_the_other_run(theirs: Run) -> None:
    found = aligned(theirs, renamed(theirs, arc_easy="lm-eval:arc_easy"))
    assert list(found.tasks) == ["lm-eval:arc_easy", "hellaswag", "gsm8k:0shot", "wikitext"]
    assert found.tasks["lm-eval:arc_easy"].samples == theirs.tasks["arc_easy"].samples


def test_ids_are_those_of_lm_evals_documents(theirs: Run) -> None:
    """HellaSwag's documents have columns in lm-eval that the dataset's rows do not have."""
    found = aligned(theirs, renamed(theirs, hellaswag="lm-eval:hellaswag"))
    before, after = theirs.tasks["hellaswag"].samples, found.tasks["lm-eval:hellaswag"].samples
    assert [one.id for one in after] == [one.fields["lm_eval_id"] for one in before]
    assert all(one.id != two.id for one, two in zip(before, after, strict=True))
    assert all("lm_eval_id" not in one.fields for one in after)


def test_metrics_have_lm_evals_names(theirs: Run) -> None:
    found = aligned(theirs, renamed(theirs, **{"gsm8k:0shot": "lm-eval:gsm8k:0shot"}))
    task = found.tasks["lm-eval:gsm8k:0shot"]
    assert set(task.metrics) == {"exact_match", "exact_match@flexible-extract"}
    assert set(task.samples[0].metrics) == set(task.metrics)


def test_another_number_of_shots_is_another_task(theirs: Run) -> None:
    like = renamed(theirs, arc_easy="lm-eval:arc_easy:5shot")
    like = replace(like, tasks={name: replace(task, shots=5) for name, task in like.tasks.items()})
    assert "arc_easy" in aligned(theirs, like).tasks
