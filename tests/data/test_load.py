import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.data import DataOptions, content_sha256, embedded, load_rows
from evalkit.data.local import NotHere
from evalkit.errors import DataError, UsageError
from evalkit.task import DataSource

WriteParquet = Callable[[Path, list[dict[str, Any]]], Path]
COLUMNS = {"question": str, "answer": int}
ROW = {"question": "?", "answer": 1}
SOURCE = DataSource(id="org/name", config="one")
SHARED = Path(__file__).parents[3] / "shared" / "data" / "hub"


@pytest.fixture
def put(tmp_path: Path, write_parquet: WriteParquet) -> Callable[..., Path]:
    def put_split(folder: str, rows: list[dict[str, Any]], split: str = "test") -> Path:
        root = tmp_path / folder
        write_parquet(root / "org/name/one" / f"{split}-00000-of-00001.parquet", rows)
        return root

    return put_split


def offline(*directories: Path) -> DataOptions:
    return DataOptions(directories, offline=True)


def test_two_folders_of_one_name_give_their_own_rows(put: Callable[..., Path]) -> None:
    """`datasets` answers the second call from the first one's cache."""
    for number in (1, 2):
        root = put(f"folder{number}", [{"question": "?", "answer": number}])
        rows = load_rows(SOURCE, "test", COLUMNS, offline(root))
        assert list(rows) == [{"question": "?", "answer": number}]
        assert rows.info.source == "data-dir"
        assert rows.info.config == "one"
    # Not even when the second takes the very place of the first.
    shutil.move(tmp := root.parent / "folder1", root.parent / "old")
    put("folder1", [{"question": "?", "answer": 3}])
    assert load_rows(SOURCE, "test", COLUMNS, offline(tmp))[0]["answer"] == 3


