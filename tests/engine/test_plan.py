from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.engine.plan import (
    BatchSizes,
    Order,
    PackedBatch,
    alone,
    common_prefix,
    depth_first,
    needed,
    pack,
    pad,
)
from evalkit.engine.sequences import Sequence

token_lists = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=25)
# long common beginnings and long tails, so that trunks are worth computing and single sequences exceed the budget
trees = st.lists(
    st.builds(
        lambda trunk, branch, tail: [7] * trunk + branch + tail,
        st.integers(0, 60),
        st.lists(st.integers(0, 1), min_size=1, max_size=40),
        st.lists(st.integers(0, 3), max_size=30),
    ),
    min_size=1,
    max_size=25,
)


def sequences(lists: list[list[int]], scored: int = 1) -> list[Sequence]:
    return [
        Sequence(np.array(tokens, dtype=np.int32), np.arange(min(scored, len(tokens)), dtype=np.int32))
        for tokens in lists
    ]


def unique_tokens(order: Order, lengths: list[int]) -> int:
    """Tokens in the prefix tree: the least that any plan has to compute."""
    return int(sum(lengths[index] - shared for index, shared in zip(order.indices, order.shared, strict=True)))


def distinct_prefixes(lists: list[list[int]]) -> int:
    return len({tuple(tokens[:length]) for tokens in lists for length in range(1, len(tokens) + 1)})


@given(token_lists)
def test_the_tree_has_each_distinct_prefix_once(lists: list[list[int]]) -> None:
    assert unique_tokens(depth_first(sequences(lists)), [len(tokens) for tokens in lists]) == distinct_prefixes(lists)


@given(token_lists)
def test_the_order_is_depth_first_and_complete(lists: list[list[int]]) -> None:
    order = depth_first(sequences(lists))
    assert sorted(order.indices.tolist()) == list(range(len(lists)))
    ordered = [lists[index] for index in order.indices]
    assert ordered == sorted(lists)
    for place in range(1, len(ordered)):
        assert order.shared[place] == common_prefix(np.array(ordered[place - 1]), np.array(ordered[place]))


@given(token_lists, st.data())
def test_some_of_the_sequences_are_ordered_among_themselves(lists: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(lists))), unique=True))
    order = depth_first(sequences(lists), chosen)
    assert sorted(order.indices.tolist()) == sorted(chosen)
    assert [lists[index] for index in order.indices] == sorted(lists[index] for index in chosen)


def test_token_ids_above_one_byte_sort_as_numbers() -> None:
    lists = [[300], [1, 2], [256, 1], [255]]
    assert [lists[i] for i in depth_first(sequences(lists)).indices] == sorted(lists)


def replay(lists: list[list[int]], batches: list[PackedBatch], scored: int) -> int:
    """Runs a plan on paper: every key a token needs has to be carried or in its batch, every target scored once."""
    kept: list[int] = []
    found: Counter[tuple[int, int]] = Counter()
    for batch in batches:
        assert batch.carried <= len(kept)
        kept = kept[: batch.carried]
        path = kept
        for number, piece in enumerate(batch.pieces):
            tokens = lists[piece.sequence]
            assert path[: piece.start] == tokens[: piece.start], "a piece continues what stands before it"
            assert number or piece.start == batch.carried
            path = tokens[: piece.stop]
            first_scored = len(tokens) - min(scored, len(tokens))
            assert piece.scored == max(first_scored, batch.carried) or piece.scored == piece.stop
            found.update((piece.sequence, position) for position in range(piece.scored, piece.stop))
        if batch.keeps:
            assert batch.keeps == len(path)
            assert all(piece.start == piece.stop for piece in batch.pieces[1:]), "what is kept is one path"
            kept = path
    wanted = Counter(
        (index, position)
        for index, tokens in enumerate(lists)
        for position in range(len(tokens) - min(scored, len(tokens)), len(tokens))
    )
    assert found == wanted
    return sum(batch.tokens for batch in batches)


