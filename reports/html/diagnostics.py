"""Where scores come from: confidence, the places of picked choices, lengths, outcomes. The numbers are `evalkit.stats`'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from evalkit.comparing.picked import golds
from evalkit.reports.html import figures
from evalkit.reports.html.charts import Chart
from evalkit.reports.html.items import Item
from evalkit.reports.html.judging import choices
from evalkit.reports.html.place_plots import confusion_change_chart, confusion_chart, position_chart
from evalkit.reports.html.plots import Pool, SideCalibration, calibration_chart, outcome_chart
from evalkit.reports.html.records import Record
from evalkit.reports.tables import Table
from evalkit.reports.text import visible
from evalkit.results import Run

if TYPE_CHECKING:
    from evalkit.stats.calibration import Calibration
    from evalkit.stats.confusion import Confusion
    from evalkit.stats.positions import PositionBias

MOST_PLACES = 10
"""Choices up to which a table of confusion can be read."""
FEWEST = 10
"""Documents below which a diagnosis says nothing."""

Key = tuple[str, str]


def diagnose(
    items: Sequence[Item], records: Sequence[Mapping[Key, Record]], labels: Sequence[str]
) -> tuple[list[Chart], list[Table]]:
    """Charts and tables about the answers of one run, or of two.

    Tasks of the same main metric are taken together, for what is picked, and how surely, is the metric's.

    Args:
        items: The documents, judged.
        records: For each run, what its log says; empty where there is no log.
        labels: What the runs are called: `("before", "after")`, or one name.
    """
    charts: list[Chart] = []
    tables: list[Table] = []
    metrics = _by_metric(items)
    for metric, those in metrics.items():
        about = Pool(visible(metric), len({item.task for item in those}), len(metrics) > 1)
        calibrations = _calibrations(those)
        if calibrations:
            sides = [SideCalibration(label, one) for label, one in zip(labels, calibrations, strict=True)]
            charts.append(calibration_chart(sides, about))
            tables.append(_calibration_table(sides, about))
        places = _places(those)
        if places:
            charts += _place_charts(places, labels, about)
            tables.append(_position_table(places, labels, about))
    lengths = _lengths(items, records, labels)
    return charts, [*tables, *([lengths] if lengths else [])]


def _by_metric(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Main metric -> documents that it judges on all sides."""
    found: dict[str, list[Item]] = {}
    for item in items:
        if item.judged and None not in item.judged:
            found.setdefault(item.metric or next(iter(item.sides[0].metrics), ""), []).append(item)
    return found


# --- calibration


def _calibrations(items: Sequence[Item]) -> list[Calibration]:
    """One a run, over the documents that all runs gave a probability for each choice; empty where there are too few."""
    from evalkit.stats.calibration import calibration

    known = [item for item in items if golds(item.sides[0]) and all(one and one.scores for one in item.judged)]
    if len(known) < FEWEST:
        return []
    sides = []
    for side in range(len(known[0].sides)):
        stated = [one for item in known if (one := item.judged[side])]
        right = [float(item.picked(side) in golds(item.sides[0])) for item in known]
        sides.append(calibration([one.confidence for one in stated], right))
    return sides


def _calibration_table(sides: Sequence[SideCalibration], about: Pool) -> Table:
    rows = tuple(
        (
            visible(side.label),
            figures.count(side.found.n),
            f"{100 * side.found.expected_error:.1f}",
            f"{100 * side.found.largest_error:.1f}",
            f"{side.found.brier:.3f}",
            "" if side.found.area_under_curve is None else f"{side.found.area_under_curve:.3f}",
        )
        for side in sides
    )
    caption = (
        f"Calibration{about.where}: how far stated confidence is from accuracy, in points (with few documents too large "
        "by chance)"
    )
    return Table(caption, ("", "n", "mean gap (ECE)", "largest gap", "Brier score", "area under curve"), rows)


# --- places


@dataclass(frozen=True, slots=True)
class _Places:
    """Picked and right places of the same documents, for each run."""

    n: int
    count: int
    confusions: tuple[Confusion, ...]
    biases: tuple[PositionBias, ...]


