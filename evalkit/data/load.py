"""Finds the rows of a task: its own files, the data directories, the embedded pack, the hub; first found wins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.data import embedded, hub, local, test_sets
from evalkit.data.formats import read_file
from evalkit.data.local import Found, NotHere
from evalkit.data.options import DataOptions, pulled_folder
from evalkit.data.rows import DatasetInfo, Rows, content_sha256
from evalkit.data.schema import check_row
from evalkit.errors import DataError
from evalkit.task import DataSource

logger = logging.getLogger(__name__)

_PACK = "the embedded pack"


class _Partial(DataError):
    """A place has the dataset, just not the configuration or split; the message says which it has."""


def load_rows(source: DataSource, split: str, columns: Mapping[str, Any], options: DataOptions) -> Rows:
    """Loads one split of a task's data and checks every row against the task's schema.

    Args:
        source: Where the task says its data is.
        split: The split to load, for instance `source.split` or `source.shots_split`.
        columns: Schema as in `Task.columns`.
        options: Where to look, and whether the network may be used.

    Returns:
        The rows in the order of the dataset, with `info` saying where they were found.

    Raises:
        DataError: The dataset, configuration or split is nowhere, is empty, or a row breaks the schema.
    """
    if source.rows:
        found, origin, identity = Found([dict(row) for row in source.rows], None, None), "file", source.id
    elif source.files:
        name = _own_file(source, split)
        found, origin = Found(read_file(Path(source.base) / name, columns), None, None), "file"
        identity = name if not Path(name).is_absolute() else Path(name).name
    elif source.id.startswith(test_sets.PREFIX):
        found, origin, identity = _test_set(source, split, options)
    elif source.id:
        found, origin = _search(source, split, columns, options)
        identity = source.id
    else:
        raise DataError("the task names neither a dataset id nor files", hint="Give its DataSource an `id` or `files`.")
    label = describe(identity, found.config, split)
    _check(found.rows, columns, label)
    info = DatasetInfo(identity, found.config, split, found.revision, origin, content_sha256(found.rows))
    logger.info("%s: %d rows from %s", label, len(found.rows), origin)
    return Rows(found.rows, info)


def describe(dataset_id: str, config: str | None, split: str) -> str:
    """How messages name a split: `dataset cais/mmlu anatomy, split test`."""
    shown = "" if config in (None, "default") else f" {config}"
    return f"dataset {dataset_id}{shown}, split {split}"


def _own_file(source: DataSource, split: str) -> str:
    if split not in source.files:
        raise DataError(
            f"the task's files have no split '{split}' (they have {', '.join(map(repr, source.files))})",
            hint="Add a file of that name to `files`, or change `split` or `shots_split`.",
        )
    return source.files[split]


def _test_set(source: DataSource, split: str, options: DataOptions) -> tuple[Found, str, str]:
    """A test set of sacrebleu: from its cache, else the same sentences from a local copy of a hub dataset, else fetched.

    Returns:
        Rows, origin, and id of what was read.
    """
    if found := test_sets.cached(source):
        return found, "sacrebleu", source.id
    twin = test_sets.twin(source)
    at_hand = ""
    if twin is not None and source.config is not None:
        try:
            copy, origin = _search(twin, split, {}, replace(options, offline=True))
            rows = test_sets.twin_rows(copy.rows, source.config)
            return Found(rows, copy.config, copy.revision), origin, twin.id
        except _Partial as error:  # other pairs of languages are here
            at_hand = f"; {error.message}"
        except DataError:
            pass  # what is missing is told of the test set
    if options.offline:
        raise DataError(
            f"{test_sets.label(source)} is not in its cache, and nothing may be fetched offline{at_hand}",
            hint=test_sets.ways(source),
        )
    return test_sets.download(source), "sacrebleu", source.id


def _search(source: DataSource, split: str, columns: Mapping[str, Any], options: DataOptions) -> tuple[Found, str]:
    reasons: list[tuple[str, NotHere]] = []
    for place, origin, read in _places(source, split, columns, options):
        try:
            return read(), origin
        except NotHere as reason:
            reasons.append((place, reason))
            logger.debug("%s %s", place, reason)
    # Where the dataset is but the split is not, that is the news; places without the dataset are not.
    told = [pair for pair in reasons if pair[1].holds] or reasons
    places: dict[str, list[str]] = {}
    for place, absence in told:
        places.setdefault(str(absence), []).append(place)
    clauses = "; ".join(f"{' and '.join(names)} {_agreeing(clause, names)}" for clause, names in places.items())
    pack_has_it = any(place == _PACK and reason.holds for place, reason in reasons)
    label = describe(source.id, source.config, split)
    kind = _Partial if any(reason.holds for _, reason in told) else DataError
    raise kind(f"{label}, was not found: {clauses}", hint=_ways_to_provide(source, options, pack_has_it))


def _places(
    source: DataSource, split: str, columns: Mapping[str, Any], options: DataOptions
) -> Iterator[tuple[str, str, Callable[[], Found]]]:
    """Where a hub dataset may be: (what to call the place, `DatasetInfo.source`, how to read it), best first."""
    name = local.check_id(source.id)

    def reader(folder: Path) -> Callable[[], Found]:
        return lambda: local.read_folder(folder / name, source.config, split, columns)

    for directory in options.directories:
        yield f"the data directory {directory}", "data-dir", reader(directory)
    if (pulled_folder() / name).is_dir():
        yield f"the folder of pulled data {pulled_folder()}", "data-dir", reader(pulled_folder())
    yield _PACK, "embedded", lambda: embedded.read(name, source.config, split, columns)
    yield "the hub", "hub", lambda: hub.read(source, split, columns, offline=options.offline)


def _agreeing(clause: str, names: Sequence[str]) -> str:
    """The clause with its verb in the plural, where several places have the same to say."""
    if len(names) == 1:
        return clause
    verbs = {"does not have": "do not have", "has": "have", "is": "are"}
    return next(
        (plural + clause.removeprefix(one) for one, plural in verbs.items() if clause.startswith(f"{one} ")), clause
    )


def _ways_to_provide(source: DataSource, options: DataOptions, pack_has_it: bool) -> str:
    ways = [f"put the data set's files into DIR/{source.id}/ and give --data-dir DIR"]
    if not pack_has_it:  # of what it has, it has no more than it says
        ways.append("run `evalkit data pull --embedded` for the pack of common benchmarks")
    ways.append(
        f"fetch it on a machine with network (`evalkit data pull {source.id}`, then `evalkit data pack`) "
        "and `evalkit data unpack` it here"
        if options.offline
        else f"run `evalkit data pull {source.id}` where the hub can be reached"
    )
    return "Any of these helps: " + "; ".join(ways) + ". `evalkit data list` shows what is here."


def _check(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], label: str) -> None:
    if not rows:
        raise DataError(f"{label}, is empty: it has no rows", hint="Is the file complete?")
    for number, row in enumerate(rows):
        if problem := check_row(row, columns):
            raise DataError(
                f"{label}, row {number}: {problem}",
                hint="Rows are counted from 0. The data is of another version than the task expects, or damaged.",
            )
