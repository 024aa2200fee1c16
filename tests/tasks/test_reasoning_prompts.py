"""Prompts, stop texts, limits, found answers and values of the tasks whose answers are generated, held against lm-eval's."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.metrics import text_metric
from evalkit.metrics.text import measures
from evalkit.registry import registered, select
from evalkit.task import Row, Task
from tests.tasks.lm_eval_prompts import Splits, lm_eval_requests, lm_eval_task, manager
from tests.tasks.test_golden_prompts import hub_data, real_rows, task_of

pytest.importorskip("lm_eval", reason="lm-eval is the yardstick of these tests")
pytestmark = pytest.mark.filterwarnings("ignore")  # lm-eval's and datasets' own warnings

WORDS = ["snow", "  river", "a_b", "Zoë ", "naïve\n", "The", "an ", "1,200", "$5.", "天", "#### 7", "the answer is"]


def made_up_row(name: str, generator: random.Random) -> dict[str, Any]:
    def text(length: int = 5) -> str:
        return " ".join(generator.choices(WORDS, k=generator.randint(1, length)))

    if name.startswith("gsm8k"):
        return {"question": text(), "answer": f"{text()}\n#### {generator.randint(-9, 2000):,}"}
    if name.startswith("bbh"):
        return {"input": text(), "target": generator.choice(["True", "(A)", "valid", text(2)])}
    names = [text(2) for _ in range(generator.randint(1, 3))]
    return {"question": text(), "answer": {"aliases": names} if name == "triviaqa" else names}


def evalkit_requests(task: Task, splits: Splits) -> list[tuple[str, Decoding]]:
    """What evalkit asks: prompt and decoding, document by document."""
    from evalkit.data import DataOptions, load_rows
    from evalkit.prompts import build_prompt, draw_shots

    documents = splits[task.data.split]
    source = task.shots_data
    pool: Sequence[Row] = load_rows(source, "test", {}, DataOptions()) if source and task.shots else ()
    if task.data.shots_split:
        pool = splits[task.data.shots_split]
    asked = []
    for row, places in zip(documents, draw_shots(task, documents, pool, range(len(documents))), strict=True):
        examples = [question(task, pool[place]).example() for place in places]
        asked.append((build_prompt(task, examples, question(task, row).question).text(), task.decoding))
    return asked


def question(task: Task, row: Row) -> OpenQuestion:
    document = task.document(row)
    assert isinstance(document, OpenQuestion)
    return document


def theirs_and_ours(task: Task, splits: Splits) -> None:
    assert task.lm_eval is not None
    theirs = lm_eval_requests(task.lm_eval, splits, task.shots)
    ours = evalkit_requests(task, splits)
    assert [prompt for prompt, _ in ours] == [asked.context for asked in theirs]
    for (_, decoding), asked in zip(ours, theirs, strict=True):
        settings: Any = asked.continuation
        assert list(decoding.stop) == settings["until"]
        assert decoding.max_new_tokens == settings.get("max_gen_toks", 256)
        assert not settings.get("do_sample")
        assert decoding.is_greedy


SPECS = [
    *("gsm8k", "gsm8k:2shot", "gsm8k_cot", "gsm8k_cot:3shot", "gsm8k_cot_zeroshot"),
    *("triviaqa", "triviaqa:5shot", "nq_open", "nq_open:5shot"),
    *("bbh_cot_fewshot_word_sorting", "bbh_cot_fewshot_snarks:1shot", "bbh_cot_fewshot_web_of_lies:0shot"),
]


def made_up_splits(task: Task, count: int = 12) -> Splits:
    generator = random.Random(task.name)
    rows = [made_up_row(task.name, generator) for _ in range(count)]
    pool = [made_up_row(task.name, generator) for _ in range(count)]
    return {task.data.split: rows, task.data.shots_split or "train": pool}


@pytest.mark.parametrize("spec", SPECS)
def test_prompts_and_decoding_are_lm_evals_on_made_up_rows(spec: str) -> None:
    task = task_of(spec)
    theirs_and_ours(task, made_up_splits(task))


@hub_data
@pytest.mark.hub_data
@pytest.mark.parametrize("spec", ["gsm8k", "gsm8k:8shot", "gsm8k_cot", "gsm8k_cot_zeroshot"])
def test_prompts_and_decoding_are_lm_evals_on_real_rows(spec: str) -> None:
    task = task_of(spec)
    theirs_and_ours(task, real_rows(task, 100))


def test_every_set_of_big_bench_hard_asks_as_lm_eval() -> None:
    selection = select("bbh")
    assert len(selection.tasks) == 27
    for task in selection.tasks.values():
        theirs_and_ours(task, made_up_splits(task, 2))


REPLIES = [
    *(
        "#### 7",
        "#### 1,200.",
        "it is $5. #### -3 and #### 4",
        "The answer is 7.",
        "The answer is $7",
        "so 12",
        "none",
        "",
    ),
    *("the answer is True.", "So the answer is (A).", "the answer is valid", "snow.", " The  river ", "an snow", "天"),
]


def values(task: Task, document: OpenQuestion, reply: str) -> dict[str, float]:
    def find(name: str) -> Any:
        return task.own_metrics.get(name) or text_metric(name)

    found = measures(task.metrics, task.extractors, find)
    extracted = {name: extractor(reply) for name, extractor in task.extractors.items()}
    return {one.name: one.value(document, [extracted.get(one.extractor or "", reply)]) for one in found}


@pytest.mark.parametrize(
    "spec", ["gsm8k", "gsm8k_cot", "gsm8k_cot_zeroshot", "triviaqa", "nq_open", "bbh_cot_fewshot_snarks"]
)
def test_values_are_lm_evals(spec: str) -> None:
    """lm-eval's own filters and metrics on the same replies, by the names that `lm_eval_metrics` gives."""
    task = task_of(spec)
    splits = made_up_splits(task)
    rows = splits[task.data.split]
    assert task.lm_eval is not None
    theirs = lm_eval_task(task.lm_eval, splits, task.shots)
    lm_eval_requests(task.lm_eval, splits, task.shots)
    right = 0
    for row in rows:
        document = question(task, row)
        own = [reference for reference in document.references] + [
            f"{document.answer}.",
            f"the answer is {document.answer}.",
        ]
        for reply in [*REPLIES, *own]:
            ours = values(task, document, reply)
            expected = lm_eval_values(theirs, row, reply)
            assert {task.lm_eval_metrics[name]: value for name, value in ours.items()} == expected, (row, reply)
            right += sum(ours.values())
    assert right > 0


