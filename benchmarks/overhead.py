"""What stands around the model: CPU-seconds to make prompts and tokens, and seconds until the first batch.

    python -m benchmarks.overhead --data-dir DIR [--model smollm2] [--tasks mmlu:5shot]

The second part starts the real command in a process of its own and stops it at the first progress of its journal.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_WAIT = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tasks", default="mmlu:5shot")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    print(f"{arguments.model}, {arguments.tasks}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    stages(arguments.model, arguments.tasks, arguments.data_dir)
    first_batch(arguments.model, arguments.tasks, arguments.data_dir)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


@contextmanager
def timed(name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:<40} {cpu:6.2f} CPU-s {wall:6.2f} s", flush=True)


def stages(model: str, tasks: str, data_dir: str | None) -> None:
    """Data, prompts and tokens, one after the other, without the weights."""
    from evalkit.data import DataOptions
    from evalkit.engine.sequences import continuation_sequence
    from evalkit.registry import select
    from evalkit.requests import Score
    from evalkit.runner.rendering import render_plain
    from evalkit.runner.settings import RunSettings
    from evalkit.runner.task_run import NativeTaskRun

    options, settings = DataOptions.resolve(data_dir, True), RunSettings()
    with timed("data"):
        runs = [NativeTaskRun(key, task, options, settings) for key, task in select(tasks).tasks.items()]
    with timed("prompts"):
        requests = [request for run in runs for item in run.items for request in run.requests(item, render_plain)]
    with timed("imports"):
        import torch  # noqa: F401
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

        from evalkit.engine.tokenization import TextEncoder
        from evalkit.models import load_tokenizer
        from evalkit.models.tokenizer import prefix_token
    with timed("tokenizer"):
        tokenizer = load_tokenizer(model)
        encoder = TextEncoder(tokenizer, prefix_token(tokenizer))
    scores = [request for request in requests if isinstance(request, Score)]
    with timed(f"tokens of {len(scores)} requests"):
        pairs = [(request.context, request.continuation) for request in scores]
        encoded = encoder.encode_pairs(pairs, [request.shared for request in scores])
    with timed("sequences"):
        sequences = [continuation_sequence(*pair, 1 << 20) for pair in encoded]
    held = {id(sequence.inputs): sequence.inputs.nbytes for sequence in sequences}
    print(f"{'token arrays':<40} {sum(held.values()) / 1e6:6.1f} MB")


def first_batch(model: str, tasks: str, data_dir: str | None) -> None:
    """Starts the command, waits until its journal holds a batch, and interrupts it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run.json"
        command = [sys.executable, "-m", "evalkit", "run", "--model", model, "--tasks", tasks, "-o", str(output)]
        start = time.perf_counter()
        process = subprocess.Popen([*command, "--offline", *(["--data-dir", data_dir] if data_dir else [])])
        journal = Path(f"{output}.journal")
        seen: dict[str, float] = {}
        while process.poll() is None and len(seen) < 2 and time.perf_counter() - start < LONGEST_WAIT:
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            for count, name in ((1, "start to first batch begun"), (2, "start to first batch written")):
                if lines >= count:
                    seen.setdefault(name, time.perf_counter() - start)
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.wait()
    for name, seconds in seen.items():
        print(f"{name:<40} {'':12} {seconds:6.2f} s")


if __name__ == "__main__":
    main()
