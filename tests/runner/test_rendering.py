"""Whole chat prompts against lm-eval's own, rendered by its `hf` model's method from the same tokenizer."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.documents import MultipleChoice
from evalkit.lm_eval_bridge.instances import _chat
from evalkit.models import render_chat
from evalkit.prompts import build_prompt, draw_shots
from evalkit.registry import select
from evalkit.runner.rendering import ChatRenderer
from evalkit.task import Task
from tests.tasks.lm_eval_prompts import lm_eval_task
from tests.tasks.test_golden_prompts import made_up_rows
from tests.tiny_models import CHAT_TEMPLATE, tiny_tokenizer

SPEC = "cmmlu_anatomy:2shot"
TOKENIZER = tiny_tokenizer(chat_template=CHAT_TEMPLATE.replace("message['content']", "message['content'] | trim"))


def task_and_rows() -> tuple[Task, dict[str, Any]]:
    (task,) = select(SPEC).tasks.values()
    generator = random.Random(0)
    return task, {
        task.data.split: made_up_rows(task.name, 5, generator),
        task.data.shots_split or "": made_up_rows(task.name, 9, generator),
    }


def lm_evals_template() -> Callable[..., str]:
    """The method of lm-eval's `hf` model on our tokenizer."""
    from lm_eval.models.huggingface import HFLM

    return partial(HFLM.apply_chat_template, SimpleNamespace(tokenizer=TOKENIZER, chat_template_args={}))  # type: ignore


def asked(template: Callable[..., str], multiturn: bool, gen_prefix: str | None = None) -> list[tuple[str, str]]:
    one, splits = task_and_rows()
    assert one.lm_eval is not None
    task = lm_eval_task(one.lm_eval, splits, one.shots)
    task.set_config(key="gen_prefix", value=gen_prefix)
    with contextlib.redirect_stderr(io.StringIO()):
        task.build_all_requests(
            rank=0,
            world_size=1,
            system_instruction="Be brief.",
            apply_chat_template=True,
            fewshot_as_multiturn=multiturn,
            chat_template=template,
        )
    return [instance.args for instance in task.instances]


def renderer(multiturn: bool) -> ChatRenderer:
    return ChatRenderer(partial(render_chat, TOKENIZER), multiturn=multiturn)


@pytest.mark.parametrize("multiturn", [True, False])
def test_our_own_tasks_prompts_and_answers_are_lm_evals(multiturn: bool) -> None:
    task, splits = task_and_rows()
    documents, pool = splits[task.data.split], splits[task.data.shots_split or ""]
    render = renderer(multiturn)
    ours = []
    for row, places in zip(documents, draw_shots(task, documents, pool, range(len(documents))), strict=True):
        document = task.document(row)
        assert isinstance(document, MultipleChoice)
        examples = [task.document(pool[place]).example() for place in places]  # type: ignore[union-attr]
        for candidate in document.candidates():
            rendered = render(build_prompt(task, examples, candidate.question, "Be brief."))
            ours.append((rendered.context, rendered.delimiter + candidate.continuation))
    assert ours == asked(lm_evals_template(), multiturn)


@pytest.mark.parametrize("multiturn", [True, False])
@pytest.mark.parametrize("gen_prefix", [None, "The answer is"])
def test_a_task_of_lm_evals_library_is_rendered_as_there(multiturn: bool, gen_prefix: str | None) -> None:
    theirs = asked(lm_evals_template(), multiturn, gen_prefix)
    assert asked(_chat(renderer(multiturn), {}), multiturn, gen_prefix) == theirs
    assert all(context.endswith(gen_prefix or "<|assistant|>\n") for context, _ in theirs)
