"""Chain of thought for any multiple-choice task: `mmlu:cot`, `arc_challenge:cot`.

The model no longer scores the given answers. It is shown them under letters, asked to think step by step (Wei et al.
2022, arXiv 2201.11903; Kojima et al. 2022, arXiv 2205.11916) and to finish with "The answer is (X).", and the letter is
found in what it writes. A reply that settles on no letter is `unparsed`, and not right.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, get_type_hints

from evalkit.decoding import Decoding
from evalkit.documents import Cloze, ContextChoice, Document, MultipleChoice, OpenQuestion, Text
from evalkit.errors import UsageError
from evalkit.extraction import LETTERS, ChoiceLetter
from evalkit.task import Row, Task

METRIC = "exact_match@answer"
"""The metric of every task asked so: the share of right letters."""

MAX_NEW_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Wording:
    """The words around a question, in one language.

    Attributes:
        instruction: Before the examples.
        label: Before a question that has none of its own.
        cue: After the question; the answer follows.
        answer: The last sentence of an answer, `{}` for the letter.
        contradicted: What a task's own instruction may say that does not go with thinking first (CMMLU's asks for the
            letter at once); it is left out.
    """

    instruction: str
    label: str
    cue: str
    answer: str
    contradicted: str = ""


WORDINGS: Mapping[str, Wording] = {
    "en": Wording(
        'Think step by step, then finish with "The answer is (X).", where X is the letter of the right choice.',
        "Question:",
        "Answer: Let's think step by step.",
        "The answer is ({}).",
    ),
    "zh": Wording(
        "请一步一步思考，最后以“答案是（X）。”结束，其中X是正确选项的字母。",
        "问题：",
        "答案：让我们一步一步思考。",
        "答案是（{}）。",
        "，请直接给出正确答案的选项",
    ),
}
"""ISO 639-1 code -> words; other languages are asked in English."""

_CUE = re.compile(r"(?:^|\n)\s*(?:Answer|A|答案)\s*[:：]\s*$")
_LABEL = re.compile(r"^\s*(?:Question|Q|问题)\s*[:：]\s*", re.MULTILINE)

STOPS = ("\nQuestion:", "\nQ:", "\n问题：", "\n问题:")
"""Where a model goes on with a question of its own, under whichever label `_LABEL` knows: a task may bring its own. Not
more than four, which is what servers take."""


@dataclass(frozen=True, slots=True)
class ThinkingAloud:
    """Turns a row into an open question, by way of the task's own multiple-choice document.

    Attributes:
        document: The task's own.
        wording: The words around the question.
    """

    document: Callable[[Row], Document]
    wording: Wording

    def __call__(self, row: Row) -> OpenQuestion:
        """The question with lettered choices.

        Raises:
            UsageError: The row is no multiple-choice question.
        """
        choice = self.document(row)
        if not isinstance(choice, MultipleChoice):
            raise _not_multiple_choice(type(choice).__name__)
        letters = string.ascii_uppercase[: len(choice.choices)]
        if len(letters) < len(choice.choices):
            raise ValueError(f"{len(choice.choices)} choices are more than there are letters")
        right = tuple(self.wording.answer.format(letters[gold]) for gold in choice.golds)
        return OpenQuestion(
            question=f"{self._stem(choice, letters)}\n{self.wording.cue}",
            answer=right[0],
            references=tuple(letters[gold] for gold in choice.golds),
            chance=len(set(choice.golds)) / len(choice.choices),
            details={LETTERS: letters},
        )

    def _stem(self, choice: MultipleChoice, letters: str) -> str:
        """The question with its label and choices, without the words that ask for an answer."""
        question = _CUE.sub("", choice.question).strip()
        if not _LABEL.search(question):
            question = (
                f"{self.wording.label} {question}" if self.wording.label.isascii() else self.wording.label + question
            )
        if shows_letters(question, choice.choices):
            return question
        return question + "".join(
            f"\n{letter}. {text.strip()}" for letter, text in zip(letters, choice.choices, strict=True)
        )


def shows_letters(question: str, choices: Sequence[str]) -> bool:
    """Whether the question already shows its choices under the letters that are the answers, as MMLU's do."""
    letters = [choice.strip().strip("().") for choice in choices]
    if letters != list(string.ascii_uppercase[: len(choices)]):
        return False
    return all(re.search(rf"^\s*\(?{letter}[.):：、]", question, re.MULTILINE) for letter in letters)


def with_chain_of_thought(task: Any) -> Task:
    """The task with its questions asked so that the model thinks before it answers.

    Few-shot examples show the question with the right letter, without thoughts, which the data does not have. Solved
    examples in the task's description (TruthfulQA's) answer at once and in words, and are left out.

    Args:
        task: A task whose documents are `MultipleChoice`.

    Raises:
        UsageError: Its documents are of another kind.
    """
    if not isinstance(task, Task):
        raise UsageError(
            f"{task.name} is a task of lm-eval's, which `:cot` cannot change",
            hint="look for a variant of it: `lm-eval ls tasks` lists such as mmlu_flan_cot_zeroshot",
        )
    kind = _declared_kind(task.document)
    if kind in (ContextChoice, Cloze, Text, OpenQuestion):
        raise _not_multiple_choice(kind.__name__, task.name)
    wording = WORDINGS.get(task.language, WORDINGS["en"])
    description = "" if _LABEL.search(task.description) else task.description.strip()
    if wording.contradicted:
        description = description.replace(wording.contradicted, "")
    return replace(
        task,
        document=ThinkingAloud(task.document, wording),
        metrics=(METRIC,),
        own_metrics={},
        extractors={"answer": ChoiceLetter()},
        decoding=Decoding(max_new_tokens=MAX_NEW_TOKENS, stop=STOPS),
        description=f"{description}\n{wording.instruction}\n\n".lstrip(),
        target_delimiter=" ",
        lm_eval=None,
    )


def _declared_kind(document: Callable[[Row], Document]) -> Any:
    """What the function is annotated to return; None where that cannot be told."""
    function = document if isinstance(document, FunctionType) else type(document).__call__
    try:
        return get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return None


def _not_multiple_choice(kind: str, name: str = "") -> UsageError:
    subject = f"task {name} asks" if name else "the task asks"
    return UsageError(
        f"{subject} no multiple-choice questions (its documents are {kind}), so `:cot` has no choices to show",
        hint="use gsm8k_cot" if name == "gsm8k" else "leave `:cot` out",
    )
