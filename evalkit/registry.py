"""Finds tasks by name: the built-in ones, those of installed packages, and those in a user's own files.

What users type is a list of specs: `mmlu`, `arc_challenge:25shot`, `mmlu:cot`, `./mine.py`, `mine.yaml:5shot`,
`perplexity:FILE`, `lm-eval:NAME`. `select` turns it into tasks and groups ready to run.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from evalkit.errors import TaskDefinitionError, UnknownTaskError, UsageError
from evalkit.modifiers import Modifiers, parse_spec, unknown_modifier
from evalkit.task import Group, Registered, Task
from evalkit.task_files import FILE_ENDINGS, load_file, module_tasks

__all__ = ["ResolvedGroup", "Selection", "load_file", "prefixes", "registered", "select"]

_LOGGER = logging.getLogger("evalkit")

_PAIR = re.compile(r"[a-z]{2,3}(?:_[A-Za-z]+)?-[a-z]{2,3}(?:_[A-Za-z]+)?")
"""A pair of languages, as in `wmt22:en-de`: what is meant lacks its `translation:`."""


@dataclass(frozen=True, slots=True)
class ResolvedGroup:
    """A group whose members are known.

    Attributes:
        name: Key in `Selection.groups`.
        group: The definition; where its `metrics` is a mapping, its keys are those in `members`.
        members: Keys of tasks, or of other resolved groups.
    """

    name: str
    group: Group
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list of specs stands for, in the order asked.

    Attributes:
        tasks: Every task to run, each once, its modifiers applied. A task's key is its name, followed by the forms it
            is asked in (`:cot`), and by `:25shot` when its number of shots is not the task's default.
        groups: Groups asked for and the groups within them, inner ones first. A group's key gets the same modifiers when
            they changed any of its tasks. A group without a metric is a mere name; only its members appear.
    """

    tasks: Mapping[str, Task]
    groups: Mapping[str, ResolvedGroup]


def registered() -> Mapping[str, Registered]:
    """All built-in tasks and groups and those of installed packages (entry points `evalkit.tasks`), by name."""
    return dict(_registered())


def select(specs: str | Sequence[str], shots: int | None = None, extra: Sequence[Registered] = ()) -> Selection:
    """Resolves what the user asked for.

    Args:
        specs: Task or group names, task files or prefixed names, each with optional modifiers (`:5shot`, `:cot`); a
            string is split at commas.
        shots: Number of few-shot examples for every task that neither fixes it nor has a modifier of its own.
        extra: Tasks and groups of the caller's own; they are selected too, after `specs`, which may name them.

    Raises:
        UnknownTaskError: No task or group has such a name; the hint names the nearest.
        TaskDefinitionError: A task file cannot be used, or a group contains itself.
        UsageError: Nothing was asked for, or a task cannot have the number of shots asked for.
    """
    if shots is not None and shots < 0:
        raise UsageError(f"--shots is {shots}", hint="give 0 or more")
    catalogue = dict(_registered())
    _add(catalogue, extra, "the list of tasks")
    requests = [_parse(spec) for spec in _split(specs)] + [_Request(entry.name, entry.name) for entry in extra]
    if not requests:
        raise UsageError("no task was named", hint="name one, such as `--tasks arc_easy`; `evalkit tasks` lists all")
    contents = {request: _load(request, shots, catalogue) for request in dict.fromkeys(requests)}
    settled = frozenset(name for request, names in contents.items() if request.loader for name in names)
    resolver = _Resolver(catalogue, shots, settled)
    for request in requests:
        for name in contents[request]:
            resolver.resolve(name, request.modifiers, asked=True)
    return Selection(tasks=resolver.tasks, groups=resolver.groups)


@dataclass(frozen=True, slots=True)
class _Request:
    """One spec taken apart: what is named, its modifiers, and for a prefixed one what loads it."""

    spec: str
    name: str
    modifiers: Modifiers = field(default_factory=Modifiers)
    loader: Callable[[str, int | None], Sequence[Registered]] | None = None


def _split(specs: str | Sequence[str]) -> Iterator[str]:
    for spec in [specs] if isinstance(specs, str) else specs:
        yield from (part.strip() for part in spec.split(",") if part.strip())


def _parse(spec: str) -> _Request:
    name, modifiers = parse_spec(spec)
    for prefix, loader in prefixes.items():
        if name.startswith(prefix):
            return _Request(spec, name.removeprefix(prefix), modifiers, loader)
    return _Request(spec, name, modifiers)


def _load(request: _Request, shots: int | None, catalogue: dict[str, Registered]) -> list[str]:
    """Adds to the catalogue what a spec brings along; returns the names that it asks for."""
    if request.loader:
        brought = request.loader(request.name, shots if request.modifiers.shots is None else request.modifiers.shots)
    elif request.name.lower().endswith(FILE_ENDINGS):
        brought = load_file(Path(request.name))
    else:
        return [request.name]
    _add(catalogue, brought, request.spec)
    return [entry.name for entry in brought]


