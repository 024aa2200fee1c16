"""Training beside retrieval: base and tuned model, with and without passages in the prompt."""

from __future__ import annotations

from pathlib import Path

from evalkit.comparing.compare import compare
from evalkit.errors import UsageError
from evalkit.fine_tuning import RetrievalTable
from evalkit.results import Run


def retrieval_table(base: Path, base_with: Path, tuned: Path, tuned_with: Path, *, margin: float) -> RetrievalTable:
    """The four results as three comparisons with the same documents.

    That the prompts differ is what is compared here, so that it is allowed.

    Args:
        base: Result of the base.
        base_with: The same with passages.
        tuned: Result of the tuned model.
        tuned_with: The same with passages.
        margin: Loss that is tolerated in a verdict.

    Raises:
        UsageError: The results with passages do not say which.
    """
    said = Run.load(base_with).settings.get("retrieval")
    if not isinstance(said, dict):
        raise UsageError(f"{base_with} was made without passages", hint="--fresh starts anew")
    return RetrievalTable(
        corpus=str(said["corpus"]),
        sha256=str(said["sha256"]),
        documents=int(said["documents"]),
        passages=int(said["passages"]),
        with_base=compare(base, base_with, margin=margin, allow=("prompt",)),
        with_tuned=compare(base, tuned_with, margin=margin, allow=("prompt",)),
        on_tuned=compare(tuned, tuned_with, margin=margin, allow=("prompt",)),
    )