def _places(items: Sequence[Item]) -> _Places | None:
    """Of the questions with the most usual number of choices; None where there are too few."""
    from evalkit.stats.confusion import confusion
    from evalkit.stats.positions import position_bias

    known = [item for item in items if _has_places(item)]
    counts = Counter(choices(item.sides[0]) for item in known)
    if not counts:
        return None
    count, n = counts.most_common(1)[0]
    if n < FEWEST or count is None or not 2 <= count <= MOST_PLACES:
        return None
    chosen = [item for item in known if choices(item.sides[0]) == count]
    letters = [chr(ord("A") + place) for place in range(count)]
    gold = [golds(item.sides[0])[0] for item in chosen]
    confusions, biases = [], []
    for side in range(len(chosen[0].sides)):
        picks = [place for item in chosen if (place := item.picked(side)) is not None]
        biases.append(position_bias(picks, gold, count))
        confusions.append(confusion([letters[place] for place in gold], [letters[place] for place in picks], letters))
    return _Places(n, count, tuple(confusions), tuple(biases))


def _has_places(item: Item) -> bool:
    first = item.sides[0]
    count = choices(first)
    if count is None or len(golds(first)) != 1:
        return False
    places = [item.picked(side) for side in range(len(item.sides))]
    same = all(choices(side) == count and golds(side) == golds(first) for side in item.sides)
    return same and all(place is not None and 0 <= place < count for place in (*places, *golds(first)))


def _place_charts(places: _Places, labels: Sequence[str], about: Pool) -> Iterator[Chart]:
    yield position_chart(places.biases, labels, places.n, about)
    for confusion, label in zip(places.confusions, labels, strict=True):
        yield confusion_chart(confusion, label, places.n, about)
    if len(places.confusions) == 2:
        yield confusion_change_chart(*places.confusions, about)


def _position_table(places: _Places, labels: Sequence[str], about: Pool) -> Table:
    rows = tuple(
        (
            visible(label),
            figures.count(bias.n),
            "" if bias.recall_deviation is None else f"{100 * bias.recall_deviation:.1f}",
            figures.probability(bias.preference_p),
            "" if one.kappa is None else figures.plain(one.kappa),
        )
        for label, bias, one in zip(labels, places.biases, places.confusions, strict=True)
    )
    headings = ("", "n", "spread of accuracy over places, points", "p of no preference", "kappa")
    return Table(f"Does a model prefer a place{about.where}? Questions with {places.count} choices", headings, rows)


# --- generated text


def _lengths(items: Sequence[Item], records: Sequence[Mapping[Key, Record]], labels: Sequence[str]) -> Table | None:
    """Median length and share of cut outputs, task by task; None where no text was generated."""
    rows = []
    tasks: dict[str, list[Key]] = {}
    for item in items:
        tasks.setdefault(item.task, []).append(item.key)
    for task, keys in tasks.items():
        sides = [[found[key] for key in keys if key in found and found[key].output is not None] for found in records]
        if sides and all(sides):
            rows.append((visible(task), *(cell for side in sides for cell in _length_cells(side))))
    if not rows:
        return None
    headings = [
        text for label in labels for text in (f"{visible(label)}, median tokens", f"{visible(label)}, cut at the limit")
    ]
    return Table("Length of generated answers", ("task", *headings), tuple(rows))


def _length_cells(side: Sequence[Record]) -> tuple[str, str]:
    cut = sum(one.finish == "length" for one in side)
    return figures.count(median(one.tokens for one in side)), f"{100 * cut / len(side):.1f}%"


# --- outcomes

ORDER = ("right", "mixed", "wrong", "unparsed", "empty", "truncated", "refused", "errored")


def outcomes(rows: Sequence[tuple[str, str, Mapping[str, int]]]) -> Chart | None:
    """A bar for each (task, run, outcome -> documents); None where nothing is right or wrong."""
    told = [(task, side, counts) for task, side, counts in rows if any(kind in counts for kind in ORDER)]
    return outcome_chart(told, ORDER) if told else None


def run_outcomes(run: Run) -> list[tuple[str, str, Mapping[str, int]]]:
    """Outcomes of each task of a run; those of a large group as one."""
    from evalkit.reports.rows import is_large

    group_of = {task: name for name, group in run.groups.items() if is_large(run, group) for task in group.tasks}
    counts: dict[str, Counter[str]] = {}
    for name, task in run.tasks.items():
        counts.setdefault(group_of.get(name, name), Counter()).update(task.outcomes)
    return [(name, "", found) for name, found in counts.items()]


def unusual(counts: Iterable[Mapping[str, int]]) -> bool:
    """Whether there are outcomes besides right, wrong and scored."""
    return any(number for one in counts for kind, number in one.items() if kind not in ("right", "wrong", "scored"))
