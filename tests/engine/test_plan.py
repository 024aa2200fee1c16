from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engine.plan import common_prefix, depth_first, pack, pad, unique_tokens
from evalkit.engine.sequences import Sequence

token_lists = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=25)


def sequences(lists: list[list[int]]) -> list[Sequence]:
    return [Sequence(np.array(tokens, dtype=np.int32), np.array([1], dtype=np.int32)) for tokens in lists]


@given(token_lists)
def test_the_tree_has_each_distinct_prefix_once(lists: list[list[int]]) -> None:
    prefixes = {tuple(tokens[:length]) for tokens in lists for length in range(1, len(tokens) + 1)}
    assert unique_tokens(depth_first(sequences(lists)), [len(tokens) for tokens in lists]) == len(prefixes)


@given(token_lists)
def test_the_order_is_depth_first_and_complete(lists: list[list[int]]) -> None:
    order = depth_first(sequences(lists))
    assert sorted(order.indices.tolist()) == list(range(len(lists)))
    ordered = [lists[index] for index in order.indices]
    assert ordered == sorted(lists)
    for place in range(1, len(ordered)):
        assert order.shared[place] == common_prefix(np.array(ordered[place - 1]), np.array(ordered[place]))


def test_token_ids_above_one_byte_sort_as_numbers() -> None:
    lists = [[300], [1, 2], [256, 1], [255]]
    assert [lists[i] for i in depth_first(sequences(lists)).indices] == sorted(lists)


@given(token_lists, st.integers(1, 40))
def test_packed_batches_hold_the_budget_and_everything_once(lists: list[list[int]], budget: int) -> None:
    order, lengths = depth_first(sequences(lists)), [len(tokens) for tokens in lists]
    batches = pack(order, lengths, budget)
    assert [place for batch in batches for place in range(batch.start, batch.stop)] == list(range(len(lists)))
    for batch in batches:
        chosen = [lists[index] for index in order.indices[batch]]
        distinct = {tuple(tokens[:length]) for tokens in chosen for length in range(1, len(tokens) + 1)}
        assert len(distinct) <= budget + (len(chosen[0]) if 2 * len(chosen[0]) > budget else 0)


def test_answers_to_a_question_longer_than_the_budget_stay_with_it() -> None:
    question = list(range(30))
    order = depth_first(sequences([question] * 4 + [[*question, 40, 41], [*question, 50]]))
    assert len(pack(order, [30] * 4 + [32, 31], budget=8)) == 1


@given(token_lists, st.integers(1, 40))
def test_padded_rows_serve_only_their_own_prefixes(lists: list[list[int]], budget: int) -> None:
    lengths = [len(tokens) for tokens in lists]
    batches = pad(depth_first(sequences(lists)), lengths, budget)
    served = Counter(index for rows in batches for row in rows for index in row)
    assert served == Counter(range(len(lists)))
    for rows in batches:
        widest = max(lengths[row[-1]] for row in rows)
        assert len(rows) * widest <= budget or len(rows) == 1
        for row in rows:
            longest = lists[row[-1]]
            assert all(longest[: lengths[index]] == lists[index] for index in row)


def test_choices_of_one_token_share_a_row() -> None:
    # four answers of one token after the same context are one input: their targets differ, their inputs do not
    question = sequences([[1, 2, 3]] * 4)
    assert pad(depth_first(question), [3] * 4, budget=64) == [[[0, 1, 2, 3]]]
