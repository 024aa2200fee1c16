"""Which prompt joins next, and which prefix is computed once."""

from __future__ import annotations

import numpy as np

from evalkit.engine.generation.waiting import Waiting
from tests.engine.generation.support import random_tokens


def test_sharers_are_neighbours_and_trunks_are_found_from_the_root() -> None:
    outer = random_tokens(50, 0)
    inner = np.concatenate([outer, random_tokens(40, 1)])
    tokens = [random_tokens(30, 5)] + [np.concatenate([inner, random_tokens(3, seed)]) for seed in (6, 7, 8)]
    tokens.append(np.concatenate([outer, random_tokens(9, 9)]))
    waiting = Waiting(tokens, shares=True)
    seen = []
    while len(waiting):
        trunks, depth = [], waiting.shared_with_previous
        while (end := waiting.trunk(depth)) is not None:
            trunks.append(end)
            depth = end
        seen.append((waiting.take(), trunks))
    order = [index for index, _ in seen]
    assert sorted(order) == list(range(5))
    group = [order.index(index) for index in (1, 2, 3)]
    assert max(group) - min(group) == 2
    found = [trunks for _, trunks in seen if trunks]
    # whichever comes first finds the outer prefix, and the first of the three the inner one
    assert found in ([[50, 90]], [[50], [90]])


def test_short_prefixes_and_the_last_token_are_not_shared() -> None:
    first = random_tokens(12, 0)
    waiting = Waiting([np.concatenate([first, random_tokens(9, seed)]) for seed in (1, 2, 3)], shares=True)
    assert waiting.trunk(0) is None
    same = random_tokens(70, 4)
    waiting = Waiting([same, same.copy(), same], shares=True)
    assert waiting.trunk(0) == 69
    waiting.take()
    assert waiting.shared_with_previous == 69


def test_without_sharing_the_longest_come_first() -> None:
    waiting = Waiting([random_tokens(count, 0) for count in (3, 9, 5)], shares=False)
    assert waiting.first(2) == [1, 2]
    assert [waiting.take() for _ in range(3)] == [1, 2, 0]
    assert waiting.shared_with_previous == 0
