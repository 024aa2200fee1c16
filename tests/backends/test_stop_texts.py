"""Stop texts end an answer where they first stand, but not inside a thought."""

from __future__ import annotations

import pytest

from evalkit.backends.stop_texts import cut_at_stop
from evalkit.decoding import Decoding
from evalkit.requests import Generate

TAGS = ("<think>", "</think>")


@pytest.mark.parametrize(
    ("text", "thinking", "prompt", "expected"),
    [
        ("one STOP two", None, "", ("one ", True)),
        ("one END STOP", None, "", ("one ", True)),
        ("one", None, "", ("one", False)),
        ("STOP", None, "", ("", True)),
        ("<think>a STOP b</think>c STOP d", TAGS, "", ("<think>a STOP b</think>c ", True)),
        ("<think>a STOP b</think>c", TAGS, "", ("<think>a STOP b</think>c", False)),
        ("<think>a STOP b", TAGS, "", ("<think>a STOP b", False)),
        ("a STOP b</think>c STOP", TAGS, "", ("a STOP b</think>c ", True)),
        ("a STOP b", TAGS, "go <think>\n", ("a STOP b", False)),
        ("a STOP b</think>c STOP", TAGS, "go <think>", ("a STOP b</think>c ", True)),
        ("a STOP b", TAGS, "go", ("a ", True)),
        ("x<think>y</think>STOP<think>STOP</think>", TAGS, "", ("x<think>y</think>", True)),
    ],
)
def test_the_first_stop_text_outside_thoughts_counts(
    text: str, thinking: tuple[str, str] | None, prompt: str, expected: tuple[str, bool]
) -> None:
    assert cut_at_stop(text, Generate(prompt, Decoding(stop=("STOP", "END"), thinking=thinking))) == expected


@pytest.mark.parametrize(
    ("text", "turn", "expected"),
    [
        ("<think>a\n</think>\n\nParis\nNext", False, "<think>a\n</think>\n\nParis"),
        ("a\n</think>\nParis\n", False, "a\n</think>\nParis"),
        ("<think>a</think>\n\n", False, "<think>a</think>\n\n"),
        # a server that takes thoughts out may leave what follows them
        ("\n\nParis\nNext", True, "\n\nParis"),
        ("\n\nParis\nNext", False, ""),
        ("<think>a<think>b</think>c\n</think>Paris\n", True, "<think>a<think>b</think>c\n</think>Paris"),
    ],
)
def test_white_space_around_thoughts_is_no_stop(text: str, turn: bool, expected: str) -> None:
    messages = ({"role": "user", "content": "Capital?"},) if turn else ()
    request = Generate("Capital?", Decoding(stop=("\n", "\n\n"), thinking=TAGS), messages=messages)
    assert cut_at_stop(text, request)[0] == expected
    plain = Generate("Capital?", Decoding(stop=("\n",)), messages=messages)
    assert cut_at_stop("\n\nParis", plain) == ("", True)
