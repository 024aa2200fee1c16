"""Attention of one decoding step: many sequences in one row of tokens, each over its own path.

Every query attends to the pieces of its path apart, and the parts are joined by their normalisers (log-sum-exp merge,
as in Hydragen, Juravsky et al. 2024): its own row, where single tokens of all sequences go through one kernel call, and
the nodes it shares, each of which is read once for all its sequences. Query heads that share a key head are the rows of
one product, so that no key is repeated.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from evalkit.engine.attention import MaskRule, PackedAttentionError, added_mask, attention_named
from evalkit.engine.generation.store import Node, Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "evalkit_decoding"


@dataclass(frozen=True, slots=True, eq=False)
class Singles:
    """The sequences that go on by one token: the first tokens of the step.

    Attributes:
        rows: int64 [singles], row of each.
        lengths: int64 [rows of the store up to the last used], positions in the row, the new one included; 1 where the
            row has no token in this step.
        positions: int64 [the same], position of the new token.
        starts: int64 [the same], position of the row's first token.
        blocks: Runs of rows that attend in one call, and the longest of their lengths: (first, one past the last, length).
    """

    rows: torch.Tensor
    lengths: torch.Tensor
    positions: torch.Tensor
    starts: torch.Tensor
    blocks: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Several tokens of one sequence.

    Attributes:
        first: Its first token's place in the step.
        count: Tokens.
        row: Its row.
        before: Positions in the row before it.
        start: Position of the row's first token.
    """

    first: int
    count: int
    row: int
    before: int
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """A node and the tokens that attend to it.

    Attributes:
        node: The node.
        tokens: int64 [tokens], their places in the step.
    """

    node: Node
    tokens: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One forward pass.

    Attributes:
        store: Where the rows are.
        positions: int64 [tokens], position of each token in its sequence.
        singles: The sequences with one token; None when there are none.
        chunks: Those with several, behind the single tokens.
        shared: Nodes on the paths.
    """

    store: Store
    positions: torch.Tensor
    singles: Singles | None
    chunks: tuple[Chunk, ...]
    shared: tuple[Shared, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StepMask:
    """What stands in for a layer kind's attention mask; None where everything before is seen.

    Attributes:
        singles: For each block of rows [rows, 1, 1, length].
        chunks: For each chunk [tokens, positions in the row]; None for plain causal attention of a row's beginning.
        shared: For each node [tokens, length of the node].
    """

    singles: tuple[torch.Tensor | None, ...]
    chunks: tuple[torch.Tensor | None, ...]
    shared: tuple[torch.Tensor | None, ...]


class _Current(threading.local):
    """The step under way in each thread: transformers passes nothing of ours to the mask function."""

    step: Step | None = None
    calls: int = 0


_current = _Current()


@contextmanager
def decoding_attention(model: PreTrainedModel, step: Step) -> Iterator[None]:
    """Within this context `model` computes `step`, and its keys and values are written to the store.

    Raises:
        PackedAttentionError: The model does not attend through transformers' interface.
    """
    with attention_named(model, NAME):
        _current.step, _current.calls = step, 0
        try:
            yield
        finally:
            calls, _current.step = _current.calls, None
    if calls != len(step.store.states):
        raise PackedAttentionError("the model calls its attention in another order than before")


def _step_mask(*, mask_function: MaskRule, dtype: torch.dtype, **_: Any) -> StepMask:
    step = _current.step
    if step is None:
        raise PackedAttentionError("decoding attention was used outside a decoding step")

    def added(allowed: torch.Tensor) -> torch.Tensor:
        return added_mask(allowed, dtype)

    def seen(positions: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return mask_function(0, 0, positions, keys)

    singles: list[torch.Tensor | None] = []
    if step.singles is not None:
        one = step.singles
        whole = bool(seen(one.positions, one.starts).all())
        for first, last, length in one.blocks:
            places = torch.arange(length, device=one.lengths.device)[None]
            allowed = places < one.lengths[first:last, None]
            if not whole:
                allowed &= seen(one.positions[first:last, None], one.starts[first:last, None] + places)
            singles.append(None if bool(allowed.all()) else added(allowed)[:, None, None])
    chunks: list[torch.Tensor | None] = []
    for chunk in step.chunks:
        own = step.positions[chunk.first : chunk.first + chunk.count]
        keys = torch.arange(chunk.start, chunk.start + chunk.before + chunk.count, device=own.device)
        if not chunk.before and bool(seen(own[-1], keys[0])):
            chunks.append(None)
        else:
            chunks.append(added((keys[None] <= own[:, None]) & seen(own[:, None], keys[None])))
    shared: list[torch.Tensor | None] = []
    for part in step.shared:
        own = step.positions.index_select(0, part.tokens)
        keys = torch.arange(part.node.start, part.node.start + part.node.length, device=own.device)
        whole = bool(seen(own, keys[0].expand_as(own)).all())
        shared.append(None if whole else added(seen(own[:, None], keys[None]).expand(len(own), len(keys))))
    return StepMask(tuple(singles), tuple(chunks), tuple(shared))


@dataclass(slots=True)
class _Attended:
    """What queries have gathered so far.

    Attributes:
        values: float32 [tokens, key heads, group, value head size].
        weights: float32 [tokens, key heads, group]: log of the sum of their exponentiated scores.
    """

    values: torch.Tensor
    weights: torch.Tensor

    def put(self, first: int, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Sets the tokens from `first` on."""
        self.values[first : first + len(values)] = values
        self.weights[first : first + len(weights)] = weights

    def join(self, tokens: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Adds another part of some tokens' paths."""
        own = self.weights.index_select(0, tokens)
        together = torch.logaddexp(own, weights)
        old, new = torch.exp(own - together)[..., None], torch.exp(weights - together)[..., None]
        self.values.index_copy_(0, tokens, self.values.index_select(0, tokens) * old + values * new)
        self.weights.index_copy_(0, tokens, together)


def _step_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: StepMask,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of [1, heads, tokens, head size] queries; returns [1, tokens, heads, value head size]."""
    step = _current.step
    if step is None or not isinstance(attention_mask, StepMask) or position_bias is not None or query.shape[0] != 1:
        raise PackedAttentionError(f"{type(module).__name__} does not use the common causal mask")
    keys, values = step.store.states_of(_current.calls, key, value)
    heads = key.shape[1]
    queries = query[0].unflatten(0, (heads, -1)).permute(2, 0, 1, 3)  # [tokens, key heads, group, head size]
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    found = _Attended(
        torch.empty((*queries.shape[:3], value.shape[-1]), dtype=torch.float32, device=query.device),
        torch.empty(queries.shape[:3], dtype=torch.float32, device=query.device),
    )
    if step.singles is not None:
        _attend_singles(
            step.singles, attention_mask, (queries, key[0], value[0]), (keys, values), found, scale, softcap
        )
    for chunk, mask in zip(step.chunks, attention_mask.chunks, strict=True):
        own = slice(chunk.first, chunk.first + chunk.count)
        end = chunk.before + chunk.count
        keys[chunk.row, :, chunk.before : end] = key[0, :, own]
        values[chunk.row, :, chunk.before : end] = value[0, :, own]
        # the key heads stand in for a batch; the one key head of each serves its whole group of queries
        part, weights = _attend(
            queries[own].permute(1, 2, 0, 3),
            keys[chunk.row, :, None, :end],
            values[chunk.row, :, None, :end],
            mask,
            mask is None,
            scale,
            softcap,
        )
        found.put(chunk.first, part.permute(2, 0, 1, 3), weights.permute(2, 0, 1))
    for shared, mask in zip(step.shared, attention_mask.shared, strict=True):
        node_keys, node_values = shared.node.states[_current.calls]
        part, weights = _attend(
            queries.index_select(0, shared.tokens).permute(1, 2, 0, 3),
            node_keys[:, None],
            node_values[:, None],
            mask,
            False,
            scale,
            softcap,
        )
        if mask is not None:
            # PyTorch's kernel gives a query that sees nothing the weight of one score
            weights = weights.masked_fill((mask == -torch.inf).all(dim=-1), -torch.inf)
        found.join(shared.tokens, part.permute(2, 0, 1, 3), weights.permute(2, 0, 1))
    if s_aux is not None:
        # a sink takes its share of the weight and gives no value
        found.values *= torch.sigmoid(found.weights - s_aux.float().reshape(1, heads, -1))[..., None]
    _current.calls += 1
    return found.values.to(value.dtype).flatten(1, 2)[None], None


def _attend_singles(
    singles: Singles,
    mask: StepMask,
    new: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    states: tuple[torch.Tensor, torch.Tensor],
    found: _Attended,
    scale: float,
    softcap: float | None,
) -> None:
    """Writes the single tokens' keys and values and attends for all of them, block of rows by block of rows."""
    queries, key, value = new
    keys, values = states
    count = len(singles.rows)
    places = singles.lengths.index_select(0, singles.rows) - 1
    keys[singles.rows, :, places] = key[:, :count].transpose(0, 1)
    values[singles.rows, :, places] = value[:, :count].transpose(0, 1)
    spread = queries.new_zeros((len(singles.lengths), *queries.shape[1:]))
    spread.index_copy_(0, singles.rows, queries[:count])
    parts = []
    for (first, last, length), added in zip(singles.blocks, mask.singles, strict=True):
        rows = slice(first, last)
        parts.append(
            _attend(spread[rows], keys[rows, :, :length], values[rows, :, :length], added, False, scale, softcap)
        )
    attended = torch.cat([part for part, _ in parts]).index_select(0, singles.rows)
    weights = torch.cat([weights for _, weights in parts]).index_select(0, singles.rows)
    found.put(0, attended, weights)


def _attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    causal: bool,
    scale: float,
    softcap: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and its normalisers.

    Args:
        queries: [batch, heads, rows, head size].
        keys: [batch, heads or 1, length, head size].
        values: [batch, heads or 1, length, value head size].
        mask: Added to the scores, to be broadcast to [batch, heads, rows, length].
        causal: Row i sees keys 0 .. i.
        scale: Scores are multiplied by it.
        softcap: Scores are bent to lie within plus and minus this.

    Returns:
        [batch, heads, rows, value head size], and float32 [batch, heads, rows]: log of the sum of exponentiated scores.
    """
    if queries.device.type == "cpu" and softcap is None and keys.shape[-1] == values.shape[-1]:
        shape = (keys.shape[0], queries.shape[1], *keys.shape[2:])
        attended, weights = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            queries, keys.expand(shape), values.expand(shape), 0.0, causal, attn_mask=mask, scale=scale
        )
        return attended, weights
    if softcap is None and _has_kernel(queries, keys, values, mask):
        shape = (keys.shape[0], queries.shape[1], *keys.shape[2:])
        bias = None if mask is None else mask.expand(*queries.shape[:3], keys.shape[2])
        attended, weights, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            queries, keys.expand(shape), values.expand(shape), bias, True, 0.0, causal, scale=scale
        )
        return attended, weights[..., : queries.shape[2]]
    scores = (queries @ keys.transpose(2, 3)).float() * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if causal:
        mask = scores.new_full(scores.shape[-2:], -torch.inf).triu_(1)
    if mask is not None:
        scores = scores + mask
    weights = torch.logsumexp(scores, dim=-1)
    # a query that sees nothing of this part weighs nothing
    probabilities = torch.exp(scores - weights.nan_to_num(neginf=0.0)[..., None])
    return probabilities.to(values.dtype) @ values, weights


def _has_kernel(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """Whether CUDA's memory-efficient kernel, which returns normalisers, takes this."""
    if queries.device.type != "cuda" or keys.shape[-1] != values.shape[-1] or keys.shape[-1] % 8:
        return False
    # a query that sees nothing of a shared node is the explicit computation's; only those masks have rows of their own
    return mask is None or mask.dim() == 4


AttentionInterface.register(NAME, _step_forward)
AttentionMaskInterface.register(NAME, _step_mask)
