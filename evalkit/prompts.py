"""From documents to prompts: which few-shot examples a document gets, and the text or chat turns it is asked in.

The examples drawn and the texts built are those of lm-evaluation-harness 0.4.13 in a single process, so that a task's
score can be compared with its namesake's there, prompt by prompt.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.documents import Candidate
from evalkit.errors import DataError, UsageError
from evalkit.task import Row, Task

SHOTS_SEED = 1234
"""lm-eval's default seed for few-shot examples."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question with what precedes it.

    Attributes:
        description: Instruction at the start, with its trailing line breaks; may be empty.
        shots: Solved examples, in order.
        question: What is asked, without the answer.
        target_delimiter: Between an example's question and its answer.
        shots_delimiter: After each example.
    """

    description: str
    shots: tuple[Candidate, ...]
    question: str
    target_delimiter: str
    shots_delimiter: str

    def text(self) -> str:
        """The plain-text context: description, each example with its delimiters, then the question."""
        return self._preamble() + self.question

    def shared(self) -> int:
        """Length in characters of the leading part that other documents may share: description and examples."""
        return len(self._preamble())

    def without_first_shot(self) -> Prompt:
        """The same prompt with one example less, for a context that is too long."""
        return replace(self, shots=self.shots[1:])

    def messages(self, system: str | None = None, *, multiturn: bool = True) -> list[dict[str, str]]:
        """The chat turns: the instructions, a user and an assistant turn for each example, then the question.

        Args:
            system: Instruction of the user's own, put before the description.
            multiturn: False puts the examples before the question in one user turn, delimited as in plain text.

        Returns:
            Turns `{"role": ..., "content": ...}`, as lm-eval renders them with a chat template (`fewshot_as_multiturn`).
        """
        turns = []
        if instruction := join_instructions(system, self.description, self.shots_delimiter):
            turns.append({"role": "system", "content": instruction})
        if not multiturn:
            return [*turns, {"role": "user", "content": self._examples() + self.question}]
        for shot in self.shots:
            turns.append({"role": "user", "content": shot.question})
            turns.append({"role": "assistant", "content": shot.continuation})
        turns.append({"role": "user", "content": self.question})
        return turns

    def _preamble(self) -> str:
        return self.description + self._examples()

    def _examples(self) -> str:
        return "".join(
            f"{shot.question}{self.target_delimiter}{shot.continuation}{self.shots_delimiter}" for shot in self.shots
        )


def join_instructions(system: str | None, description: str, delimiter: str) -> str:
    """Puts the user's instruction before the task's; as in lm-eval, a delimiter goes in only where no white space is."""
    if not system or not description:
        return system or description
    parted = system[-1].isspace() or description[0].isspace()
    return system + ("" if parted else delimiter) + description


def build_prompt(task: Task, shots: Sequence[Candidate], question: str, system: str | None = None) -> Prompt:
    """The prompt of one question of a task.

    Args:
        task: Gives description and delimiters.
        shots: Solved examples (`document.example()` of the rows that `draw_shots` names).
        question: A candidate's question.
        system: Instruction of the user's own, put before the task's description in plain text. For a chat leave it out
            and give it to `Prompt.messages`; the outcome is the same.
    """
    description = join_instructions(system, task.description, task.shots_delimiter)
    return Prompt(description, tuple(shots), question, task.target_delimiter, task.shots_delimiter)


def draw_shots(
    task: Task, documents: Sequence[Row], pool: Sequence[Row], wanted: Sequence[int], seed: int = SHOTS_SEED
) -> list[tuple[int, ...]]:
    """Draws the few-shot examples of some documents, as lm-eval 0.4.13 does for the whole data set in one process.

    There one `random.Random(seed)` a task is consumed document by document in the data set's order. The draws of the
    documents before a wanted one are repeated here, so a prompt never depends on which other documents are evaluated.

    Args:
        task: Says how many examples, and how they are drawn.
        documents: All rows of the evaluated split, in order (after `task.keep`).
        pool: All rows of the split that examples come from, in order (after `task.keep`).
        wanted: Indices into `documents`, in any order.
        seed: Of the random generator.

    Returns:
        For each wanted document, the indices into `pool` of its `task.shots` examples.

    Raises:
        DataError: The pool has too few rows.
        UsageError: The number of shots is negative.
    """
    count = task.shots
    if count < 0:
        raise UsageError(f"task {task.name} is asked for {count} few-shot examples", hint="give 0 or more")
    if count == 0 or not wanted:
        return [()] * len(wanted)
    copies = _Copies(documents, pool) if task.shots_exclude_self else None
    if task.shots_sampler == "first":
        return [_first(task, pool, copies, index) for index in wanted]
    generator = random.Random(seed)
    needed = set(wanted)
    drawn = {}
    for index in range(max(wanted) + 1):
        shots = _sample(task, len(pool), copies, index, generator)
        if index in needed:
            drawn[index] = shots
    return [drawn[index] for index in wanted]


class _Copies:
    """Finds rows of the pool that equal a document, comparing hashes first and reading each row at most once."""

    def __init__(self, documents: Sequence[Row], pool: Sequence[Row]) -> None:
        self._documents = documents
        self._pool = pool
        self._hashes: dict[int, int] = {}

    def of(self, document: int, among: Sequence[int]) -> set[int]:
        """Those of the pool's indices in `among` whose row equals the document."""
        row = self._documents[document]
        sought = _hash(row)
        return {index for index in among if self._hash_of(index) == sought and self._pool[index] == row}

    def _hash_of(self, index: int) -> int:
        if index not in self._hashes:
            self._hashes[index] = _hash(self._pool[index])
        return self._hashes[index]


def _hash(row: Row) -> int:
    return hash(json.dumps(row, sort_keys=True, default=repr))


def _first(task: Task, pool: Sequence[Row], copies: _Copies | None, document: int) -> tuple[int, ...]:
    candidates = range(min(len(pool), task.shots)) if copies is None else range(len(pool))
    excluded = copies.of(document, candidates) if copies else set()
    shots = tuple(index for index in candidates if index not in excluded)[: task.shots]
    if len(shots) < task.shots:
        raise _too_few(task, len(pool) - len(excluded))
    return shots


def _sample(task: Task, size: int, copies: _Copies | None, document: int, generator: random.Random) -> tuple[int, ...]:
    # random.sample looks at the population's length only, so sampling indices takes the same draws as sampling rows
    if copies is None:
        if size < task.shots:
            raise _too_few(task, size)
        return tuple(generator.sample(range(size), task.shots))
    if size < task.shots + 1:
        raise _too_few(task, size)
    drawn = generator.sample(range(size), task.shots + 1)
    excluded = copies.of(document, drawn)
    shots = [index for index in drawn if index not in excluded][: task.shots]
    if len(shots) < task.shots:
        excluded = copies.of(document, range(size))
        others = [index for index in range(size) if index not in excluded]
        if len(others) < task.shots:
            raise _too_few(task, len(others))
        shots = generator.sample(others, task.shots)
    return tuple(shots)


def _too_few(task: Task, available: int) -> DataError:
    data = task.shots_data or task.data
    source = data.id or next(iter(data.files.values()), "its data")
    split = data.split if task.shots_data else data.shots_split
    return DataError(
        f"task {task.name} draws {task.shots} few-shot examples from split {split} of {source}, "
        f"which has only {available} rows to draw from",
        hint=f"ask for fewer, for example `{task.name}:{max(available - 1, 0)}shot`",
    )
