"""Logs of other harnesses as either side of a comparison."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from evalkit.comparing.compare import compare
from evalkit.comparison import Verdict
from evalkit.results import Run

LOGS = Path(__file__).parent
EVALKIT, LM_EVAL = LOGS / "lm_eval" / "evalkit.json", LOGS / "lm_eval" / "tiny"


@pytest.mark.parametrize("sources", [(EVALKIT, LM_EVAL), (LM_EVAL, EVALKIT)])
def test_the_same_run_by_evalkit_and_by_lm_eval_is_comparable_and_the_same(sources: tuple[Path, Path]) -> None:
    comparison = compare(*sources)
    assert {comparison.before.origin, comparison.after.origin} == {"evalkit", "lm-eval"}
    assert list(comparison.tasks) == list(Run.load(EVALKIT).tasks)
    assert [one for one in comparison.conditions if one.blocks] == []
    assert {one.field for one in comparison.conditions} == {"engine"}
    for name, task in comparison.tasks.items():
        assert task.pairing.coverage == 1.0
        assert task.change.difference == pytest.approx(0.0, abs=1e-6 * task.change.before), name
        assert task.change.verdict in (Verdict.UNDECIDED, Verdict.WITHIN_MARGIN)
        assert task.flips == () or name == "wikitext"


def test_evalkits_run_of_lm_evals_own_task_pairs_too(tmp_path: Path) -> None:
    document = json.loads(EVALKIT.read_text())
    task = document["tasks"].pop("arc_easy")
    document["tasks"] = {"lm-eval:arc_easy": task}
    (tmp_path / "own.json").write_text(json.dumps(document))
    comparison = compare(tmp_path / "own.json", LM_EVAL)
    assert comparison.tasks["lm-eval:arc_easy"].pairing.paired == 7


def test_two_inspect_logs(tmp_path: Path) -> None:
    """The fourth sample right before, wrong in both epochs after."""
    before, after = LOGS / "inspect" / "numbers.eval", tmp_path / "after.eval"
    with zipfile.ZipFile(before) as source, zipfile.ZipFile(after, "w") as target:
        for name in source.namelist():
            content = json.loads(source.read(name))
            if name.startswith("samples/4_"):
                content["scores"]["match"]["value"] = "I"
            if name == "header.json":
                content["results"]["scores"][0]["metrics"]["accuracy"]["value"] = 0.3
            target.writestr(name, json.dumps(content))
    comparison = compare(before, after)
    task = comparison.tasks["numbers"]
    assert [one for one in comparison.conditions if one.blocks] == []
    assert task.pairing.paired == 5  # the sixth failed in both
    assert (task.change.before, task.change.after) == pytest.approx((0.5, 0.3))
    assert [(one.gain, one.outcome_before, one.outcome_after) for one in task.flips] == [(-1.0, "right", "wrong")]


def test_another_decoding_of_lm_evals_is_seen(tmp_path: Path) -> None:
    other = Path(shutil.copytree(LM_EVAL, tmp_path / "other"))
    samples = next(other.glob("samples_gsm8k_*"))
    samples.write_text(samples.read_text().replace('"max_gen_toks": 12', '"max_gen_toks": 40'))
    (blocking,) = [one for one in compare(LM_EVAL, other).conditions if one.blocks]
    assert blocking.field == "decoding"
    assert blocking.tasks == ("gsm8k:0shot",)
    assert "12" in blocking.before
    assert "40" in blocking.after
