import pytest

from evalkit.data.layout import find_layout
from evalkit.errors import DataError

README = """---
license: mit
configs:
- config_name: one
  data_files:
  - split: train
    path: one/train-*
  - split: test
    path: ["one/test-*", more/**/x.jsonl]
- config_name: two
  data_files: two.csv
  default: true
- config_name: three
  data_files:
    dev: three/[a-b].jsonl
- config_name: four
  data_dir: four
---
# Title
"""
FILES = [
    "README.md",
    "one/train-00000-of-00001.parquet",
    "one/test-00001-of-00002.parquet",
    "one/test-00000-of-00002.parquet",
    "one/deep/test-9.parquet",
    "more/a/b/x.jsonl",
    "two.csv",
    "three/a.jsonl",
    "three/b.jsonl",
    "three/c.jsonl",
    "four/validation.jsonl",
]


def test_the_header_of_the_readme() -> None:
    layout = find_layout(FILES, README)
    assert layout.default == "two"
    assert layout.licence == "mit"
    assert {config: dict(splits) for config, splits in layout.configs.items()} == {
        "one": {
            "train": ("one/train-00000-of-00001.parquet",),
            "test": ("one/test-00000-of-00002.parquet", "one/test-00001-of-00002.parquet", "more/a/b/x.jsonl"),
        },
        "two": {"train": ("two.csv",)},
        "three": {"dev": ("three/a.jsonl", "three/b.jsonl")},
        "four": {"validation": ("four/validation.jsonl",)},
    }


@pytest.mark.parametrize(
    ("path", "config", "split"),
    [
        ("test.jsonl", "default", "test"),
        ("data/test-00000-of-00001.parquet", "default", "test"),
        ("data/my_split-00000-of-00001.parquet", "default", "my_split"),
        ("anatomy/dev-00000-of-00001.parquet", "anatomy", "dev"),
        ("anatomy/test/0000.parquet", "anatomy", "test"),
        ("anatomy/partial-train/0000.parquet", "anatomy", "partial-train"),
        ("main/validation/data-00000-of-00001.arrow", "main", "validation"),
        ("fold7/data-00000-of-00001.arrow", "default", "fold7"),
        ("arc_val.csv.gz", "default", "val"),
        ("rows.jsonl", "default", "train"),
        ("contest.jsonl", "default", "train"),
    ],
)
def test_names_tell_configuration_and_split(path: str, config: str, split: str) -> None:
    layout = find_layout([path, "README.md", "dataset_info.json", "state.json", ".git/test.jsonl", "script.py"])
    assert layout.configs == {config: {split: (path,)}}


def test_synonyms_of_splits_by_convention_only() -> None:
    assert find_layout(["dev.jsonl"]).files(None, "validation") == ("dev.jsonl",)
    both = find_layout(["dev.jsonl", "validation.jsonl"])
    assert both.files(None, "validation") == ("validation.jsonl",)
    assert both.files(None, "dev") == ("dev.jsonl",)
    with pytest.raises(KeyError, match="no split 'val'"):
        both.files(None, "val")
    with pytest.raises(KeyError, match=r"no split 'validation' \(it has 'dev'\)"):
        find_layout(FILES, README).files("three", "validation")


def test_of_several_formats_one_is_read() -> None:
    assert find_layout(["test.csv", "test.jsonl", "test.parquet"]).files(None, "test") == ("test.parquet",)


def test_which_configuration_is_meant() -> None:
    assert find_layout(["a/test.jsonl"]).default == "a"
    assert find_layout(["a/test.jsonl", "test.jsonl"]).default == "default"
    several = find_layout(["a/test.jsonl", "b/test.jsonl"])
    with pytest.raises(KeyError, match=r"several configurations and no default \('a', 'b'\)"):
        several.splits(None)
    with pytest.raises(KeyError, match=r"no configuration 'c' \(it has 'a', 'b'\)"):
        several.splits("c")


def test_of_many_configurations_the_nearest_are_named() -> None:
    layout = find_layout([f"{name}{number}/test.jsonl" for name in ("biology", "physics") for number in range(20)])
    with pytest.raises(KeyError, match=r"'biology\d+'.* and 36 more"):
        layout.splits("biolgy1")


@pytest.mark.parametrize(
    "header", ["configs: [", "configs: [1]", "configs:\n- config_name: a\n  data_files: [{split: test}]"]
)
def test_a_broken_header(header: str) -> None:
    with pytest.raises(DataError, match=r"README\.md"):
        find_layout(["a.jsonl"], f"---\n{header}\n---\n")
