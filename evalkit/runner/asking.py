"""What is asked: every document's requests, tokenised, and those too long for the model settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.backends.base import Backend, Prepared
from evalkit.errors import OverLengthError
from evalkit.prompts import Prompt
from evalkit.requests import Request
from evalkit.results import Sample
from evalkit.runner.items import Item
from evalkit.runner.progress import Progress
from evalkit.runner.rendering import Rendered, Renderer, render_plain
from evalkit.runner.settings import RunSettings
from evalkit.runner.task_run import TaskRun


@dataclass(slots=True, eq=False)
class Asked:
    """One document's requests: places first .. first + len(requests) in the run's list."""

    run: TaskRun
    item: Item
    first: int
    requests: tuple[Request, ...]
    dropped_shots: int = 0
    sample: Sample | None = None


def ask(
    runs: Sequence[TaskRun], backend: Backend, settings: RunSettings, progress: Progress
) -> tuple[list[Asked], Prepared, Counter[str]]:
    """Builds and tokenises all requests and settles those that are too long.

    Returns:
        The documents asked about, their requests tokenised, and for each task how many documents were left out.

    Raises:
        OverLengthError: A prompt is longer than the model's context, and the policy does not settle it.
    """
    render = _renderer(backend, settings)
    asked = [Asked(run, item, 0, run.requests(item, render)) for run in runs for item in run.items]
    prepared = _prepare(asked, backend)
    skipped: Counter[str] = Counter()
    limit = backend.max_length
    while limit is not None and (long := [one for one in asked if _longest(one, prepared) > limit]):
        if settings.over_length == "truncate":
            progress.note(f"{len(long)} documents are longer than the model's {limit} tokens and are cut on the left")
            break
        if settings.over_length == "skip":
            skipped.update(one.run.key for one in long)
            progress.note(f"{len(long)} documents are longer than the model's {limit} tokens and are left out")
            too_long = set(map(id, long))
            asked = [one for one in asked if id(one) not in too_long]
        else:
            for one in long:
                if (
                    settings.over_length == "error"
                    or one.dropped_shots >= one.run.shots
                    or not one.run.can_drop_shots()
                ):
                    raise _too_long(one, _longest(one, prepared), limit, settings)
                one.dropped_shots += 1
                one.requests = one.run.requests(one.item, render, one.dropped_shots)
        prepared = _prepare(asked, backend)
    if dropped := sum(one.dropped_shots > 0 for one in asked):
        progress.note(f"{dropped} documents were too long and are asked with fewer examples")
    return asked, prepared, skipped


def _renderer(backend: Backend, settings: RunSettings) -> Renderer:
    if not settings.uses_chat_template:
        return render_plain

    def render_chat(prompt: Prompt) -> Rendered:
        # no delimiter: the template ends where the answer begins (lm-eval's rule)
        messages = prompt.messages()
        return Rendered(backend.render_chat(messages), 0, "", tuple(messages))

    return render_chat


def _prepare(asked: Sequence[Asked], backend: Backend) -> Prepared:
    first = 0
    for one in asked:
        one.first = first
        first += len(one.requests)
    return backend.prepare([request for one in asked for request in one.requests])


def _longest(one: Asked, prepared: Prepared) -> int:
    return max(prepared.lengths[one.first : one.first + len(one.requests)])


def _too_long(one: Asked, length: int, limit: int, settings: RunSettings) -> OverLengthError:
    even = ", even without examples" if settings.over_length == "drop-shots" else ""
    return OverLengthError(
        f"document {one.item.index} of {one.run.key} needs {length} tokens{even}, but the model takes {limit}",
        hint="--over-length drop-shots leaves examples out, truncate cuts on the left (as lm-eval does), skip leaves "
        "the document out; or ask for fewer --shots",
    )
