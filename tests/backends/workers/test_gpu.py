"""Workers on an accelerator, two of them on one: the same answers as one process on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evalkit.backends.engine_backend import LocalOptions
from evalkit.backends.local import LocalBackend
from evalkit.backends.workers.opening import open_processes
from evalkit.models import ModelOptions, open_model
from tests.backends.workers.test_backend import replies
from tests.tiny_models import tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_two_processes_on_one_device_give_the_bits_of_one(dtype: str, tmp_path: Path) -> None:
    model, options = str(tiny_model("llama", tmp_path)), LocalOptions(token_budget=64)
    model_options = ModelOptions(dtype=dtype)
    several = open_processes(model, model_options, options, 2)
    alone = LocalBackend(open_model(model, model_options), options)
    assert replies(several) == replies(alone)
    assert several.environment().described["workers"] in (1, 2)  # the first may be done before the second has loaded
    assert several.device.startswith("cuda:")
