"""The hub through its real client library, in processes of their own: the library reads its settings when imported."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.data.hub_stand_in import Hub, Repository, serve

Ask = Callable[..., dict[str, Any]]

LOAD = """
import json, sys
from evalkit.data import DataOptions, load_rows
from evalkit.errors import EvalkitError
from evalkit.task import DataSource
source, splits, offline = json.loads(sys.argv[1])
answer = {"rows": []}
for split in splits:
    try:
        rows = load_rows(DataSource(**source), split, {"n": int}, DataOptions.resolve(offline=offline))
        answer["rows"].append(list(rows))
        answer |= {"config": rows.info.config, "revision": rows.info.revision, "source": rows.info.source}
    except EvalkitError as error:
        answer |= {"error": error.message, "hint": error.hint}
print(json.dumps(answer))
"""


def parquet(*rows: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)
    return file.getvalue()


README = b"---\nconfigs:\n- config_name: one\n  data_files:\n  - split: test\n    path: one/test-*\n---\n"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(Hub()) as served:
        yield served


@pytest.fixture
def ask(hub: Hub, tmp_path: Path) -> Ask:
    def ask_in_a_process(
        source: dict[str, Any], *splits: str, offline: bool | None = None, **environment: str
    ) -> dict[str, Any]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "EVALKIT_HOME": str(tmp_path / "home"),
        }
        # An installed copy of the embedded pack's package is no part of these tests.
        code = "from evalkit.data import embedded; embedded._installed = lambda package: None\n" + LOAD
        command = [sys.executable, "-W", "error::DeprecationWarning:evalkit", "-c", code]
        outcome = subprocess.run(
            [*command, json.dumps([source, splits or ["test"], offline])],
            env={**clean, **settings, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        answer: dict[str, Any] = json.loads(outcome.stdout)
        return {**answer, "stderr": outcome.stderr}

    return ask_in_a_process


def test_only_what_is_needed_is_fetched_and_the_commit_recorded(hub: Hub, ask: Ask) -> None:
    files = {"README.md": README, "one/test-00000-of-00001.parquet": parquet({"n": 1}), "two/big.parquet": b"unused"}
    repository = hub.datasets["org/name"] = Repository()
    sha = repository.commit("main", files)
    answer = ask({"id": "org/name"})
    assert answer["rows"] == [[{"n": 1}]]
    assert (answer["source"], answer["config"], answer["revision"]) == ("hub", "one", sha)
    assert not any("two/big" in request for request in hub.requests)

    # Now from the cache: offline by our option, by the hub's variable, and when the hub has gone.
    hub.requests.clear()
    for offline in (
        ask({"id": "org/name", "config": "one"}, offline=True),
        ask({"id": "org/name"}, HF_HUB_OFFLINE="1"),
    ):
        assert offline["rows"] == [[{"n": 1}]]
        assert (offline["source"], offline["revision"]) == ("hub", sha)
    assert hub.requests == []
    gone = ask({"id": "org/name"}, HF_ENDPOINT="http://127.0.0.1:9")
    assert gone["rows"] == [[{"n": 1}]]
    assert "could not be reached" in gone["stderr"]

    missing = ask({"id": "org/name", "config": "two"}, offline=True)
    assert "not asked (offline), and its local cache has no configuration 'two'" in missing["error"]
    assert "no copy" in ask({"id": "org/other"}, HF_ENDPOINT="http://127.0.0.1:9")["error"]


def test_all_splits_of_a_run_are_of_one_commit_and_a_later_run_sees_a_later_one(hub: Hub, ask: Ask) -> None:
    repository = hub.datasets["org/name"] = Repository()
    old = repository.commit("main", {"test.jsonl": b'{"n": 1}\n', "train.csv": b"n\n2\n"})
    answer = ask({"id": "org/name"}, "test", "train")
    assert answer["rows"] == [[{"n": 1}], [{"n": 2}]]
    assert answer["revision"] == old
    new = repository.commit("main", {"test.jsonl": b'{"n": 3}\n'})
    assert ask({"id": "org/name"})["rows"] == [[{"n": 3}]]
    pinned = ask({"id": "org/name", "revision": old})
    assert (pinned["rows"], pinned["revision"]) == ([[{"n": 1}]], old)
    assert ask({"id": "org/name"}, offline=True)["revision"] == new
    assert ask({"id": "org/name", "revision": old}, offline=True)["revision"] == old


def test_a_repository_with_a_script_is_read_from_its_conversion(hub: Hub, ask: Ask) -> None:
    repository = hub.datasets["org/name"] = Repository()
    repository.commit("main", {"name.py": b"raise SystemExit", "README.md": b"# Name\n", "data.zip": b""})
    converted = repository.commit("refs/convert/parquet", {"one/test/0000.parquet": parquet({"n": 1})})
    for offline in (False, True):
        answer = ask({"id": "org/name", "config": "one"}, offline=offline)
        assert (answer["rows"], answer["revision"]) == ([[{"n": 1}]], converted)


@pytest.mark.parametrize(
    ("refusal", "message", "hint"),
    [
        ((404, "RepoNotFound"), "the hub has no dataset of that name, or it is private", "--data-dir"),
        ((401, "RepoNotFound"), "the hub has no dataset of that name, or it is private", "--data-dir"),
        ((403, "GatedRepo"), "is gated", "Accept them on "),
        ((401, "GatedRepo"), "is gated", "HF_TOKEN"),
        ((403, ""), "the hub refuses access (HTTP 403)", "--data-dir"),
        ((418, ""), "the hub could not be reached (HTTP 418)", "--data-dir"),
    ],
)
def test_refusals(refusal: tuple[int, str], message: str, hint: str, hub: Hub, ask: Ask) -> None:
    hub.datasets["org/name"] = Repository(refusal=refusal)
    answer = ask({"id": "org/name"})
    assert message in answer["error"]
    assert hint in answer["hint"]


def test_what_the_hub_does_not_have(hub: Hub, ask: Ask) -> None:
    repository = hub.datasets["org/name"] = Repository()
    repository.commit("main", {"README.md": README, "one/test-00000-of-00001.parquet": parquet({"n": 1})})
    assert "has no split 'train' (it has 'test')" in ask({"id": "org/name"}, "train")["error"]
    assert "not the revision" in ask({"id": "org/name", "revision": "f" * 40})["error"]
    assert "no dataset of that name" in ask({"id": "org/nothing"})["error"]


def test_pull(hub: Hub, tmp_path: Path, ask: Ask) -> None:
    repository = hub.datasets["org/name"] = Repository()
    files = {"README.md": README, "one/test-00000-of-00001.parquet": parquet({"n": 1}), "other.bin": b"unused"}
    sha = repository.commit("main", files)
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "EVALKIT_HOME": str(tmp_path / "home")}
    environment |= {"HF_HOME": str(tmp_path / "other")}
    code = "from evalkit.cli.data import app; app()"
    command = [sys.executable, "-c", code, "pull", "org/name"]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    folder = tmp_path / "home/hub/org/name"
    assert outcome.stdout == f"{folder}\tcommit {sha}\n"
    assert not (folder / "other.bin").exists()
    answer = ask({"id": "org/name"}, offline=True)
    assert (answer["rows"], answer["source"], answer["revision"]) == ([[{"n": 1}]], "data-dir", sha)
    for arguments, message in ((["pull", "org/nothing"], "cannot be pulled"), (["--config", "x"], "no configuration")):
        outcome = subprocess.run(
            [*command[:-2], *(arguments if arguments[0] == "pull" else ["pull", "org/name", *arguments])],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert message in outcome.stderr
        assert outcome.returncode != 0
