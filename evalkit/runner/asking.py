"""What is asked: every document's requests, tokenised, and those too long for the model settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from evalkit.backends.base import Backend, Prepared
from evalkit.errors import OverLengthError
from evalkit.requests import Generate, Reply, Request
from evalkit.results import Sample
from evalkit.runner import windows
from evalkit.runner.items import Item
from evalkit.runner.presentation import Presentation
from evalkit.runner.progress import Progress
from evalkit.runner.settings import RunSettings
from evalkit.runner.task_run import TaskRun
from evalkit.runner.windows import Build
from evalkit.thinking import Tags, answer


@dataclass(slots=True, eq=False)
class Asked:
    """One document's requests: places first .. first + count in the run's list.

    Attributes:
        run: Its task.
        item: The document.
        first: Place of its first request.
        held: Its requests; None where the run has so many that they are built again whenever they are needed.
        dropped_shots: Examples left out because it is too long.
        sample: What the answers say, once they are there.
        build: Builds its requests; None where they are held in any case.
        count: Number of its requests.
        generates: Whether one of them asks for a text.
    """

    run: TaskRun
    item: Item
    first: int
    held: tuple[Request, ...] | None
    dropped_shots: int = 0
    sample: Sample | None = None
    build: Build | None = None
    count: int = field(init=False)
    generates: bool = field(init=False)

    def __post_init__(self) -> None:
        self._take(self.requests)

    @property
    def requests(self) -> tuple[Request, ...]:
        """What is asked."""
        if self.held is not None:
            return self.held
        assert self.build is not None
        return self.build(self.dropped_shots)

    def drop_shot(self) -> None:
        """Asks with an example less."""
        assert self.build is not None
        self.dropped_shots += 1
        built = self.build(self.dropped_shots)
        self.held = None if self.held is None else built
        self._take(built)

    def _take(self, requests: Sequence[Request]) -> None:
        self.count = len(requests)
        self.generates = any(isinstance(request, Generate) for request in requests)

    def replies(self, answers: Mapping[int, Reply]) -> list[Reply]:
        """The document's replies as they are scored: generated texts without the model's thoughts."""
        return [answer(request, answers[self.first + place]) for place, request in enumerate(self.requests)]


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that has only to be computed.

    Attributes:
        runs: The tasks with their data.
        presentations: How each is put to the model, by its key.
        backend: What answers.
        asked: The documents and what is asked about each.
        prepared: All requests in the backend's form.
        skipped: For each task how many documents were left out as too long.
    """

    runs: Sequence[TaskRun]
    presentations: Mapping[str, Presentation]
    backend: Backend
    asked: list[Asked]
    prepared: Prepared
    skipped: Counter[str]

    @property
    def generates(self) -> bool:
        """Whether any request asks for a text."""
        return any(one.generates for one in self.asked)


def ask(
    runs: Sequence[TaskRun],
    presentations: Mapping[str, Presentation],
    backend: Backend,
    settings: RunSettings,
    progress: Progress,
) -> Ready:
    """Builds and tokenises all requests and settles those that are too long.

    Args:
        runs: The tasks.
        presentations: How each is put to the model, by its key.
        backend: What answers.
        settings: What is done with prompts that are too long.
        progress: Told what happens.

    Returns:
        The run, ready to be computed.

    Raises:
        OverLengthError: A prompt is longer than the model's context, and the policy does not settle it.
    """
    asked = _asked(runs, presentations)
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
                one.drop_shot()
        prepared = _prepare(asked, backend)
    if dropped := sum(one.dropped_shots > 0 for one in asked):
        progress.note(f"{dropped} documents were too long and are asked with fewer examples")
    return Ready(runs, presentations, backend, asked, prepared, skipped)


def _asked(runs: Sequence[TaskRun], presentations: Mapping[str, Presentation]) -> list[Asked]:
    """Every document; with its requests as long as there are not too many to be held."""
    asked: list[Asked] = []
    requests = 0
    for run in runs:
        for item in run.items:
            build = partial(_requests, run, item, presentations[run.key])
            one = Asked(run, item, 0, build(0), build=build)
            asked.append(one)
            held, requests = requests <= windows.WINDOW, requests + one.count
            if requests > windows.WINDOW:
                for other in asked if held else (one,):
                    other.held = None
    return asked


def _requests(run: TaskRun, item: Item, presentation: Presentation, dropped_shots: int = 0) -> tuple[Request, ...]:
    requests = run.requests(item, presentation.render, dropped_shots)
    tags = presentation.thinking
    return requests if tags is None else tuple(_thinking(request, tags, presentation.thinks) for request in requests)


def _thinking(request: Request, tags: Tags, thinks: bool) -> Request:
    if not isinstance(request, Generate):
        return request
    if request.decoding.thinking is not None:
        return replace(request, thinks=True)  # the task names the tags
    return replace(request, decoding=replace(request.decoding, thinking=tags), thinks=thinks)


def _prepare(asked: Sequence[Asked], backend: Backend) -> Prepared:
    first = 0
    for one in asked:
        one.first = first
        first += one.count
    return windows.prepare(asked, backend)


def _longest(one: Asked, prepared: Prepared) -> int:
    return max(prepared.lengths[one.first : one.first + one.count])


def _too_long(one: Asked, length: int, limit: int, settings: RunSettings) -> OverLengthError:
    even = ", even without examples" if settings.over_length == "drop-shots" else ""
    return OverLengthError(
        f"document {one.item.index} of {one.run.key} needs {length} tokens{even}, but the model takes {limit}",
        hint="--over-length drop-shots leaves examples out, truncate cuts on the left (as lm-eval does), skip leaves "
        f"the document out; or ask for fewer {'--passages or ' if settings.retrieval else ''}--shots",
    )
