"""Whether prompts and data are those of the tasks and files at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evalkit.data import DatasetInfo
from evalkit.errors import EvalkitError
from evalkit.results import Run, TaskResult
from evalkit.runner.assemble import texts_of
from evalkit.runner.presentation import Presentation
from evalkit.runner.rendering import Renderer, render_plain
from evalkit.runner.task_run import TaskRun
from evalkit.verification import Check
from evalkit.verifying.log import Log, prompts_sha256
from evalkit.verifying.tasks import Rebuilt

AROUND = 30
"""Characters shown on either side of a difference."""


def data(run: Run, rebuilt: Rebuilt) -> Iterator[Check]:
    """Data sets, versions of tasks, and which documents were chosen."""
    for name, task in run.tasks.items():
        built = rebuilt.runs.get(name)
        if built is None:
            yield Check.skipped(name, "data", rebuilt.missing[name])
            continue
        differences = [
            f"the task's version is {task.version}; it is {built.version} here"
            if task.version != built.version
            else "",
            f"it had {task.shots} examples; it has {built.shots} here" if task.shots != built.shots else "",
            *_dataset(task.dataset, built.dataset),
            _documents(task, built),
        ]
        yield Check.of(name, "data", len(task.samples), filter(None, differences))


def _dataset(recorded: DatasetInfo, found: DatasetInfo) -> Iterator[str]:
    if recorded.sha256 != found.sha256:
        yield (
            f"the rows of {found.id} {found.split} here (from {found.source}) are others: "
            f"sha256 {found.sha256[:12]} for {recorded.sha256[:12]}"
        )


def _documents(task: TaskResult, built: TaskRun) -> str:
    recorded = [sample.id for sample in task.samples]
    chosen = {item.id for item in built.items}
    strangers = [one for one in recorded if one not in chosen]
    skipped = task.outcomes.get("skipped", 0)
    if strangers:
        return (
            f"{len(strangers):,} of {len(recorded):,} documents are not among those chosen here, such as {strangers[0]}"
        )
    if len(chosen) != len(recorded) + skipped:
        return f"it has {len(recorded):,} documents; {len(chosen):,} are chosen here"
    return ""


def prompts(run: Run, log: Log, rebuilt: Rebuilt, presentations: Mapping[str, Presentation] | None) -> Iterator[Check]:
    """The recorded hash over all prompts against the log, and the log against the prompts built here.

    Args:
        run: The result.
        log: Its log.
        rebuilt: Its tasks.
        presentations: How each is put to the model, where that is at hand; needed where prompts are chat turns.
    """
    for name, task in run.tasks.items():
        if any((name, sample.id) not in log.documents for sample in task.samples):
            yield Check.skipped(name, "prompts", "documents are missing from the log")
            continue
        if prompts_sha256(run, name, log) != task.prompt_sha256:
            yield Check.of(name, "prompts", task.n, ["the prompts in the log are not those of the result's hash"])
            continue
        built = rebuilt.runs.get(name)
        if built is None:
            yield Check.skipped(
                name, "prompts", f"{rebuilt.missing[name]} (the log has the prompts of the result's hash)"
            )
            continue
        render = presentations[name].render if presentations else _renderer(task)
        if render is None:
            why = "they are chat turns, and the model, which has the template, is not at hand"
            yield Check.skipped(name, "prompts", f"{why} (the log has the prompts of the result's hash)")
            continue
        try:
            yield Check.of(name, "prompts", task.n, list(_built_here(name, task, log, built, render)))
        except EvalkitError as error:
            yield Check.skipped(name, "prompts", error.message)


def _renderer(task: TaskResult) -> Renderer | None:
    """How prompts are made without a model."""
    chat = task.settings.get("chat_template")
    return None if isinstance(chat, Mapping) and chat.get("used") else render_plain


def _built_here(name: str, task: TaskResult, log: Log, built: TaskRun, render: Renderer) -> Iterator[str]:
    items = {item.id: item for item in built.items}
    for sample in task.samples:
        if sample.id not in items:
            continue  # said of the data
        dropped = int(sample.fields.get("dropped_shots", 0))
        here = [texts_of(request) for request in built.requests(items[sample.id], render, dropped)]
        there = [texts_of(request) for request in log.documents[name, sample.id].requests]
        if len(here) != len(there):
            yield f"document {sample.id} was asked {len(there)} requests; here it would be {len(here)}"
        elif here != there:
            pairs = zip("\n".join(map("".join, there)), "\n".join(map("".join, here)), strict=False)
            at = next((place for place, (one, other) in enumerate(pairs) if one != other), 0)
            was, now = ("\n".join(map("".join, texts))[max(0, at - AROUND) : at + AROUND] for texts in (there, here))
            yield f"document {sample.id} was asked {was!r}; here it would be {now!r}"
