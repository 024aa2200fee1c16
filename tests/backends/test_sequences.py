"""Requests in token ids for backends that compute elsewhere: those of the built-in engine."""

from __future__ import annotations

import numpy as np

from evalkit.backends.sequences import RequestEncoder
from evalkit.decoding import Decoding
from evalkit.requests import Generate, Request, Roll, Score
from tests.tiny_models import tiny_tokenizer


def test_each_kind_has_its_sequences_prompt_and_length() -> None:
    tokenizer = tiny_tokenizer()
    requests: list[Request] = [
        Generate("The quick brown fox", Decoding(max_new_tokens=5)),
        Score("The quick brown fox", " jumps over"),
        Roll("energy is neither created nor destroyed"),
        Roll(""),
        Score("", " " + "water " * 30),
    ]
    encoded = RequestEncoder(tokenizer, 0).encode(requests, 8)
    fox = tokenizer.encode("The quick brown fox")
    whole = tokenizer.encode("The quick brown fox jumps over")
    generate, score, roll, empty, long = range(5)
    prompt = encoded.prompts[generate]
    assert prompt is not None
    assert prompt.tolist() == fox
    assert encoded.prompts[score:] == [None] * 4
    assert encoded.lengths[:3] == [len(fox) + 5, len(whole) - 1, 0]
    (sequence,) = encoded.sequences[score]
    assert [*sequence.inputs.tolist(), int(sequence.targets[-1])] == whole[-9:]
    assert sequence.truncated == max(0, len(whole) - 9)
    rolled = np.concatenate([part.targets for part in encoded.sequences[roll]])
    assert rolled.tolist() == tokenizer.encode("energy is neither created nor destroyed")
    assert encoded.sequences[roll][0].inputs[0] == 0
    assert encoded.sequences[empty] == encoded.sequences[long] == []
    assert encoded.tokens[empty] == encoded.tokens[long] == 0
    assert encoded.lengths[long] > 8


def test_an_empty_prompt_is_the_prefix_token_as_in_the_built_in_engine() -> None:
    (prompt,) = RequestEncoder(tiny_tokenizer(), 0).encode([Generate("")], 8).prompts
    assert prompt is not None
    assert prompt.tolist() == [0]
