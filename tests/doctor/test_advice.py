"""Each rule, from a measurement to its sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.doctor.advice import advise
from evalkit.doctor.diagnosis import Advice, Change, ChatFindings, FirstTokens, FormPair, FormScore, Measured

QUIET = Change(100, 3e-6, 1e-6, 4e-6, 50, 0, None, 20, 20, False)
FLIPPED = replace(QUIET, largest_token=0.4, flipped=2, flipped_margin=0.03, right_after=19)
ONE = FirstTokens((0, 5), ("<bos>", "a"), False)
TWO = FirstTokens((0, 0, 5), ("<bos>", "<bos>", "a"), True)
BASE = ChatFindings(False, ONE)
CHAT = ChatFindings(True, ONE, ONE, ONE, "own turn", None, False, True, 3, 3)


def measured(key: str, change: Change | None, by: str = "evalkit", reason: str | None = None) -> Measured:
    dtype = key.partition("/")[0]
    against = "float32/alone" if key.endswith("/alone") else f"{dtype}/alone"
    return Measured(key, key, dtype, by, against, change, reason)  # type: ignore[arg-type]


def advice(
    *found: Measured,
    chat: ChatFindings = BASE,
    forms: tuple[FormScore, ...] = (),
    pairs: tuple[FormPair, ...] = (),
    dtype: str = "float32",
) -> tuple[Advice, ...]:
    return advise(found, chat, forms, pairs, dtype=dtype)


def levels(found: tuple[Advice, ...], words: str) -> list[str]:
    return [one.level for one in found if words in one.text]


def test_rounding_is_nothing_to_do() -> None:
    found = advice(measured("float32/default", QUIET))
    assert levels(found, "flip 0 of 50 answers (largest change of a token 3.0e-06 nats)") == ["fine"]


@pytest.mark.parametrize(
    ("key", "by", "level", "todo"),
    [
        ("float32/default", "evalkit", "problem", "please report the model"),
        ("float32/left", "others", "care", "programs that compute so can differ"),
        ("bfloat16/default", "evalkit", "care", "use --deterministic or --dtype float32"),
    ],
)
def test_answers_that_batches_flip(key: str, by: str, level: str, todo: str) -> None:
    found = advice(measured(key, FLIPPED, by))
    assert levels(found, "2 of 50 answers flipped, with leads of up to 0.03 nats") == [level]
    assert found[0].level == level
    assert todo in found[0].text


def test_float32_that_moves_more_than_rounding_does() -> None:
    found = advice(measured("float32/default", replace(QUIET, largest_token=0.02)))
    assert levels(found, "more than rounding does") == ["problem"]


def test_noise_that_happened_to_flip_nothing_is_not_fine() -> None:
    found = advice(measured("bfloat16/left", replace(QUIET, largest_token=0.58), "others"))
    assert levels(found, "move a token by up to 0.58 nats") == ["care"]


def test_types_that_flip_answers_and_types_that_do_not() -> None:
    found = advice(measured("bfloat16/alone", FLIPPED), measured("float16/alone", QUIET))
    assert levels(found, "bfloat16 changes answers against float32: 2 of 50") == ["care"]
    assert levels(found, "float16 gives the same answers as float32 on these 50 questions") == ["fine"]
    assert any("6% of others could still differ" in one.text for one in found)


def test_what_evalkit_run_would_use_and_could_not_be_computed() -> None:
    found = advice(measured("bfloat16/alone", None, reason="no memory"), dtype="bfloat16")
    assert levels(found, "which evalkit run would use here, could not be measured: no memory") == ["problem"]
    assert not levels(advice(measured("float16/alone", None, reason="slow")), "slow")  # stands in the report's list
    found = advice(measured("bfloat16/default", None, reason="it disagrees"))
    assert levels(found, "evalkit does not run this model in bfloat16 here: it disagrees") == ["care"]


def test_deterministic_holds_or_does_not() -> None:
    assert levels(advice(measured("float32/deterministic", replace(QUIET, identical=True))), "holds in") == ["fine"]
    assert levels(advice(measured("float32/deterministic", QUIET)), "does not hold") == ["problem"]


@pytest.mark.parametrize(
    ("chat", "words", "level"),
    [
        (BASE, "leave --chat-template off", "fine"),
        (replace(CHAT, usual=TWO), "add_special_tokens=False", "care"),
        (replace(CHAT, usual=TWO, evalkit=TWO), "in evalkit too", "problem"),
        (replace(CHAT, system="refused"), "refuses a system role: use --system-as-user", "care"),
        (replace(CHAT, system="ignored"), "drops a system message", "care"),
        (replace(CHAT, default_system="Be kind."), "'Be kind.'", "care"),
        (replace(CHAT, ended=1), "ended 1 of 3 short answers", "care"),
        (CHAT, "ended 3 of 3 short answers", "fine"),
        (replace(CHAT, continues=False), "cannot leave an answer open", "care"),
        (replace(CHAT, error="it raises"), "cannot be used: it raises", "problem"),
        (replace(BASE, plain=TWO), "plain text begins with two BOS", "problem"),
    ],
)
def test_the_template(chat: ChatFindings, words: str, level: str) -> None:
    assert levels(advice(chat=chat), words) == [level]


def test_letters_like_guessing_and_differences_that_can_be_told() -> None:
    forms = (FormScore("letter", 12, 48, (0.15, 0.39), 0.25), FormScore("cloze", 24, 48, (0.36, 0.64), 0.25))
    pair = FormPair("letter", "cloze", 15, 3, 48, (0.08, 0.40), 0.005)
    found = advice(forms=forms, pairs=(pair,))
    assert levels(found, "cannot be told from guessing (12 of 48)") == ["care"]
    assert levels(found, "“cloze” scores better") == ["care"]
    same = advice(forms=forms[1:], pairs=(replace(pair, gained=3, p=1.0, ci95=(-0.1, 0.1)),))
    assert levels(same, "differences of -10 to +10 points stay possible") == ["fine"]


def test_the_worst_stands_first() -> None:
    found = advice(measured("float32/default", FLIPPED), chat=replace(CHAT, system="refused"))
    assert [one.level for one in found] == sorted((one.level for one in found), key=["problem", "care", "fine"].index)
    assert found[0].level == "problem"
