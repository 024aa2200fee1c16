"""The workflows to copy: valid YAML, and every evalkit command in them has only options that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from evalkit.cli.main import app

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "examples" / "ci" / name for name in ("github-actions.yml", "gitlab-ci.yml")]
DOCUMENTS = [*FILES, ROOT / "docs" / "gating.md"]


def commands(text: str) -> Iterator[list[str]]:
    """Every command line of evalkit, those in comments too, with its continuation lines."""
    joined = re.sub(r"\\\n\s*", " ", text)
    joined = re.sub(r"(evalkit gate [^\n]*)\n +(--[^\n]*)", r"\1 \2", joined)
    for found in re.finditer(r"(?:^|[\s`])evalkit ((?:run|gate|compare) [^\n`#]*)", joined):
        yield [word for word in shlex.split(found[1].split(">")[0].strip()) if word != "..."]


def options_of(command: str) -> set[str]:
    found: Any = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_exists(path: Path) -> None:
    found = list(commands(path.read_text()))
    assert len(found) > 3
    for words in found:
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= options_of(words[0]), words


def test_the_check_sees_an_option_that_does_not_exist() -> None:
    (words,) = commands("  - evalkit gate tuned.json --polcy x\n      --junit y\n")
    assert words == ["gate", "tuned.json", "--polcy", "x", "--junit", "y"]
    assert "--polcy" not in options_of("gate")


def test_the_workflow_of_github() -> None:
    workflow = yaml.safe_load(FILES[0].read_text())
    assert set(workflow) == {"name", True, "permissions", "env", "jobs"}  # `on` is a truth value in YAML 1.1
    steps = workflow["jobs"]["gate"]["steps"]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    assert steps[0]["with"]["fetch-depth"] == 0
    assert "--policy evals/gate.yaml --json gate.json" in steps[4]["run"]
    assert steps[-1]["if"] == "always()"


def test_the_job_of_gitlab() -> None:
    (job,) = yaml.safe_load(FILES[1].read_text()).values()
    assert all(isinstance(line, str) for line in job["script"])
    assert "--policy evals/gate.yaml --json gate.json" in job["script"][-1]
    assert job["artifacts"]["reports"]["junit"] == "gate.xml"
    assert job["allow_failure"]["exit_codes"] == 3


def test_the_policy_of_the_example_can_be_read() -> None:
    from evalkit.gating.policy_file import read_policy

    assert set(read_policy(ROOT / "examples" / "gate" / "gate.yaml").rules) == {"sums"}
