"""Whether a training changed anything."""

from __future__ import annotations

from pathlib import Path

from evalkit.models import ModelOptions


def weights_changed(base: str, tuned: str, options: ModelOptions) -> bool:
    """Whether the tuned model's weights are others than the base's.

    Of a new adapter all products B·A are nothing as long as every B is, so that no base has to be loaded; one that was
    trained further is held against what it was.

    Args:
        base: The model before, as `--model` takes it.
        tuned: After.
        options: How to load them.
    """
    import torch

    if tuned.startswith("peft:"):
        from safetensors.torch import load_file

        weights = load_file(Path(tuned.removeprefix("peft:")) / "adapter_model.safetensors")
        if base.startswith("peft:"):
            first = load_file(Path(base.removeprefix("peft:")) / "adapter_model.safetensors")
            return any(name not in first or not torch.equal(first[name], one) for name, one in weights.items())
        return any(bool(one.any()) for name, one in weights.items() if "lora_B" in name or "lora_" not in name)
    from evalkit.sft.training.model import load

    before = {name: one.clone() for name, one in load(base, options).model.state_dict().items()}
    after = load(tuned, options).model.state_dict()
    return any(name not in before or not torch.equal(before[name], one) for name, one in after.items())
