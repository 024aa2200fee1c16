"""Every prompt and continuation is lm-eval's, byte for byte: on real rows where they are at hand, else on made-up ones."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.data import DataOptions, load_rows
from evalkit.documents import Text
from evalkit.registry import registered, select
from evalkit.task import Row, Task
from tests.tasks.lm_eval_prompts import Splits, evalkit_requests, lm_eval_requests, lm_eval_task

pytest.importorskip("lm_eval", reason="lm-eval is the yardstick of these tests")
pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's and datasets' own warnings

HUB = Path(__file__).parents[2].parent / "shared" / "data" / "hub"
hub_data = pytest.mark.skipif(not HUB.is_dir(), reason="the real benchmark data is not beside the checkout")


def task_of(spec: str) -> Task:
    (task,) = select(spec).tasks.values()
    return task


def real_rows(task: Task, limit: int | None) -> Splits:
    """The first rows of the evaluated split, and all of those that examples come from."""
    options = DataOptions(directories=(HUB,), offline=True)
    evaluated = load_rows(task.data, task.data.split, task.columns, options)
    splits: dict[str, Sequence[Row]] = {task.data.split: evaluated[:limit] if limit else evaluated}
    pool = task.data.shots_split
    # lm-eval reads a pool even for tasks that have none here, so it gets the evaluated rows
    splits[pool or "train"] = load_rows(task.data, pool, task.columns, options) if pool else evaluated[:1]
    return splits


REAL = [
    ("mmlu_anatomy", None),
    ("mmlu_anatomy:5shot", None),
    ("mmlu_high_school_us_history:5shot", 40),
    ("mmlu_us_foreign_policy:3shot", 40),
    ("arc_easy", 300),
    ("arc_easy:5shot", 150),
    ("arc_challenge:25shot", 100),
    ("hellaswag", 300),
    ("hellaswag:10shot", 200),
    ("truthfulqa_mc1", None),
    ("truthfulqa_mc2", None),
    ("wikitext", None),
]


@hub_data
@pytest.mark.hub_data
@pytest.mark.parametrize(("spec", "limit"), REAL)
def test_prompts_equal_lm_evals_on_real_rows(spec: str, limit: int | None) -> None:
    task = task_of(spec)
    splits = real_rows(task, limit)
    assert task.lm_eval is not None
    theirs = lm_eval_requests(task.lm_eval, splits, task.shots)
    ours = evalkit_requests(task, splits, range(len(splits[task.data.split])))
    assert len(ours) == len(theirs) > 0
    assert ours == theirs


@hub_data
@pytest.mark.hub_data
@pytest.mark.parametrize("category", ["stem", "other", "social_sciences", "humanities"])
def test_every_mmlu_subject_asks_as_lm_eval(category: str) -> None:
    for task in select(f"mmlu_{category}:5shot").tasks.values():
        splits = real_rows(task, 2)
        assert task.lm_eval == task.name
        assert evalkit_requests(task, splits, [0, 1]) == lm_eval_requests(task.name, splits, 5)


@hub_data
@pytest.mark.hub_data
def test_a_documents_prompt_does_not_depend_on_which_others_are_evaluated() -> None:
    task = task_of("arc_challenge:25shot")
    splits = real_rows(task, 40)
    theirs = lm_eval_requests("arc_challenge", splits, 25)
    starts = {}
    position = 0
    for index, row in enumerate(splits["test"]):
        starts[index] = position
        position += len(row["choices"]["text"])
    wanted = [38, 3, 17]
    expected = [theirs[starts[index] + k] for index in wanted for k in range(starts[index + 1] - starts[index])]
    assert evalkit_requests(task, splits, wanted) == expected


@hub_data
@pytest.mark.hub_data
def test_wikitext_counts_what_lm_eval_counts() -> None:
    task = task_of("wikitext")
    rows = real_rows(task, None)["test"]
    theirs = lm_eval_task("wikitext", {"test": rows, "train": rows[:1]}, None)
    for row in rows:
        document = task.document(row)
        assert isinstance(document, Text)
        results = theirs.process_results(row, [-1.0])
        assert (results["word_perplexity"][1], results["byte_perplexity"][1]) == (document.words, document.bytes)
        assert document.characters == len(row["page"])


def made_up_rows(name: str, count: int, generator: random.Random) -> list[dict[str, Any]]:
    """Rows with the columns of a dataset that is not at hand; a few are equal, and white space is everywhere."""
    words = ["snow", "  river", "a_b", "Zoë ", "naïve\n", "1", "[title]", "grass", "s '", "天"]

    def text(length: int = 4) -> str:
        return " ".join(generator.choices(words, k=generator.randint(1, length))) + generator.choice(["", ".", " "])

    def row() -> dict[str, Any]:
        letter = generator.choice("ABCD")
        labelled = {"text": [text() for _ in "ABCD"], "label": list("ABCD")}
        rows: dict[str, dict[str, Any]] = {
            "piqa": {"goal": text(), "sol1": text(), "sol2": text(), "label": generator.randint(0, 1)},
            "winogrande": {
                "sentence": f"{text()} _ {text()}",
                "option1": text(1),
                "option2": text(1),
                "answer": generator.choice("12"),
            },
            "boolq": {"passage": text(30), "question": text(), "label": generator.randint(0, 1), "idx": 0},
            "openbookqa": {"question_stem": text(), "choices": labelled, "answerKey": " " + letter},
            "lambada_openai": {"text": text(30) + " x" + text(1).strip()},
            "cmmlu_anatomy": {"Question": text(), **{key: text() for key in "ABCD"}, "Answer": letter},
        }
        return rows[name]

    rows = [row() for _ in range(count)]
    return rows + generator.choices(rows, k=count // 3)


@pytest.mark.parametrize(
    "spec",
    [
        *("piqa", "piqa:5shot", "winogrande", "winogrande:5shot", "boolq", "boolq:4shot"),
        *("openbookqa", "openbookqa:3shot", "lambada_openai", "cmmlu_anatomy", "cmmlu_anatomy:5shot"),
    ],
)
@pytest.mark.parametrize("overlap", [False, True])
def test_prompts_equal_lm_evals_on_made_up_rows(spec: str, overlap: bool) -> None:
    task = task_of(spec)
    generator = random.Random(f"{spec}{overlap}")
    evaluated = made_up_rows(task.name, 60, generator)
    # where both splits hold the same rows, tasks that exclude the document itself draw anew, as lm-eval's rule says
    pool = evaluated[:12] if overlap else made_up_rows(task.name, 30, generator)
    splits = {task.data.split: evaluated, task.data.shots_split or "train": pool}
    assert task.lm_eval is not None
    theirs = lm_eval_requests(task.lm_eval, splits, task.shots)
    assert evalkit_requests(task, splits, range(len(evaluated))) == theirs


@pytest.mark.parametrize("system", [None, "Answer briefly.", "Answer.\n"])
@pytest.mark.parametrize("spec", ["cmmlu_anatomy:2shot", "piqa:2shot", "openbookqa"])
@pytest.mark.parametrize("multiturn", [True, False])
def test_chat_turns_equal_lm_evals(spec: str, system: str | None, multiturn: bool) -> None:
    from evalkit.documents import MultipleChoice
    from evalkit.prompts import build_prompt, draw_shots

    task = task_of(spec)
    generator = random.Random(spec)
    evaluated, pool = made_up_rows(task.name, 6, generator), made_up_rows(task.name, 9, generator)
    splits = {task.data.split: evaluated, task.data.shots_split or "train": pool}
    seen: list[list[dict[str, str]]] = []

    def template(turns: list[dict[str, str]], **_: object) -> str:
        seen.append(turns)
        return "chat"

    assert task.lm_eval is not None
    lm_eval_requests(
        task.lm_eval,
        splits,
        task.shots,
        system_instruction=system,
        apply_chat_template=True,
        fewshot_as_multiturn=multiturn,
        chat_template=template,
    )
    ours = []
    for row, places in zip(evaluated, draw_shots(task, evaluated, pool, range(len(evaluated))), strict=True):
        document = task.document(row)
        assert isinstance(document, MultipleChoice)
        examples = [task.document(pool[place]).example() for place in places]  # type: ignore[union-attr]
        ours.append(build_prompt(task, examples, document.question).messages(system, multiturn=multiturn))
    assert ours == seen


def test_settings_equal_those_of_lm_evals_files() -> None:
    """Dataset, configuration, splits, metrics, version and weighting, read from lm-eval's own files."""
    from lm_eval.tasks._yaml_loader import load_yaml

    from tests.tasks.lm_eval_prompts import manager

    checked = 0
    for entry in registered().values():
        if not isinstance(entry, Task) or entry.lm_eval is None or entry.lm_eval_metrics:
            continue  # tasks whose answers are generated have a test of their own
        theirs = load_yaml(manager().task_index[entry.lm_eval].yaml_path, resolve_func=False)
        assert theirs["dataset_path"] == entry.data.id
        assert theirs.get("dataset_name") == entry.data.config
        assert (theirs.get("test_split") or theirs.get("validation_split")) == entry.data.split
        assert int(float(theirs["metadata"]["version"])) == entry.version
        if not entry.shots_fixed:
            assert (theirs.get("fewshot_split") or theirs.get("training_split")) == entry.data.shots_split
            assert entry.shots_exclude_self == (theirs.get("fewshot_split") == theirs.get("test_split"))
        assert {one["metric"] for one in theirs["metric_list"]} - {"acc"} <= set(entry.metrics)
        checked += 1
    assert checked == 57 + 67 + 2 + 1 + 3 + 1 + 1 + 1 + 1 + 1 + 1
