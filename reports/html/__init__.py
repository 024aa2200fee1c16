"""One self-contained HTML file: of a run, comparison, fine-tuning or ranking, to be opened from disk, offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.comparison import Comparison
    from evalkit.fine_tuning import FineTuning
    from evalkit.ranking import Ranking
    from evalkit.results import Run

__all__ = ["write_comparison", "write_fine_tuning", "write_ranking", "write_run"]


Note = Callable[[str], None]


def write_run(run: Run, path: Path, samples_log: Path | None = None, note: Note | None = None) -> Path:
    """Writes the page of a run.

    Args:
        run: Finished run.
        path: The file to write.
        samples_log: The log of its samples, for prompts and answers; None leaves them out.
        note: Called with what the reader of the command should know: that the log is another run's and was left out.

    Returns:
        `path`.

    Raises:
        OutputError: The place cannot be written.
        UsageError: The log is missing or damaged.
    """
    from evalkit.reports.html.page import write_page
    from evalkit.reports.html.run_page import run_context

    context = run_context(run, samples_log)
    _tell(context, note)
    return write_page(path, "run.html", context)


def write_comparison(comparison: Comparison, path: Path, note: Note | None = None) -> Path:
    """Writes the page of a comparison, with the texts of the logs that lie beside the runs' files.

    Args:
        comparison: Two runs.
        path: The file to write.
        note: As of `write_run`.

    Returns:
        `path`.

    Raises:
        OutputError: The place cannot be written.
        UsageError: A log is damaged.
    """
    from evalkit.reports.html.comparison_page import comparison_context
    from evalkit.reports.html.page import write_page

    context = comparison_context(comparison)
    _tell(context, note)
    return write_page(path, "comparison.html", context)


def write_fine_tuning(result: FineTuning, path: Path, note: Note | None = None) -> Path:
    """Writes the page of a fine-tuning, with the texts of the logs that lie beside the results before and after.

    Args:
        result: It.
        path: The file to write.
        note: As of `write_run`.

    Returns:
        `path`.

    Raises:
        OutputError: The place cannot be written.
        UsageError: A log is damaged.
    """
    from evalkit.reports.html.fine_tuning_page import fine_tuning_context
    from evalkit.reports.html.page import write_page

    context = fine_tuning_context(result)
    _tell(context, note)
    return write_page(path, "fine_tuning.html", context)


def write_ranking(ranking: Ranking, path: Path) -> Path:
    """Writes the page of a leaderboard.

    Returns:
        `path`.

    Raises:
        OutputError: The place cannot be written.
    """
    from evalkit.reports.html.page import write_page
    from evalkit.reports.html.ranking_page import ranking_context

    return write_page(path, "ranking.html", ranking_context(ranking))


def _tell(context: Mapping[str, Any], note: Note | None) -> None:
    for text in context["wrong_logs"]:
        if note is not None:
            note(text)
