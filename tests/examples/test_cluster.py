"""The files for clusters: they parse, evalkit takes the options in them, and the batch script cleans up after itself."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from evalkit.cli.main import app

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
SBATCH, RAYJOB = FOLDER / "evalkit.sbatch", FOLDER / "rayjob.yaml"

# Fields by their JSON names, and whether they are required: ray-operator/apis/ray/v1/rayjob_types.go and
# raycluster_types.go of ray-project/kuberay (v1.4).
JOB = {
    *("activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata", "clusterSelector"),
    *("submitterConfig", "managedBy", "deletionPolicy", "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode"),
    *("entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished"),
    *("shutdownAfterJobFinishes", "suspend"),
}
CLUSTER = {
    *("suspend", "managedBy", "autoscalerOptions", "headServiceAnnotations", "enableInTreeAutoscaling"),
    *("gcsFaultToleranceOptions", "headGroupSpec", "rayVersion", "workerGroupSpecs"),
}
HEAD_REQUIRED, HEAD = {"template", "rayStartParams"}, {"headService", "enableIngress", "serviceType"}
WORKER_REQUIRED = {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"}
WORKER = {"suspend", "replicas", "idleTimeoutSeconds", "scaleStrategy", "numOfHosts"}

# sbatch's long options that the script uses, and what their values look like (slurm.schedmd.com/sbatch.html).
SBATCH_OPTIONS = {
    "job-name": r"\S+",
    "nodes": r"\d+",
    "ntasks-per-node": "1",
    "gpus-per-node": r"\d+",
    "cpus-per-task": r"\d+",
    "exclusive": None,
    "time": r"\d\d:\d\d:\d\d",
    "output": r"\S*%j\S*",
    "requeue": None,
}


@pytest.fixture(scope="module")
def documents() -> list[Any]:
    return list(yaml.safe_load_all(RAYJOB.read_text()))


def test_bash_takes_the_batch_script() -> None:
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)
    assert SBATCH.read_text().startswith("#!/bin/bash\n")


def test_the_options_of_sbatch_stand_where_slurm_reads_them() -> None:
    lines = SBATCH.read_text().splitlines()
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    found = {}
    for number, line in enumerate(lines):
        if line.startswith("#SBATCH"):
            assert number < first_command, "Slurm ignores options behind the first command"
            option = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
            assert option is not None, line
            found[option[1]] = option[2]
    assert set(found) == set(SBATCH_OPTIONS)
    for name, value in found.items():
        form = SBATCH_OPTIONS[name]
        assert value is None if form is None else re.fullmatch(form, value), name


def test_the_fields_of_the_ray_job(documents: list[Any]) -> None:
    claim, job = documents
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(job["spec"]) <= JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) <= CLUSTER
    assert set(cluster["headGroupSpec"]) >= HEAD_REQUIRED
    assert set(cluster["headGroupSpec"]) <= HEAD_REQUIRED | HEAD
    for group in cluster["workerGroupSpecs"]:
        assert set(group) >= WORKER_REQUIRED
        assert set(group) <= WORKER_REQUIRED | WORKER
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    # `rayStartParams` are texts, whatever they look like
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_every_pod_has_the_volume_the_cache_and_the_same_ray(documents: list[Any]) -> None:
    claim, job = documents
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (volume,), (container,) = pod["volumes"], pod["containers"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/data"}]
        assert {"name": "HF_HOME", "value": "/data/hf"} in container["env"]
        assert container["image"].endswith(f":{cluster['rayVersion']}")
    (workers,) = cluster["workerGroupSpecs"]
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == workers["rayStartParams"]["num-gpus"]
    assert "--output /data/" in job["spec"]["entrypoint"]
    assert f"rayproject/ray:{cluster['rayVersion']}-" in (FOLDER / "README.md").read_text()


def command_lines(documents: list[Any]) -> Iterator[list[str]]:
    """The command line of evalkit in each file, its variables replaced by what they are without an environment."""
    script = SBATCH.read_text()
    line = re.search(r"^evalkit (.*) &$", script, re.MULTILINE)
    assert line is not None
    defaults = dict(re.findall(r'^([A-Z]+)="\$\{\1:-(.*)\}"$', script, re.MULTILINE))
    yield shlex.split(re.sub(r"\$([A-Z]+)", lambda found: defaults[found[1]], line[1]))
    name, *words = shlex.split(documents[1]["spec"]["entrypoint"])
    assert name == "evalkit"
    yield words


def test_evalkit_takes_its_options(documents: list[Any]) -> None:
    group: Any = typer.main.get_command(app)
    for name, *words in command_lines(documents):
        assert words[:2] == ["--cluster", "auto"]
        command = group.commands[name]
        given = command.make_context("evalkit run", words[2:]).params
        assert given["model"] == "org/name"
        assert given["tasks"] == "mmlu,gsm8k"
        assert given["output"].name == "base.json"
        with pytest.raises(Exception, match="No such option"):
            command.make_context("evalkit run", [*words[2:], "--no-such-option"])


STUBS = {
    "scontrol": "echo node1; echo node2; echo node3",
    # runs what it is told to run, without its own options
    "srun": 'echo "srun $*" >> "$CALLS"; while [[ "$1" == --* ]]; do shift; done; exec "$@"',
    "hostname": "echo 10.0.0.1 fe80::1",
    "ray": 'trap \'echo "stopped $3" >> "$CALLS"; kill $! ; exit\' TERM; echo "up $3" >> "$CALLS"; sleep 60 & wait',
    # stands for the wait until all nodes are there
    "python": 'for _ in {1..100}; do [[ $(grep -c ^up "$CALLS") == 2 ]] && exit "$READY"; sleep 0.05; done; exit 9',
    "evalkit": 'echo "evalkit $* $RAY_ADDRESS" >> "$CALLS"; exit "$ANSWER"',
}


@pytest.mark.parametrize(("ready", "answer", "code"), [(0, 0, 0), (0, 5, 5), (1, 0, 1)])
def test_the_batch_script_passes_the_exit_code_on_and_stops_ray(
    ready: int, answer: int, code: int, tmp_path: Path
) -> None:
    commands, calls = tmp_path / "bin", tmp_path / "calls"
    commands.mkdir()
    calls.touch()
    for name, text in STUBS.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    environment = {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(calls),
        "READY": str(ready),
        "ANSWER": str(answer),
        "MODEL": "./my model",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_CPUS_PER_TASK": "64",
    }
    done = subprocess.run(
        ["bash", str(SBATCH)], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == code, done.stderr
    said = calls.read_text().splitlines()
    address, head, others = (line for line in said if line.startswith("srun"))
    assert address == "srun --nodes=1 --ntasks=1 --nodelist=node1 hostname --ip-address"
    if "--head" not in head:  # they start at the same time
        head, others = others, head
    assert " --nodes=1 --ntasks=1 --nodelist=node1 ray start --num-cpus=64 --num-gpus=8 " in head
    assert head.endswith(" --head --node-ip-address=10.0.0.1 --port=6379 --include-dashboard=false")
    assert " --nodes=2 --ntasks=2 --exclude=node1 ray start --num-cpus=64 --num-gpus=8 " in others
    assert others.endswith(" --address=10.0.0.1:6379")
    assert [line.split()[0] for line in said].count("stopped") == 2
    runs = [line for line in said if line.startswith("evalkit")]
    options = f"--model ./my model --tasks mmlu,gsm8k --output {tmp_path}/runs/base.json"
    assert runs == ([] if ready else [f"evalkit run --cluster auto {options} 10.0.0.1:6379"])
