"""Finds tasks in the installed lm-eval library by name, without building any of them.

lm-eval parses its 14,000 YAML files at every start, which takes ten seconds; what name is in what file is kept on disk
here, by version of the library.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.data.options import data_home
from evalkit.errors import EvalkitError, OutputError, UnknownTaskError, UsageError
from evalkit.files import atomic_writer
from evalkit.models.quiet import forward_logs, logger

if TYPE_CHECKING:
    from lm_eval.tasks._index import Entry


@dataclass(frozen=True, slots=True)
class Leaf:
    """One task of the library, not yet built.

    Attributes:
        name: Its name there.
        entry: Where the library says it is.
        overrides: What the group that names it changes in its configuration.
        config: Its configuration, overrides included.
    """

    name: str
    entry: Any
    overrides: Mapping[str, Any] | None
    config: Mapping[str, Any] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """A group of the library.

    Attributes:
        name: Its name there.
        leaves: Its tasks, those of its subgroups included.
        branches: Its direct subgroups.
        metric: The metric that it averages; None when it is a mere list.
        by_size: Whether members weigh by their number of documents.
    """

    name: str
    leaves: tuple[Leaf, ...]
    branches: tuple[Branch, ...]
    metric: str | None
    by_size: bool

    def walk(self) -> Iterator[Branch]:
        """This group and all within it."""
        yield self
        for branch in self.branches:
            yield from branch.walk()


def require_lm_eval() -> None:
    """Checks that the library is there.

    Raises:
        UsageError: It is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("lm_eval") is None:
        raise UsageError(
            "tasks of lm-eval need the package 'lm-eval', which is not installed",
            hint="Run `pip install 'evalkit[lm-eval]'`.",
        )


def find(name: str) -> Leaf | Branch:
    """Finds a task, group or tag of the library, or the task in a YAML file of its format.

    Raises:
        UsageError: The library is not installed, or the task's own code cannot be imported.
        UnknownTaskError: There is nothing of that name; the hint names the nearest.
    """
    require_lm_eval()
    from lm_eval.tasks._index import TaskIndex

    with forward_logs(["lm_eval"]):
        index = _index()
        entry = index.get(name)
        if entry is None and name.endswith((".yaml", ".yml")):
            entry = TaskIndex.entry_from_path(Path(name))
        if entry is None:
            near = difflib.get_close_matches(name, index, n=3)
            hint = f"Did you mean {', '.join(near)}?" if near else "`lm-eval ls tasks` lists them."
            raise UnknownTaskError(f"lm-eval {version('lm-eval')} has no task, group or tag '{name}'", hint=hint)
        # reading a task imports its functions, which are anybody's code: they may want packages or the network
        try:
            return _grown(entry, dict(index))
        except EvalkitError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
            raise UsageError(
                f"lm-eval's task {name} cannot be read: {type(error).__name__}: {reason}",
                hint="A package that its code needs may be missing or of another version; lm-eval itself would stop too.",
            ) from error


def _grown(entry: Entry, index: dict[str, Entry]) -> Leaf | Branch:
    from lm_eval.api.group import Group
    from lm_eval.tasks._factory import TaskFactory

    class Planner(TaskFactory):  # type: ignore[misc]
        """Follows groups as the library does, and stops where it would build a task and load its data."""

        def _build_task(self, entry: Entry, overrides: dict[str, Any] | None) -> _Planned:
            _refuse_unsafe_code(entry)
            config = self._load_full_config(entry, overrides)
            return _Planned(config["task"], Leaf(config["task"], entry, overrides, config))

    def branch(group: Any) -> Branch:
        children = list(group._children.values())
        groups = [child for child in children if isinstance(child, Group)]
        branches = {child.name: branch(child) for child in groups}
        leaves: dict[str, Leaf] = {}
        for child in children:
            found = branches[child.name].leaves if isinstance(child, Group) else (child.leaf,)
            leaves.update((leaf.name, leaf) for leaf in found)
        averaged = (group.aggregate_metric_list or [None])[0]
        return Branch(
            group.name,
            tuple(leaves.values()),
            tuple(branches.values()),
            None if averaged is None else averaged.metric,
            averaged is None or averaged.weight_by_size,
        )

    built = Planner().build(entry, registry=index)
    if isinstance(built, Group):
        return branch(built)
    if isinstance(built, list):
        return Branch(entry.name, tuple(planned.leaf for planned in built), (), None, True)
    leaf: Leaf = built.leaf
    return leaf


def _refuse_unsafe_code(entry: Entry) -> None:
    """Before the task's functions are imported, which may fetch what runs the code."""
    from lm_eval.tasks._yaml_loader import load_yaml

    if entry.yaml_path and load_yaml(entry.yaml_path, resolve_func=False).get("unsafe_code"):
        raise unsafe_code(entry.name)


def unsafe_code(name: str) -> UsageError:
    """That a task runs what the model writes, which lm-eval does in its own process."""
    return UsageError(
        f"lm-eval's task {name} runs code that the model writes, without a sandbox",
        hint="use evalkit's humaneval with --allow-code-execution, which runs it without network and with limits",
    )


@dataclass(frozen=True, slots=True)
class _Planned:
    """Stands where the library puts a built task."""

    task_name: str
    leaf: Leaf


@cache
def _index() -> Mapping[str, Entry]:
    from lm_eval import tasks
    from lm_eval.tasks._index import Entry, Kind, TaskIndex

    folder = Path(tasks.__file__).parent
    kept = data_home() / "lm-eval" / f"tasks-{version('lm-eval')}.json"
    listed = _read(kept)
    if listed is None:
        index: dict[str, Entry] = TaskIndex.build([folder])
        listed = {
            name: [
                entry.kind.name,
                entry.yaml_path and entry.yaml_path.relative_to(folder).as_posix(),
                sorted(entry.tags),
            ]
            for name, entry in index.items()
        }
        _write(kept, listed)
    return {
        name: Entry(name=name, kind=Kind[kind], yaml_path=folder / path if path else None, tags=set(tags))
        for name, (kind, path, tags) in listed.items()
    }


def _read(path: Path) -> dict[str, list[Any]] | None:
    try:
        content: dict[str, list[Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not made yet, or cut short: it is made anew
    return content


def _write(path: Path, listed: Mapping[str, Any]) -> None:
    try:
        with atomic_writer(path) as stream:
            stream.write(json.dumps(listed).encode())
    except OutputError as error:
        logger.info("the list of lm-eval's tasks cannot be kept: %s", error)
