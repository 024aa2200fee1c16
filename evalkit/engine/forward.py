"""One forward pass, split into trunk (hidden states) and head (log-probabilities at the scored positions only)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from evalkit.engine.transfer import to_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Logits held at once, in bytes of float32: bounds memory whatever the vocabulary and the number of scored positions.
LOGITS_BYTES = 256 * 2**20
LOGITS_BYTES_CPU = 32 * 2**20  # what its cache holds


class _Given(torch.nn.Module):  # type: ignore[misc]
    """Stands in for the trunk and returns hidden states that were computed before."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, *_: Any, **__: Any) -> _TrunkOutput:
        return _TrunkOutput(self.hidden)


class _TrunkOutput:
    """What a `ForCausalLM` reads of its trunk's output: the hidden states; every other field is None."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getattr__(self, _: str) -> None:
        return None

    def __getitem__(self, index: Any) -> Any:
        return self.last_hidden_state if index == 0 else None


class SplitModel:
    """A causal language model as trunk and head.

    The head is the model's own `forward` with the trunk replaced by given hidden states, so that soft caps, scales and
    adapters on the head are applied as the model applies them. A model that cannot be split so (found by comparing on
    a few tokens) computes all logits and picks the rows.

    Args:
        model: A transformers causal language model in evaluation mode.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.core = _inside_adapter(model)
        prefix = getattr(self.core, "base_model_prefix", "")
        self.trunk_name = prefix if isinstance(getattr(self.core, prefix or "?", None), torch.nn.Module) else None
        self.vocabulary = int(self.core.get_output_embeddings().weight.shape[0]) if self._has_head() else 0
        self.split = self.trunk_name is not None and self._splits()
        self.position_limit = _position_limit(self.core.config.get_text_config())

    def _has_head(self) -> bool:
        head = self.core.get_output_embeddings()
        return head is not None and hasattr(head, "weight")

    def _splits(self) -> bool:
        device = next(self.core.parameters()).device
        tokens = torch.arange(8, device=device)[None]
        with torch.inference_mode():
            try:
                hidden = self._trunk(input_ids=tokens)
                logits = self._head(hidden)
            except (AttributeError, TypeError, IndexError):
                return False
            whole = self.core(input_ids=tokens, use_cache=False).logits
        return bool(logits.shape == whole.shape and torch.allclose(logits, whole, rtol=1e-2, atol=1e-2))

    def _trunk(self, **inputs: Any) -> torch.Tensor:
        output = getattr(self.core, self.trunk_name or "")(**inputs, use_cache=False)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    @contextmanager
    def _given(self, hidden: torch.Tensor) -> Iterator[None]:
        name = self.trunk_name or ""
        trunk = self.core._modules[name]
        self.core._modules[name] = _Given(hidden)
        try:
            yield
        finally:
            self.core._modules[name] = trunk

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        with self._given(hidden):
            logits: torch.Tensor = self.core(
                input_ids=torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device), use_cache=False
            ).logits
        return logits

    def reset_positions(self) -> None:
        """Makes rotary embeddings that grow with the longest input seen forget what they saw: one short input does."""
        with torch.inference_mode():
            self.states(input_ids=torch.zeros((1, 1), dtype=torch.long, device=self.core.device))

    def states(self, **inputs: Any) -> torch.Tensor:
        """What `log_probabilities` needs of a forward pass: hidden states [rows, tokens, size], or all logits."""
        if self.split:
            return self._trunk(**inputs)
        logits: torch.Tensor = self.core(**inputs, use_cache=False).logits
        return logits

    def logits(self, states: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Logits of some positions.

        Args:
            states: [positions, size], what `states` gave.
            rows: int64 [chosen], which positions.

        Returns:
            float32 [chosen, vocabulary].
        """
        chosen = states.index_select(0, rows)
        return (self._head(chosen[None])[0] if self.split else chosen).float()

    def log_probabilities(
        self, states: torch.Tensor, pairs: ScoredPairs, *, upcast: bool = True, block: int | None = None
    ) -> torch.Tensor:
        """Log-probability of each target, and whether it is the most probable token.

        Args:
            states: [positions, size], what `states` gave.
            pairs: Which positions predict which targets.
            upcast: Log-softmax in float32, as logsumexp minus the logit: PyTorch's own float32 log_softmax on CPU is
                biased (benchmarks/log_softmax_bias.py). False reproduces lm-eval's log-softmax in the model's dtype.
            block: Rows that go through the head at once, always exactly so many; None for as many as `LOGITS_BYTES`
                allows.

        Returns:
            float32 [2, targets]: nats, and 1.0 where the target is the most probable token.
        """
        device = states.device
        rows, sorted_rows, targets = (
            to_device(array, device) for array in (pairs.rows, pairs.pair_rows[pairs.order], pairs.targets[pairs.order])
        )
        width = max(self.vocabulary, 1) if self.split else states.shape[-1]
        size = block or max(1, logits_bytes(device) // (4 * width))
        bounds = np.searchsorted(pairs.pair_rows[pairs.order], np.arange(0, len(pairs.rows) + size, size))
        result = torch.empty((2, len(targets)), dtype=torch.float32, device=device)
        for number, start in enumerate(range(0, len(rows), size)):
            chosen = slice(int(bounds[number]), int(bounds[number + 1]))
            part = states.index_select(0, rows[start : start + size])
            if block and len(part) < block:
                part = torch.nn.functional.pad(part, (0, 0, 0, block - len(part)))
            logits = self._head(part[None])[0] if self.split else part
            at, wanted = sorted_rows[chosen] - start, targets[chosen]
            result[0, chosen], result[1, chosen] = _reduce(logits, at, wanted, upcast)
        return result[:, to_device(np.argsort(pairs.order), device)]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPairs:
    """Which rows of the hidden states predict which targets; arrays on the host, so that blocks are cut without a sync.

    Attributes:
        rows: int64 [distinct positions], places in the states.
        pair_rows: int64 [targets], for each target the place in `rows` of the position that predicts it.
        targets: int64 [targets], token ids.
        order: int64 [targets], the targets in the order of their rows.
    """

    rows: npt.NDArray[np.int64]
    pair_rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, rows: npt.NDArray[np.int64], pair_rows: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
    ) -> ScoredPairs:
        """Sorts the targets by row."""
        return cls(rows, pair_rows, targets, np.argsort(pair_rows, kind="stable"))


def logits_bytes(device: torch.device) -> int:
    """Logits held at once on this kind of device, in bytes of float32."""
    return LOGITS_BYTES_CPU if device.type == "cpu" else LOGITS_BYTES


def _reduce(
    logits: torch.Tensor, at: torch.Tensor, wanted: torch.Tensor, upcast: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probability, is greedy) of targets `wanted`, predicted by rows `at`; the logits are used up."""
    if not upcast:
        greedy = logits.argmax(dim=-1)[at] == wanted
        return torch.log_softmax(logits, dim=-1)[at, wanted].float(), greedy
    logits = logits.float()
    highest, best = logits.max(dim=-1)
    chosen = logits[at, wanted] - highest[at]
    # in place: the block is read from the cache three times and written to memory never
    normaliser = logits.sub_(highest[:, None]).exp_().sum(dim=-1).log_()
    return chosen - normaliser[at], best[at] == wanted


def _position_limit(config: Any) -> int | None:
    """The input length from which on all positions are embedded differently, None when there is none.

    Dynamic NTK scaling depends on the longest input of a batch once that exceeds the trained length, LongRoPE switches its
    factors there: longer inputs must not share a batch with others.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, dict)] or [parameters]
    limits = [
        int(one.get("original_max_position_embeddings") or config.max_position_embeddings)
        if one["rope_type"] == "longrope"
        else int(config.max_position_embeddings)
        for one in nested
        if one.get("rope_type") in {"dynamic", "longrope"}
    ]
    return min(limits, default=None)


def _inside_adapter(model: PreTrainedModel) -> PreTrainedModel:
    """The causal language model inside a PEFT wrapper, whose layers hold the adapter; the model itself otherwise."""
    inner = getattr(model, "get_base_model", None)
    return inner() if callable(inner) and hasattr(model, "peft_config") else model
