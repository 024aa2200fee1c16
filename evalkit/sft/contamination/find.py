"""Training rows × every benchmark that is about to be scored.

Word n-grams as in GPT-3's appendix C (Brown et al. 2020), of question, of answer and across both as in datatrove's
`NGramsDecont`; the share of an item that is covered, as Llama 2 reports it; short items as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.errors import TrainingDataError
from evalkit.sft.contamination.forms import Benchmark, prepare
from evalkit.sft.contamination.items import BenchmarkItems
from evalkit.sft.contamination.ngrams import hashes, joined
from evalkit.sft.contamination.overlaps import STRENGTH, Found, overlaps_by_task
from evalkit.sft.contamination.row_texts import row_texts
from evalkit.sft.contamination.short import ShortItems, WholeMatch
from evalkit.sft.rows import TrainingRow
from evalkit.training_data import Contamination, ContaminationPolicy, Overlap, TaskContamination

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

EXAMPLES = 3
_CHUNK = 1_000_000
"""Words of training rows that are searched at once."""


def find_contamination(
    rows: Sequence[TrainingRow], items: Sequence[BenchmarkItems], policy: ContaminationPolicy = "drop-train"
) -> tuple[Contamination, frozenset[tuple[str, int]]]:
    """Which benchmark items the training rows hold, and which rows must go.

    A row goes for any evidence, the question alone included: a model that was trained on an item's question has been shown
    part of the test. Rewritten items are not found.

    Args:
        rows: All training rows, held-out and replayed ones included.
        items: Of every task that is scored (`benchmark_items`).
        policy: `drop-train` names the rows to leave out, `fail` stops; `flag-eval` and `ignore` leave the rows in.

    Returns:
        What was found, and the (source, index) of the rows to leave out; those are none but under `drop-train`.

    Raises:
        TrainingDataError: Something was found and the policy is `fail`.
    """
    start = time.perf_counter()
    benchmark = prepare(items)
    found = _search(rows, benchmark)
    overlaps = overlaps_by_task(benchmark, found, rows)
    tasks = tuple(_task(place, one, benchmark, overlaps) for place, one in enumerate(items))
    dirty = frozenset((rows[row].source, rows[row].index) for row in found.rows)
    contamination = Contamination(policy, len(rows), len(dirty), tasks, time.perf_counter() - start)
    if policy == "fail" and dirty:
        raise _refused(contamination)
    return contamination, dirty if policy == "drop-train" else frozenset()


def _search(rows: Sequence[TrainingRow], benchmark: Benchmark) -> Found:
    import numpy as np

    short = ShortItems(benchmark)
    wholes: dict[int, dict[int, WholeMatch]] = {}
    parts: list[tuple[Integers, Integers, Integers, Integers]] = []
    for owners, runs, matches in _chunks(rows, benchmark, short):
        for row, match in matches:
            known = wholes.setdefault(match.item, {})
            if row not in known or STRENGTH[known[row].evidence] < STRENGTH[match.evidence]:
                known[row] = match
        texts = joined(runs)
        by_size = {index.n: index for index in benchmark.indexes}
        for n, places, found in hashes(texts.numbers, sorted(by_size)):
            theirs, mine = by_size[n].find(texts.numbers, places, found)
            run = np.searchsorted(texts.starts, theirs, side="right") - 1
            parts.append((owners[run], theirs, mine, np.full(len(mine), n)))
    holder, place, mine, size = (
        np.concatenate([np.zeros(0, dtype=np.int64), *(part[column] for part in parts)]) for column in range(4)
    )
    held = {*map(int, np.unique(holder)), *(one for known in wholes.values() for one in known)}
    return Found(holder, place, mine, size, wholes, frozenset(held))


def _chunks(
    rows: Sequence[TrainingRow], benchmark: Benchmark, short: ShortItems
) -> Iterator[tuple[Integers, list[list[int]], list[tuple[int, WholeMatch]]]]:
    """Rows in portions: the row of each run of words, the runs as numbers, and the short items found."""
    import numpy as np

    owners: list[int] = []
    runs: list[list[int]] = []
    matches: list[tuple[int, WholeMatch]] = []
    size = 0
    for place, row in enumerate(rows):
        texts = row_texts(row)
        matches += [(place, match) for match in short.find(texts.exchanges)]
        for run in texts.runs:
            runs.append(benchmark.vocabulary.look_up(run))
            owners.append(place)
            size += len(run)
        if size >= _CHUNK:
            yield np.array(owners, dtype=np.int64), runs, matches
            owners, runs, matches, size = [], [], [], 0
    if runs:
        yield np.array(owners, dtype=np.int64), runs, matches


def _task(
    task: int, its: BenchmarkItems, benchmark: Benchmark, overlaps: Mapping[int, Sequence[Overlap]]
) -> TaskContamination:
    mine = tuple(overlaps.get(task, ()))
    return TaskContamination(
        task=its.task,
        n=len(its.items),
        ngram=benchmark.sizes[task],
        overlaps=mine,
        question_only=sum(one.evidence == "question" for one in mine),
        unchecked=sum(int(benchmark.tasks[item]) == task for item in benchmark.unchecked),
        common=benchmark.common[task],
    )


def _refused(contamination: Contamination) -> TrainingDataError:
    hit = [task for task in contamination.tasks if task.overlaps]
    counts = ", ".join(f"{task.task} {len(task.overlaps)} of {task.n}" for task in hit[:EXAMPLES])
    more = f" and {len(hit) - EXAMPLES} more tasks" if len(hit) > EXAMPLES else ""
    task, overlap = next((task, overlap) for task in hit for overlap in task.overlaps)
    source, index = overlap.rows[0]
    return TrainingDataError(
        f"{contamination.rows_found} of {contamination.rows} training rows hold benchmark items: {counts}{more}; "
        f'for example row {index + 1} of {source} has "{overlap.ngram}" of {task.task} {overlap.id}',
        hint="--contamination drop-train leaves these rows out of training, flag-eval keeps them and also scores the clean "
        "items alone; or take the rows out of the data",
    )
