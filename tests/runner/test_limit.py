import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UsageError
from evalkit.runner.limit import Limit

IDS = [f"{n:016x}" for n in range(200)]


@pytest.mark.parametrize(
    ("text", "count"),
    [(None, 200), ("50", 50), (7, 7), ("0.1", 20), (0.1, 20), ("first:3", 3), ("900", 200), ("0.001", 1)],
)
def test_how_many_documents_are_chosen(text: str | None, count: int) -> None:
    chosen = Limit.parse(text).choose(IDS, seed=0)
    assert len(chosen) == count
    assert chosen == sorted(set(chosen))


def test_first_takes_the_first() -> None:
    assert Limit.parse("first:4").choose(IDS, seed=3) == [0, 1, 2, 3]


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "0.0", "many", "first:", "first:0", "first:-1", "nan", "1e400"])
def test_anything_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--limit"):
        Limit.parse(text)


@given(st.permutations(IDS[:40]), st.integers(1, 40), st.integers(0, 5))
def test_the_sample_depends_on_content_not_on_order(ids: list[str], count: int, seed: int) -> None:
    chosen = {ids[index] for index in Limit(count=count).choose(ids, seed)}
    assert chosen == {IDS[index] for index in Limit(count=count).choose(IDS[:40], seed)}


def test_a_larger_sample_contains_a_smaller_one_and_seeds_differ() -> None:
    small, large = (set(Limit(count=count).choose(IDS, seed=1)) for count in (20, 60))
    assert small < large
    assert small != set(Limit(count=20).choose(IDS, seed=2))


@pytest.mark.parametrize("text", ["50", "0.1", "first:3"])
def test_it_prints_as_it_was_given(text: str) -> None:
    assert str(Limit.parse(text)) == text
