"""Words, bare questions, options."""

import pytest

from evalkit.sft.contamination.words import bare, option, symbols, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP, now!", ["don", "t", "stop", "now"]),
        ("snake_case _x_", ["snake", "case", "x"]),
        ("Straße — \uff21\uff22 ﬁne_é", ["strasse", "ab", "fine", "é"]),
        ("在中国,GDP 增长了3%。", ["在", "中", "国", "gdp", "增", "长", "了", "3"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा"]),
        ("16 - 3 = <<16-3=13>>13", ["16", "3", "13"]),
        ("", []),
        ("?!", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_ascii_shortcut_is_no_other_rule() -> None:
    text = "It's a_b test: 3.14, Foo-Bar (x)!"
    assert words(text) == [word for word in words(text + " é") if word != "é"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Question: Why?\nAnswer:", "Why?"),
        ("Q: Why?\nA: Let's think step by step.", "Why?"),
        ("Why?\nA. a cat\nB. a dog\nAnswer:", "Why?"),
        ("为什么？\nA. 猫\nB. 狗\n答案是：", "为什么？"),
        ("Why?\n(A) cat\n(B) dog", "Why?"),
        ("A man sat.\nHe said:", "A man sat.\nHe said:"),
        ("A. one line that is no list of options", "A. one line that is no list of options"),
        ("A. first\nB. second", "A. first\nB. second"),
    ],
)
def test_bare(question: str, expected: str) -> None:
    assert bare(question) == expected


def test_option() -> None:
    question = "Which?\nA. a cat\nB. a dog\nAnswer:"
    assert option(question, "B") == "a dog"
    assert option(question, " (A)") == "a cat"
    assert option(question, "C") is None
    assert option(question, "a dog") is None


def test_symbols() -> None:
    assert symbols("3 + 5") != symbols("3 * 5")
    assert symbols("(3+5)?") == symbols("3 + 5")
