"""What the ratings add up to: win rates, scores, their intervals, and how far the raters agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypeVar

from evalkit.errors import UsageError
from evalkit.ratings.file import merge, read_ratings
from evalkit.ratings.model import CRITERIA, HIGHEST, LOWEST, RatedRun, Rating, Ratings, Side
from evalkit.stats.agreement import Agreement, krippendorff_alpha
from evalkit.stats.clusters import cluster_robust
from evalkit.stats.intervals import wilson
from evalkit.stats.paired import sign_test, tango
from evalkit.stats.special import normal_quantile, t_quantile

Document = tuple[str, str]
"""Task and id."""

Value = TypeVar("Value")

_POINTS = {"tuned": 1.0, "base": 0.0, "tie": 0.5, "both_bad": 0.5}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; None where it cannot be known (one document, one cluster)."""

    value: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of two models' answers people like better.

    Attributes:
        documents: Documents with a rating, identical answers included.
        tuned: Ratings for the second model.
        base: Ratings for the first.
        ties: Ratings that say equal; identical answers not counted.
        both_bad: Ratings that say neither.
        identical: Documents whose two answers are the same text: ties that nobody was asked about.
        win_rate: Share of documents where the second is liked better, a tie counted half, several raters averaged. One
            rater a document: Tango's score interval (Wilson's where nothing is tied); else Wilson's for the number of
            documents that has the cluster-robust standard error.
        documents_won: Documents where most ratings are for the second.
        documents_lost: Documents where most are for the first.
        p_value: Sign test of these two, exact, two-sided.
        left: Ratings for the answer that stood left.
        left_p_value: Sign test of left against right: raters with a habit show here.
        agreement: Krippendorff's alpha, nominal, of the choices between answers that differ.
    """

    documents: int
    tuned: int
    base: int
    ties: int
    both_bad: int
    identical: int
    win_rate: Estimate
    documents_won: int
    documents_lost: int
    p_value: float
    left: int
    left_p_value: float
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class CriterionScores:
    """Scores from 1 to 5 for one criterion.

    Attributes:
        criterion: Its name.
        documents: Documents with a score.
        base: Mean score of the first model over documents, several raters averaged.
        tuned: Of the second; None where one run alone was scored.
        difference: Second minus first, paired by document, with its t interval.
        agreement: Krippendorff's alpha, ordinal, over all answers scored.
    """

    criterion: str
    documents: int
    base: Estimate
    tuned: Estimate | None
    difference: Estimate | None
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class TaskRatings:
    """What people said of one task; either part may be missing."""

    preference: Preference | None
    scores: tuple[CriterionScores, ...]


@dataclass(frozen=True, slots=True)
class RaterCount:
    """One rater's share.

    Attributes:
        choices: Choices made.
        scored: Documents scored.
        seconds: Median seconds a document.
    """

    choices: int
    scored: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RatingSummary:
    """All that the ratings say; joins a comparison or a report.

    Attributes:
        base: The first run.
        tuned: The second, if any.
        raters: Name -> share.
        preference: Choices over all tasks; None where there are none.
        scores: Scores over all tasks, a criterion each; empty where there are none.
        tasks: Task -> its own choices and scores.
        replaced: Ratings that a later one of the same rater replaced.
    """

    base: RatedRun
    tuned: RatedRun | None
    raters: Mapping[str, RaterCount]
    preference: Preference | None
    scores: tuple[CriterionScores, ...]
    tasks: Mapping[str, TaskRatings]
    replaced: int

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        return asdict(self)


def summarize(*sources: Ratings | str | Path) -> RatingSummary:
    """Adds up one or several raters' files.

    Args:
        sources: Paths of ratings files, or what was read from them.

    Raises:
        UsageError: A file is damaged, or nobody has rated anything yet.
        NotComparableError: The files rate different runs.
    """
    parts = [source if isinstance(source, Ratings) else read_ratings(Path(source)) for source in sources]
    names = [f"ratings {place}" if isinstance(one, Ratings) else str(one) for place, one in enumerate(sources, 1)]
    if not parts:
        raise UsageError("no ratings file was given", hint="give the files that evalkit rate wrote")
    ratings = parts[0] if len(parts) == 1 else merge(parts, names)
    if not ratings.ratings:
        raise UsageError(f"{names[0]} holds no rating yet", hint="rate some documents first: evalkit rate")
    whole = _task_ratings(ratings.ratings)
    tasks = dict.fromkeys(rating.task for rating in ratings.ratings)
    by_task = {task: _task_ratings([one for one in ratings.ratings if one.task == task]) for task in tasks}
    return RatingSummary(
        base=ratings.base,
        tuned=ratings.tuned,
        raters=_raters(ratings.ratings),
        preference=whole.preference,
        scores=whole.scores,
        tasks=by_task,
        replaced=ratings.replaced,
    )


def _raters(ratings: Sequence[Rating]) -> dict[str, RaterCount]:
    """Only what raters were asked counts."""
    by_rater: dict[str, list[Rating]] = {}
    for rating in ratings:
        if not (rating.identical and rating.mode == "choice"):
            by_rater.setdefault(rating.rater, []).append(rating)
    return {
        name: RaterCount(
            choices=sum(one.mode == "choice" for one in given),
            scored=sum(one.mode == "score" for one in given),
            seconds=median(one.seconds for one in given),
        )
        for name, given in sorted(by_rater.items())
    }


def _task_ratings(ratings: Sequence[Rating]) -> TaskRatings:
    choices = [rating for rating in ratings if rating.mode == "choice"]
    scored = [rating for rating in ratings if rating.mode == "score"]
    scores = tuple(_criterion(criterion, scored) for criterion in CRITERIA) if scored else ()
    return TaskRatings(_preference(choices) if choices else None, scores)


def _preference(ratings: Sequence[Rating]) -> Preference:
    asked = [rating for rating in ratings if not rating.identical]
    counts = Counter(rating.choice for rating in asked)
    points = _by_document(ratings, lambda rating: _POINTS[str(rating.choice)])
    means = [fmean(values) for values in points.values()]
    won, lost = sum(mean > 0.5 for mean in means), sum(mean < 0.5 for mean in means)
    decided = [rating for rating in asked if rating.choice in ("base", "tuned")]
    left = sum(rating.choice == rating.left for rating in decided)
    clusters = _clusters(ratings, points)
    single = all(len(values) == 1 for values in points.values()) and len(set(clusters)) == len(clusters)
    if single:
        scores = tango(won, lost, len(means))
        interval: tuple[float, float] | None = ((1 + scores.low) / 2, (1 + scores.high) / 2)
    else:
        interval = _share_interval(means, clusters)
    return Preference(
        documents=len(means),
        tuned=counts["tuned"],
        base=counts["base"],
        ties=counts["tie"],
        both_bad=counts["both_bad"],
        identical=len({(one.task, one.document) for one in ratings if one.identical}),
        win_rate=Estimate(fmean(means), interval),
        documents_won=won,
        documents_lost=lost,
        p_value=sign_test(won, lost),
        left=left,
        left_p_value=sign_test(left, len(decided) - left),
        agreement=krippendorff_alpha(list(_by_document(asked, lambda rating: str(rating.choice)).values()), "nominal"),
    )


def _criterion(criterion: str, ratings: Sequence[Rating]) -> CriterionScores:
    def score(side: Side) -> Callable[[Rating], float]:
        return lambda rating: (rating.scores or {})[side][criterion]

    both = all("tuned" in (rating.scores or {}) for rating in ratings)
    base = _by_document(ratings, score("base"))
    tuned = _by_document(ratings, score("tuned")) if both else None
    clusters = _clusters(ratings, base)
    means = [fmean(values) for values in base.values()]
    units = [(document, values) for document, values in base.items()]
    if tuned is not None:
        # the one opinion on two identical answers is one unit, not two
        identical = {(one.task, one.document) for one in ratings if one.identical}
        units += [(document, values) for document, values in tuned.items() if document not in identical]
    other = None if tuned is None else [fmean(values) for values in tuned.values()]
    gains = None if other is None else [after - before for before, after in zip(means, other, strict=True)]
    return CriterionScores(
        criterion=criterion,
        documents=len(base),
        base=_clipped(_mean(means, clusters)),
        tuned=None if other is None else _clipped(_mean(other, clusters)),
        difference=None if gains is None else _mean(gains, clusters),
        agreement=krippendorff_alpha(
            [values for _, values in units], "ordinal", groups=[document for document, _ in units]
        ),
    )


def _by_document(ratings: Sequence[Rating], value: Callable[[Rating], Value]) -> dict[Document, list[Value]]:
    """Each document's values, one a rater."""
    found: dict[Document, list[Value]] = {}
    for rating in ratings:
        found.setdefault((rating.task, rating.document), []).append(value(rating))
    return found


