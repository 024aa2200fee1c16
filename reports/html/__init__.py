"""One self-contained HTML file: a run, a comparison or a ranking, to be opened from disk without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.comparison import Comparison, Ranking
    from evalkit.results import Run

__all__ = ["write_comparison", "write_ranking", "write_run"]


def write_run(run: Run, path: Path, samples_log: Path | None = None) -> Path:
    """Writes the page of a run.

    Args:
        run: Finished run.
        path: The file to write.
        samples_log: The log of its samples, for prompts and answers; None leaves them out.

    Returns:
        `path`.

    Raises:
        OutputError: The place cannot be written.
        UsageError: The log is missing or damaged.
    """
    from evalkit.reports.html.page import write_page
    from evalkit.reports.html.run_page import run_context

    return write_page(path, "run.html", run_context(run, samples_log))


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Writes the page of a comparison, with the texts of the logs that lie beside the runs' files.

    Returns:
        `path`.

    Raises:
        OutputError: The place cannot be written.
        UsageError: A log is damaged.
    """
    from evalkit.reports.html.comparison_page import comparison_context
    from evalkit.reports.html.page import write_page

    return write_page(path, "comparison.html", comparison_context(comparison))


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
