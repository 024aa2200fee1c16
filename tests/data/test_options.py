import os
from pathlib import Path

import pytest

from evalkit.data import DataOptions, data_home
from evalkit.errors import UsageError


def test_folders_come_from_the_option_or_else_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.setenv("EVALKIT_DATA_DIR", os.pathsep.join([str(one), str(two)]))
    assert DataOptions.resolve().directories == (one, two)
    assert DataOptions.resolve(data_dir=str(two)).directories == (two,)
    assert DataOptions.resolve(data_dir="").directories == ()


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist"):
        DataOptions.resolve(data_dir=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "EVALKIT_OFFLINE"])
@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_offline_by_environment(variable: str, value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert DataOptions.resolve().offline is expected
    assert DataOptions.resolve(offline=True).offline is True


def test_the_option_overrules_our_variable_but_not_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    assert DataOptions.resolve(offline=False).offline is False
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert DataOptions.resolve(offline=False).offline is True


def test_data_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_HOME", "/somewhere")
    assert data_home() == Path("/somewhere")
    monkeypatch.delenv("EVALKIT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/share")
    assert data_home() == Path("/share/evalkit")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_home() == Path.home() / ".local/share/evalkit"
