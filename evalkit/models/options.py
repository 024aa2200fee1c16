"""How a model is to be loaded: the options a user can give, and the torch types they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import UsageError
from evalkit.models.placement import DeviceMap

if TYPE_CHECKING:
    import torch

_DTYPES = {
    "float64": "float64",
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
}


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of `load_model`.

    Attributes:
        dtype: `auto` (float32 on a CPU, bfloat16 on an accelerator), `float32`, `bfloat16`, `float16` or `float64`.
        device: `auto` (a CUDA device if there is one, else MPS, else the CPU) or a torch device such as `cuda:1`.
        device_map: Spreads the layers over all devices: `auto` or `balanced` (evenly), `sequential` (one device after
            another), or for each module (by its name) a device, `cpu` or `disk`; None for one device. What fits no device
            stays in memory, or on disk, and is fetched for every batch.
        trust_remote_code: Runs Python code that comes with the checkpoint.
        allow_pickle: Reads pickled weights (`pytorch_model.bin`), which can run code, when there are no others.
        max_length: Context length in tokens; None takes the model's own.
        offline: Never touches the network.
    """

    dtype: str = "auto"
    device: str = "auto"
    device_map: DeviceMap | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    max_length: int | None = None
    offline: bool = False


def pick_device(name: str) -> torch.device:
    """The torch device that `ModelOptions.device` means on this machine.

    Raises:
        UsageError: There is no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"'{name}' is not a device", hint="Use `auto`, `cpu`, `cuda`, `cuda:0`, `cuda:1` ... or `mps`."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"the device '{name}' was asked for, but torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices",
            hint="Leave the device out to use what there is, or install a torch build for your accelerator.",
        )
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The torch dtype that `ModelOptions.dtype` means on `device`.

    Raises:
        UsageError: There is no such dtype.
    """
    import torch

    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in _DTYPES:
        raise UsageError(f"'{name}' is not a dtype", hint="Use `auto`, `float32`, `bfloat16`, `float16` or `float64`.")
    dtype = getattr(torch, _DTYPES[name])
    assert isinstance(dtype, torch.dtype)
    return dtype
