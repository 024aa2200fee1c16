"""How much fits: batch sizes from the device's free memory, and the peak that a run will reach.

The estimates count what is alive at the worst moment of a forward pass, for the architectures transformers calls by the
common names of their sizes. They are checked against measured peaks by benchmarks/memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import torch

from evalkit.engine.forward import logits_bytes

if TYPE_CHECKING:
    from evalkit.engine.forward import SplitModel

# Fixed sizes, so that runs on like machines make like plans.
BUDGETS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
CPU_BUDGET = 2048  # a larger one is not faster: products of matrices are at their peak rate from 512 rows on
SMALLEST_BUDGET = 32
FIXED_SIZE_CPU = 512
FIXED_SIZE = 4096

# Shares of the free memory that batches and carried keys may take; the rest is for the allocator and for others.
ACTIVATION_SHARE = 0.5
CARRY_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that a model's forward pass needs.

    Attributes:
        element: One number in the model's dtype.
        state: A token's hidden state.
        token: A token of a batch, at the worst moment of a layer.
        carried: A position whose keys and values are carried, in all layers.
        logits: The logits held at once.
        logit_rows: Positions whose logits these are.
    """

    element: int
    state: int
    token: int
    carried: int
    logits: int
    logit_rows: int

    @classmethod
    def of(cls, split: SplitModel) -> Sizes:
        """From the model's configuration."""
        config = split.core.config.get_text_config()
        size = torch.finfo(split.core.dtype).bits // 8
        hidden = int(config.hidden_size)
        heads = int(getattr(config, "num_attention_heads", 1) or 1)
        key_heads = int(getattr(config, "num_key_value_heads", None) or heads)
        head = int(getattr(config, "head_dim", None) or hidden // heads)
        widest = int(getattr(config, "intermediate_size", None) or 4 * hidden)
        layers = int(config.num_hidden_layers)
        # the feed-forward holds the residual stream, its norm, gate, up, and their product; the attention the residual
        # stream, its norm, queries before and after rotation, keys, values and the output
        feed_forward = 2 * hidden + 3 * widest
        attention = 2 * hidden + 3 * heads * head + 4 * key_heads * head
        vocabulary = max(split.vocabulary, 1)
        rows = max(1, logits_bytes(split.core.device) // (4 * vocabulary))
        return cls(
            element=size,
            state=size * hidden,
            token=size * max(feed_forward, attention),
            carried=2 * size * layers * key_heads * head,
            # logits, and in half precision their float32 copy
            logits=rows * vocabulary * (4 if size == 4 else 4 + size),
            logit_rows=rows,
        )


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min(int(psutil.virtual_memory().available), _cgroup_free())


def used_memory(device: torch.device) -> int:
    """Bytes in use now: this process's resident memory on CPU, torch's allocations on an accelerator."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.current_allocated_memory())
    return int(psutil.Process().memory_info().rss)


def _cgroup_free() -> int:
    """What a container's limit leaves; very much where there is none."""
    try:
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as used:
            return int(limit.read()) - int(used.read())
    except (OSError, ValueError):  # no such file, or "max"
        return 2**62


def default_budget(split: SplitModel) -> int:
    """Tokens a batch: the largest of `BUDGETS` whose activations fit the free memory, on CPU at most `CPU_BUDGET`."""
    sizes = Sizes.of(split)
    room = ACTIVATION_SHARE * free_memory(split.core.device) - sizes.logits
    largest = CPU_BUDGET if split.core.device.type == "cpu" else BUDGETS[-1]
    fitting = [budget for budget in BUDGETS if budget <= largest and budget * sizes.token < room]
    return fitting[-1] if fitting else BUDGETS[0]


def fixed_size(split: SplitModel) -> int:
    """Tokens of every batch where all must have the same size; a constant for each kind of device."""
    return FIXED_SIZE_CPU if split.core.device.type == "cpu" else FIXED_SIZE


def carry_limit(split: SplitModel) -> int:
    """Longest path whose keys and values may be carried: `CARRY_SHARE` of the free memory."""
    sizes = Sizes.of(split)
    # joining old and new makes a second copy for a moment
    return int(CARRY_SHARE * free_memory(split.core.device) // (2 * sizes.carried))
