"""vLLM without lm-eval: evalkit's own vLLM backend, behind evalkit's data, prompts and metrics."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.speed.cases import Case
from benchmarks.speed.measurement import Measurement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", required=True, help="directory of the model")
    parser.add_argument("--data-dir")
    parser.add_argument("--case", required=True, help="JSON object")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    from benchmarks.speed.engines import evalkit_tasks
    from evalkit import api
    from evalkit.backends.vllm import open_vllm
    from evalkit.models import ModelOptions

    case = Case(**json.loads(arguments.case))
    options = ModelOptions(dtype="float32", device="cpu", max_length=case.max_length, offline=True)
    run = api.run(
        model=open_vllm(f"vllm:{arguments.pretrained}?enforce_eager=true", options),
        tasks=evalkit_tasks(case),
        limit=f"first:{case.documents}",
        over_length="truncate",
        data_dir=arguments.data_dir,
        offline=True,
    )
    Measurement.of_run(run).write(arguments.output)


if __name__ == "__main__":
    main()
