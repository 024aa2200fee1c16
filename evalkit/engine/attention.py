"""Attention over a packed prefix tree, plugged into transformers' attention and mask interfaces.

transformers builds one mask for each kind of layer (full, sliding window, chunked) from an index-based rule. That rule is
evaluated here on the tokens' positions within their own sequences and joined with "is on the path of"; every layer kind
is right without knowing the model. Layers then attend group by group: the tokens of a few neighbouring branches to the
keys of their path and their own, none copied once per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from evalkit.engine.packing import AttentionGroup, PackedBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "evalkit_packed"

MaskRule = Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]


class PackedAttentionError(Exception):
    """The model asks its attention for something that the packed path does not compute."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupPlan:
    """How one group attends, on the device.

    Attributes:
        start: First query token.
        stop: One past the last.
        path: int64 [path keys] or None when there are none.
        mask: [queries, path keys + queries], added to the scores (0 or -inf); None for plain causal attention.
    """

    start: int
    stop: int
    path: torch.Tensor | None
    mask: torch.Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class PackedMask:
    """What stands in for a layer kind's attention mask: the plan of each group."""

    groups: tuple[GroupPlan, ...]


class _Current:
    """The batch being computed. transformers passes no argument of ours to the mask function, so it is handed over here."""

    batch: DeviceBatch | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DeviceBatch:
    """The part of a packed batch that attention needs, on the device."""

    groups: tuple[AttentionGroup, ...]
    positions: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    paths: tuple[torch.Tensor | None, ...]

    @classmethod
    def of(cls, batch: PackedBatch, device: torch.device) -> DeviceBatch:
        """Copies what attention needs to `device`."""
        return cls(
            batch.groups,
            torch.from_numpy(batch.positions).to(device),
            torch.from_numpy(batch.first).to(device),
            torch.from_numpy(batch.last).to(device),
            tuple(torch.from_numpy(group.path).to(device) if len(group.path) else None for group in batch.groups),
        )


@contextmanager
def packed_attention(model: PreTrainedModel, batch: PackedBatch) -> Iterator[None]:
    """Within this context `model` attends over `batch`; afterwards it attends as before. Not re-entrant.

    Raises:
        PackedAttentionError: The model cannot be switched to another attention function.
    """
    original = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    if model.config._attn_implementation != NAME:
        raise PackedAttentionError(f"{type(model).__name__} has an attention of its own")
    _Current.batch = DeviceBatch.of(batch, model.device)
    try:
        yield
    finally:
        _Current.batch = None
        model.set_attn_implementation(original)


def _packed_mask(*, mask_function: MaskRule, dtype: torch.dtype, **_: Any) -> PackedMask:
    batch = _Current.batch
    if batch is None:
        raise PackedAttentionError("packed attention was used outside a packed batch")
    plans = []
    for group, path in zip(batch.groups, batch.paths, strict=True):
        plans.append(GroupPlan(group.start, group.stop, path, _group_mask(batch, group, path, mask_function, dtype)))
    return PackedMask(tuple(plans))


def _group_mask(
    batch: DeviceBatch, group: AttentionGroup, path: torch.Tensor | None, rule: MaskRule, dtype: torch.dtype
) -> torch.Tensor | None:
    own = torch.arange(group.start, group.stop, device=batch.positions.device)
    if group.chain and bool(rule(0, 0, batch.positions[own[-1]], batch.positions[own[0]])):
        return None  # the last token may see the first: no window or chunk cuts this path
    keys = own if path is None else torch.cat([path, own])
    query_sequence = batch.first[own][:, None]
    on_path = (batch.first[keys][None, :] <= query_sequence) & (query_sequence <= batch.last[keys][None, :])
    allowed = on_path & rule(0, 0, batch.positions[own][:, None], batch.positions[keys][None, :])
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -torch.inf)


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
    if not isinstance(attention_mask, PackedMask) or position_bias is not None or query.shape[0] != 1:
        raise PackedAttentionError(f"{type(module).__name__} does not use the common causal mask")
    output = query.new_empty((1, query.shape[2], query.shape[1], value.shape[-1]))
    for group in attention_mask.groups:
        queries = query[:, :, group.start : group.stop]
        keys, values = (_with_path(states, group) for states in (key, value))
        if softcap is None and s_aux is None:
            attended = scaled_dot_product_attention(
                queries,
                keys,
                values,
                attn_mask=group.mask,
                is_causal=group.mask is None,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        else:
            attended = _explicit_attention(queries, keys, values, group.mask, scaling, softcap, s_aux)
        output[:, group.start : group.stop] = attended.transpose(1, 2)
    return output, None


def _with_path(states: torch.Tensor, group: GroupPlan) -> torch.Tensor:
    own = states[:, :, group.start : group.stop]
    return own if group.path is None else torch.cat([states.index_select(2, group.path), own], dim=2)


def _explicit_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Attention with soft-capped scores (Gemma 2) or attention sinks (gpt-oss), which the fused kernel does not know."""
    repeats = queries.shape[1] // keys.shape[1]
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
        return (torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)[..., :-1].to(values.dtype)) @ values
    return torch.softmax(scores, dim=-1).to(values.dtype) @ values


AttentionInterface.register(NAME, _packed_forward)
AttentionMaskInterface.register(NAME, _packed_mask)
