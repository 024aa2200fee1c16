"""lm-eval's decodings in evalkit's words; evalkit's own translation for running them is the yardstick."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.comparing.foreign.lm_eval_decoding import described


@pytest.mark.parametrize(
    "settings",
    [
        {"until": ["\n\n"], "do_sample": False, "temperature": 0.0},
        {"until": "\n", "max_gen_toks": 12},
        {"until": ["Q:"], "do_sample": False, "temperature": 0.7},
        {"until": ["Q:"], "do_sample": True, "temperature": 0.7, "top_p": 0.9},
        {"until": ["Q:"], "do_sample": True, "temperature": 1.0, "top_k": 5, "max_new_tokens": 7},
        {"until": ["Q:"], "temperature": 0.5},
        {"until": [], "do_sample": False, "num_beams": 3, "length_penalty": 0.5},
    ],
)
def test_it_is_what_evalkit_would_do(settings: dict[str, Any]) -> None:
    pytest.importorskip("lm_eval")
    from evalkit.lm_eval_bridge.generation import decoding_of

    expected = decoding_of(settings, 2).described()
    assert described(settings, 2) == {name: expected[name] for name in expected if name not in ("seed", "thinking")}


def test_what_evalkit_has_no_word_for_keeps_lm_evals() -> None:
    assert described({"min_p": 0.1}, 1)["min_p"] == 0.1
