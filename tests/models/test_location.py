import json
from pathlib import Path

import pytest

from evalkit.errors import ModelError
from evalkit.models import location
from evalkit.models.location import resolve


def write_adapter(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("spec", "repository", "revision"),
    [
        ("org/name", "org/name", None),
        ("gpt2", "gpt2", None),
        ("org/name.v1-x_2@abc123", "org/name.v1-x_2", "abc123"),
        ("org/name@refs/pr/3", "org/name", "refs/pr/3"),
    ],
)
def test_hub_id(
    spec: str, repository: str, revision: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = resolve(spec)
    assert (found.kind, found.repository, found.revision, found.path) == ("hub", repository, revision, None)


@pytest.mark.parametrize("spec", ["./nowhere", "/no/such/dir", "a/b/c", "~nobody/x", "org/../name", "vllm:org/name"])
def test_neither_path_nor_hub_id(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="not a hub id") as caught:
        resolve(spec)
    assert spec in caught.value.message
    assert "`vllm:MODEL`, or `openai:MODEL@URL`" in str(caught.value.hint)


def test_directory(tiny_llama: Path) -> None:
    found = resolve(str(tiny_llama))
    assert (found.kind, found.path) == ("directory", tiny_llama)


def test_directory_wins_over_a_hub_id_of_the_same_name(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").symlink_to(tiny_llama)
    monkeypatch.chdir(tmp_path)
    assert resolve("org/name").kind == "directory"


def test_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        resolve(str(tmp_path))


def test_directory_of_an_adapter_names_the_prefix(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", base_model_name_or_path="org/base")
    with pytest.raises(ModelError, match="holds an adapter") as caught:
        resolve(str(folder))
    assert f"peft:{folder}" in (caught.value.hint or "")


def test_gguf_file_and_directory_of_one(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    with pytest.raises(ModelError, match="no GGUF file"):
        resolve(str(file))
    file.write_bytes(b"GGUF")
    assert resolve(str(file)).path == file
    assert resolve(str(tmp_path)).path == file
    (tmp_path / "n.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="holds 2 GGUF files"):
        resolve(str(tmp_path))


def test_other_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"not a \.gguf file"):
        resolve(str(tmp_path / "model.safetensors"))


def test_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "small.gguf"
    monkeypatch.setattr(location, "embedded_model_path", lambda: file)
    assert (resolve("smollm2").kind, resolve("smollm2").path) == ("embedded", file)
    monkeypatch.setattr(location, "embedded_model_path", lambda: None)
    with pytest.raises(ModelError, match="not installed") as caught:
        resolve("smollm2")
    assert "evalkit data pull --embedded" in (caught.value.hint or "")


def test_adapter_base_as_a_hub_id_with_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_adapter(tmp_path / "a", base_model_name_or_path="org/base", revision="v2")
    found = resolve(f"peft:{folder}")
    assert found.kind == "peft"
    assert found.base is not None
    assert (found.base.kind, found.base.repository, found.base.revision) == ("hub", "org/base", "v2")


def test_adapter_base_relative_to_the_adapter(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").symlink_to(tiny_llama)
    folder = write_adapter(tmp_path / "a", base_model_name_or_path="../base")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    base = resolve(f"peft:{folder}").base
    assert base is not None
    assert base.kind == "directory"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "does not say which model"),
        ({"base_model_name_or_path": "/no/such/model"}, "was not found"),
        ({"base_model_name_or_path": "peft:other"}, "is another adapter"),
    ],
)
def test_adapter_without_a_usable_base(config: dict[str, object], message: str, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", **config)
    with pytest.raises(ModelError, match=message):
        resolve(f"peft:{folder}")


def test_adapter_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no adapter directory"):
        resolve(f"peft:{tmp_path / 'none'}")
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        resolve(f"peft:{tmp_path}")
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        resolve(f"peft:{tmp_path}")
