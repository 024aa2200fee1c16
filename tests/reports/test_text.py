"""Foreign text: shown whole, and harmless."""

from __future__ import annotations

import unicodedata

import pytest

from evalkit.reports.text import visible, visible_lines

PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # mikhaham, "I want": a non-joiner within the word
HINDI = "\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937"  # half ka, and ka with a visible virama
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
HEART = "\u2764\ufe0f\u200d\U0001f525"
SKIN = "\U0001f469\U0001f3fd\u200d\U0001f680"


@pytest.mark.parametrize("text", [PERSIAN, HINDI, FAMILY, HEART, SKIN])
def test_joiners_that_belong_to_the_writing_stay(text: str) -> None:
    assert visible(text) == text
    assert visible_lines(f"{text}\n\t{text}") == f"{text}\n\t{text}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("acc\u200duracy", r"acc\u200duracy"),
        ("\u0645\u200c", "\u0645\\u200c"),
        ("\u200c\u0645", "\\u200c\u0645"),
        ("\u0645\u200c\u200d\u0645", "\u0645\\u200c\\u200d\u0645"),
        ("\u0645\u200c \u0645", "\u0645\\u200c \u0645"),
        ("\u0645\u202e\u0645", "\u0645\\u202e\u0645"),
        ("\u0645\u2066\u200c\u0645", "\u0645\\u2066\\u200c\u0645"),
        ("so\u00adft", r"so\xadft"),
        ("\U0001f3f4\U000e0067", "\U0001f3f4\\U000e0067"),
        ("\ufeffa\u200bb", r"\ufeffa\u200bb"),
        ("\x1b[31m\u2028\ud800", r"\x1b[31m\u2028\ud800"),
    ],
)
def test_all_else_that_hides_or_steers_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_every_bidirectional_control_is_escaped_between_letters() -> None:
    controls = [
        chr(code)
        for code in range(0x20000)
        if unicodedata.bidirectional(chr(code)) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    ]
    assert len(controls) == 9
    for control in (*controls, "\u200e", "\u200f", "\u061c"):
        assert control not in visible(f"\u0645{control}\u0645")
