from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from evalkit.results import Run, Sample
from tests.result_examples import group, run, task_result


def test_leaves_go_through_groups_and_come_once() -> None:
    tasks = {"arc_easy": task_result([1, 0]), "piqa": task_result([1])}
    inner = group("arc", {"arc_easy": tasks["arc_easy"]})
    outer = dataclasses.replace(inner, tasks=("arc", "arc_easy", "piqa"))
    assert run(tasks, {"arc": inner, "all": outer}).leaves("all") == ("arc_easy", "piqa")


def test_results_cannot_be_changed() -> None:
    one = Sample("id", 0, None, "right", {}, {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.outcome = "wrong"  # type: ignore[misc]
    assert not hasattr(one, "__dict__")


def test_the_schema_is_the_documented_one() -> None:
    assert Run.schema == "evalkit.result/1"


def test_importing_is_light() -> None:
    heavy = {"torch", "transformers", "scipy", "pyarrow", "datasets", "rich"}
    code = f"""
import sys, evalkit.results, evalkit.metrics, evalkit.aggregate, evalkit.reports.terminal, evalkit.reports.markdown
print(*({heavy!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
