"""The seeded candidates, gated as a user does: the regressed one must end with 1 and the harmless one with 0."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "gate"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB")}
    environment = {**clean, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gate")
    made = run(EXAMPLE / "make_runs.py", path)
    assert made.returncode == 0, made.stderr
    return path


@pytest.mark.parametrize(
    ("candidate", "code", "verdict"), [("regressed", 1, "failed on sums"), ("harmless", 0, "passed")]
)
def test_exit_code(folder: Path, candidate: str, code: int, verdict: str) -> None:
    files = [folder / "base.json", folder / f"{candidate}.json"]
    result = run("-m", "evalkit", "gate", *files, "--policy", EXAMPLE / "gate.yaml")
    assert result.returncode == code, result.stdout + result.stderr
    assert result.stdout.startswith(verdict)


def test_documents_that_got_worse_are_shown_with_their_texts(folder: Path) -> None:
    import evalkit

    found = evalkit.gate(folder / "base.json", folder / "regressed.json").broken
    assert len(found) == 20
    for item in found:
        first, second = (int(word) for word in item.prompt.removesuffix("=").split("+"))
        assert item.target == item.before == str(first + second) != item.after


def test_the_harmless_candidate_did_change(folder: Path) -> None:
    import evalkit

    found = evalkit.gate(folder / "base.json", folder / "harmless.json")
    assert found.rows[0].fixed > 5
    assert found.rows[0].broken > 5
