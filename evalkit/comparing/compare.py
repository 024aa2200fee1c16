"""Two runs, or more: `compare` and `compare_all`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from evalkit.comparing.conditions import allowed_fields
from evalkit.comparing.draft import draft
from evalkit.comparing.estimate import check_alpha
from evalkit.comparing.settle import Tolerance, settle
from evalkit.comparing.sides import Source, load_sides
from evalkit.comparison import Comparison, Side
from evalkit.errors import NotComparableError, UsageError
from evalkit.ranking import Comparisons, Ranking

MARGIN = 0.01
ALPHA = 0.05


def compare(
    before: Source,
    after: Source,
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    allow: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    margins: Mapping[str, float] | None = None,
) -> Comparison:
    """What changed from one run to the other, and whether it is real.

    Documents are paired by their content, and every difference is judged by its pairs. Where the runs were asked
    different questions (other data, prompts, decoding ...) no verdict is given, and the differing field is named.

    Args:
        before: The first run, or its file.
        after: The second run, or its file.
        margin: Loss that is tolerated, as a share of the metric's range (0.01 is one point of accuracy, or one BLEU), or
            of the first run's score where that has no upper end (1 % of a perplexity).
        alpha: Level of all tests, between 0 and 0.5.
        allow: Fields that may differ, as `prompt`; `all` for any.
        metrics: Only these metrics, the first that a task has being its main one; by default all.
        tasks: Only these tasks and groups; by default all.
        margins: Task or group -> its own margin.

    Raises:
        UsageError: A file cannot be read, or an argument names something that neither run has.
        NotComparableError: The runs have no task in common.
    """
    tolerance = _tolerance(margin, alpha, margins)
    first, second = load_sides([before, after])
    return settle([draft(first, second, allowed_fields(allow), tasks, metrics)], alpha, tolerance)[0]


def compare_all(
    runs: Sequence[Source],
    *,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    allow: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    margins: Mapping[str, float] | None = None,
) -> Comparisons:
    """Every run against every other, and their ranking; p is adjusted for all pairs together.

    Arguments and errors as in `compare`; of `runs`, two or more.
    """
    if len(runs) < 2:
        raise UsageError("a comparison needs two runs", hint="give a second result file")
    tolerance = _tolerance(margin, alpha, margins)
    sides = load_sides(runs)
    allowed = allowed_fields(allow)
    drafts = [draft(one, other, allowed, tasks, metrics) for one, other in combinations(sides, 2)]
    ranking, unranked = _ranking(sides, tasks, alpha, allow)
    return Comparisons(settle(drafts, alpha, tolerance), ranking, unranked)


def _ranking(
    sides: Sequence[Side], tasks: Sequence[str] | None, alpha: float, allow: Sequence[str]
) -> tuple[Ranking | None, str]:
    """The ranking, or why there is none: perplexities have no mean, but their pairs can be compared all the same."""
    from evalkit.comparing.ranking import rank

    try:
        return rank(sides, tasks=tasks, alpha=alpha, allow=allow), ""
    except (UsageError, NotComparableError) as error:
        return None, error.message


def _tolerance(margin: float, alpha: float, margins: Mapping[str, float] | None) -> Tolerance:
    check_alpha(alpha)
    for share in (margin, *(margins or {}).values()):
        if not 0 <= share < 1:
            raise UsageError(f"the margin is {share}", hint="give a share between 0 and 1, as 0.01 for one point")
    return Tolerance(margin, margins or {})
