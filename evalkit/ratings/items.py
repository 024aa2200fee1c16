"""Which generated texts are rated: those of one result file, or the pairs of two."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import NotComparableError, UsageError
from evalkit.ratings.model import RatedRun, RatedTask, Side
from evalkit.ratings.questions import last_questions
from evalkit.results import Run, SampleRow, TaskResult, read_samples, samples_path
from evalkit.thinking import Thoughts, opens_thought


@dataclass(frozen=True, slots=True)
class Output:
    """One generated text, without the model's thoughts, and why it ended (`stop`, `length`, `refused`)."""

    text: str
    finish: str


@dataclass(frozen=True, slots=True)
class RatingItem:
    """One document with what the models made of it.

    Attributes:
        task: Name of the task.
        document: The sample's id.
        cluster: Group of documents whose errors go together.
        question: The part of the prompt that is this document's own.
        prompt: The whole prompt.
        reference: The expected answer; empty where there is none.
        outputs: The text of each run.
    """

    task: str
    document: str
    cluster: str | None
    question: str
    prompt: str
    reference: str
    outputs: Mapping[Side, Output]

    @property
    def identical(self) -> bool:
        """Whether both runs say the same."""
        return len(self.outputs) == 2 and len({output.text for output in self.outputs.values()}) == 1


