"""The loss on held-out rows, computed by us: of TRL's mean over batches the value depends on their size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from evalkit.fine_tuning import HeldOutLoss
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.training.tokens import IGNORED, Example

TOKENS_AT_ONCE = 2048
"""Tokens computed together, padding included."""


class HeldOut:
    """Held-out rows of one training.

    Args:
        examples: They.
        spec: The objective.
        network: The model before training, which is the reference of DPO.
        pad: Id of the token to pad with.
    """

    def __init__(self, examples: Sequence[Example], spec: TrainingSpec, network: Any, pad: int) -> None:
        self.examples, self.spec, self.pad = tuple(examples), spec, pad
        self.reference = self._answers(network) if spec.objective == "dpo" and examples else None

    def loss(self, network: Any, step: int) -> HeldOutLoss:
        """The loss of a model at a step."""
        if self.spec.objective == "sft":
            return self._tokens(network, step)
        values = self._answers(network) if self.spec.objective == "dpo" else self._rewards(network)
        margins = values[:, 0] - values[:, 1]
        if self.reference is not None:
            margins = self.spec.beta * (margins - (self.reference[:, 0] - self.reference[:, 1]))
        losses = np.logaddexp(0.0, -margins)
        # what DPO starts from has no margin over itself: there the more probable answer counts as its choice
        right = values[:, 0] > values[:, 1]
        sources = np.array([one.source for one in self.examples])
        by_source = {str(name): float(losses[sources == name].mean()) for name in dict.fromkeys(sources.tolist())}
        return HeldOutLoss(step, float(losses.mean()), len(losses), by_source, float(right.mean()))

    def _tokens(self, network: Any, step: int) -> HeldOutLoss:
        sums: dict[str, list[float]] = {}
        for batch in self._batches([(one.input_ids, one.labels) for one in self.examples]):
            for place, (loss, count) in zip(batch, self._nll(network, batch), strict=True):
                entry = sums.setdefault(self.examples[place].source, [0.0, 0.0])
                entry[0] += loss
                entry[1] += count
        total, tokens = (sum(entry[side] for entry in sums.values()) for side in (0, 1))
        return HeldOutLoss(step, total / tokens, int(tokens), {name: one[0] / one[1] for name, one in sums.items()})

    def _nll(self, network: Any, batch: Sequence[int]) -> Iterator[tuple[float, int]]:
        rows = [(self.examples[place].input_ids, self.examples[place].labels) for place in batch]
        yield from _sums(network, rows, self.pad)

    def _answers(self, network: Any) -> np.ndarray[Any, Any]:
        """Log-probabilities of the chosen and the rejected answers, pairs x 2."""
        found = np.zeros((len(self.examples), 2))
        for side in (0, 1):
            rows = []
            for one in self.examples:
                answer = one.rejected if side else one.chosen
                rows.append((one.input_ids + answer, [IGNORED] * len(one.input_ids) + answer))
            for batch in self._batches(rows):
                for place, (loss, _) in zip(batch, _sums(network, [rows[one] for one in batch], self.pad), strict=True):
                    found[place, side] = -loss
        return found

    def _rewards(self, network: Any) -> np.ndarray[Any, Any]:
        import torch

        found = np.zeros((len(self.examples), 2))
        with evaluating(network):
            for side in (0, 1):
                for place, one in enumerate(self.examples):
                    ids = torch.tensor([one.rejected if side else one.chosen], device=network.device)
                    found[place, side] = float(network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0])
        return found

    @staticmethod
    def _batches(rows: Sequence[tuple[list[int], list[int]]]) -> Iterator[list[int]]:
        """Places of rows of about one length."""
        batch: list[int] = []
        for place in sorted(range(len(rows)), key=lambda place: -len(rows[place][0])):
            if batch and (len(batch) + 1) * len(rows[batch[0]][0]) > TOKENS_AT_ONCE:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch


def _sums(network: Any, rows: Sequence[tuple[list[int], list[int]]], pad: int) -> Iterator[tuple[float, int]]:
    """Of each row the sum of its labelled tokens' negative log-likelihoods, in nats, and their number."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([one + [pad] * (longest - len(one)) for one, _ in rows], device=network.device)
    labels = torch.tensor([one + [IGNORED] * (longest - len(one)) for _, one in rows], device=network.device)
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one, _ in rows], device=network.device)
    with evaluating(network):
        logits = network(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.float().transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
        )
    for loss, label in zip(losses.double().sum(dim=1).tolist(), labels[:, 1:], strict=True):
        yield loss, int((label != IGNORED).sum())


@contextmanager
def evaluating(network: Any) -> Iterator[None]:
    """Evaluation mode without gradients; nothing of the training is changed, its random numbers included."""
    import random

    import torch

    was_training = network.training
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(was_training)
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
