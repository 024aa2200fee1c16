"""The hub's cache, laid out by hand: no network."""

import shutil
from pathlib import Path

import pytest

from evalkit.errors import ModelError
from evalkit.models import ModelOptions, load_model, load_tokenizer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OFFLINE = ModelOptions(offline=True)


@pytest.fixture
def cached(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`org/tiny` in a cache of its own, as `hf download` leaves it; returns its snapshot."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(tiny_llama, repository / "snapshots" / COMMIT))


@pytest.mark.parametrize("spec", ["org/tiny", f"org/tiny@{COMMIT}"])
def test_from_the_cache(spec: str, cached: Path, tiny_llama: Path) -> None:
    info = load_model(spec, OFFLINE).info
    assert (info.name, info.source, info.revision) == (spec, "hub", COMMIT)
    assert info.weights_sha256 == load_model(str(tiny_llama)).info.weights_sha256
    assert len(load_tokenizer(spec, OFFLINE)) == 400


def test_not_in_the_cache(cached: Path) -> None:
    with pytest.raises(ModelError, match="is not on this machine, and evalkit is offline") as caught:
        load_model("org/other", OFFLINE)
    assert "hf download org/other" in (caught.value.hint or "")


def test_revision_not_in_the_cache(cached: Path) -> None:
    with pytest.raises(ModelError, match="is not on this machine"):
        load_model("org/tiny@v9", OFFLINE)


def test_weights_not_in_the_cache(cached: Path) -> None:
    (cached / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        load_model("org/tiny", OFFLINE)


def test_offline_by_environment(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="evalkit is offline"):
        load_model("org/other")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("GatedRepoError", "closed to you"),
        ("RepositoryNotFoundError", "neither a directory here nor a model on the hub"),
        ("RevisionNotFoundError", "has no revision"),
        ("HfHubHTTPError", "could not be fetched"),
        ("LocalEntryNotFoundError", "the hub cannot be reached"),
    ],
)
def test_what_the_hub_may_answer(error: str, message: str, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    kind = getattr(errors, error)

    def refuse(*_: object, **__: object) -> None:
        failure = kind.__new__(kind)
        failure.args = ("the answer",)
        raise failure

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match=message):
        load_model("org/other@v1")
