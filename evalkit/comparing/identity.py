"""Whether two runs are of the same model."""

from __future__ import annotations

from evalkit.results import Run


def same_model(before: Run, after: Run) -> bool:
    """Whether both runs had the same weights and tokenizer, by hashes that both files hold."""
    first, second = before.model, after.model
    return all(
        bool(one) and one == other
        for one, other in (
            (first.weights_sha256, second.weights_sha256),
            (first.tokenizer_sha256, second.tokenizer_sha256),
        )
    )
