"""sacrebleu's own test sets, from a made-up cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import sacrebleu
from sacrebleu.dataset import DATASETS

from evalkit.data import DataOptions, load_rows
from evalkit.errors import DataError
from evalkit.task import DataSource
from tests.data.test_load import WriteParquet

SOURCE = DataSource(id="sacrebleu:wmt22", config="en-de")
COLUMNS = {"source": str, "references": [str]}
XML = """<?xml version='1.0' encoding='utf-8'?>
<dataset id="wmttest2022.en-de"><collection id="general"><doc origlang="en" id="one">
<src lang="en"><p><seg id="1">Hello   there.</seg><seg id="2">A\u2028 separator</seg></p></src>
<ref lang="de" translator="A"><p><seg id="1">Hallo.</seg><seg id="2">Ein Trenner</seg></p></ref>
<ref lang="de" translator="B"><p><seg id="1">Guten Tag.</seg><seg id="2">Trenner</seg></p></ref>
</doc></collection></dataset>
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sacrebleu's cache, empty, and no network."""
    monkeypatch.setattr(DATASETS["wmt22"], "_outdir", str(tmp_path / "wmt22"))
    monkeypatch.setattr(DATASETS["wmt22"], "_rawdir", str(tmp_path / "wmt22" / "raw"))

    def refuse(*_: Any) -> None:
        raise URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return tmp_path


def fill(cache: Path) -> None:
    raw = cache / "wmt22" / "raw"
    path = raw / "wmt22-news-systems-1.1" / "xml" / "wmttest2022.en-de.all.xml"
    path.parent.mkdir(parents=True)
    path.write_text(XML, encoding="utf-8")
    (raw / "wmt22.v1.1.tar.gz").write_bytes(b"already taken apart")


def test_a_cached_set_is_read_without_the_network(cache: Path) -> None:
    fill(cache)
    rows = load_rows(SOURCE, "test", COLUMNS, DataOptions(offline=True))
    (wanted,) = (DATASETS["wmt22"].kwargs["refs"],)
    assert wanted == ["A"], "sacrebleu's own choice among the references"
    with open(sacrebleu.get_source_file("wmt22", "en-de"), encoding="utf-8", newline="\n") as lines:
        assert [row["source"] for row in rows] == [line.rstrip("\n") for line in lines]
    assert [row["references"] for row in rows] == [["Hallo."], ["Ein Trenner"]]
    assert (rows.info.id, rows.info.config, rows.info.source) == ("sacrebleu:wmt22", "en-de", "sacrebleu")


def test_offline_and_absent_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(DataError, match="wmt22 en-de is not in its cache") as caught:
        load_rows(SOURCE, "test", COLUMNS, DataOptions(offline=True))
    hint = caught.value.hint or ""
    assert "sacrebleu -t wmt22 -l en-de" in hint
    assert "haoranxu/WMT22-Test" in hint
    assert not (cache / "wmt22").exists(), "nothing was fetched or written"


def test_a_download_that_fails_is_a_plain_error(cache: Path) -> None:
    with pytest.raises(DataError, match=r"cannot provide.*no network in tests") as caught:
        load_rows(SOURCE, "test", COLUMNS, DataOptions())
    assert "--data-dir" in (caught.value.hint or "")


def test_the_same_sentences_of_the_hub_stand_in(cache: Path, write_parquet: WriteParquet) -> None:
    rows = [{"en-de": {"en": "Hello.", "de": "Hallo."}}]
    write_parquet(cache / "hub/haoranxu/WMT22-Test/en-de/test-00000-of-00001.parquet", rows)
    found = load_rows(SOURCE, "test", COLUMNS, DataOptions((cache / "hub",)))
    assert list(found) == [{"source": "Hello.", "references": ["Hallo."]}]
    assert (found.info.id, found.info.source) == ("haoranxu/WMT22-Test", "data-dir")


def test_a_damaged_cache_is_told(cache: Path) -> None:
    fill(cache)
    load_rows(SOURCE, "test", COLUMNS, DataOptions(offline=True))
    (cache / "wmt22" / "wmt22.en-de.ref-A").write_text("only one line\n")
    with pytest.raises(DataError, match="have 2, 1 lines") as caught:
        load_rows(SOURCE, "test", COLUMNS, DataOptions(offline=True))
    assert "remove the folder" in (caught.value.hint or "")
