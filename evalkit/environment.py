"""What a run was made with: versions and hardware, nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "peft", "lm-eval", "sacrebleu")

COMPUTING = ("torch", "transformers", "tokenizers", "numpy", "peft")
"""Those of them that have a part in what a model answers."""


def _described(device: str | None) -> dict[str, Any]:
    """Versions of Python and of the packages that compute, the processor, and the accelerator when one is used."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    described: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": versions,
        "device": device,
    }
    if device and device.startswith("cuda"):
        import torch

        described["accelerator"] = torch.cuda.get_device_name(torch.device(device))
        described["cuda"] = torch.version.cuda
    if device is not None:
        import torch

        described["threads"] = torch.get_num_threads()
    return described


@dataclass(frozen=True, slots=True)
class Environment:
    """What a run, or a part of it, is made with.

    Attributes:
        described: For the result file.
        computing: What of it has a part in the last digits of a number.
    """

    described: Mapping[str, Any]
    computing: Mapping[str, Any]

    @classmethod
    def of(cls, device: str | None) -> Environment:
        """This process's.

        Args:
            device: Where it computes, as torch names it; None when that is not known.
        """
        described = _described(device)
        found = {name: described.get(name) for name in ("machine", "processor", "accelerator", "cuda", "threads")}
        found |= {name: version for name, version in described["packages"].items() if name in COMPUTING}
        if device is not None:
            import torch

            # products of float32 matrices may be computed in fewer bits
            found["matmul"] = torch.get_float32_matmul_precision()
            found["fpmath"] = os.environ.get("ONEDNN_DEFAULT_FPMATH_MODE")
        return cls(described, found)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
