"""Keys and values of the sequences being generated: preallocated rows, and nodes that several sequences share.

A sequence's path is a chain of nodes followed by what it has for itself, which stands in a row. Rows are written in place
(nothing is copied from step to step) and lie in one tensor for each attention call, so that one kernel attends for all
of them. Nodes are counted references: a prefix is computed once, attended to once for all its sequences, and goes when the
last of them does.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import torch

from evalkit.engine.attention import PackedAttentionError

# Rows and positions grow in steps, so that storage is laid anew a few times in a run and not with every token.
ROW_STEP = 8
POSITION_STEP = 128


@dataclass(slots=True, eq=False)
class Node:
    """A piece of a path that several sequences share.

    Attributes:
        start: Position of its first token.
        length: Tokens.
        states: For each attention call keys and values, [key heads, length, head size].
        references: Slots whose path it is on.
    """

    start: int
    length: int
    states: list[tuple[torch.Tensor, torch.Tensor]]
    references: int = 0


@dataclass(slots=True, eq=False)
class Slot:
    """Where one sequence's state lies.

    Attributes:
        row: Its row of the store.
        nodes: The shared part of its path, from the root.
        start: Positions in those nodes.
        length: Positions in its row.
    """

    row: int
    nodes: tuple[Node, ...] = ()
    start: int = 0
    length: int = 0


@dataclass(slots=True, eq=False)
class Store:
    """Rows of keys and values.

    Attributes:
        device: Where they lie.
        rows: Rows there are.
        capacity: Positions a row holds.
        states: For each attention call keys and values, [rows, key heads, capacity, head size].
    """

    device: torch.device
    rows: int = 0
    capacity: int = 0
    states: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    _free: list[int] = field(default_factory=list)

    def take(self) -> int:
        """The lowest free row; more are laid out when none is."""
        if not self._free:
            self._resize(self.rows + max(ROW_STEP, self.rows // 2), self.capacity)
        return heapq.heappop(self._free)

    def give(self, row: int) -> None:
        """Frees a row."""
        heapq.heappush(self._free, row)

    def reserve(self, positions: int) -> None:
        """Makes every row hold at least so many positions."""
        if positions > self.capacity:
            wanted = max(positions, self.capacity + self.capacity // 4)
            self._resize(self.rows, -(-wanted // POSITION_STEP) * POSITION_STEP)

    def states_of(self, call: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of one attention call; the first forward pass lays them out like `key` and `value`.

        Args:
            call: Number of the call within its forward pass.
            key: [1, key heads, tokens, head size].
            value: [1, key heads, tokens, value head size].
        """
        if call == len(self.states):
            self.states.append((self._new(key), self._new(value)))
        if call > len(self.states):
            raise PackedAttentionError("the model calls its attention in another order than before")
        return self.states[call]

    def node(self, slot: Slot) -> Node:
        """What a slot has in its row, as a node of its own."""
        own = [
            (keys[slot.row, :, : slot.length].clone(), values[slot.row, :, : slot.length].clone())
            for keys, values in self.states
        ]
        return Node(slot.start, slot.length, own)

    def copy(self, source: Slot, row: int) -> None:
        """Copies what a slot has in its row to another row."""
        for keys, values in self.states:
            keys[row, :, : source.length] = keys[source.row, :, : source.length]
            values[row, :, : source.length] = values[source.row, :, : source.length]

    def clear(self) -> None:
        """Gives all memory back; every row must be free."""
        self.rows, self.capacity, self.states, self._free = 0, 0, [], []

    def _new(self, like: torch.Tensor) -> torch.Tensor:
        # zeros, not empty: what a masked key's value is multiplied with is 0, and 0 x NaN is NaN
        return like.new_zeros((self.rows, like.shape[1], self.capacity, like.shape[3]))

    def _resize(self, rows: int, capacity: int) -> None:
        for call, (keys, values) in enumerate(self.states):
            self.states[call] = _enlarged(keys, rows, capacity), _enlarged(values, rows, capacity)
        for row in range(self.rows, rows):
            heapq.heappush(self._free, row)
        self.rows, self.capacity = rows, capacity


def _enlarged(old: torch.Tensor, rows: int, capacity: int) -> torch.Tensor:
    new = old.new_zeros((rows, old.shape[1], capacity, old.shape[3]))
    new[: old.shape[0], :, : old.shape[2]] = old
    return new
