"""How near two tokens were to each other where two programs' greedy texts part.

Float32 sums differ in their last digits with the order of addition, so a pair of logits that are all but equal may be
ordered either way. The model is run on the prompt and the common tokens alone, without padding, cache or batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NEAR = 1e-4
"""Nats by which two tokens' log-probabilities may differ to count as a tie."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two texts part.

    Attributes:
        place: Tokens that both have in common.
        theirs: The token that lm-eval's `hf` took.
        ours: The token that evalkit took.
        gap: Log-probability of theirs minus ours, nats; None where one text is merely longer than the other.
    """

    place: int
    theirs: str
    ours: str
    gap: float | None

    @property
    def tie(self) -> bool:
        """Whether either order of the two tokens is right."""
        return self.gap is not None and abs(self.gap) <= NEAR

    def __str__(self) -> str:
        if self.gap is None:
            return f"after {self.place} tokens one text ends"
        kind = "a near tie" if self.tie else "no tie"
        return f"after {self.place} tokens {self.theirs!r} against {self.ours!r}, {self.gap:+.2e} nats: {kind}"


def parting(loaded: Any, prompt: str, theirs: Sequence[int], ours: Sequence[int]) -> Parting:
    """Scores the first tokens that differ.

    Args:
        loaded: evalkit's loaded model, in float32.
        prompt: What both were given.
        theirs: Tokens that lm-eval's `hf` generated.
        ours: Tokens that evalkit generated.
    """
    import torch

    place = common(theirs, ours)
    if place == min(len(theirs), len(ours)):
        return Parting(place, "", "", None)
    tokenizer = loaded.tokenizer
    ids = [*tokenizer(prompt)["input_ids"], *ours[:place]]
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([ids])).logits[0, -1].double()
    scores = logits.log_softmax(-1)
    gap = float(scores[theirs[place]] - scores[ours[place]])
    return Parting(place, tokenizer.decode([theirs[place]]), tokenizer.decode([ours[place]]), gap)


def common(theirs: Sequence[int], ours: Sequence[int]) -> int:
    """Number of tokens that two texts share at their beginning."""
    return next(
        (place for place, (one, other) in enumerate(zip(theirs, ours, strict=False)) if one != other),
        min(len(theirs), len(ours)),
    )
