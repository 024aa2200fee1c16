"""How much fits: batch sizes from the device's free memory, and the peak that a run will reach.

The estimates count what is alive at the worst moment of a forward pass, for the architectures transformers calls by the
common names of their sizes. They are checked against measured peaks by benchmarks/memory.py.
"""

from __future__ import annotations

import gc
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evalkit.engine.forward import logits_bytes
from evalkit.errors import EvaluationError

if TYPE_CHECKING:
    from evalkit.engine.forward import SplitModel

logger = logging.getLogger(__name__)

# Seconds before a batch that found no memory, and cannot be smaller, is tried again.
WAITS = (0.0, 1.0, 5.0, 20.0, 60.0)
# Fixed sizes, so that runs on like machines make like plans.
BUDGETS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
CPU_BUDGET = 2048  # a larger one is not faster: products of matrices are at their peak rate from 512 rows on
# On an accelerator a larger one is hardly faster once a batch keeps it busy for some milliseconds, takes more memory, and
# is shared out less evenly: 8,192 tokens took 2 to 3 % longer than 32,768 with 8 and with 1.2 billion parameters.
ENOUGH_BUDGET, ENOUGH_OPERATIONS = 8192, 1.6e13
SMALLEST_BUDGET = 32
FIXED_SIZE_CPU = 512
FIXED_SIZE = 4096

# Shares of the free memory that batches and carried keys may take; the rest is for the allocator and for others.
ACTIVATION_SHARE = 0.5
CARRY_SHARE = 0.2
GENERATION_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Footprint:
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
    def of(cls, split: SplitModel) -> Footprint:
        """From the model's configuration."""
        config = split.core.config.get_text_config()
        size = torch.finfo(split.core.dtype).bits // 8
        hidden = int(config.hidden_size)
        heads = _largest(config, "num_attention_heads", default=1)
        key_heads = _largest(config, "num_key_value_heads", default=heads)
        head = _largest(config, "qk_head_dim", "head_dim", default=hidden // heads)
        widest = _largest(config, "intermediate_size", default=4 * hidden)
        layers = int(config.num_hidden_layers)
        # the feed-forward holds the residual stream, its norm, gate, up, and their product; the attention the residual
        # stream, its norm, queries before and after rotation, keys, values and the output
        feed_forward = 2 * hidden + 3 * widest
        attention = 2 * hidden + 3 * heads * head + 4 * key_heads * head
        vocabulary = max(split.vocabulary, 1)
        rows = max(1, logits_bytes(split.core.device) // (4 * vocabulary))
        return cls(
            element=size,
            # a model that cannot be split hands over all its logits instead of hidden states
            state=size * (hidden if split.split else vocabulary),
            token=size * max(feed_forward, attention),
            carried=2 * size * layers * key_heads * head,
            # logits, and in half precision their float32 copy
            logits=rows * vocabulary * (4 if size == 4 else 4 + size),
            logit_rows=rows,
        )


def _largest(config: Any, *names: str, default: int) -> int:
    """The first of some settings that a configuration has; the largest where it has one for each layer."""
    for name in names:
        value = getattr(config, name, None)
        if value:
            return int(max(value) if isinstance(value, list | tuple) else value)
    return default


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what torch's allocator holds without using it is free for us
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    import psutil

    return min(int(psutil.virtual_memory().available), _cgroup_free(Path("/sys/fs/cgroup")))


def used_memory(device: torch.device) -> int:
    """Bytes in use now: this process's resident memory on CPU, torch's allocations on an accelerator."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.current_allocated_memory())
    import psutil

    return int(psutil.Process().memory_info().rss)


def _cgroup_free(folder: Path) -> int:
    """What a container's limit leaves; very much where there is none."""
    try:
        limit, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or "max"
        return 2**62
    # files that were read lately count as used, but make room when it is needed
    return limit - used + int(statistics.get("inactive_file", 0))


def largest_budget(device: torch.device, parameters: int) -> int:
    """Tokens a batch, of `BUDGETS`, above which a larger one gains next to nothing.

    Args:
        device: Where it is computed.
        parameters: Of the model; a token takes about two operations for each.
    """
    if device.type == "cpu":
        return CPU_BUDGET
    enough = max(ENOUGH_BUDGET, ENOUGH_OPERATIONS / (2 * max(1, parameters)))
    return next((budget for budget in BUDGETS if budget >= enough), BUDGETS[-1])


def default_budget(split: SplitModel, max_length: int) -> int:
    """Tokens a batch: the largest of `BUDGETS` whose activations fit the free memory, at most `largest_budget`.

    Args:
        split: The model, loaded.
        max_length: Inputs it takes at once; a single long prompt may fill more than the budget (`plan.BatchSizes`).
    """
    footprint = Footprint.of(split)
    room = ACTIVATION_SHARE * free_memory(split.core.device) - footprint.logits
    largest = largest_budget(split.core.device, sum(one.numel() for one in split.core.parameters()))
    fitting = [
        budget
        for budget in BUDGETS
        if budget <= largest and max(budget, min(4 * budget, max_length)) * footprint.token < room
    ]
    return fitting[-1] if fitting else BUDGETS[0]


def fixed_size(split: SplitModel) -> int:
    """Tokens of every batch where all must have the same size; a constant for each kind of device."""
    return FIXED_SIZE_CPU if split.core.device.type == "cpu" else FIXED_SIZE


def carry_limit(split: SplitModel, max_length: int) -> int:
    """Longest path whose keys and values may be carried.

    All that the model takes wherever `CARRY_SHARE` of the free memory holds that, so that the plan does not follow the
    free memory; a power of two otherwise.
    """
    # joining old and new makes a second copy for a moment
    fitting = int(CARRY_SHARE * free_memory(split.core.device) // (2 * Footprint.of(split).carried))
    if fitting >= max_length:
        return max_length
    return 1 << fitting.bit_length() - 1 if fitting else 0


def generation_bytes(device: torch.device) -> int:
    """Bytes that keys and values of the sequences being generated may take."""
    return int(GENERATION_SHARE * free_memory(device))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out: CUDA and the allocators of other devices each say it their own way."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(text in str(error) for text in ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED"))
    )


class Patience:
    """What is done when memory runs out and less at once is no way: waiting for another program to give some back.

    With `--deterministic` smaller batches would give other bits. The same is tried again, a few times in a row, and then
    the run ends; its journal keeps what was computed.
    """

    def __init__(self) -> None:
        self._tried = 0

    def wait(self, problem: str, error: RuntimeError, hint: str) -> None:
        """Frees what can be freed, and waits longer each time.

        Args:
            problem: What ran out of memory, for the message.
            error: What torch raised.
            hint: What to do if there never is enough.

        Raises:
            EvaluationError: It was tried often enough.
        """
        if self._tried == len(WAITS):
            raise EvaluationError(
                f"{problem}, {self._tried + 1} times in a row",
                hint=f"free memory on the device and give the same command again, or {hint}",
            ) from error
        logger.warning("%s: trying again in %g seconds", problem, WAITS[self._tried])
        release()
        time.sleep(WAITS[self._tried])
        self._tried += 1

    def succeeded(self) -> None:
        """There was enough memory."""
        self._tried = 0


def release() -> None:
    """Gives back to the device what torch holds for later."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
