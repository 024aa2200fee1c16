"""Writes `lm_eval/`: logs that lm-eval itself made of a tiny random model, and evalkit's results of the same.

    python -m tests.comparing.foreign.make_lm_eval_logs

The rows are invented for this purpose, in the form of the datasets whose names they bear. What the log says of the
machine it was made on is taken out; nothing else is changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.tiny_models import tiny_model

TARGET = Path(__file__).parent / "lm_eval"
TASKS = "arc_easy,hellaswag,gsm8k,wikitext"

_ANIMALS = [("spider", "8"), ("dog", "4"), ("hen", "2"), ("ant", "6"), ("snake", "0"), ("crab", "10"), ("hen", "2")]


def arc() -> list[dict[str, Any]]:
    """The last row is a copy of the third."""
    return [
        {
            "id": f"row_{name}",
            "question": f"How many legs does a {name} have?",
            "choices": {"text": sorted({legs, "3", "7", "12"}), "label": ["A", "B", "C", "D"]},
            "answerKey": "ABCD"[sorted({legs, "3", "7", "12"}).index(legs)],
        }
        for name, legs in _ANIMALS
    ]


def hellaswag() -> list[dict[str, Any]]:
    scenes = [
        ("A cook", "he", "stove"),
        ("A nurse", "she", "stove"),
        ("A child", "it", "garden"),
        ("We", "they", "sea"),
    ]
    return [
        {
            "ind": index,
            "activity_label": "Working",
            "ctx_a": f"{who} stands before the {where}.",
            "ctx_b": pronoun,
            "ctx": f"{who} stands before the {where}. {pronoun}",
            "endings": [f"looks at the {where}.", "turns into a [substeps] brick.", "sings.", "is a number."],
            "source_id": f"invented~{where}",
            "split": "val",
            "split_type": "indomain",
            "label": str(index % 2 * 2),
        }
        for index, (who, pronoun, where) in enumerate(scenes)
    ]


def gsm8k() -> list[dict[str, Any]]:
    return [
        {
            "question": f"Ann has {n} pears and buys {n + 3} more. How many has she?",
            "answer": f"{n} + {n + 3} = {n + n + 3}\n#### {n + n + 3}",
        }
        for n in range(2, 7)
    ]


def wikitext() -> list[dict[str, Any]]:
    return [{"page": f" \n = Page {n} = \n \n The page has {n * 12} lines , and no more . \n"} for n in range(1, 4)]


def write_hub(folder: Path) -> None:
    """The rows, laid out as on the hub."""
    from pyarrow import Table, parquet

    for place, split, rows in (
        ("allenai/ai2_arc/ARC-Easy", "test", arc()),
        ("allenai/ai2_arc/ARC-Easy", "train", arc()),
        ("Rowan/hellaswag/data", "validation", hellaswag()),
        ("Rowan/hellaswag/data", "train", hellaswag()),
        ("openai/gsm8k/main", "test", gsm8k()),
        ("openai/gsm8k/main", "train", gsm8k()),
        ("EleutherAI/wikitext_document_level/wikitext-2-raw-v1", "test", wikitext()),
        ("EleutherAI/wikitext_document_level/wikitext-2-raw-v1", "train", wikitext()),
        ("EleutherAI/wikitext_document_level/wikitext-2-raw-v1", "validation", wikitext()),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        parquet.write_table(Table.from_pylist(rows), folder / place / f"{split}-00000-of-00001.parquet")


@contextlib.contextmanager
def arguments(*words: str) -> Iterator[None]:
    before, sys.argv = sys.argv, ["lm_eval", *words]
    try:
        yield
    finally:
        sys.argv = before


def run_lm_eval(hub: Path) -> None:
    """lm-eval's own command line, its data from our folder."""
    from lm_eval.__main__ import cli_evaluate

    from evalkit.data import DataOptions
    from evalkit.lm_eval_bridge.datasets_source import data_from

    model = ["--model", "hf", "--model_args", "pretrained=tiny,dtype=float32", "--device", "cpu", "--batch_size", "4"]
    what = ["--tasks", TASKS, "--num_fewshot", "0", "--limit", "7", "--gen_kwargs", "max_gen_toks=12"]
    output = ["--output_path", "log", "--log_samples"]
    with arguments("run", *model, *what, *output), data_from(DataOptions((hub,), offline=True)):
        cli_evaluate()


def run_evalkit(hub: Path) -> None:
    import evalkit

    run = evalkit.run(
        model="tiny",
        tasks=[f"{name}:0shot" for name in TASKS.split(",")],
        limit="first:7",
        data_dir=str(hub),
        offline=True,
        max_new_tokens=12,
    )
    run.save("evalkit.json")


def without_machine(path: Path) -> None:
    """Takes out where and on what the log was made."""
    log = json.loads(path.read_text())
    for name in ("pretty_env_info", "git_hash", "upper_git_hash"):
        log.pop(name, None)
    for config in log["configs"].values():
        config["metadata"].pop("config_source", None)
    path.write_text(json.dumps(log, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_hub(Path("hub"))
        tiny_model("llama", Path("models")).rename("tiny")
        run_lm_eval(Path("hub").resolve())
        run_evalkit(Path("hub").resolve())
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(next(Path("log").iterdir()), TARGET / "tiny")
        without_machine(next((TARGET / "tiny").glob("results_*.json")))
        shutil.copy("evalkit.json", TARGET / "evalkit.json")


if __name__ == "__main__":
    main()
