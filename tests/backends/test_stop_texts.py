"""Stop texts end an answer where they first stand, but not inside a thought."""

from __future__ import annotations

import pytest

from evalkit.backends.stop_texts import cut_at_stop

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
    assert cut_at_stop(text, ("STOP", "END"), thinking, prompt) == expected