def _clusters(ratings: Sequence[Rating], documents: Mapping[Document, Any]) -> list[tuple[str, str, str]]:
    """What each document stands or falls with: its cluster, or itself."""
    names = {(one.task, one.document): one.cluster for one in ratings}
    return [
        (task, "document", document) if names[task, document] is None else (task, "cluster", str(names[task, document]))
        for task, document in documents
    ]


def _mean(values: Sequence[float], clusters: Sequence[tuple[str, str, str]]) -> Estimate:
    _, interval = cluster_robust(values, clusters)
    return Estimate(fmean(values), None if interval is None else (interval.low, interval.high))


def _clipped(score: Estimate) -> Estimate:
    """Within the scale."""
    if score.ci95 is None:
        return score
    return Estimate(score.value, (max(score.ci95[0], LOWEST), min(score.ci95[1], HIGHEST)))


def _share_interval(means: Sequence[float], clusters: Sequence[tuple[str, str, str]]) -> tuple[float, float] | None:
    """Wilson's interval at the number of independent yes-or-no answers with the clusters' standard error."""
    stderr, _ = cluster_robust(means, clusters)
    share = fmean(means)
    if stderr is None:
        return None
    count = len(set(clusters))
    size = float(count)  # where there is no spread to see, each cluster counts as one answer
    if stderr > 1e-12 and 0 < share < 1:
        # few clusters know their own spread badly: t in place of z (Korn & Graubard 1998)
        size = share * (1 - share) / stderr**2 * (normal_quantile(0.975) / t_quantile(0.975, count - 1)) ** 2
    interval = wilson(share * size, size)
    return interval.low, interval.high
