import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine.sequences import continuation_sequence, rolling_sequences
from evalkit.errors import OverLengthError


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_a_continuation_is_predicted_from_the_context_on() -> None:
    sequence = continuation_sequence(ids(1, 2, 3), ids(4, 5), max_length=10)
    assert sequence.inputs.tolist() == [1, 2, 3, 4]
    assert sequence.targets.tolist() == [4, 5]
    assert sequence.first_scored == 2
    assert sequence.truncated == 0


def test_a_continuation_of_one_token_copies_nothing() -> None:
    context, continuation = ids(1, 2, 3), ids(4)
    sequence = continuation_sequence(context, continuation, max_length=3)
    assert sequence.inputs is context
    assert sequence.targets is continuation
    shorter = continuation_sequence(context, continuation, max_length=2)
    assert (shorter.inputs.tolist(), shorter.targets.tolist(), shorter.truncated) == ([2, 3], [4], 1)


def test_a_long_context_is_cut_on_the_left_as_lm_eval_does() -> None:
    context, continuation, max_length = ids(*range(20)), ids(30, 31), 5
    sequence = continuation_sequence(context, continuation, max_length)
    # HFLM._loglikelihood_tokens: (context + continuation)[-(max_length + 1):][:-1]
    assert sequence.inputs.tolist() == [*range(20), 30, 31][-(max_length + 1) :][:-1]
    assert sequence.truncated == 16


def test_a_continuation_longer_than_the_context_length_is_refused() -> None:
    with pytest.raises(OverLengthError, match="6 tokens"):
        continuation_sequence(ids(1), ids(*range(6)), max_length=5)


@given(length=st.integers(1, 60), max_length=st.integers(1, 20))
@settings(deadline=None)  # the first example imports lm-eval
def test_windows_are_those_of_lm_eval(length: int, max_length: int) -> None:
    lm_eval = pytest.importorskip("lm_eval.utils")
    tokens = list(range(100, 100 + length))
    expected = [
        lm_eval.make_disjoint_window(window)
        for window in lm_eval.get_rolling_token_windows(tokens, prefix_token=7, max_seq_len=max_length, context_len=1)
    ]
    windows = list(rolling_sequences(ids(*tokens), 7, max_length))
    assert [(list(window.inputs), list(window.targets)) for window in windows] == [
        ((context + continuation)[:-1], continuation) for context, continuation in expected
    ]


@given(length=st.integers(1, 80), max_length=st.integers(2, 20), stride=st.integers(1, 25))
def test_with_a_stride_every_token_is_scored_once_with_enough_context(
    length: int, max_length: int, stride: int
) -> None:
    tokens = ids(*range(length))
    windows = list(rolling_sequences(tokens, 99, max_length, stride))
    assert np.concatenate([window.targets for window in windows]).tolist() == tokens.tolist()
    for window in windows:
        assert len(window.inputs) <= max_length
    for window in windows[1:-1]:
        assert len(window.targets) == min(stride, max_length)
        assert window.first_scored == max_length - min(stride, max_length)
