"""The other ways to compute, beside the built-in engine: vLLM in this process, and vLLM's own server as an endpoint.

    .venv-vllm/bin/python -m benchmarks.endpoints --pretrained build/speed/smollm2 --data-dir ../shared/data/hub

Runs in vLLM's environment (`make .venv-vllm`). Log-probabilities are compared with the built-in engine's, greedy texts
with transformers' `generate`, both in float32. The server is started on the loopback and stopped at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import evalkit
from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.task import DataSource, Task

STARTING = 300.0


def gsm8k(documents: int, data_dir: str, shots: int) -> Task:
    """GSM8K as lm-eval prompts it, the first `shots` training questions before each; its texts are what is compared."""
    from evalkit.data import DataOptions
    from evalkit.data.load import load_rows

    def rows(split: str, count: int) -> list[dict[str, Any]]:
        source = DataSource(id="openai/gsm8k", config="main", split=split)
        table = load_rows(source, split, {"question": str, "answer": str}, DataOptions.resolve(data_dir, True))
        return [dict(table[index]) for index in range(count)]

    examples = [f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in rows("train", shots)]
    return Task(
        name="gsm8k_brief",
        data=DataSource(id="gsm8k_brief", rows=rows("test", documents)),
        document=lambda row: OpenQuestion("".join(examples) + f"Question: {row['question']}\nAnswer:", row["answer"]),
        metrics=("exact_match",),
        decoding=Decoding(max_new_tokens=48, stop=("Question:", "\n\n")),
        target_delimiter="",
    )


def texts(run: evalkit.Run, samples: Path) -> list[str]:
    import pyarrow.parquet as parquet

    return [row["continuation"] for row in parquet.read_table(samples).to_pylist() if row["kind"] == "generate"]


def scores(samples: Path) -> list[float]:
    import pyarrow.parquet as parquet

    return [row["log_probability"] for row in parquet.read_table(samples).to_pylist() if row["kind"] == "score"]


def generated_by_transformers(directory: str, task: Task) -> list[str]:
    """Greedy texts, one prompt at a time, cut at the stop texts."""
    import torch

    from evalkit.backends.stop_texts import cut_at_stop
    from evalkit.models import ModelOptions, load_model
    from evalkit.requests import Generate

    loaded = load_model(directory, ModelOptions(dtype="float32", device="cpu", offline=True))
    found = []
    for row in task.data.rows:
        document = task.document(row)
        assert isinstance(document, OpenQuestion)
        inputs = loaded.tokenizer(document.question, return_tensors="pt")
        with torch.inference_mode():
            output = loaded.model.generate(**inputs, max_new_tokens=task.decoding.max_new_tokens, do_sample=False)
        new = output[0, inputs["input_ids"].shape[1] :]
        text = loaded.tokenizer.decode(new, skip_special_tokens=True)
        found.append(cut_at_stop(text, Generate(document.question, task.decoding))[0])
    return found


@contextmanager
def vllm_server(directory: str) -> Iterator[str]:
    """vLLM's OpenAI server on a free port; its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("vllm")
    arguments = [program, "serve", directory, "--served-model-name", "model", "--dtype", "float32", "--enforce-eager"]
    command = [*arguments, "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "4096"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            end = time.monotonic() + STARTING
            while not answers(f"http://127.0.0.1:{port}/health"):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise SystemExit(log.read().decode()[-3000:])
                time.sleep(1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


def row(name: str, run: evalkit.Run, samples: Path, reference: Sequence[float], written: Sequence[str]) -> None:
    """One line of the table."""
    own = scores(samples)
    columns = [name]
    if own:
        worst = max(abs(one - other) for one, other in zip(own, reference, strict=True))
        columns += [f"{run.tasks['arc_easy'].metrics['acc'].value:.4f}", f"{worst:.1e}"]
    else:
        columns += ["", ""]
    said = texts(run, samples)
    columns.append(f"{sum(map(str.__eq__, said, written))}/{len(written)}" if said else "")
    columns += [str(run.timing["tokens_computed"]), f"{run.timing['seconds']['scoring']:.1f}"]
    print("| " + " | ".join(columns) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", required=True, help="directory of the model, in safetensors")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--shots", type=int, default=2)
    arguments = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    directory = str(Path(arguments.pretrained).resolve())
    generating = gsm8k(arguments.documents, arguments.data_dir, arguments.shots)
    common: dict[str, Any] = {"limit": f"first:{arguments.documents}", "data_dir": arguments.data_dir, "offline": True}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run.json"
        samples = output.with_name("run.samples.parquet")
        run = evalkit.run(model=directory, tasks="arc_easy", dtype="float32", device="cpu", output=output, **common)
        reference = scores(samples)
        written = generated_by_transformers(directory, generating)
        print("| model | arc_easy acc | max abs difference (nats) | GSM8K texts equal | tokens computed | seconds |")
        print("|---|---|---|---|---|---|")
        row("built-in engine", run, samples, reference, written)
        both = ["arc_easy", generating]
        spec = f"vllm:{directory}?enforce_eager=true"
        run = evalkit.run(
            model=spec, tasks=both, dtype="float32", device="cpu", max_length=4000, output=output, **common
        )
        row("vllm:", run, samples, reference, written)
        with vllm_server(directory) as url:
            for name, tokenizer in (("openai: (texts)", None), ("openai: (token ids)", directory)):
                run = evalkit.run(model=f"openai:model@{url}", tasks=both, tokenizer=tokenizer, output=output, **common)
                row(name, run, samples, reference, written)
                print(json.dumps(run.timing), file=sys.stderr)


if __name__ == "__main__":
    main()
