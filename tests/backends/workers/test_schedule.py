"""The schedule against a model of workers that keep the state of one path, as the engine does."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.backends.workers.schedule import Chain, Grant, Schedule


def chain(name: int, depths: list[int], weights: list[int]) -> Chain:
    """A chain as a walk through a tree gives it: each step stands on the last one that is less deep."""
    providers, path = [], []
    for step, depth in enumerate(depths):
        del path[min(depth, len(path)) :]
        providers.append(path[-1] if path else -1)
        path.append(step)
    return Chain.of(name, weights, providers)


class Worker:
    """Computes grants with the state of one path, as `attention.Carry`."""

    def __init__(self) -> None:
        self.path: list[tuple[int, int]] = []
        self.queue: list[Grant] = []

    def compute(self, grant: Grant) -> list[tuple[int, int]]:
        """The steps that are done; fails where one stands on what is not there."""
        for step in (*grant.again, *range(grant.first, grant.stop)):
            provider = int(grant.chain.providers[step])
            if provider < 0:
                self.path = []
            else:
                assert (grant.chain.name, provider) in self.path, "stands on what was not computed here"
                del self.path[self.path.index((grant.chain.name, provider)) + 1 :]
            self.path.append((grant.chain.name, step))
        return [(grant.chain.name, step) for step in range(grant.first, grant.stop)]


@st.composite
def forests(draw: st.DrawFn) -> list[Chain]:
    found = []
    for name in range(draw(st.integers(0, 8))):
        steps = draw(st.integers(1, 12))
        # the first step is the root of all others
        depths = [0, *draw(st.lists(st.integers(1, 4), min_size=steps - 1, max_size=steps - 1))]
        found.append(chain(name, depths, draw(st.lists(st.integers(1, 50), min_size=steps, max_size=steps))))
    return found


@given(forests(), st.integers(1, 5), st.integers(1, 60), st.integers(1, 6), st.integers(0, 10**6), st.booleans())
def test_every_step_is_computed_on_what_it_stands_on(
    chains: list[Chain], workers: int, largest: int, window: int, seed: int, deaths: bool
) -> None:
    """Workers ask, finish and are lost in any order: all is done in the end, and without losses nothing twice."""
    draw = random.Random(seed)
    schedule = Schedule(iter(chains), largest, window)
    crew = {str(place): Worker() for place in range(workers)}
    names = count(workers)
    done: Counter[tuple[int, int]] = Counter()
    for _ in range(10_000):
        if schedule.done:
            break
        name = draw.choice(list(crew))
        worker = crew[name]
        if deaths and draw.random() < 0.1:
            lost = schedule.lost(name)
            assert {grant.number for grant in lost} == {grant.number for grant in worker.queue}
            del crew[name]
            crew[str(next(names))] = Worker()  # a new one joins late
        elif len(worker.queue) < 2 and (grant := schedule.next(name)) is not None:
            assert grant.weight >= 1
            worker.queue.append(grant)
        elif worker.queue:
            grant = worker.queue.pop(0)
            done.update(worker.compute(grant))
            schedule.finished(name, grant.number)
    assert schedule.done
    assert all(schedule.next(name) is None for name in crew)
    assert set(done) == {(one.name, step) for one in chains for step in range(len(one.ends))}
    if not deaths:
        assert set(done.values()) <= {1}


def test_the_heaviest_is_begun_first_and_gone_on_with() -> None:
    schedule = Schedule([Chain.of("light", [5]), Chain.of("heavy", [10] * 8), Chain.of("middle", [70])], largest=20)
    first = schedule.next("a")
    assert first is not None
    assert (first.chain.name, first.first, first.stop) == ("heavy", 0, 2)
    second = schedule.next("b")
    assert second is not None
    assert second.chain.name == "middle"
    schedule.finished("a", first.number)
    third = schedule.next("a")
    assert third is not None
    assert (third.chain.name, third.first, third.again) == ("heavy", 2, ())


def test_the_second_half_is_stolen_and_its_prefix_computed_again() -> None:
    schedule = Schedule([Chain.of("only", [10] * 10, [-1, *[0] * 9])], largest=10)
    assert schedule.next("a") is not None
    grant = schedule.next("b")
    assert grant is not None
    # nine steps are left, and the thief has the first one to compute again: five stay, four go
    assert (grant.first, grant.again) == (6, (0,))
    assert (schedule.stolen, schedule.repeated) == (1, 10)
    following = schedule.next("b")
    assert following is not None
    assert (following.first, following.again) == (7, ())


def test_a_chain_longer_than_a_share_is_shared_before_others_are_begun() -> None:
    schedule = Schedule(
        [Chain.of("long", [10] * 40, [-1, *[0] * 39]), *(Chain.of(n, [1]) for n in range(20))], largest=10
    )
    for name in "abcd":
        grant = schedule.next(name)
        assert grant is not None
        assert grant.chain.name == "long"
    assert schedule.stolen == 3


def test_nothing_is_given_in_advance_at_the_end() -> None:
    schedule = Schedule([Chain.of(number, [10]) for number in range(6)], largest=10)
    for name in "ab":
        assert schedule.next(name) is not None
        assert schedule.next(name) is not None
    assert schedule.next("a") is None  # two are left, for whoever is first
    assert schedule.next("c") is not None


def test_grants_become_smaller_towards_the_end() -> None:
    schedule = Schedule([Chain.of("long", [1] * 1000)], largest=100)
    sizes = []
    while (grant := schedule.next("a")) is not None:
        sizes.append(grant.stop - grant.first)
        schedule.finished("a", grant.number)
    assert sizes[0] == 100
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


def test_no_more_than_a_window_is_looked_at_ahead() -> None:
    taken = 0

    def source() -> object:
        nonlocal taken
        for place in range(1000):
            taken += 1
            yield Chain.of(place, [1])

    schedule = Schedule(source(), largest=1, window=16)  # type: ignore[arg-type]
    for finished in range(1000):
        grant = schedule.next("a")
        assert grant is not None
        schedule.finished("a", grant.number)
        assert taken <= finished + 1 + 16
    assert schedule.done


@pytest.mark.parametrize("weight", [1, 9, 10, 25, 1000])
def test_a_run_of_steps_weighs_no_more_than_it_may(weight: int) -> None:
    one = Chain.of(0, [10, 5, 10, 1])
    stop = one.within(1, 4, weight)
    assert stop > 1
    assert one.weight(1, stop) <= max(weight, 5)
    if stop < 4:
        assert one.weight(1, stop + 1) > weight


def test_a_chain_of_no_steps_is_nothing_to_do() -> None:
    schedule = Schedule([Chain(0, np.zeros(0, np.int64), np.zeros(0, np.int64))], 1)
    assert schedule.done
    assert schedule.next("a") is None