def test_first_found_wins(put: Callable[..., Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = put("first", [{**ROW, "answer": 1}]), put("second", [{**ROW, "answer": 2}])
    put("home/hub", [{**ROW, "answer": 3}])
    put("home/embedded", [{**ROW, "answer": 4}])
    monkeypatch.setattr(embedded, "ensure", lambda: ())

    def answer(*directories: Path) -> tuple[int, str]:
        rows = load_rows(SOURCE, "test", COLUMNS, offline(*directories))
        return rows[0]["answer"], rows.info.source

    assert answer(first, second) == (1, "data-dir")
    assert answer(second, first) == (2, "data-dir")
    assert answer() == (3, "data-dir")
    shutil.rmtree(home / "hub")
    assert answer() == (4, "embedded")


def test_a_split_that_one_place_lacks_is_read_from_the_next(put: Callable[..., Path]) -> None:
    first, second = put("first", [ROW]), put("second", [{**ROW, "answer": 7}], split="train")
    assert load_rows(SOURCE, "train", COLUMNS, offline(first, second))[0]["answer"] == 7


def test_own_files(tmp_path: Path, no_network: None) -> None:
    (tmp_path / "mine.jsonl").write_text(json.dumps(ROW) + "\n")
    rows = load_rows(DataSource(files={"test": "mine.jsonl"}, base=str(tmp_path)), "test", COLUMNS, DataOptions())
    assert list(rows) == [ROW]
    assert rows.info.id == "mine.jsonl"
    assert (rows.info.source, rows.info.config, rows.info.revision) == ("file", None, None)
    absolute = DataSource(files={"test": str(tmp_path / "mine.jsonl")})
    assert load_rows(absolute, "test", COLUMNS, DataOptions()).info == rows.info
    with pytest.raises(DataError, match=r"no split 'train' \(they have 'test'\)"):
        load_rows(absolute, "train", COLUMNS, DataOptions())


def test_the_hash_is_of_the_content(tmp_path: Path, put: Callable[..., Path]) -> None:
    (tmp_path / "a.csv").write_text("answer,question\n1,?\n")
    from_csv = load_rows(DataSource(files={"x": "a.csv"}, base=str(tmp_path)), "x", COLUMNS, DataOptions())
    from_parquet = load_rows(SOURCE, "test", COLUMNS, offline(put("folder", [ROW])))
    assert from_csv.info.sha256 == from_parquet.info.sha256 == content_sha256([ROW])


def test_a_row_that_breaks_the_schema_is_named(put: Callable[..., Path]) -> None:
    root = put("folder", [{"question": "?", "answer": "B"}])
    with pytest.raises(DataError) as caught:
        load_rows(SOURCE, "test", COLUMNS, offline(root))
    assert caught.value.message == "dataset org/name one, split test, row 0: column 'answer' is str, expected int"
    shutil.rmtree(root)
    put("folder", [ROW, ROW, {"question": None, "answer": 1}])
    with pytest.raises(DataError, match="row 2: column 'question' is null, expected str"):
        load_rows(SOURCE, "test", COLUMNS, offline(root))


def test_an_empty_split(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"dataset a\.jsonl, split test, is empty"):
        load_rows(DataSource(files={"test": "a.jsonl"}, base=str(tmp_path)), "test", {}, DataOptions())


def test_what_is_missing_and_how_to_provide_it(put: Callable[..., Path], no_network: None) -> None:
    root = put("folder", [ROW])
    with pytest.raises(DataError) as caught:
        load_rows(SOURCE, "train", COLUMNS, offline(root))
    message = f"dataset org/name one, split train, was not found: the data directory {root} has no split 'train' "
    assert caught.value.message == message + "(it has 'test')"
    with pytest.raises(DataError, match="was not found") as nowhere:
        load_rows(DataSource(id="org/other"), "test", COLUMNS, offline(root))
    for place in (str(root), "the embedded pack has not been pulled", "the hub is not asked (offline)"):
        assert place in nowhere.value.message
    assert nowhere.value.hint is not None
    for way in ("--data-dir", "evalkit data pull --embedded", "evalkit data unpack"):
        assert way in nowhere.value.hint
    with pytest.raises(DataError, match=r"no configuration 'two' \(it has 'one'\)"):
        load_rows(DataSource(id="org/name", config="two"), "test", COLUMNS, offline(root))


def test_a_source_without_a_place() -> None:
    with pytest.raises(DataError, match="neither a dataset id nor files"):
        load_rows(DataSource(), "test", {}, DataOptions())
    with pytest.raises(UsageError, match="not a dataset id"):
        load_rows(DataSource(id="../etc"), "test", {}, DataOptions(offline=True))


@pytest.mark.hub_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the benchmark data beside the checkout (shared/data/hub)")
@pytest.mark.parametrize(
    ("source", "split", "columns", "rows"),
    [
        (DataSource(id="cais/mmlu", config="anatomy"), "test", {"choices": [str], "answer": int}, 135),
        (DataSource(id="Rowan/hellaswag"), "validation", {"endings": [str], "label": str}, 9000),
        (DataSource(id="allenai/ai2_arc", config="ARC-Easy"), "test", {"choices": {"text": [str]}}, 2376),
        (DataSource(id="EleutherAI/wikitext_document_level", config="wikitext-2-raw-v1"), "test", {"page": str}, 62),
        (DataSource(id="haoranxu/WMT22-Test", config="en-de"), "test", {"en-de": {"en": str, "de": str}}, 2037),
    ],
)
def test_real_data(source: DataSource, split: str, columns: dict[str, Any], rows: int, no_network: None) -> None:
    loaded = load_rows(source, split, columns, offline(SHARED))
    assert len(loaded) == rows
    assert loaded.info.source == "data-dir"


def test_what_the_pack_lacks_it_will_lack_when_pulled_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def has_another_split(*_: Any) -> None:
        raise NotHere("has no split 'train' (it has 'test')", holds=True)

    monkeypatch.setattr(embedded, "read", has_another_split)
    with pytest.raises(DataError, match="the embedded pack has no split 'train'") as caught:
        load_rows(SOURCE, "train", COLUMNS, offline(tmp_path))
    assert "--embedded" not in (caught.value.hint or "")


def test_several_places_without_the_data_are_told_in_the_plural(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lacks_it(*_: Any) -> None:
        raise NotHere("does not have it")

    monkeypatch.setattr(embedded, "read", lacks_it)
    with pytest.raises(DataError, match="and the embedded pack do not have it"):
        load_rows(SOURCE, "test", COLUMNS, offline(tmp_path))


def test_a_test_set_s_twin_says_which_pairs_it_has(
    tmp_path: Path, write_parquet: WriteParquet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.data.test_sets.cached", lambda _: None)
    write_parquet(tmp_path / "haoranxu/WMT22-Test/en-de/test-00000-of-00001.parquet", [ROW])
    with pytest.raises(DataError, match=r"nothing may be fetched offline; .*'en-zh'.*'?en-de'?"):
        load_rows(DataSource(id="sacrebleu:wmt22", config="en-zh"), "test", {}, offline(tmp_path))