@given(trees, st.integers(1, 60), st.integers(1, 8))
@settings(max_examples=300)
@example([[7] * 50 + [n] * 10 for n in range(6)], 24, 3)
def test_packed_batches_compute_what_they_need_and_score_everything_once(
    lists: list[list[int]], budget: int, scored: int
) -> None:
    chosen = sequences(lists, scored)
    order = depth_first(chosen)
    for sizes in (BatchSizes.of(budget, 2**31), BatchSizes.of(budget, 0), BatchSizes.fixed(budget)):
        batches = pack(chosen, order, sizes)
        computed = replay(lists, batches, scored)
        assert computed >= unique_tokens(order, [len(tokens) for tokens in lists])
        if sizes.carry:
            assert max(batch.tokens for batch in batches) <= sizes.longest
        else:
            assert not any(batch.carried or batch.keeps for batch in batches)


def test_a_long_common_prefix_is_computed_once_however_small_the_batches() -> None:
    lists = [[1] * 600 + [2 + question] * 90 + [2] for question in range(50)]
    chosen = sequences(lists)
    order = depth_first(chosen)
    batches = pack(chosen, order, BatchSizes.of(1024, 2**31))
    assert [batch.keeps for batch in batches].count(600) == 1
    assert sum(batch.tokens for batch in batches) == unique_tokens(order, [len(tokens) for tokens in lists])
    assert len(batches) < 8


def test_what_is_not_worth_a_pass_of_its_own_is_computed_again() -> None:
    # a BOS in front of everything
    lists = [[0] + [question] * 400 for question in range(1, 40)]
    batches = pack(sequences(lists), depth_first(sequences(lists)), BatchSizes.of(1024, 2**31))
    assert not any(batch.carried for batch in batches)


def test_answers_to_a_question_longer_than_the_budget_stay_with_it() -> None:
    question = list(range(30))
    chosen = sequences([question] * 4 + [[*question, 40, 41], [*question, 50]])
    assert len(pack(chosen, depth_first(chosen), BatchSizes.of(12, 2**31))) == 1


def test_prompts_that_grow_by_a_token_each_are_no_deep_recursion() -> None:
    lists = [[5] * length for length in range(1, 3000)]
    chosen = sequences(lists)
    batches = pack(chosen, depth_first(chosen), BatchSizes.of(64, 2**31))
    assert sum(batch.tokens for batch in batches) < 3 * 2999


@given(trees, st.integers(8, 40), st.data())
def test_a_resumed_plan_computes_what_is_missing_and_what_that_stands_on(
    lists: list[list[int]], budget: int, data: st.DataObject
) -> None:
    chosen = sequences(lists)
    batches = pack(chosen, depth_first(chosen), BatchSizes.of(budget, 2**31))
    done = set(data.draw(st.lists(st.sampled_from(range(len(lists))), unique=True)))
    computed = [batch for batch, wanted in zip(batches, needed(batches, done), strict=True) if wanted]
    available = 0
    for batch in computed:
        assert batch.carried <= available
        available = batch.keeps or min(available, batch.carried)
    assert set(range(len(lists))) - done <= {index for batch in computed for index in batch.indices}
    assert not any(needed(batches, set(range(len(lists)))))


@given(token_lists, st.integers(1, 40))
def test_padded_rows_serve_only_their_own_prefixes(lists: list[list[int]], budget: int) -> None:
    lengths = [len(tokens) for tokens in lists]
    batches = pad(depth_first(sequences(lists)), lengths, budget)
    assert Counter(index for batch in batches for index in batch.indices) == Counter(range(len(lists)))
    for batch in batches:
        widest = max(lengths[row[-1]] for row in batch.rows)
        assert len(batch.rows) * widest <= budget or len(batch.rows) == 1
        for row in batch.rows:
            longest = lists[row[-1]]
            assert all(longest[: lengths[index]] == lists[index] for index in row)


def test_choices_of_one_token_share_a_row() -> None:
    # four answers of one token after the same context are one input: their targets differ, their inputs do not
    question = sequences([[1, 2, 3]] * 4)
    (batch,) = pad(depth_first(question), [3] * 4, budget=64)
    assert batch.rows == ((0, 1, 2, 3),)


def test_alone_is_alone() -> None:
    chosen = sequences([[1, 2, 3], [1, 2], [4]])
    assert sorted(batch.rows for batch in alone(depth_first(chosen))) == [((0,),), ((1,),), ((2,),)]