def _add(catalogue: dict[str, Registered], entries: Iterable[Registered], source: str) -> None:
    for entry in entries:
        if catalogue.setdefault(entry.name, entry) != entry:
            raise TaskDefinitionError(
                f"{source} defines {entry.name}, a name that another task or group already has", hint="rename yours"
            )


def _load_lm_eval(name: str, shots: int | None) -> Sequence[Registered]:
    from evalkit.lm_eval_bridge.tasks import load

    return load(name, shots)


def _load_perplexity(name: str, shots: int | None) -> Sequence[Registered]:
    from evalkit.text_file import text_task

    if shots:
        raise UsageError("the perplexity of a text takes no few-shot examples", hint=f"ask for `perplexity:{name}`")
    return [text_task(Path(name))]


def _load_translation(name: str, shots: int | None) -> Sequence[Registered]:
    from evalkit.translation_tasks import translation_task

    return [translation_task(name, shots or 0)]


def _load_summary(name: str, shots: int | None) -> Sequence[Registered]:
    from evalkit.summary_file import summary_task

    return [summary_task(name, shots or 0)]


prefixes: dict[str, Callable[[str, int | None], Sequence[Registered]]] = {
    "lm-eval:": _load_lm_eval,
    "perplexity:": _load_perplexity,
    "summary:": _load_summary,
    "translation:": _load_translation,
}
"""Specs that begin so are given to the function: (the rest of the spec, number of shots asked for) -> tasks, with those
shots already set."""


class _Resolved(NamedTuple):
    """Keys of the tasks and groups that a name stands for, and whether a number of shots asked for changed any."""

    keys: tuple[str, ...]
    changed: bool


@dataclass(slots=True)
class _Resolver:
    """Follows groups to their tasks and applies modifiers on the way."""

    catalogue: Mapping[str, Registered]
    option: int | None
    settled: frozenset[str]
    tasks: dict[str, Task] = field(default_factory=dict)
    groups: dict[str, ResolvedGroup] = field(default_factory=dict)

    def resolve(self, name: str, modifiers: Modifiers, *, asked: bool, path: tuple[str, ...] = ()) -> _Resolved:
        """Resolves one name.

        Args:
            name: Of a task or group.
            modifiers: Asked for on it or on a group that it is in.
            asked: A number of shots among them stands on this very name, so it must be possible.
            path: Groups on the way here.
        """
        if name in path:
            chain = " -> ".join([*path, name])
            raise TaskDefinitionError(f"group {name} contains itself ({chain})", hint="take it out of its own members")
        entry = self.catalogue.get(name)
        if entry is None:
            raise _unknown(name, self.catalogue, path[-1] if path else None)
        if isinstance(entry, Group):
            return self._resolve_group(entry, modifiers, path)
        if name in self.settled and not modifiers.forms:
            self.tasks.setdefault(name, entry)  # its loader has set the number of shots
            return _Resolved((name,), False)
        reformed = modifiers.reformed(entry)
        wanted = self.option if modifiers.shots is None else modifiers.shots
        task = _with_shots(reformed, wanted, asked and modifiers.shots is not None)
        changed = task.shots != entry.shots
        key = f"{name}{modifiers.suffix}" + (f":{task.shots}shot" if changed else "")
        self.tasks.setdefault(key, task)
        return _Resolved((key,), changed)

    def _resolve_group(self, group: Group, modifiers: Modifiers, path: tuple[str, ...]) -> _Resolved:
        resolved = {member: self._resolve_member(member, modifiers, (*path, group.name)) for member in group.members}
        keys = tuple(dict.fromkeys(key for found in resolved.values() for key in found.keys))
        shots = modifiers.shots
        if shots is not None and not path and all(self._refuses(key, shots) for key in keys):
            raise UsageError(
                f"every task of group {group.name} fixes its number of few-shot examples",
                hint=f"ask for `{group.name}` without `:{shots}shot`",
            )
        changed = any(found.changed for found in resolved.values())
        if not group.metrics:
            return _Resolved(keys, changed)
        metrics = self._metrics(group, {member: found.keys for member, found in resolved.items()}, modifiers)
        name = f"{group.name}{modifiers.suffix}"
        name += f":{self.option if shots is None else shots}shot" if changed else ""
        self.groups.setdefault(name, ResolvedGroup(name, replace(group, metrics=metrics), keys))
        return _Resolved((name,), changed)

    def _metrics(
        self, group: Group, keys: Mapping[str, tuple[str, ...]], modifiers: Modifiers
    ) -> str | Mapping[str, str]:
        """The group's metric of each member's key; tasks asked in another form are averaged by their main metric."""
        if modifiers.forms:
            found = {key: self._main_metric(key) for member in keys.values() for key in member}
            return next(iter(found.values())) if len(set(found.values())) == 1 else found
        if isinstance(group.metrics, str):
            return group.metrics
        return {key: name for member, name in group.metrics.items() for key in keys.get(member, (member,))}

    def _main_metric(self, key: str) -> str:
        if key in self.tasks:
            return self.tasks[key].metrics[0]
        group = self.groups[key].group
        if group.metric_name:
            return group.metric_name
        return group.metrics if isinstance(group.metrics, str) else self._main_metric(next(iter(group.metrics)))

    def _resolve_member(self, member: str, modifiers: Modifiers, path: tuple[str, ...]) -> _Resolved:
        name, own = parse_spec(member)
        found = self.resolve(name, own.within(modifiers), asked=own.shots is not None, path=path)
        # a number of shots that belongs to the group's definition is not a change of it
        return found if own.shots is None else _Resolved(found.keys, False)

    def _refuses(self, key: str, shots: int) -> bool:
        if key in self.groups:
            return all(self._refuses(member, shots) for member in self.groups[key].members)
        return key not in self.settled and self.tasks[key].shots_fixed and self.tasks[key].shots != shots


