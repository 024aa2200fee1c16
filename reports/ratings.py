"""What people said of two models' answers (or of one's), for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from evalkit.ratings.summary import CriterionScores, Estimate, Preference, RatingSummary
from evalkit.reports.markdown import escape
from evalkit.reports.text import visible
from evalkit.stats.agreement import Agreement

if TYPE_CHECKING:
    from rich.console import Console

_ALL = "all tasks"


class _Table(NamedTuple):
    """A table of any format.

    Attributes:
        words: How many of the first columns are words; the others are numbers.
        headings: One a column.
        rows: Cells as text.
    """

    words: int
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def render(summary: RatingSummary, console: Console) -> None:
    """Prints a summary: the verdict, choices and scores by task, notes.

    Args:
        summary: What the ratings add up to.
        console: Where to print; its width, colours and character set are respected.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    plain = not console.encoding.lower().startswith("utf")
    console.print(Text(_characters(verdict(summary), plain), style="bold"))
    console.print(Text(_characters(_subjects(summary), plain)))
    for table in _tables(summary):
        console.print()
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0))
        for place, heading in enumerate(table.headings):
            right = place >= table.words
            shown.add_column(_characters(heading, plain), justify="right" if right else "left", no_wrap=right)
        for row in table.rows:
            shown.add_row(*(Text(_characters(cell, plain)) for cell in row), style="bold" if row[0] == _ALL else None)
        console.print(shown)
    console.print()
    for note in notes(summary):
        console.print(Text.assemble(("note: ", "yellow"), _characters(note, plain)))


def markdown(summary: RatingSummary) -> str:
    """The summary as a Markdown section."""
    lines = [f"**{escape(verdict(summary))}**", "", escape(_subjects(summary))]
    for table in _tables(summary):
        sides = ["---" if place < table.words else "---:" for place in range(len(table.headings))]
        lines += ["", _line(table.headings), _line(sides)]
        for first, *others in table.rows:
            cells = [f"**{first}**" if first == _ALL else escape(first), *map(escape, others)]
            lines.append(_line(cells))
    lines += ["", *(f"- {escape(note)}" for note in notes(summary))]
    return "\n".join(lines) + "\n"


def verdict(summary: RatingSummary) -> str:
    """The result in one sentence."""
    preference = summary.preference
    if preference is not None:
        rate = preference.win_rate
        share = f"{100 * rate.value:.0f}% of {_count(preference.documents, 'document')}"
        if rate.ci95 is None:
            return f"People prefer tuned on {share}; one document (or cluster) is too few for an interval."
        if rate.ci95[0] > 0.5:
            return f"People prefer tuned: on {share}, ties counted half."
        if rate.ci95[1] < 0.5:
            return f"People prefer base: tuned wins {share}, ties counted half."
        return f"Undecided which one people prefer: tuned wins {share}, ties counted half."
    first = summary.scores[0]
    if first.difference is None:
        means = ", ".join(f"{one.criterion} {one.base.value:.2f}" for one in summary.scores)
        return f"Scores of {_count(first.documents, 'document')}, 1 to 5: {means}."
    words = [f"{_direction(one)} in {one.criterion}" for one in summary.scores]
    return f"Tuned is {', '.join(words)} ({_count(first.documents, 'document')} scored)."


def notes(summary: RatingSummary) -> list[str]:
    """What a reader must know beside the numbers, most important first."""
    found = list(_preference_notes(summary.preference)) if summary.preference else []
    agreements = {"choices": summary.preference.agreement} if summary.preference else {}
    agreements |= {one.criterion: one.agreement for one in summary.scores}
    found += [_agreement(name, one) for name, one in agreements.items() if one.units]
    if any(one.units for one in agreements.values()):
        found.append("alpha is Krippendorff's: 1 full agreement, 0 as by chance; below 0.667 trust no conclusion")
    elif len(summary.raters) == 1:
        found.append("one rater: how far others would agree is not known")
    for name, rater in summary.raters.items():
        parts = [
            _count(rater.choices, "choice") if rater.choices else "",
            f"{rater.scored} scored" * bool(rater.scored),
        ]
        work = " and ".join(filter(None, parts))
        found.append(f"rater {visible(name)}: {work}, median {rater.seconds:.0f} s each")
    if summary.replaced:
        found.append(f"{_count(summary.replaced, 'rating')} replaced by a later one of the same rater")
    return found


