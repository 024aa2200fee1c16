"""The joins of context and continuation, against lm-eval's own code."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.engine.tokenization import TextEncoder
from evalkit.errors import DataError
from tests.tiny_models import tiny_tokenizer

texts = st.text(alphabet=st.sampled_from("ab e.\n:?é中 \t"), max_size=12)


def lm_eval_pair(tokenizer, context: str, continuation: str, backend: str = "causal") -> tuple[list[int], list[int]]:  # noqa: ANN001
    """What lm-eval's `hf` model makes of a request, by its own functions."""
    lm_eval = pytest.importorskip("lm_eval.models.huggingface")
    prefix = tokenizer.bos_token_id
    model = SimpleNamespace(tokenizer=tokenizer, add_bos_token=None, prefix_token_id=prefix, backend=backend)
    model.tok_encode = lambda *a, **k: lm_eval.HFLM.tok_encode(model, *a, **k)
    if context == "":
        tokens = model.tok_encode(continuation, add_special_tokens=False)
        return ([prefix], tokens) if tokens[0] != prefix else (tokens[:1], tokens[1:])
    return lm_eval.HFLM._encode_pair(model, context, continuation)


@pytest.mark.parametrize("add_bos", [False, True])
@given(context=texts, continuation=texts.filter(lambda text: text.strip() != ""))
@settings(max_examples=150, deadline=None)
def test_pairs_are_lm_evals(add_bos: bool, context: str, continuation: str) -> None:
    tokenizer = tiny_tokenizer(add_bos)
    if context and not context.strip():
        return  # lm-eval feeds the model nothing at all here; we give it the prefix token
    expected = lm_eval_pair(tokenizer, context, " " + continuation)
    encoder = TextEncoder(tokenizer, tokenizer.bos_token_id)
    if not expected[1]:
        with pytest.raises(DataError, match="no token of its own"):
            encoder.encode_pairs([(context, " " + continuation)])
        return
    head, tail = encoder.encode_pairs([(context, " " + continuation)])[0]
    assert (head.tolist(), tail.tolist()) == (list(expected[0]), list(expected[1]))


@given(context=texts, continuation=texts.filter(lambda text: text.strip() != ""))
@settings(max_examples=100, deadline=None)
def test_pairs_of_encoder_decoders_are_lm_evals(context: str, continuation: str) -> None:
    tokenizer = tiny_tokenizer(add_eos=True)
    if context and not context.strip():
        return  # lm-eval encodes an empty text here; we give the encoder the prefix token
    expected = lm_eval_pair(tokenizer, context, " " + continuation, "seq2seq")
    encoder = TextEncoder(tokenizer, tokenizer.bos_token_id)
    ((head, tail),) = encoder.encode_apart([(context, " " + continuation)])
    assert (head.tolist(), tail.tolist()) == (list(expected[0]), list(expected[1]))
    assert (context == "") == (head[-1] != tokenizer.eos_token_id)


def test_continuations_are_encoded_as_targets_where_the_tokenizer_tells_them_apart() -> None:
    class Translator:
        """As Marian's tokenizer: texts to be written have pieces of their own."""

        def decode(self, ids: list[int]) -> str:
            return ""

        def __call__(self, text: list[str] | None = None, *, text_target: list[str] | None = None, **_: bool) -> dict:
            texts, shift = (text, 0) if text is not None else (text_target, 100)
            return {"input_ids": [[len(word) + shift for word in one.split()] for one in texts]}

    encoder = TextEncoder(Translator(), 0)
    for as_targets, expected in ((True, [103]), (False, [3])):
        ((head, tail),) = encoder.encode_apart([("a bb", " ccc")], as_targets=as_targets)
        assert (head.tolist(), tail.tolist()) == ([1, 2], expected)
    with pytest.raises(DataError, match="has no tokens"):
        encoder.encode_apart([("a", "")])


def test_a_text_that_begins_with_the_prefix_token_gets_no_second_one() -> None:
    tokenizer = tiny_tokenizer(add_bos=True)
    encoder = TextEncoder(tokenizer, tokenizer.bos_token_id)
    plain, marked = encoder.encode(["The fox", tokenizer.bos_token + "The fox"], special_tokens=True)
    assert plain.tolist() == marked.tolist()
    assert plain.tolist().count(tokenizer.bos_token_id) == 1


def test_rolling_texts_get_no_special_tokens() -> None:
    tokenizer = tiny_tokenizer(add_bos=True)
    (tokens,) = TextEncoder(tokenizer, tokenizer.bos_token_id).encode(["The fox"], special_tokens=False)
    assert tokenizer.bos_token_id not in tokens


def test_many_pairs_keep_their_order() -> None:
    tokenizer = tiny_tokenizer()
    encoder = TextEncoder(tokenizer, tokenizer.bos_token_id)
    pairs = [(f"Question {n % 7}:", f" answer {n}") if n % 5 else ("", f"alone {n}") for n in range(60)]
    together = encoder.encode_pairs(pairs)
    for pair, (head, tail) in zip(pairs, together, strict=True):
        alone_head, alone_tail = encoder.encode_pairs([pair])[0]
        np.testing.assert_array_equal(head, alone_head)
        np.testing.assert_array_equal(tail, alone_tail)
