"""Prompts that wait, in depth-first order of their prefix tree, and the prefixes that are computed once for several."""

from __future__ import annotations

from collections.abc import Sequence as Sequences

from evalkit.engine import plan
from evalkit.engine.sequences import TokenArray

# A prefix is worth a step of its own when it is longer than this, and saves so many tokens in all.
SHORTEST_TRUNK = 16
WORTHWHILE = 64


class Waiting:
    """A queue of prompts.

    Args:
        tokens: int32 [length], length >= 1, of each; several may be the same.
        shares: Whether prefixes are computed once; otherwise prompts are ordered by length, the longest first.
    """

    def __init__(self, tokens: Sequences[TokenArray], *, shares: bool) -> None:
        self._tokens = tokens
        self._next = 0
        if shares:
            order = plan.order_of(tokens)
            self._order: list[int] = order.indices.tolist()
            self._shared: list[int] = order.shared.tolist()
        else:
            self._order = sorted(range(len(tokens)), key=lambda index: -len(tokens[index]))
            self._shared = [0] * len(tokens)

    def __len__(self) -> int:
        return len(self._order) - self._next

    def first(self, count: int) -> list[int]:
        """The next so many, which stay."""
        return self._order[self._next : self._next + count]

    def take(self) -> int:
        """The next one."""
        self._next += 1
        return self._order[self._next - 1]

    @property
    def shared_with_previous(self) -> int:
        """Tokens that the next prompt has in common with the one before it; a prompt's last token is never shared."""
        if not len(self) or not self._next:
            return 0
        return min(self._shared[self._next], len(self._tokens[self._order[self._next]]) - 1)

    def trunk(self, depth: int) -> int | None:
        """Where the next prompt's first prefix beyond `depth` ends that is worth being computed once, None for none.

        Each prompt's last token is left out: its logits are needed for each.
        """
        sharers: dict[int, int] = {}
        common = len(self._tokens[self._order[self._next]]) - 1
        for place in range(self._next + 1, len(self._order)):
            common = min(common, self._shared[place], len(self._tokens[self._order[place]]) - 1)
            if common < depth + SHORTEST_TRUNK:
                break
            sharers[common] = place - self._next
        # the shortest prefix has the most sharers
        for end, others in sorted(sharers.items()):
            if (end - depth) * others >= WORTHWHILE:
                return end
        return None
