"""lm-eval's log of a run, written by itself, reads as evalkit's own run of the same tasks of its library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.comparing.foreign import aligned, read_foreign
from evalkit.results import Run

NAMES = ["toy_cloze", "toy_pages", "toy_own", "toy_binary", "toy_group"]


@pytest.fixture
def log(yardstick: Any, model: Path, tmp_path: Path) -> Path:
    """What `lm_eval --output_path log --log_samples` writes."""
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(tmp_path / "log"))
    tracker.general_config_tracker.log_experiment_args(
        model_source="hf",
        model_args=f"pretrained={model}",
        system_instruction=None,
        chat_template=None,
        fewshot_as_multiturn=False,
    )
    found = yardstick(NAMES)
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for task, lines in samples.items():
        tracker.save_results_samples(task_name=task, samples=lines)
    return tmp_path / "log"


@pytest.fixture
def ours(toy_tasks: Path, hub: Path, model: Path) -> Run:
    return evalkit.run(
        model=str(model),
        tasks=[f"lm-eval:{name}" for name in NAMES],
        data_dir=str(hub),
        offline=True,
        over_length="truncate",
    )


@pytest.mark.slow
def test_it_pairs_with_evalkits_run_and_has_its_values(log: Path, ours: Run) -> None:
    found = read_foreign(log)
    assert found is not None
    theirs = aligned(found[0], ours)
    assert set(theirs.tasks) == set(ours.tasks)
    for name, mine in ours.tasks.items():
        other = theirs.tasks[name]
        assert [one.id for one in other.samples] == [one.id for one in mine.samples], name
        assert other.prompt_sha256 == mine.prompt_sha256, name
        assert set(other.metrics) == set(mine.metrics), name
        for metric, value in mine.metrics.items():
            assert other.metrics[metric].value == pytest.approx(value.value, rel=1e-4), (name, metric)
            assert other.metrics[metric].higher_is_better == value.higher_is_better
        assert [one.outcome for one in other.samples] == [one.outcome for one in mine.samples], name
    assert theirs.groups.keys() == ours.groups.keys()
    for name, group in ours.groups.items():
        assert theirs.groups[name].tasks == group.tasks
        assert theirs.groups[name].weighting == group.weighting
        assert theirs.groups[name].metrics["acc"].value == pytest.approx(group.metrics["acc"].value)
