"""Attention over a packed prefix tree, plugged into transformers' attention and mask interfaces.

transformers builds one mask for each kind of layer (full, sliding window, chunked) from an index-based rule. That rule is
evaluated here on the tokens' positions within their own sequences and joined with "is on the path of"; every layer kind
is right without knowing the model. Layers then attend group by group: the tokens of a few neighbouring branches to the
keys of their path and their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from evalkit.engine.packing import AttentionGroup, PackedRow
from evalkit.engine.transfer import to_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "evalkit_packed"

# PyTorch's CPU kernel works through keys in blocks of 512: with whole blocks, masked to the path's end, the sums of a
# query are made in the same order whatever stands beside it (measured: benchmarks/determinism.py).
EXACT_KEYS = 512

# Numbers at whose multiples the rows of a mask begin: others are copied for every layer.
MASK_ALIGNMENT = 16

MaskRule = Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]


class PackedAttentionError(Exception):
    """The model asks its attention for something that the packed path does not compute."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupPlan:
    """How one group attends, on the device.

    Attributes:
        start: First query token.
        stop: One past the last.
        keys: int64 [keys], which keys; None for the first `count`.
        count: Number of keys.
        mask: [queries, keys], added to the scores (0 or -inf); None for plain causal attention.
    """

    start: int
    stop: int
    keys: torch.Tensor | None
    count: int
    mask: torch.Tensor | None

    def on(self, device: torch.device) -> GroupPlan:
        """The plan on another device."""
        keys = None if self.keys is None else self.keys.to(device)
        # laid out anew: a copy would lose the spare numbers between its rows
        mask = None if self.mask is None else added_mask(self.mask.to(device) == 0, self.mask.dtype)
        return replace(self, keys=keys, mask=mask)


@dataclass(frozen=True, slots=True, eq=False)
class PackedMask:
    """What stands in for a layer kind's attention mask: the plan of each group.

    Attributes:
        device: Where the plans are.
        groups: The plans.
    """

    device: torch.device
    groups: tuple[GroupPlan, ...]
    _copies: dict[torch.device, tuple[GroupPlan, ...]] = field(default_factory=dict)

    def on(self, device: torch.device) -> tuple[GroupPlan, ...]:
        """The plans where a layer computes: each device that a model is spread over gets one copy a forward pass.

        (Not called `to`: accelerate would then make a copy for every layer.)
        """
        if device == self.device:
            return self.groups
        if device not in self._copies:
            self._copies[device] = tuple(group.on(device) for group in self.groups)
        return self._copies[device]


