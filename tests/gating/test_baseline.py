"""Baselines from files and from commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from evalkit.errors import NotComparableError, UsageError
from evalkit.gating.amount import Amount
from evalkit.gating.baseline import open_baseline
from evalkit.gating.decide import load_policy
from evalkit.results import Run, SampleRow, read_samples, samples_path, write_samples
from tests.gating.examples import pair


def git(folder: Path, *arguments: str) -> None:
    settings = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "core.hooksPath=/dev/null",
    ]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`main` has a baseline with its log; the working tree has changed since."""
    folder = tmp_path / "repository"
    (folder / "evals").mkdir(parents=True)
    git(folder, "init", "-b", "main")
    base, tuned = pair(60, 10)
    base.save(folder / "evals" / "base.json")
    row = SampleRow("quiz", "id", 0, 0, "generate", 0, "Who?", "I", 1, 1, None, [], False, "stop", None, 0, "me", "I")
    write_samples(samples_path(folder / "evals" / "base.json"), [row])
    (folder / "lfs.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "baseline")
    tuned.save(folder / "evals" / "base.json")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return folder


@pytest.mark.parametrize("reference", ["main", "HEAD", "refs/heads/main", "HEAD~0"])
def test_a_file_of_another_commit_without_a_checkout(repository: Path, reference: str) -> None:
    before = (repository / "evals" / "base.json").read_bytes()
    with open_baseline(f"git:{reference}:evals/base.json") as found:
        assert Run.load(found.path).model.name == "base"
        assert [row.target for row in read_samples(samples_path(found.path))] == ["me"]
        assert found.label.startswith(f"base.json of {reference}, ")
    assert not found.path.exists()
    assert (repository / "evals" / "base.json").read_bytes() == before


def test_a_path_from_here(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "evals")
    with open_baseline("git:main:./base.json") as found:
        assert Run.load(found.path).model.name == "base"


def test_no_baseline_is_not_comparable_and_says_how_to_make_one(repository: Path) -> None:
    texts = ("evals/none.json", "git:main:evals/none.json", "git:main:evals", "git:origin/main:evals/base.json")
    for text in texts:
        with pytest.raises(NotComparableError, match="there is no baseline") as caught, open_baseline(text):
            pass
        assert caught.value.exit_code == 4
        assert "evalkit run --model BASE --tasks TASKS -o evals" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("git:main", "is not git:REF:PATH"),
        ("git::evals/base.json", "is not git:REF:PATH"),
        ("git:main:", "is not git:REF:PATH"),
        ("git:main:lfs.json", "is kept in Git LFS"),
    ],
)
def test_what_is_wrong_is_said(repository: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message), open_baseline(text):
        pass


@pytest.mark.parametrize("reference", ["--output=evil", "-v", "--upload-pack=touch evil", "main --output=evil"])
def test_references_are_no_options(repository: Path, reference: str) -> None:
    with (
        pytest.raises(NotComparableError, match="git knows no commit"),
        open_baseline(f"git:{reference}:evals/base.json"),
    ):
        pass
    assert not (repository / "evil").exists()


@pytest.mark.parametrize("place", ["--output=evil", "../base.json", "/etc/passwd", "-p"])
def test_paths_are_no_options_either(repository: Path, place: str) -> None:
    with pytest.raises(NotComparableError), open_baseline(f"git:main:{place}"):
        pass
    assert not (repository / "evil").exists()


def test_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="needs a git repository here: not a git repository"), open_baseline("git:a:b"):
        pass


def test_a_shallow_clone_is_named(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(repository, "commit", "-am", "later")
    git(tmp_path, "clone", "--depth", "1", f"file://{repository}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    with (
        pytest.raises(NotComparableError, match="this clone is shallow") as caught,
        open_baseline("git:HEAD~1:evals/base.json"),
    ):
        pass
    assert "fetch-depth: 0" in str(caught.value.hint)


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="git cannot be started"), open_baseline("git:main:base.json"):
        pass


def test_a_policy_of_another_commit(repository: Path) -> None:
    """What a pull request changes in the policy does not count before it is merged."""
    policy = repository / "evals" / "gate.yaml"
    policy.write_text("defaults: {margin: 1pt}\n")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "policy")
    policy.write_text("defaults: {margin: 50pt}\n")
    found = load_policy("git:HEAD:evals/gate.yaml")
    assert found.defaults.margin == Amount(1, "pt")
    assert found.source == "git:HEAD:evals/gate.yaml"
    for text, message in (
        ("git:HEAD", "--policy git:HEAD is not git:REF:PATH"),
        ("git:none:evals/gate.yaml", "git knows no commit 'none'"),
        ("git:HEAD:none.yaml", "that commit has no file none.yaml"),
        ("git:HEAD:lfs.json", "is kept in Git LFS"),
    ):
        with pytest.raises(UsageError, match=message):
            load_policy(text)
