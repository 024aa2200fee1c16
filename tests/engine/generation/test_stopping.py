"""Where texts end."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.decoding import Decoding
from evalkit.engine.generation.prompt import Prompt
from evalkit.engine.generation.stopping import Stopping
from evalkit.thinking import Thoughts
from tests.engine.generation.support import TOKENIZER, decode

PROMPT = np.array([5], dtype=np.int32)


def ends_at(text: str, decoding: Decoding, *, inside: bool = False) -> tuple[str, int]:
    """Generates a text's tokens one by one: what is returned, and after how many tokens it ended."""
    thoughts = Thoughts(decoding.thinking, inside)
    stopping = Stopping.of(Prompt(PROMPT, decoding, frozenset([1]), thoughts), decode)
    tokens = TOKENIZER.encode(text)
    for count in range(1, len(tokens) + 1):
        if stopping.finish(tokens[:count]):
            return stopping.text(tokens[:count]), count
    raise AssertionError("the text did not end")


@pytest.mark.parametrize("stop", ["\n\n", "Question:", "ver the l", "dog. A st", "é", "🦊", "jumps over the lazy dog"])
def test_a_stop_text_may_cross_token_borders(stop: str) -> None:
    text = f"The quick brown fox is here: jumps over the lazy dog. A stitch é 🦊 in\n\nQuestion: time{stop} saves nine"
    found, count = ends_at(text, Decoding(stop=(stop,), max_new_tokens=500))
    assert found == text[: text.index(stop)]
    tokens = TOKENIZER.encode(text)
    # it ended with the token that completes the stop text
    assert stop in decode(tokens[:count])
    assert stop not in decode(tokens[: count - 1])


def test_the_first_of_several_stop_texts_counts() -> None:
    decoding = Decoding(stop=("stitch", "lazy", "nine"), max_new_tokens=500)
    assert ends_at("over the lazy dog. A stitch in time saves nine.", decoding)[0] == "over the "


def test_the_limit_and_the_end_token() -> None:
    stopping = Stopping.of(Prompt(PROMPT, Decoding(max_new_tokens=4), frozenset([1])), decode)
    assert [stopping.finish([9] * count) for count in (1, 3, 4)] == [None, None, "length"]
    assert stopping.finish([9, 9, 9, 1]) == "stop"
    assert stopping.text([9, 9, 1]) == decode([9, 9])


def test_stop_texts_inside_a_thought_do_not_count() -> None:
    decoding = Decoding(stop=("\n\n",), max_new_tokens=500, thinking=("<think>", "</think>"))
    text = "<think>first\n\nsecond</think>The answer\n\nmore"
    assert ends_at(text, decoding)[0] == "<think>first\n\nsecond</think>The answer"
    assert ends_at("one\n\n<think>two</think>", decoding)[0] == "one"
    # a template may have opened the thought
    assert ends_at("first\n\n</think>done\n\n", decoding, inside=True)[0] == "first\n\n</think>done"
    endless = Stopping.of(Prompt(PROMPT, decoding, frozenset([1]), Thoughts(decoding.thinking)), decode)
    assert endless.finish(TOKENIZER.encode("<think>first\n\nand so on\n\n")) is None


def test_the_line_breaks_between_thought_and_answer_end_nothing() -> None:
    decoding = Decoding(stop=("\n",), max_new_tokens=500, thinking=("<think>", "</think>"))
    assert ends_at("<think>\nhm\n</think>\n\nParis\nNext", decoding)[0] == "<think>\nhm\n</think>\n\nParis"
    assert ends_at("hm\n</think>\n\nParis\nNext", decoding, inside=True)[0] == "hm\n</think>\n\nParis"


def test_a_thought_inside_another_goes_on_after_it() -> None:
    decoding = Decoding(stop=("\n",), max_new_tokens=500, thinking=("<think>", "</think>"))
    text = "<think>a<think>b</think>c\nd</think>Paris\nNext"
    assert ends_at(text, decoding)[0] == text.removesuffix("\nNext")
