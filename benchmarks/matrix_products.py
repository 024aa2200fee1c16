"""What bounds scoring on this machine: bare products of a small model's matrices, `python -m benchmarks.matrix_products`."""

from __future__ import annotations

import time
from statistics import median

import torch

SHAPES = ((576, 1536), (1536, 576), (576, 576))
"""(inputs, outputs) of the layers of SmolLM2-135M."""


def main() -> None:
    """Prints GFLOP/s by the number of rows."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| rows | float32 GFLOP/s | bfloat16 GFLOP/s |\n|---:|---:|---:|")
    for rows in (128, 512, 1024, 2048, 4096):
        rates = {dtype: [rate(rows, *shape, dtype) for shape in SHAPES] for dtype in (torch.float32, torch.bfloat16)}
        print(f"| {rows:,} | " + " | ".join(f"{min(r):.0f}-{max(r):.0f}" for r in rates.values()) + " |")


def rate(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> float:
    """GFLOP/s of one product, the median of 15."""
    x, weight = torch.randn(rows, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
    seconds = []
    for _ in range(18):
        start = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        seconds.append(time.perf_counter() - start)
    return 2e-9 * rows * inputs * outputs / median(seconds[3:])


if __name__ == "__main__":
    main()
