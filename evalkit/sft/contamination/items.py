"""The items of every task that is about to be scored, as texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.documents import ContextChoice, Document, MultipleChoice, OpenQuestion, Text
from evalkit.runner.task_data import TaskData
from evalkit.sft.contamination.words import bare, option
from evalkit.task import Task

if TYPE_CHECKING:
    from evalkit.api import Evaluation


@dataclass(frozen=True, slots=True)
class BenchmarkItem:
    """One item of a task.

    Attributes:
        id: The sample's id in the result.
        question: What is asked, without `Question:` before it, `Answer:` after it and lettered options. Empty for a text
            that is scored whole.
        answers: The right answers: the text of the right choice, the references of an open question, the scored text.
        asked: The question as the model is asked, options included, where that is something else; empty otherwise.
        label: The right answer as `asked` wants it, such as `B`.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    asked: str = ""
    label: str = ""

    @property
    def answer(self) -> str:
        """The first right answer; empty where the task has none."""
        return self.answers[0] if self.answers else ""

    @property
    def whole(self) -> str:
        """Question and answer."""
        return "\n".join(part for part in (self.question, self.answer) if part)


@dataclass(frozen=True, slots=True)
class BenchmarkItems:
    """The items of one task that will be scored.

    Attributes:
        task: Its name in the result; of a group each task has its own.
        items: In the dataset's order.
    """

    task: str
    items: tuple[BenchmarkItem, ...]


def benchmark_items(evaluation: Evaluation) -> tuple[BenchmarkItems, ...]:
    """The items that an evaluation will score, with the ids that its result will have. No model is loaded.

    Args:
        evaluation: Which tasks, which of their documents (`limit`, `seed`) and where the data is; its model is not used.

    Raises:
        DataError: The data of a task is missing or damaged.
        UsageError: An option is wrong, or a task is not known.
    """
    selection, _, options, settings = evaluation.parts()
    tasks: dict[str, Any] = dict(selection.tasks)
    found = []
    for key, task in tasks.items():
        if isinstance(task, Task):
            data = TaskData(key, task, options, settings)
            items = tuple(benchmark_item(data.ids[place], data.document(place)) for place in data.wanted)
        else:
            bound = task.bind(key, options, settings)
            items = tuple(_item(item.id, *bound.question_and_answers(item)) for item in bound.items)
        found.append(BenchmarkItems(key, items))
    return tuple(found)


def benchmark_item(identity: str, document: Document) -> BenchmarkItem:
    """A document as question and right answers."""
    if isinstance(document, Text):
        return BenchmarkItem(identity, "", (document.text.strip(),))
    if isinstance(document, MultipleChoice):
        return _item(identity, document.question, tuple(document.choices[gold] for gold in document.golds))
    if isinstance(document, ContextChoice):
        return _item(identity, document.questions[document.gold], (document.continuation,))
    if isinstance(document, OpenQuestion):
        return _item(identity, document.question, (document.answer, *document.references))
    return _item(identity, document.question, (document.answer,))


def _item(identity: str, question: str, answers: tuple[str, ...]) -> BenchmarkItem:
    """The item; where the answer is the label of an option, the option's text is the answer."""
    known = tuple(dict.fromkeys(answer.strip() for answer in answers if answer.strip()))
    texts = tuple(option(question, answer) or answer for answer in known)
    stripped = bare(question)
    asked = question.strip() if stripped != question.strip() else ""
    return BenchmarkItem(identity, stripped, texts, asked, known[0] if known and asked else "")
