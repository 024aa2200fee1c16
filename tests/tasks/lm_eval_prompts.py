"""Builds a task's requests twice, with lm-eval 0.4.13's own task and with ours, from the same rows."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from evalkit.documents import Text
from evalkit.prompts import build_prompt, draw_shots
from evalkit.task import Row, Task

Splits = Mapping[str, Sequence[Row]]


class Asked(NamedTuple):
    """What a model is asked: log P(continuation | context); for a whole text the context is empty."""

    context: str
    continuation: str


@cache
def manager() -> Any:
    """lm-eval's index of the task folders in question only: all 14,000 files take ten seconds."""
    import lm_eval.tasks

    base = Path(lm_eval.tasks.__file__).parent
    names = "arc boolq cmmlu hellaswag lambada mmlu/default openbookqa piqa truthfulqa wikitext winogrande"
    names += " gsm8k bbh/cot_fewshot triviaqa nq_open ifeval humaneval"
    folders = [base / ("super_glue/boolq" if name == "boolq" else name) for name in names.split()]
    return lm_eval.tasks.TaskManager(include_defaults=False, include_path=folders)


def lm_eval_task(name: str, splits: Splits, shots: int | None) -> Any:
    """lm-eval's own task object on these rows, set up as its `simple_evaluate` does."""
    import datasets

    data = datasets.DatasetDict({split: datasets.Dataset.from_list(list(rows)) for split, rows in splits.items()})
    with mock.patch("datasets.load_dataset", return_value=data):
        task = manager().load([name])["tasks"][name]
    if shots is not None and task.get_config("num_fewshot") != 0:
        task.set_config(key="num_fewshot", value=shots)
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=1234)
    return task


def lm_eval_requests(
    name: str, splits: Splits, shots: int | None, limit: int | None = None, **chat: Any
) -> list[Asked]:
    """What lm-eval would ask, document by document."""
    task = lm_eval_task(name, splits, shots)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        task.build_all_requests(limit=limit, rank=0, world_size=1, **chat)
    return [Asked(*(("", *one.args) if len(one.args) == 1 else one.args)) for one in task.instances]


def evalkit_requests(task: Task, splits: Splits, wanted: Sequence[int]) -> list[Asked]:
    """What evalkit asks about the wanted documents, in plain text."""
    documents = splits[task.data.split]
    pool = splits[task.data.shots_split] if task.data.shots_split else ()
    asked = []
    for index, places in zip(wanted, draw_shots(task, documents, pool, wanted), strict=True):
        document = task.document(documents[index])
        if isinstance(document, Text):
            asked.append(Asked("", document.text))
            continue
        examples = []
        for place in places:
            example = task.document(pool[place])
            assert not isinstance(example, Text)
            examples.append(example.example())
        for candidate in document.candidates():
            prompt = build_prompt(task, examples, candidate.question)
            assert prompt.text()[: prompt.shared()] + candidate.question == prompt.text()
            asked.append(Asked(prompt.text(), task.target_delimiter + candidate.continuation))
    return asked
