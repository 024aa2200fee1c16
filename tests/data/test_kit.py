import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.data import DataOptions, load_rows
from evalkit.data.kit import pack, unpack
from evalkit.errors import DataError, OutputError, UsageError
from evalkit.task import DataSource

WriteParquet = Callable[[Path, list[dict[str, Any]]], Path]


@pytest.fixture
def datasets(tmp_path: Path, write_parquet: WriteParquet) -> Path:
    root = tmp_path / "datasets"
    write_parquet(root / "org/one/test.parquet", [{"n": 1}])
    (root / "org/one/README.md").write_text("---\nlicense: mit\n---\n")
    note = root / "org/one/.cache/huggingface/download/test.parquet.metadata"
    note.parent.mkdir(parents=True)
    note.write_text("ab" * 20 + "\netag\n")
    write_parquet(root / "org/two/big/test.parquet", [{"n": 2}])
    return root


def test_there_and_back(datasets: Path, tmp_path: Path, home: Path) -> None:
    archive = tmp_path / "kit.tar.gz"
    packed = pack(archive, [], DataOptions((datasets,)))
    assert [(each.id, each.licence, each.files) for each in packed] == [("org/one", "mit", 3), ("org/two", None, 1)]
    assert unpack(archive, home / "hub") == packed
    rows = load_rows(DataSource(id="org/one"), "test", {"n": int}, DataOptions(offline=True))
    assert list(rows) == [{"n": 1}]
    assert rows.info.revision == "ab" * 20
    assert sorted(path.name for path in (home / "hub").iterdir()) == ["org"]
    # A second time changes nothing; so does the archive of what came out.
    assert unpack(archive, home / "hub") == packed
    pack(tmp_path / "again.tar.gz", [], DataOptions())
    assert (tmp_path / "again.tar.gz").read_bytes() == archive.read_bytes()


def test_only_some(datasets: Path, tmp_path: Path) -> None:
    packed = pack(tmp_path / "kit.tar.gz", ["org/two"], DataOptions((datasets,)))
    assert [each.id for each in packed] == ["org/two"]
    with pytest.raises(UsageError, match="dataset org/three is not on this machine"):
        pack(tmp_path / "kit.tar.gz", ["org/three"], DataOptions((datasets,)))
    with pytest.raises(UsageError, match="no dataset"):
        pack(tmp_path / "kit.tar.gz", [], DataOptions())
    with pytest.raises(OutputError, match="cannot be written"):
        pack(datasets / "org/one/README.md/kit.tar.gz", [], DataOptions((datasets,)))


def test_other_content_is_not_overwritten_unasked(datasets: Path, tmp_path: Path, write_parquet: WriteParquet) -> None:
    pack(tmp_path / "kit.tar.gz", ["org/one"], DataOptions((datasets,)))
    target = tmp_path / "target"
    mine = write_parquet(target / "org/one/test.parquet", [{"n": 99}]).read_bytes()
    with pytest.raises(UsageError, match="with other content"):
        unpack(tmp_path / "kit.tar.gz", target)
    assert (target / "org/one/test.parquet").read_bytes() == mine
    unpack(tmp_path / "kit.tar.gz", target, replace=True)
    assert (target / "org/one/test.parquet").read_bytes() != mine


def member(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def build(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], listed: dict[str, bytes]) -> Path:
    files = {name: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for name, c in listed.items()}
    manifest = {"schema": "evalkit.data-kit/1", "datasets": [{"id": "org/one", "licence": None}], "files": files}
    with tarfile.open(path, "w:gz") as tar:
        for info, content in [member("manifest.json", json.dumps(manifest).encode()), *members]:
            tar.addfile(info, io.BytesIO(content))
    return path


GOOD = "org/one/test.txt"


@pytest.mark.parametrize(
    ("members", "listed", "message"),
    [
        ([member("../evil")], {}, "manifest does not list"),
        ([member("../evil")], {"../evil": b"x"}, "outside its data sets"),
        ([member("org/one/../../evil")], {"org/one/../../evil": b"x"}, "outside its data sets"),
        ([member("/tmp/evil")], {"/tmp/evil": b"x"}, "outside its data sets"),
        ([member("org/other/evil")], {"org/other/evil": b"x"}, "outside its data sets"),
        ([link(GOOD, "/etc/passwd", tarfile.SYMTYPE)], {GOOD: b""}, "not a regular file"),
        ([link(GOOD, "manifest.json", tarfile.LNKTYPE)], {GOOD: b""}, "not a regular file"),
        ([link(GOOD, "", tarfile.DIRTYPE)], {GOOD: b""}, "not a regular file"),
        ([link(GOOD, "", tarfile.FIFOTYPE)], {GOOD: b""}, "not a regular file"),
        ([member(GOOD, b"y")], {GOOD: b"x"}, "another hash"),
        ([member(GOOD, b"xx")], {GOOD: b"x"}, "another size"),
        ([member(GOOD), member(GOOD)], {GOOD: b"x"}, "manifest does not list"),
        ([], {GOOD: b"x"}, "lacks the file"),
    ],
)
def test_hostile_archives(
    members: list[tuple[tarfile.TarInfo, bytes]], listed: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    archive = build(tmp_path / "kit.tar.gz", members, listed)
    target = tmp_path / "deep" / "target"
    with pytest.raises(DataError, match=message):
        unpack(archive, target)
    assert list(target.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["deep", "kit.tar.gz"]


def test_the_archive_that_the_hostile_ones_are_made_from_is_good(tmp_path: Path) -> None:
    unpack(build(tmp_path / "kit.tar.gz", [member(GOOD)], {GOOD: b"x"}), tmp_path / "target")
    assert (tmp_path / "target" / GOOD).read_bytes() == b"x"


@pytest.mark.parametrize(
    "content", [b"", b"nothing", gzip.compress(b"nothing", mtime=0), gzip.compress(b"\0" * 10240, mtime=0)]
)
def test_files_that_are_no_archives(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "kit.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"kit\.tar\.gz"):
        unpack(tmp_path / "kit.tar.gz", tmp_path / "target")
    with pytest.raises(UsageError, match="does not exist"):
        unpack(tmp_path / "missing.tar.gz", tmp_path / "target")


def test_a_cut_or_corrupt_archive(datasets: Path, tmp_path: Path) -> None:
    pack(tmp_path / "kit.tar.gz", [], DataOptions((datasets,)))
    whole = (tmp_path / "kit.tar.gz").read_bytes()
    for length in range(20, len(whole) - 8, 97):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length])
        with pytest.raises(DataError):
            unpack(tmp_path / "cut.tar.gz", tmp_path / "target")
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length] + bytes([whole[length] ^ 255]) + whole[length + 1 :])
        with pytest.raises(DataError):
            unpack(tmp_path / "cut.tar.gz", tmp_path / "target")
