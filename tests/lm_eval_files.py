"""lm-eval's helpers of single tasks, without importing its 10-second index of all of them."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest


def lm_eval_folder() -> Path:
    """Its folder of tasks."""
    package = importlib.util.find_spec("lm_eval")
    if package is None or package.origin is None:
        pytest.skip("lm-eval is the yardstick of this test")
    return Path(package.origin).parent / "tasks"


@cache
def lm_eval_file(name: str) -> Any:
    """The module of a file in lm-eval's folder of tasks, such as `truthfulqa/utils.py`."""
    path = lm_eval_folder() / name
    spec = importlib.util.spec_from_file_location(f"lm_eval_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
