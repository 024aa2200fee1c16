"""Held-out rows, mixes and replay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UsageError
from evalkit.sft.data import mix, parse_mix, parse_replay, replay, split
from tests.sft.examples import conversation, sounds


@given(st.integers(0, 400), st.floats(0, 0.5), st.integers(1, 9))
def test_a_split_keeps_every_row_and_no_prompt_on_both_sides(count: int, share: float, prompts: int) -> None:
    rows = [conversation(f"prompt {at // prompts}", str(at), index=at) for at in range(count)]
    train, held_out = split(rows, share)
    assert sorted(row.index for row in (*train, *held_out)) == list(range(count))
    assert not {row.prompt_text for row in train} & {row.prompt_text for row in held_out}
    assert bool(train) == bool(rows)
    if share == 0:
        assert not held_out


@pytest.mark.parametrize(("count", "held_out"), [(1000, 50), (200, 20), (50, 10), (4, 0), (20_000, 500)])
def test_how_many_are_held_out(count: int, held_out: int) -> None:
    assert len(split([conversation(f"prompt {at}", "a", index=at) for at in range(count)], 0.05)[1]) == held_out


def test_more_rows_move_few_of_those_that_were_there() -> None:
    rows = [conversation(f"prompt {at}", "a", index=at) for at in range(4200)]
    before = {row.index for row in split(rows[:4000], 0.05)[1]}
    after = {row.index for row in split(rows, 0.05)[1]}
    assert len(before - after) <= 12


def test_a_mix_draws_by_weight_and_whole_sources_first() -> None:
    rows = {"a": sounds(30, "a"), "b": sounds(60, "b")}
    drawn, counts = mix(rows, {"a": 2.0, "b": 1.0}, 0)
    assert counts == {"a": 60, "b": 30}
    assert len(drawn) == 90
    of_a = [row.index for row in drawn if row.source == "a"]
    assert sorted(of_a) == sorted([*range(30), *range(30)])
    assert len({row.index for row in drawn if row.source == "b"}) == 30
    assert mix(rows, {"a": 2.0, "b": 1.0}, 0)[0] == drawn
    assert mix(rows, {"a": 2.0, "b": 1.0}, 1)[0] != drawn


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_replay_is_the_share_of_all(share: float) -> None:
    rows, general = sounds(90), sounds(20, "general")
    found, count = replay(rows, general, share, 0)
    assert len(found) == 90 + count
    assert count / len(found) == pytest.approx(share, abs=0.01)
    assert found[:90] == tuple(rows)


def test_options_are_read() -> None:
    assert parse_mix("a.jsonl:2, b.jsonl") == {"a.jsonl": 2.0, "b.jsonl": 1.0}
    assert parse_mix("org/name:config:3") == {"org/name:config": 3.0}
    assert parse_replay("general.jsonl:0.25") == ("general.jsonl", 0.25)
    assert parse_replay("general.jsonl") == ("general.jsonl", 0.1)


@pytest.mark.parametrize("text", ["a.jsonl:0", "a.jsonl:-1", "a.jsonl,a.jsonl", ""])
def test_mixes_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageError):
        parse_mix(text)


@pytest.mark.parametrize("text", ["a.jsonl:0", "a.jsonl:1", "a.jsonl:7", ":0.1"])
def test_replays_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageError):
        parse_replay(text)
