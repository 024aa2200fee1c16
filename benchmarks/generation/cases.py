"""The prompts: GSM8K as lm-eval asks it, the same with fixed examples, and answers of widely varying length."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.lm_eval_program import lm_eval_data

SEED = 1234


@dataclass(frozen=True, slots=True)
class Case:
    """Prompts that are asked with the same settings.

    Attributes:
        name: What to call it.
        prompts: What is continued.
        stop: Texts that end an answer.
        max_new_tokens: Tokens an answer may have.
    """

    name: str
    prompts: tuple[str, ...]
    stop: tuple[str, ...]
    max_new_tokens: int

    def first(self, count: int) -> Case:
        """The same with the first so many prompts."""
        return Case(self.name, self.prompts[:count], self.stop, self.max_new_tokens)

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Case:
        """Reads what `write` wrote."""
        fields = json.loads(path.read_text())
        return cls(fields["name"], tuple(fields["prompts"]), tuple(fields["stop"]), fields["max_new_tokens"])


def gsm8k(documents: int, data_dir: str | None) -> Case:
    """GSM8K 5-shot by lm-eval's own task: every question has examples of its own, drawn at random."""
    from lm_eval.tasks import TaskManager, get_task_dict

    with lm_eval_data(data_dir):
        task: Any = get_task_dict(["gsm8k"], TaskManager())["gsm8k"]
        task.set_config(key="num_fewshot", value=5)
        task.set_fewshot_seed(SEED)
        task.build_all_requests(limit=documents, rank=0, world_size=1)
    prompts = tuple(one.args[0] for one in task.instances)
    return Case("GSM8K 5-shot", prompts, ("Question:", "</s>", "<|im_end|>"), 256)


def fixed_shots(documents: int, data_dir: str | None) -> Case:
    """The same questions after the same five examples."""
    drawn = gsm8k(documents, data_dir)
    shots, _, _ = drawn.prompts[0].rpartition("Question:")
    questions = [prompt.rpartition("Question:")[2] for prompt in drawn.prompts]
    prompts = tuple(f"{shots}Question:{question}" for question in questions)
    return Case("GSM8K, 5 fixed shots", prompts, drawn.stop, drawn.max_new_tokens)


def varied(documents: int, data_dir: str | None) -> Case:
    """Answers of a word, of a few sentences, and of as many tokens as there may be, in random order."""
    drawn = gsm8k(documents, data_dir)
    shots = drawn.prompts[0].split("\n\n")[:2]
    prompts: list[str] = []
    for index, prompt in enumerate(drawn.prompts):
        question = prompt.rpartition("Question: ")[2].removesuffix("\nAnswer:")
        if index % 3 == 0:
            first = "Question: Is this about a number?\nHow many days has a week?\nAnswer: Yes"
            prompts.append(f"{first}\n\nQuestion: Is this about a number?\n{question}\nAnswer:")
        elif index % 3 == 1:
            prompts.append("\n\n".join([*shots, f"Question: {question}\nAnswer:"]))
        else:
            prompts.append(f"This is how a long novel begins. {question}\nThe next page goes on like this:")
    random.Random(SEED).shuffle(prompts)
    return Case("answers of 1 to 384 tokens", tuple(prompts), ("Question:",), 384)


CASES: dict[str, Callable[[int, str | None], Case]] = {"gsm8k": gsm8k, "fixed": fixed_shots, "varied": varied}
"""Name -> (documents, data folder) -> case."""
