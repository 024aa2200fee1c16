import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine.packing import pack_batch
from evalkit.engine.plan import depth_first
from evalkit.engine.sequences import Sequence

lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=14), min_size=1, max_size=20)


def packed(tokens: list[list[int]]):  # noqa: ANN201
    ordered = sorted(tokens)
    sequences = [
        Sequence(np.array(one, dtype=np.int32), np.arange(min(2, len(one)), dtype=np.int32)) for one in ordered
    ]
    order = depth_first(sequences)
    return ordered, pack_batch([sequences[i] for i in order.indices], order.shared.tolist())


def path_of(batch, token: int) -> list[int]:  # noqa: ANN001
    """The tokens that `token` may attend to, by the rule that the attention masks are built from."""
    sequence = batch.first[token]
    return [k for k in range(token + 1) if batch.first[k] <= sequence <= batch.last[k]]


@given(lists)
@settings(max_examples=60)
def test_each_token_sees_exactly_its_own_prefix(tokens: list[list[int]]) -> None:
    ordered, batch = packed(tokens)
    assert len(batch.tokens) == len({tuple(one[:n]) for one in ordered for n in range(1, len(one) + 1)})
    for token in range(len(batch.tokens)):
        seen = path_of(batch, token)
        prefix = ordered[batch.first[token]][: batch.positions[token] + 1]
        assert batch.tokens[seen].tolist() == prefix
        assert batch.positions[seen].tolist() == list(range(len(prefix)))


@given(lists)
@settings(max_examples=60)
def test_scored_rows_are_the_positions_that_predict_the_targets(tokens: list[list[int]]) -> None:
    ordered, batch = packed(tokens)
    at = 0
    for one, count in zip(ordered, batch.scored, strict=True):
        for place in range(count):
            row = batch.rows[batch.pair_rows[at]]
            assert batch.tokens[path_of(batch, row)].tolist() == one[: len(one) - count + place + 1]
            assert batch.targets[at] == place
            at += 1
    assert at == len(batch.targets)


@given(lists)
@settings(max_examples=60)
def test_groups_cover_all_tokens_and_reach_every_key(tokens: list[list[int]]) -> None:
    _, batch = packed(tokens)
    assert [t for group in batch.groups for t in range(group.start, group.stop)] == list(range(len(batch.tokens)))
    for group in batch.groups:
        available = {*group.path.tolist(), *range(group.start, group.stop)}
        for token in range(group.start, group.stop):
            assert set(path_of(batch, token)) <= available
        if group.chain:
            assert batch.positions[group.start : group.stop].tolist() == list(range(group.stop - group.start))
