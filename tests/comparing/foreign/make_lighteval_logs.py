"""Writes `lighteval/`: what lighteval 0.13 itself wrote of its dummy model, which answers at random.

    pip install lighteval        # in an environment of its own
    HF_HUB_OFFLINE=1 python tests/comparing/foreign/make_lighteval_logs.py

In the results the folder of the invented rows is taken out; nothing else is changed.
"""

import json
import shutil
import tempfile
from pathlib import Path

import xxhash

plain = xxhash.xxh64
xxhash.xxh64 = lambda text=b"", **options: plain(text.encode() if isinstance(text, str) else text, **options)

from lighteval.logging.evaluation_tracker import EvaluationTracker  # noqa: E402
from lighteval.metrics.metrics import Metrics  # noqa: E402
from lighteval.models.dummy.dummy_model import DummyModelConfig  # noqa: E402
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters  # noqa: E402
from lighteval.tasks.lighteval_task import LightevalTaskConfig  # noqa: E402
from lighteval.tasks.registry import Registry  # noqa: E402
from lighteval.tasks.requests import Doc  # noqa: E402

TARGET = Path(__file__).parent / "lighteval"
ANIMALS = [("spider", "8"), ("dog", "4"), ("hen", "2"), ("ant", "6"), ("snake", "0"), ("crab", "10")]
ROWS = Path(tempfile.gettempdir()) / "legs"


def choose(line, task_name=None):
    choices = [f" {choice}" for choice in line["choices"]]
    return Doc(f"Question: {line['question']}\nAnswer:", choices, line["answer"], task_name=task_name)


def write(line, task_name=None):
    return Doc(f"Question: {line['question']}\nAnswer:", [line["choices"][line["answer"]]], 0, task_name=task_name)


def task(name, prompt, *metrics):
    return LightevalTaskConfig(
        name=name,
        prompt_function=prompt,
        hf_repo=str(ROWS),
        hf_subset="default",
        metrics=list(metrics),
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        few_shots_split=None,
        few_shots_select=None,
        generation_size=8,
        stop_sequence=["\n"],
        version=1,
    )


TASKS_TABLE = [
    task("legs", choose, Metrics.loglikelihood_acc),
    task("legs_text", write, Metrics.exact_match, Metrics.f1_score),
]


def main() -> None:
    ROWS.mkdir(exist_ok=True)
    with (ROWS / "test.jsonl").open("w") as stream:
        for number, (name, legs) in enumerate(ANIMALS):
            choices = [legs, "3", "7"]
            choices = choices[number % 3 :] + choices[: number % 3]
            row = {"question": f"How many legs does a {name} have?", "choices": choices, "answer": choices.index(legs)}
            stream.write(json.dumps(row) + "\n")
    # lighteval's own tasks fetch files when they are imported
    Registry._load_from_files = Registry._load_from_subdirs = staticmethod(lambda *_: {})
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(
            "legs|0,legs_text|0",
            PipelineParameters(launcher_type=ParallelismManager.NONE, custom_tasks_directory=__file__),
            EvaluationTracker(output_dir=folder, save_details=True),
            DummyModelConfig(seed=1),
        )
        pipeline.evaluate()
        pipeline.save_and_push_results()
        results = json.loads(next(Path(folder).glob("results/dummy/*.json")).read_text())
        for config in results["config_tasks"].values():
            config["hf_repo"] = "invented/legs"
        TARGET.mkdir(exist_ok=True)
        (TARGET / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        for name in ("legs", "legs_text"):
            shutil.copy(next(Path(folder).glob(f"details/dummy/*/details_{name}|0_*")), TARGET / f"{name}.parquet")


if __name__ == "__main__":
    main()
