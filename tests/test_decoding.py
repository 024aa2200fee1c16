from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.decoding import Decoding
from evalkit.errors import UsageError


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"samples": 4}, "4 samples"),
        ({"beams": 4, "temperature": 0.7}, "beam search draws nothing"),
        ({"stop": ("\n", "")}, "empty stop text"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Decoding(**fields)


def test_what_the_user_leaves_open_stays_the_task_s() -> None:
    own = Decoding(max_new_tokens=32, stop=("\n",))
    changed = own.changed({"temperature": 0.7, "samples": 8, "max_new_tokens": None})
    assert changed == Decoding(max_new_tokens=32, stop=("\n",), temperature=0.7, samples=8)
    assert own.changed({}) == own


def test_it_is_described_in_json() -> None:
    described = Decoding(stop=("a", "b"), thinking=("<think>", "</think>")).described()
    assert json.loads(json.dumps(described)) == described
    assert described["stop"] == ["a", "b"]
