from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from evalkit.data import local
from evalkit.errors import DataError, UsageError

WriteParquet = Callable[[Path, list[dict[str, Any]]], Path]


def test_shards_follow_in_order(tmp_path: Path, write_parquet: WriteParquet) -> None:
    for shard in (1, 0):
        write_parquet(tmp_path / f"data/test-0000{shard}-of-00002.parquet", [{"n": shard}])
    assert local.read_folder(tmp_path, None, "test", {}) == ([{"n": 0}, {"n": 1}], "default", None)


def test_what_save_to_disk_leaves(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    split = Dataset.from_dict({"text": ["a", "b"], "label": ["yes", "no"]}, features=features)
    DatasetDict({"test": split, "extra": split.select([0])}).save_to_disk(tmp_path)
    # The integer of a class label, as lm-eval's templates see it.
    assert local.read_folder(tmp_path, None, "test", {}).rows == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    assert len(local.read_folder(tmp_path, None, "extra", {}).rows) == 1


def test_the_commit_that_hf_download_notes(tmp_path: Path, write_parquet: WriteParquet) -> None:
    write_parquet(tmp_path / "test.parquet", [{"n": 0}])
    note = tmp_path / ".cache/huggingface/download/test.parquet.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{'a1' * 20}\netag\n1.0\n")
    assert local.read_folder(tmp_path, None, "test", {}).revision == "a1" * 20
    note.write_text("something else\n")
    assert local.read_folder(tmp_path, None, "test", {}).revision is None


def test_what_is_not_there(tmp_path: Path, write_parquet: WriteParquet) -> None:
    with pytest.raises(local.NotHere) as nowhere:
        local.read_folder(tmp_path / "none", None, "test", {})
    assert not nowhere.value.holds
    write_parquet(tmp_path / "dev-00000-of-00001.parquet", [{"n": 0}])
    with pytest.raises(local.NotHere, match=r"no split 'test' \(it has 'dev'\)") as no_split:
        local.read_folder(tmp_path, None, "test", {})
    assert no_split.value.holds


def test_a_folder_that_changes_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: one.jsonl\n---\n")
    (tmp_path / "one.jsonl").write_text('{"n": 1}\n')
    (tmp_path / "two.jsonl").write_text('{"n": 2}\n')
    assert local.read_folder(tmp_path, "a", "train", {}).rows == [{"n": 1}]
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: two.jsonl\n---\n")
    assert local.read_folder(tmp_path, "a", "train", {}).rows == [{"n": 2}]


def test_a_broken_readme_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nconfigs: [\n---\n")
    with pytest.raises(DataError, match=str(tmp_path)):
        local.folder_layout(tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/../b", "/etc", "a/b/c", "a/.b", "", "a//b", "a b"])
def test_ids_cannot_lead_out_of_a_folder(name: str) -> None:
    with pytest.raises(UsageError):
        local.check_id(name)


@pytest.mark.parametrize("name", ["gsm8k", "cais/mmlu", "a-b/c_d.e"])
def test_ids(name: str) -> None:
    assert local.check_id(name) == name
