"""lm-eval's requests for a task's documents, built as its own `simple_evaluate` has them built."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evalkit.models.quiet import forward_logs
from evalkit.prompts import Prompt
from evalkit.runner.rendering import Renderer
from evalkit.runner.settings import RunSettings

Turns = tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Built:
    """What lm-eval asks.

    Attributes:
        by_document: Index of the document -> lm-eval's `Instance`s, in the order of their choices.
        turns: Prompt that went through a chat template -> the turns it was rendered from.
    """

    by_document: Mapping[int, list[Any]] = field(default_factory=dict)
    turns: Mapping[str, Turns] = field(default_factory=dict)


def build(task: Any, documents: int, settings: RunSettings, render: Renderer) -> Built:
    """lm-eval's requests for the first `documents` documents, as it builds them on one process.

    Few-shot examples are drawn in sequence from one generator, so the documents before a wanted one are built too.

    Args:
        task: lm-eval's task object.
        documents: How many documents.
        settings: The system instruction and the seed of the examples.
        render: Plain, or the model's chat template.
    """
    turns: dict[str, Turns] = {}
    task.set_fewshot_seed(seed=settings.shots_seed)
    random.seed(0)
    with at_work():
        task.build_all_requests(
            limit=documents,
            rank=0,
            world_size=1,
            system_instruction=settings.system,
            apply_chat_template=render.chat,
            fewshot_as_multiturn=render.multiturn,
            chat_template=_chat(render, turns) if render.chat else None,
        )
    built: dict[int, list[Any]] = {}
    for instance in task.instances:
        built.setdefault(instance.doc_id, []).append(instance)
    for instances in built.values():
        instances.sort(key=lambda instance: instance.idx)
    return Built(built, turns)


class _Conversation(Prompt):
    """A prompt that lm-eval has already put into chat turns."""

    __slots__ = ("turns",)

    def __init__(self, turns: list[dict[str, str]]) -> None:
        super().__init__("", (), "", "", "")
        object.__setattr__(self, "turns", turns)

    def messages(self, system: str | None = None, *, multiturn: bool = True) -> list[dict[str, str]]:
        """The turns."""
        turns: list[dict[str, str]] = self.turns  # type: ignore[attr-defined]
        return turns


def _chat(render: Renderer, kept: dict[str, Turns]) -> Callable[..., str]:
    def apply(turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        # a turn of the assistant's at the end (gen_prefix) is left open by the renderer, as asked for here
        assert add_generation_prompt == (turns[-1]["role"] != "assistant")
        rendered = render(_Conversation(turns))
        kept[rendered.context] = rendered.messages
        return rendered.context

    return apply


@contextlib.contextmanager
def at_work() -> Iterator[None]:
    """lm-eval without its progress bars and log lines, compiling each template once instead of at every use."""
    import datasets
    import lm_eval.api.task as task_module
    from lm_eval.utils import env

    if "from_string" in vars(env):  # within another such block
        yield
        return
    bar, bars = task_module.tqdm, datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()  # a task's `process_docs` goes through the rows whenever they are asked for
    task_module.tqdm = functools.partial(bar, disable=True)
    env.from_string = functools.lru_cache(maxsize=4096)(env.from_string)
    try:
        with forward_logs(["lm_eval", "datasets"]):
            yield
    finally:
        task_module.tqdm = bar
        if bars:
            datasets.enable_progress_bars()
        del env.from_string