@dataclass(frozen=True, slots=True)
class Rateable:
    """What can be rated.

    Attributes:
        base: The first run.
        tuned: The second, if any.
        items: The documents, in the order of the result file.
        notes: What was left out, in sentences.
    """

    base: RatedRun
    tuned: RatedRun | None
    items: tuple[RatingItem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Texts:
    """A result file with its generated texts: task -> document -> the first completion."""

    name: str
    run: Run
    texts: Mapping[str, Mapping[str, SampleRow]]
    rated: RatedRun


def load_items(
    base: Path, tuned: Path | None = None, tasks: Sequence[str] = (), *, different_prompts: bool = False
) -> Rateable:
    """Reads one or two result files with their sample logs.

    Args:
        base: A result file.
        tuned: Another, whose texts are paired with the first one's by the documents' ids.
        tasks: Only these tasks or groups; all that generate by default.
        different_prompts: Pair documents that the models were asked with different prompts too.

    Raises:
        UsageError: A file is missing or damaged, holds no generated texts, or has no such task.
        NotComparableError: The two have no task, no document or no prompt in common.
    """
    first = _read(base)
    second = None if tuned is None else _read(tuned)
    notes: list[str] = []
    items: list[RatingItem] = []
    for task in _tasks(first, second, tasks, notes):
        items += _items(task, first, second, different_prompts, notes)
    if not items:
        raise UsageError("no document is left to rate: " + "; ".join(notes), hint="see what could not be answered")
    return Rateable(first.rated, None if second is None else second.rated, tuple(items), tuple(notes))


def _read(path: Path) -> _Texts:
    run = Run.load(path)
    texts: dict[str, dict[str, SampleRow]] = {}
    outputs: dict[str, hashlib._Hash] = {}
    known = {name: {sample.id for sample in task.samples} for name, task in run.tasks.items()}
    for row in read_samples(samples_path(path), "generate"):
        if row.id not in known.get(row.task, ()):
            raise UsageError(
                f"{samples_path(path)} does not belong to {path.name}: it has document {row.id} of {row.task}",
                hint="keep the two files that one run wrote together",
            )
        texts.setdefault(row.task, {}).setdefault(row.id, row)
        digest = outputs.setdefault(row.task, hashlib.sha256())
        digest.update(repr((row.id, row.completion, row.continuation)).encode("utf-8", "backslashreplace"))
    if not texts:
        raise UsageError(
            f"{path} has no generated texts: its tasks score given answers",
            hint="evaluate a task that generates, such as gsm8k; `evalkit tasks` lists them",
        )
    rated = {
        name: RatedTask(len(rows), run.tasks[name].prompt_sha256, outputs[name].hexdigest())
        for name, rows in texts.items()
    }
    return _Texts(path.name, run, texts, RatedRun(run.model.name, run.model.adapter, run.model.weights_sha256, rated))


def _tasks(first: _Texts, second: _Texts | None, wanted: Sequence[str], notes: list[str]) -> list[str]:
    """The tasks to rate, in the order of the first file."""
    chosen = {leaf for name in wanted for leaf in (first.run.leaves(name) if name in first.run.groups else (name,))}
    for name in sorted(chosen - set(first.texts)):
        known = ", ".join(first.texts)
        raise UsageError(f"{first.name} has no generated texts of {name}", hint=f"those it has texts of: {known}")
    tasks = [name for name in first.texts if not chosen or name in chosen]
    if second is None:
        return tasks
    common = [name for name in tasks if name in second.texts]
    if not common:
        raise NotComparableError(
            f"{first.name} and {second.name} have no generated task in common: {', '.join(tasks)} and "
            f"{', '.join(second.texts)}",
            hint="evaluate both models on the same tasks",
        )
    alone = [name for name in tasks if name not in second.texts]
    if not chosen:
        alone += [name for name in second.texts if name not in first.texts]
    if alone:
        notes.append(f"left out, in one file only: {', '.join(alone)}")
    return common


def _items(
    task: str, first: _Texts, second: _Texts | None, different_prompts: bool, notes: list[str]
) -> list[RatingItem]:
    mine = first.texts[task]
    theirs = mine if second is None else second.texts[task]
    common = [document for document in mine if document in theirs]
    unpaired = len(mine) + len(theirs) - 2 * len(common)
    if second is not None and not common:
        raise NotComparableError(
            f"{task}: {first.name} and {second.name} have no document in common",
            hint="evaluate both models with the same --limit and --seed",
        )
    if unpaired:
        notes.append(f"{task}: {unpaired:,} documents left out, in one file only")
    same = [document for document in common if mine[document].prompt == theirs[document].prompt]
    if second is not None and len(same) < len(common):
        if different_prompts:
            notes.append(f"{task}: {len(common) - len(same):,} documents with different prompts, the first one's shown")
            same = common
        elif same:
            notes.append(f"{task}: {len(common) - len(same):,} documents left out, their prompts differ")
        else:
            raise _different_prompts(task, first, second)
    answered = [key for key in same if "errored" not in (mine[key].finish, theirs[key].finish)]
    if len(answered) < len(same):
        notes.append(f"{task}: {len(same) - len(answered):,} documents left out, a model could not answer")
    return _built(task, answered, first, second, notes)


def _built(
    task: str, documents: Sequence[str], first: _Texts, second: _Texts | None, notes: list[str]
) -> list[RatingItem]:
    rows = [first.texts[task][document] for document in documents]
    result = first.run.tasks[task]
    if samples := max((_samples(one.run.tasks[task]) for one in (first, second) if one is not None), default=1) - 1:
        notes.append(f"{task}: of {samples + 1} answers a prompt the first is shown")
    clusters = {sample.id: sample.cluster for sample in result.samples}
    questions = last_questions([row.prompt for row in rows], result.shots)
    files: dict[Side, _Texts] = {"base": first} if second is None else {"base": first, "tuned": second}
    if seeds := max((len(one.run.tasks[task].settings.get("shots_seeds", ())) for one in files.values()), default=0):
        notes.append(f"{task}: of {seeds} sets of examples the answer after the first is shown")
    items = []
    for row, question in zip(rows, questions, strict=True):
        outputs = {side: _output(one.texts[task][row.id], one.run.tasks[task]) for side, one in files.items()}
        items.append(RatingItem(task, row.id, clusters[row.id], question, row.prompt, row.target, outputs))
    return items


def _output(row: SampleRow, task: TaskResult) -> Output:
    """What is shown of a text: what is scored of it. A text that ends within a thought has no answer."""
    tags = task.settings.get("thinking")
    if not tags:
        return Output(row.continuation, row.finish)
    opening, closing = tags
    thoughts = Thoughts((opening, closing), opens_thought(row.prompt, (opening, closing)))
    return Output(thoughts.answer(row.continuation) or "", row.finish)


def _samples(task: TaskResult) -> int:
    decoding = task.settings.get("decoding", {})
    return int(decoding.get("samples", 1))


def _different_prompts(task: str, first: _Texts, second: _Texts) -> NotComparableError:
    """Names what the two runs did differently, as far as it is recorded."""
    one, other = first.run.tasks[task], second.run.tasks[task]
    pairs: dict[str, tuple[object, object]] = {
        "shots": (one.shots, other.shots),
        "version": (one.version, other.version),
    }
    for name in ("chat_template", "system"):
        left, right = (
            texts.run.tasks[task].settings.get(name, texts.run.settings.get(name)) for texts in (first, second)
        )
        pairs[name] = (left, right)
    causes = [f"{name} {left!r} and {right!r}" for name, (left, right) in pairs.items() if left != right]
    cause = f" ({', '.join(causes)})" if causes else ""
    return NotComparableError(
        f"{task}: all prompts of {first.name} and {second.name} differ{cause}; prompt_sha256 "
        f"{one.prompt_sha256[:12]} and {other.prompt_sha256[:12]}",
        hint="evaluate both models alike, or rate them nevertheless with --different-prompts",
    )
