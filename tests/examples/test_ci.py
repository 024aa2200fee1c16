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
    assert len(found) >= 3
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
    assert '--baseline "$BASELINE" --policy "$POLICY" --json gate.json' in steps[4]["run"]
    for name in ("BASELINE", "POLICY"):
        assert workflow["env"][name].startswith("git:origin/${{ github.base_ref }}:")
    assert steps[-1]["if"] == "always()"


def test_the_job_of_gitlab() -> None:
    (job,) = yaml.safe_load(FILES[1].read_text()).values()
    assert all(isinstance(line, str) for line in job["script"])
    assert '--baseline "$BASELINE" --policy "$POLICY" --json gate.json' in job["script"][-1]
    for name in ("BASELINE", "POLICY"):
        assert job["variables"][name].startswith("git:origin/$CI_MERGE_REQUEST_TARGET_BRANCH_NAME:")
    assert job["artifacts"]["reports"]["junit"] == "gate.xml"
    assert job["allow_failure"]["exit_codes"] == 3


def test_the_policy_of_the_example_can_be_read() -> None:
    from evalkit.gating.policy_file import read_policy

    assert set(read_policy(ROOT / "examples" / "gate" / "gate.yaml").rules) == {"sums"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_evalkit_is_not_taken_from_pypi_where_another_package_has_its_name(path: Path) -> None:
    text = path.read_text()
    assert 'EVALKIT: "evalkit @ git+https://github.com/OWNER/evalkit@v' in text
    installs = re.findall(r"pip install ([^\n]*)", text)
    (pinned,) = re.findall(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert installs[0].startswith(f"{pinned} --index-url https://download.pytorch.org/whl/cpu")
    assert installs[1] == '"$EVALKIT"'
    assert len(installs) == 2


def test_no_number_of_the_job_of_gitlab_stands_twice() -> None:
    assert FILES[1].read_text().count("1000") == 1


def test_the_policy_for_pull_requests_lets_a_harmless_change_pass(tmp_path: Path) -> None:
    """One that 1,000 documents cannot show to be harmless: the built-in policy stops it, this one warns."""
    import evalkit
    from tests.gating.examples import pair

    harmless, worse = pair(65, 60), pair(60, 20)
    assert evalkit.gate(*harmless).exit_code == 3
    path = ROOT / "examples" / "ci" / "gate.yaml"
    assert evalkit.gate(*harmless, path).exit_code == 0
    assert evalkit.gate(*harmless, path).status.value == "warn"
    assert evalkit.gate(*worse, path).exit_code == 1