def _agreement(name: str, one: Agreement) -> str:
    where = f"raters agree on {name}" if name == "choices" else f"raters agree in {name}"
    units = f"over {one.units} texts or pairs that several rated"
    if one.alpha is None:
        return f"{where}: all gave the same rating, so that alpha is not defined, {units}"
    interval = "" if one.interval is None else f" [{one.interval.low:.2f}, {one.interval.high:.2f}]"
    return f"{where}: alpha {one.alpha:.2f}{interval}, {units}"


def _preference_notes(preference: Preference) -> Iterator[str]:
    yield (
        f"documents won and lost by tuned: {preference.documents_won} and {preference.documents_lost}; "
        f"sign test p = {_p(preference.p_value)}"
    )
    if (
        preference.tuned + preference.base + preference.ties + preference.both_bad + preference.identical
        > preference.documents
    ):
        yield "tuned, base, tie and bad count ratings; in tuned wins the raters of a document are averaged"
    if preference.identical:
        yield f"{_count(preference.identical, 'document')} with identical answers: ties, nobody was asked"
    decided = preference.tuned + preference.base
    if decided:
        yield (
            f"the left answer won {preference.left} of {decided} decided choices; p = {_p(preference.left_p_value)} "
            "if sides did not matter"
        )


def _subjects(summary: RatingSummary) -> str:
    runs = {"base": summary.base, "tuned": summary.tuned}
    parts = [
        f"{side}: {run.name}" + (f" with {run.adapter}" if run.adapter else "")
        for side, run in runs.items()
        if run is not None
    ]
    raters = _count(len(summary.raters), "rater") if summary.raters else "nobody was asked"
    return visible("; ".join(parts)) + f"; {raters}"


def _tables(summary: RatingSummary) -> Iterator[_Table]:
    if summary.preference is not None:
        headings = ("choices", "docs", "tuned", "base", "tie", "bad", "tuned wins", "95% interval", "alpha")
        by_task = {name: task.preference for name, task in summary.tasks.items() if task.preference is not None}
        rows = [_choice_row(_ALL, summary.preference)] if len(by_task) > 1 else []
        yield _Table(1, headings, rows + [_choice_row(visible(name), one) for name, one in by_task.items()])
    if summary.scores:
        by_task_scores = {name: task.scores for name, task in summary.tasks.items() if task.scores}
        rows = list(_score_rows(_ALL, summary.scores)) if len(by_task_scores) > 1 else []
        for name, scores in by_task_scores.items():
            rows += _score_rows(visible(name), scores)
        paired = summary.tuned is not None
        middle = ("base", "tuned", "difference") if paired else ("mean",)
        yield _Table(2, ("scores", "criterion", "docs", *middle, "95% interval", "alpha"), rows)


def _choice_row(name: str, one: Preference) -> tuple[str, ...]:
    counts = (one.documents, one.tuned, one.base, one.ties + one.identical, one.both_bad)
    interval = "" if one.win_rate.ci95 is None else f"{100 * one.win_rate.ci95[0]:.1f}–{100 * one.win_rate.ci95[1]:.1f}"
    return (
        name,
        *(f"{count:,}" for count in counts),
        f"{100 * one.win_rate.value:.1f}%",
        interval,
        _alpha(one.agreement),
    )


def _score_rows(name: str, scores: Sequence[CriterionScores]) -> Iterator[tuple[str, ...]]:
    for place, one in enumerate(scores):
        start = (name if place == 0 else "", one.criterion, f"{one.documents:,}", f"{one.base.value:.2f}")
        if one.tuned is not None and one.difference is not None:
            gain = one.difference
            yield (*start, f"{one.tuned.value:.2f}", f"{gain.value:+.2f}", _interval(gain, "+"), _alpha(one.agreement))
        else:
            yield (*start, _interval(one.base, ""), _alpha(one.agreement))


def _interval(estimate: Estimate, sign: str) -> str:
    if estimate.ci95 is None:
        return ""
    low, high = (f"{end:{sign}.2f}" for end in estimate.ci95)
    return f"{low} to {high}"


def _alpha(agreement: Agreement) -> str:
    return "" if agreement.alpha is None else f"{agreement.alpha:.2f}"


def _direction(one: CriterionScores) -> str:
    gain = one.difference
    if gain is None or gain.ci95 is None or gain.ci95[0] <= 0 <= gain.ci95[1]:
        return "undecided"
    return "better" if gain.value > 0 else "worse"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _characters(text: str, plain: bool) -> str:
    return text.replace("–", "-").encode("ascii", "backslashreplace").decode() if plain else text


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
