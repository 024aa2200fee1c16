"""A real Ray cluster on this machine: several node managers, a process each worker."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import evalkit
from evalkit.backends.engine_backend import LocalOptions
from evalkit.backends.workers.opening import open_cluster
from evalkit.errors import EvaluationError, UsageError
from evalkit.models import ModelOptions
from tests.backends.workers.runs import Kills, arguments, result
from tests.tiny_models import tiny_model

pytest.importorskip("ray", reason="Ray is not installed: pip install 'evalkit[ray]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with two processors, joined by this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()


def workers() -> list[psutil.Process]:
    found = []
    for one in psutil.process_iter(["cmdline"]):
        if any("ray::Worker" in part for part in one.info["cmdline"] or []):
            found.append(one)
    return found


def test_two_workers_killed_and_two_that_come_late_give_the_result_of_one_process(cluster: Any, tmp_path: Path) -> None:
    given = arguments(tmp_path)
    evalkit.run(**given, output=tmp_path / "one.json")
    killed: list[int] = []

    def kill() -> None:
        chosen = next(one for one in workers() if one.pid not in killed)
        killed.append(chosen.pid)
        chosen.kill()

    def grow() -> None:
        """Two more processors; goes on when workers there have loaded the model: Ray puts what they do into titles."""
        cluster.add_node(num_cpus=2)
        deadline = time.monotonic() + 60
        while sum(" ".join(one.cmdline()).strip() == "ray::Worker" for one in workers() if one.is_running()) < 4:
            assert time.monotonic() < deadline, [one.cmdline() for one in workers()]
            time.sleep(0.1)

    steps = iter([kill, grow, kill])
    progress = Kills(lambda: next(steps)(), [100, 300, 600])
    several = evalkit.run(**given, workers=4, cluster="auto", output=tmp_path / "ray.json", progress=progress)
    assert len(killed) == 2
    assert result(tmp_path / "ray.json") == result(tmp_path / "one.json")
    assert several.environment["workers_lost"] == 2
    assert several.environment["workers"] == 4
    psutil.wait_procs(workers(), timeout=20)
    assert not workers(), "workers are ended with the run"


def test_what_goes_wrong_on_a_worker_is_told(cluster: Any, tmp_path: Path) -> None:
    model = str(tiny_model("llama", tmp_path))
    options = LocalOptions()
    backend = open_cluster(model, ModelOptions(device="cuda:9"), options, "auto", 1)
    with pytest.raises((UsageError, EvaluationError), match="cuda:9"):
        _ = backend.info


def test_wrong_addresses() -> None:
    with pytest.raises(UsageError, match=r"--cluster .* is not an address"):
        evalkit.run(model="smollm2", tasks="arc_easy", cluster="127.0.0.1:6379")
