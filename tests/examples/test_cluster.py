"""The examples for Slurm and Kubernetes: they can be read by what reads them, and evalkit knows every option in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.examples.test_ci import commands, options_of

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
SLURM, KUBERNETES = FOLDER / "evalkit.sbatch", FOLDER / "rayjob.yaml"


def test_the_batch_script_is_valid_for_bash() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    assert SLURM.read_text().startswith("#!/usr/bin/env bash\n")  # sbatch wants an interpreter
    assert "set -euo pipefail" in SLURM.read_text()


def test_the_batch_script_asks_slurm_for_what_it_uses() -> None:
    lines = SLURM.read_text().splitlines()
    asked = [line for line in lines if line.startswith("#SBATCH")]
    options = dict(re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line).groups() for line in asked)  # type: ignore[union-attr]
    assert {"nodes", "ntasks-per-node", "gpus-per-node", "time", "output"} <= options.keys()
    # Slurm reads no option after the first command
    first = next(place for place, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(lines.index(line) < first for line in asked)


def test_the_batch_script_runs_with_stand_ins_for_ray_and_slurm(tmp_path: Path) -> None:
    """The commands it gives, in order, when every program only writes down how it was called."""
    bin_ = tmp_path / "venv" / "bin"
    bin_.mkdir(parents=True)
    for name in ("ray", "srun", "evalkit"):
        (bin_ / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/called\n')
        (bin_ / name).chmod(0o755)
    (bin_ / "activate").write_text(f'PATH="{bin_}:$PATH"\n')
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "VENV": str(tmp_path / "venv")}
    variables |= {"SLURM_JOB_ID": "70001", "SLURM_JOB_NUM_NODES": "3", "OUTPUT": str(tmp_path / "out" / "r.json")}
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, str(SLURM)], env=variables, check=True, timeout=30)
    called = (tmp_path / "called").read_text().splitlines()
    assert called[0] == "ray start --head --port=30001 --include-dashboard=false"
    assert any(
        re.fullmatch(r"srun .*--nodes=2 --ntasks=2 .* ray start --address=\S+:30001 --block", one) for one in called
    )
    (run,) = [one for one in called if one.startswith("evalkit run")]
    assert run.endswith(f"--cluster auto --output {tmp_path}/out/r.json")
    assert called[-1] == "ray stop --force"


def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(KUBERNETES.read_text())
    return found


def test_the_manifest_has_the_fields_of_a_ray_job() -> None:
    """Names as in KubeRay's API reference of ray.io/v1 (RayJobSpec, RayClusterSpec, HeadGroupSpec, WorkerGroupSpec)."""
    found = job()
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", found["metadata"]["name"])
    spec = found["spec"]
    assert spec.keys() <= {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}
    cluster = spec["rayClusterSpec"]
    assert cluster.keys() <= {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    assert cluster["headGroupSpec"].keys() == {"rayStartParams", "template"}
    (group,) = cluster["workerGroupSpecs"]
    assert group.keys() == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for template in (cluster["headGroupSpec"]["template"], group["template"]):
        pod = template["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["resources"]["requests"] == container["resources"]["limits"]
    # Ray's parameters are texts, and a number there is refused
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())


def test_the_versions_are_those_that_were_tested() -> None:
    constraints = (FOLDER.parents[1] / "constraints.txt").read_text()
    assert f"ray=={job()['spec']['rayClusterSpec']['rayVersion']}\n" in constraints


@pytest.mark.parametrize("text", [SLURM.read_text(), job()["spec"]["entrypoint"]], ids=["slurm", "kubernetes"])
def test_every_option_exists(text: str) -> None:
    found = [words for words in commands(text) if words[0] == "run"]
    assert found
    for words in found:
        used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert "--cluster" in used
        assert used <= options_of("run"), words