def _with_shots(task: Task, shots: int | None, explicit: bool) -> Task:
    if shots is None or shots == task.shots:
        return task
    if task.shots_fixed:
        if explicit:
            raise UsageError(
                f"task {task.name} has a fixed number of few-shot examples, {task.shots}",
                hint=f"ask for `{task.name}` without `:{shots}shot`",
            )
        return task
    if not task.has_shots and shots:
        raise UsageError(
            f"task {task.name} has no split to draw few-shot examples from",
            hint="give its data a shots split (`shots_data` in a YAML file), or run it with 0 shots",
        )
    return replace(task, shots=shots)


def _unknown(name: str, catalogue: Mapping[str, Registered], group: str | None) -> UsageError:
    base, _, last = name.rpartition(":")
    if _PAIR.fullmatch(last) and base:
        return UnknownTaskError(
            f"there is no task or group called {name!r}",
            hint=f"did you mean translation:{name}? `evalkit tasks` lists all",
        )
    if base and (parse_spec(base)[0] in catalogue or base.lower().endswith(FILE_ENDINGS)):
        return unknown_modifier(base, last)
    near = difflib.get_close_matches(name.lower(), catalogue, n=3, cutoff=0.6)
    near += [known for known in catalogue if name.lower() in known and known not in near][: 3 - len(near)]
    hints = [f"did you mean {', '.join(near)}?"] if near else []
    hints += [f"for the file, write `{name}{ending}`" for ending in FILE_ENDINGS if Path(name + ending).is_file()]
    hints.append("`evalkit tasks` lists all")
    where = f", which group {group} names" if group else ""
    return UnknownTaskError(f"there is no task or group called {name!r}{where}", hint="; ".join(hints))


@cache
def _registered() -> Mapping[str, Registered]:
    catalogue: dict[str, Registered] = {}
    for entry in _built_in():
        if catalogue.setdefault(entry.name, entry) is not entry:
            raise TaskDefinitionError(f"two built-in tasks are called {entry.name}")
    for package, entries in _from_packages():
        for entry in entries:
            if catalogue.setdefault(entry.name, entry) != entry:
                _LOGGER.warning("package %s: its task %s is left out, the name is taken", package, entry.name)
    return catalogue


def _built_in() -> Iterator[Registered]:
    import importlib
    import pkgutil

    import evalkit.tasks

    for module in sorted(info.name for info in pkgutil.iter_modules(evalkit.tasks.__path__)):
        yield from module_tasks(importlib.import_module(f"evalkit.tasks.{module}"))


def _from_packages() -> Iterator[tuple[str, Iterable[Registered]]]:
    from importlib.metadata import entry_points

    for point in entry_points(group="evalkit.tasks"):
        package = point.dist.name if point.dist else point.value
        try:
            loaded = point.load()
        except Exception as error:  # whatever another package does wrong on import, the other tasks stay usable
            _LOGGER.warning("package %s: its tasks cannot be loaded: %s: %s", package, type(error).__name__, error)
            continue
        entries = list(_entries(loaded))
        if not entries:
            _LOGGER.warning("package %s: its entry point %s holds no task", package, point.name)
        yield package, entries


def _entries(loaded: object) -> Iterable[Registered]:
    if isinstance(loaded, ModuleType):
        return module_tasks(loaded)
    holder = ModuleType("entry_point")
    holder.__dict__["loaded"] = loaded
    return module_tasks(holder)
