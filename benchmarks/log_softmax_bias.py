"""How far float32 log-probabilities on CPU are from float64: PyTorch's log_softmax against logsumexp minus the logit.

python -m benchmarks.log_softmax_bias
"""

from __future__ import annotations

import torch


def main() -> None:
    torch.manual_seed(0)
    for vocabulary in (49_152, 262_144):
        logits = torch.randn(128, vocabulary) * 3
        rows = torch.arange(128)
        exact = torch.log_softmax(logits.double(), -1)[rows, rows]
        for name, values in (
            ("log_softmax", torch.log_softmax(logits, -1)[rows, rows]),
            ("logsumexp", logits[rows, rows] - torch.logsumexp(logits, -1)),
        ):
            error = values.double() - exact
            print(
                f"vocabulary {vocabulary}, {name}: mean error {error.mean():.1e}, largest {error.abs().max():.1e} nats"
            )


if __name__ == "__main__":
    main()