def lm_eval_values(task: Any, row: Row, reply: str) -> dict[str, float]:
    found = {}
    for ensemble in task._filters:
        from lm_eval.api.instance import Instance

        instance = Instance("generate_until", dict(row), ("", {}), 0)
        instance.resps = [reply]
        ensemble.apply([instance])
        for name, value in task.process_results(dict(row), [instance.filtered_resps[ensemble.name]]).items():
            found[f"{name},{ensemble.name}"] = float(value)
    return found


def test_settings_equal_those_of_lm_evals_files() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    checked = 0
    for entry in registered().values():
        if not isinstance(entry, Task) or not entry.lm_eval_metrics:
            continue
        theirs = load_yaml(manager().task_index[entry.lm_eval].yaml_path, resolve_func=False)
        if theirs.get("output_type") != "generate_until":
            continue
        assert theirs["dataset_path"] == entry.data.id
        assert theirs.get("dataset_name") == entry.data.config
        assert (theirs.get("test_split") or theirs.get("validation_split")) == entry.data.split
        assert int(float(theirs["metadata"]["version"])) == entry.version
        assert (theirs.get("num_fewshot") or 0) == entry.shots
        filters = {one["name"] for one in theirs.get("filter_list", [])}
        assert {name.partition(",")[2] for name in entry.lm_eval_metrics.values()} <= filters | {"none"}
        checked += 1
    assert checked >= 27 + 3 + 2
