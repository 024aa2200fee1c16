"""One forward pass, split into trunk (hidden states) and head (log-probabilities at the scored positions only)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Logits held at once, in bytes of float32: bounds memory whatever the vocabulary and the number of scored positions.
LOGITS_BYTES = 256 * 2**20
# Scored positions go through the head in blocks of a multiple of this many rows.
HEAD_ROWS = 64


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

    def states(self, **inputs: Any) -> torch.Tensor:
        """What `log_probabilities` needs of a forward pass: hidden states [rows, tokens, size], or all logits."""
        if self.split:
            return self._trunk(**inputs)
        logits: torch.Tensor = self.core(**inputs, use_cache=False).logits
        return logits

    def log_probabilities(
        self, states: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor, *, upcast: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability of each target, and whether it is the most probable token.

        Args:
            states: [positions, size], the states of the distinct scored positions.
            rows: int64 [targets], non-decreasing or not: the position that predicts each target.
            targets: int64 [targets], token ids.
            upcast: Log-softmax in float32, as logsumexp minus the logit: PyTorch's own float32 log_softmax on CPU is
                biased (benchmarks/log_softmax_bias.py). False reproduces lm-eval's
                log-softmax in the model's dtype.

        Returns:
            float32 [targets] (nats) and bool [targets].
        """
        result = torch.empty(len(targets), dtype=torch.float32, device=states.device)
        greedy = torch.empty(len(targets), dtype=torch.bool, device=states.device)
        width = max(self.vocabulary, 1) if self.split else states.shape[-1]
        block = max(HEAD_ROWS, LOGITS_BYTES // (4 * width) // HEAD_ROWS * HEAD_ROWS)
        for start in range(0, len(states), block):
            chosen = torch.nonzero((rows >= start) & (rows < start + block)).squeeze(1)
            part = states[start : start + block]
            logits = self._head(part[None])[0] if self.split else part
            at, wanted = rows[chosen] - start, targets[chosen]
            best = logits.argmax(dim=-1)
            if upcast:
                logits = logits.float()
                value = logits[at, wanted] - torch.logsumexp(logits, dim=-1)[at]
            else:
                value = torch.log_softmax(logits, dim=-1)[at, wanted].float()
            result[chosen] = value
            greedy[chosen] = best[at] == wanted
        return result, greedy


def _inside_adapter(model: PreTrainedModel) -> PreTrainedModel:
    """The causal language model inside a PEFT wrapper, whose layers hold the adapter; the model itself otherwise."""
    inner = getattr(model, "get_base_model", None)
    return inner() if callable(inner) and hasattr(model, "peft_config") else model
