"""Attention of layers that lie on another device than the row's plan. (That the answers are right: `test_engine.py`.)"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from evalkit.engine import attention
from evalkit.engine.attention import Carry, GroupPlan, PackedMask, added_mask

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")


def plan() -> PackedMask:
    allowed = torch.tensor([[True, False], [True, True]])
    return PackedMask(
        CPU,
        (
            GroupPlan(0, 2, torch.tensor([0, 2]), 2, added_mask(allowed, torch.float32)),
            GroupPlan(2, 4, None, 4, torch.zeros((2, 4))),
            GroupPlan(4, 5, None, 5, None),
        ),
    )


def test_a_plan_is_copied_once_to_each_other_device() -> None:
    mask = plan()
    assert mask.on(CPU) is mask.groups
    copies = mask.on(ELSEWHERE)
    assert mask.on(ELSEWHERE) is copies
    for before, after in zip(mask.groups, copies, strict=True):
        assert (after.start, after.stop, after.count) == (before.start, before.stop, before.count)
        for old, new in ((before.keys, after.keys), (before.mask, after.mask)):
            assert (old is None) == (new is None)
            assert new is None or (new.device == ELSEWHERE and old is not None and new.shape == old.shape)


def test_a_copy_hides_what_the_original_hides() -> None:
    group = plan().groups[0]
    copy = group.on(CPU)
    assert copy.mask is not None
    assert copy.mask.tolist() == [[0.0, -torch.inf], [0.0, 0.0]]
    assert copy.keys is not None
    assert copy.keys.tolist() == [0, 2]


def test_a_layer_on_another_device_attends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimpleNamespace(carry=Carry(), calls=0, keep=False, exact_rows=None)
    monkeypatch.setattr(attention._current, "run", run)
    query, key, value = (torch.zeros((1, 2, 5, 8), device=ELSEWHERE) for _ in range(3))
    output, _ = attention._packed_forward(torch.nn.Identity(), query, key, value, plan())
    assert output.device == ELSEWHERE
    assert output.shape == (1, 5, 2, 8)
