from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine.packing import PackedRow, pack_row
from evalkit.engine.plan import BatchSizes, PackedBatch, depth_first, pack
from evalkit.engine.sequences import Sequence

lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=14), min_size=1, max_size=20)
budgets = st.integers(4, 300)

Key = tuple[int, ...]


def packed(
    tokens: list[list[int]], budget: int, tile: int | None = None
) -> list[tuple[PackedBatch, PackedRow, list[Key]]]:
    """Every batch of a plan with its row and, for each key, the prefix of a sequence that it stands for."""
    sequences = [Sequence(np.array(one, dtype=np.int32), np.arange(min(2, len(one)), dtype=np.int32)) for one in tokens]
    kept: list[int] = []
    result = []
    for batch in pack(sequences, depth_first(sequences), BatchSizes.of(budget, 2**31)):
        row = pack_row(sequences, batch, tile)
        kept = kept[: batch.carried]
        keys: list[Key] = [tuple(kept[: length + 1]) for length in range(len(kept))]
        for token, position, piece in zip(row.tokens, row.positions, row.first, strict=True):
            whole = tokens[batch.pieces[piece].sequence]
            assert whole[position] == token
            keys.append(tuple(whole[: position + 1]))
        if batch.keeps:
            kept = tokens[batch.pieces[0].sequence][: batch.keeps]
        result.append((batch, row, keys))
    return result


def visible(row: PackedRow, token: int, key: int) -> bool:
    """The rule that the attention masks are built from."""
    positions, first, last = row.keys()
    query = row.carried + token
    return bool(first[key] <= first[query] <= last[key] and positions[key] <= positions[query])


@given(lists, budgets)
@settings(max_examples=60)
def test_each_token_sees_exactly_its_own_prefix(tokens: list[list[int]], budget: int) -> None:
    for _, row, keys in packed(tokens, budget):
        for token in range(len(row.tokens)):
            seen = [keys[key] for key in range(len(keys)) if visible(row, token, key)]
            prefix = keys[row.carried + token]
            assert seen == [prefix[: length + 1] for length in range(len(prefix))]


@given(lists, budgets)
@settings(max_examples=60)
def test_scored_rows_are_the_positions_that_predict_the_targets(tokens: list[list[int]], budget: int) -> None:
    for batch, row, keys in packed(tokens, budget):
        at = 0
        for piece, count in zip(batch.pieces, row.scored, strict=True):
            whole = tokens[piece.sequence]
            for position in range(piece.scored, piece.scored + count):
                assert keys[row.carried + row.rows[row.pair_rows[at]]] == tuple(whole[: position + 1])
                assert row.targets[at] == position - (len(whole) - min(2, len(whole)))
                at += 1
        assert at == len(row.targets)


@given(lists, budgets, st.sampled_from([None, 1, 3, 64]))
@settings(max_examples=100)
def test_groups_cover_all_tokens_and_reach_every_key(tokens: list[list[int]], budget: int, tile: int | None) -> None:
    for _, row, keys in packed(tokens, budget, tile):
        assert [t for group in row.groups for t in range(group.start, group.stop)] == list(range(len(row.tokens)))
        for group in row.groups:
            assert np.all(np.diff(group.keys) > 0)
            own = group.keys[-(group.stop - group.start) :] - row.carried
            assert own.tolist() == list(range(group.start, group.stop))
            for token in range(group.start, group.stop):
                assert {key for key in range(len(keys)) if visible(row, token, key)} <= set(group.keys.tolist())
            if group.chain:
                assert row.carried == 0
                assert row.positions[group.start : group.stop].tolist() == list(range(group.stop - group.start))


@given(lists, budgets, st.sampled_from([1, 3, 64]))
@settings(max_examples=60)
def test_tiles_hold_one_path_only(tokens: list[list[int]], budget: int, tile: int) -> None:
    for _, row, keys in packed(tokens, budget, tile):
        for group in row.groups:
            assert group.stop - group.start <= tile
            path = [keys[key] for key in group.keys]
            assert path == [path[-1][: length + 1] for length in range(len(path))]
