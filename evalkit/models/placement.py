"""Models larger than one device: layers on several devices, or left in memory or on disk until they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evalkit.errors import ModelError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DeviceMap = str | Mapping[str, int | str]
"""One of `DEVICE_MAPS`, or for each module (by its name) a device, "cpu" or "disk"."""
DEVICE_MAPS = ("auto", "balanced", "sequential")
_HOST = frozenset({"cpu", "disk"})


def check_device_map(device_map: DeviceMap | None, device: str) -> None:
    """Stops at options that contradict each other, and at a machine that cannot spread a model.

    Args:
        device_map: `ModelOptions.device_map`.
        device: `ModelOptions.device`.

    Raises:
        UsageError: They do, the map is not known, or the package `accelerate` is missing.
    """
    from importlib.util import find_spec

    if device_map is None:
        return
    if isinstance(device_map, str) and device_map not in DEVICE_MAPS:
        raise UsageError(f"'{device_map}' is not a device map", hint="Use `auto`, `balanced` or `sequential`.")
    if device != "auto":
        raise UsageError(
            f"--device {device} puts the model on one device, and --device-map spreads it over all",
            hint="Give one of the two. CUDA_VISIBLE_DEVICES=0,1 says which devices a map may use.",
        )
    if find_spec("accelerate") is None:
        raise UsageError("--device-map needs the package accelerate", hint="Run `pip install accelerate`.")


def refuse_spreading(*, is_gguf: bool, is_encoder_decoder: bool) -> None:
    """Stops at a model that cannot be spread over devices.

    Raises:
        UsageError: It is one.
    """
    if is_gguf:
        raise UsageError(
            "--device-map is for safetensors: the weights of a GGUF file are unpacked in memory, all at once",
            hint="Leave it out, or give the directory or the hub id of the model that the file was made of.",
        )
    if is_encoder_decoder:
        raise UsageError(
            "--device-map is for decoder-only models: an encoder-decoder is computed on one device",
            hint="Leave it out; --dtype bfloat16 halves the memory that float32 takes.",
        )


def left_out(model: PreTrainedModel) -> list[str]:
    """Modules whose weights did not fit the devices: they are fetched for every batch."""
    places = device_map_of(model)
    host = {"disk"} if set(places.values()) <= _HOST else _HOST
    return [name for name, place in places.items() if place in host]


def device_map_of(model: PreTrainedModel) -> dict[str, Any]:
    """Where each module of a spread model is, "cpu" and "disk" included; nothing for any other model."""
    return {name: str(place) for name, place in (getattr(model, "hf_device_map", None) or {}).items()}


def check_placed(model: PreTrainedModel, name: str, *, has_adapter: bool) -> None:
    """Stops at a model whose parts ended up where the engine cannot use them.

    Raises:
        ModelError: Its embedding fits no device, or an adapter is to change layers that are on none.
    """
    modules = left_out(model)
    if modules and has_adapter:
        raise ModelError(
            f"'{name}' does not fit the devices ({modules[0]} is left out), and an adapter needs all of it there",
            hint="Use more or larger devices, --dtype bfloat16, or merge the adapter into its base model.",
        )
    if model.device.type == "meta":
        raise ModelError(
            f"'{name}' does not fit the devices: not even its embedding does",
            hint="Use more or larger devices, --dtype bfloat16, or a smaller or quantised model.",
        )
