from collections.abc import Callable
from pathlib import Path
from typing import Any

from evalkit.data import DataOptions
from evalkit.data.catalogue import catalogue, dataset_ids

WriteParquet = Callable[[Path, list[dict[str, Any]]], Path]


def test_what_is_where(tmp_path: Path, home: Path, write_parquet: WriteParquet) -> None:
    folder = tmp_path / "folder"
    write_parquet(folder / "org/one/a/test.parquet", [{"n": 1}, {"n": 2}])
    (folder / "org/one/a/train.jsonl").write_text('{"n": 1}\n')
    (folder / "alone").mkdir()
    (folder / "alone/test.csv").write_text("n\n1\n2\n3\n")
    (folder / "org/empty").mkdir()
    write_parquet(home / "hub/org/one/a/test.parquet", [{"n": 1}])
    entries = list(catalogue(DataOptions((folder,))))
    assert dataset_ids(folder) == ["alone", "org/one"]
    assert [(entry.id, entry.config, entry.splits, entry.used) for entry in entries] == [
        ("alone", "default", {"test": 3}, True),
        ("org/one", "a", {"test": 2, "train": 1}, True),
        ("org/one", "a", {"test": 1}, False),
    ]
    assert {entry.source for entry in entries} == {"data-dir"}