class Carry:
    """Keys and values of one path from the root, kept from batch to batch.

    Layers are told apart by the order in which a forward pass calls its attention, which also holds for layers that
    are used twice.

    Attributes:
        length: Positions held.
    """

    def __init__(self) -> None:
        self.length = 0
        self._states: list[tuple[torch.Tensor, torch.Tensor]] = []

    def cut(self, length: int) -> None:
        """Forgets what lies behind the first `length` positions."""
        if length > self.length:
            raise PackedAttentionError(f"{length} positions are needed, but only {self.length} are carried")
        if length < self.length:
            self.replace(self._states if length else [], length)

    def joined(self, call: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The carried keys and values of one attention call with new ones behind them."""
        if not self.length:
            return key, value
        keys, values = self._states[call]
        return torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)

    def replace(self, states: list[tuple[torch.Tensor, torch.Tensor]], length: int) -> None:
        """Holds other states from now on: for each attention call [1, key heads, >= length, head size].

        They are copied: a slice would keep all of what it is cut from, which may be a fused projection.
        """
        self.length = length
        self._states = [(keys[:, :, :length].clone(), values[:, :, :length].clone()) for keys, values in states]


class _Run:
    """One forward pass over a packed row."""

    def __init__(self, row: PackedRow, carry: Carry, keep: bool, exact_rows: int | None, device: torch.device) -> None:
        self.carry = carry
        self.keep = keep
        self.exact_rows = exact_rows
        self.calls = 0
        self.kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.groups = row.groups
        self.carried = row.carried
        self.positions, self.first, self.last = to_device(np.stack(row.keys()), device)
        keys = [self._keys(group) for group in row.groups]
        self.keys = to_device(np.concatenate(keys), device).split([len(part) for part in keys])

    def _keys(self, group: AttentionGroup) -> npt.NDArray[np.int64]:
        if self.exact_rows is None:
            return group.keys
        return np.pad(group.keys, (0, -len(group.keys) % EXACT_KEYS))

    def takes_first_keys(self, group: AttentionGroup) -> bool:
        """Whether a group's keys are the first ones, so that they need not be copied.

        Never with exact rows: a slice lies differently in memory than a copy and may be added up differently.
        """
        return self.exact_rows is None and int(group.keys[-1]) == len(group.keys) - 1


class _Current(threading.local):
    """The forward pass under way, in each thread: one model may be checked while another computes.

    transformers passes nothing of ours to the mask function, so it is handed over here.
    """

    run: _Run | None = None


_current = _Current()


@contextmanager
def packed_attention(
    model: PreTrainedModel, row: PackedRow, carry: Carry, *, keep: bool = False, exact_rows: int | None = None
) -> Iterator[None]:
    """Within this context `model` attends over `row`; afterwards it attends as before. Not re-entrant.

    Args:
        model: The model, its attention implemented through transformers' interface.
        row: What one forward pass in this context computes.
        carry: Holds the path before the row.
        keep: Add the row, which then is a single path, to `carry`.
        exact_rows: Compute every group with exactly so many queries and a multiple of `EXACT_KEYS` keys, so that a
            token's result does not depend on what else is in the row.

    Raises:
        PackedAttentionError: The model cannot be switched to another attention function.
    """
    with attention_named(model, NAME):
        try:
            carry.cut(row.carried)
            run = _current.run = _Run(row, carry, keep, exact_rows, model.device)
            yield
            if keep:
                carry.replace(run.kept, row.carried + row.groups[-1].stop)
        finally:
            _current.run = None


@contextmanager
def attention_named(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Within this context `model` attends with the registered function `name`.

    Raises:
        PackedAttentionError: The model cannot be switched to another attention function.
    """
    original = model.config._attn_implementation
    model.set_attn_implementation(name)
    if model.config._attn_implementation != name:
        raise PackedAttentionError(f"{type(model).__name__} has an attention of its own")
    try:
        yield
    finally:
        model.set_attn_implementation(original)


def _packed_mask(*, mask_function: MaskRule, dtype: torch.dtype, **_: Any) -> PackedMask:
    run = _current.run
    if run is None:
        raise PackedAttentionError("packed attention was used outside a packed batch")
    return PackedMask(
        run.positions.device,
        tuple(
            GroupPlan(
                group.start,
                group.stop,
                None if run.takes_first_keys(group) else keys,
                len(keys),
                _group_mask(run, group, keys, mask_function, dtype),
            )
            for group, keys in zip(run.groups, run.keys, strict=True)
        ),
    )


def _group_mask(
    run: _Run, group: AttentionGroup, keys: torch.Tensor, rule: MaskRule, dtype: torch.dtype
) -> torch.Tensor | None:
    length = group.stop - group.start
    if group.chain and run.exact_rows is None:
        at = torch.tensor([length - 1, 0])
        if bool(rule(0, 0, at[0], at[1])):
            return None  # the last token may see the first: no window or chunk cuts this path
    own = slice(run.carried + group.start, run.carried + group.stop)
    piece = run.first[own][:, None]
    allowed = (run.first[keys][None, :] <= piece) & (piece <= run.last[keys][None, :])
    allowed &= rule(0, 0, run.positions[own][:, None], run.positions[keys][None, :])
    if run.exact_rows is not None:
        allowed[:, len(group.keys) :] = False
        allowed = torch.nn.functional.pad(allowed, (0, 0, 0, run.exact_rows - length), value=True)
    return added_mask(allowed, dtype)


def added_mask(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to scores: 0 where a key is seen, else -inf; rows begin where fused kernels of accelerators want it."""
    width = allowed.shape[-1]
    spare = 0 if allowed.device.type == "cpu" else -width % MASK_ALIGNMENT
    mask = torch.zeros((*allowed.shape[:-1], width + spare), dtype=dtype, device=allowed.device)[..., :width]
    return mask.masked_fill_(~allowed, -torch.inf)


def _packed_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: PackedMask,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of [1, heads, tokens, head size] queries; returns [1, tokens, heads, value head size]."""
    run = _current.run
    if run is None or not isinstance(attention_mask, PackedMask) or position_bias is not None or query.shape[0] != 1:
        raise PackedAttentionError(f"{type(module).__name__} does not use the common causal mask")
    key, value = run.carry.joined(run.calls, key, value)
    run.calls += 1
    if run.keep:
        run.kept.append((key, value))
    output = query.new_zeros((1, query.shape[2], query.shape[1], value.shape[-1]))
    for group in attention_mask.on(query.device):
        queries = query[:, :, group.start : group.stop]
        if run.exact_rows is not None:
            queries = torch.nn.functional.pad(queries, (0, 0, 0, run.exact_rows - queries.shape[2])).contiguous()
        keys, values = (
            states[:, :, : group.count] if group.keys is None else states.index_select(2, group.keys)
            for states in (key, value)
        )
        if softcap is None and s_aux is None:
            attended = _fused_attention(queries, keys, values, group.mask, scaling)
        else:
            attended = _explicit_attention(queries, keys, values, group.mask, scaling, softcap, s_aux)
        target = output[:, group.start : group.stop].unflatten(2, attended.shape[1:3])
        target.copy_(attended[:, :, :, : group.stop - group.start].permute(0, 3, 1, 2, 4))
    return output, None


def _fused_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """Attention by PyTorch's kernels: [1, key heads, group, queries, value head size]."""
    heads = keys.shape[1]
    if queries.shape[1] != heads and mask is not None and queries.device.type != "cpu":
        # the accelerators' kernels that take a mask want a key head for every query head: the key heads stand in for a
        # batch, and the one key head of each for its whole group
        grouped = queries[0].unflatten(0, (heads, -1))
        shape = (*grouped.shape[:2], -1, -1)
        return scaled_dot_product_attention(
            grouped, keys[0, :, None].expand(shape), values[0, :, None].expand(shape), attn_mask=mask, scale=scaling
        )[None]
    return scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=queries.shape[1] != heads,
    ).unflatten(1, (heads, -1))


def _explicit_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """As `_fused_attention` with soft-capped scores (Gemma 2) or attention sinks (gpt-oss), which no kernel knows."""
    heads = keys.shape[1]
    repeats = queries.shape[1] // heads
    keys, values = keys.repeat_interleave(repeats, dim=1), values.repeat_interleave(repeats, dim=1)
    scores = (queries @ keys.transpose(2, 3)).float() * (scaling if scaling is not None else queries.shape[-1] ** -0.5)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None:
        length = scores.shape[-1]
        mask = torch.full((length, length), -torch.inf, device=scores.device).triu_(1)
    scores = scores + mask
    if sinks is not None:
        column = sinks.reshape(1, -1, 1, 1).expand(1, scores.shape[1], scores.shape[2], 1).to(scores.dtype)
        weights = torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)[..., :-1]
    else:
        weights = torch.softmax(scores, dim=-1)
    return (weights.to(values.dtype) @ values).unflatten(1, (heads, -1))


AttentionInterface.register(NAME, _packed_forward)
AttentionMaskInterface.register(NAME, _packed_mask)
