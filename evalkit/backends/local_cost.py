"""What the built-in engine would take for requests: measured with a few of them."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.engine import memory
from evalkit.engine import sequences as token_sequences
from evalkit.engine.engine import Engine
from evalkit.engine.generation.prompt import Prompt
from evalkit.run_plan import Cost


def cost(
    engine: Engine, sequences: Sequence[token_sequences.Sequence], prompts: Sequence[Prompt], seconds: float
) -> Cost:
    """What scoring and generating would take, every text as long as it may become.

    Args:
        engine: Computes.
        sequences: What is scored.
        prompts: What is continued.
        seconds: How long to measure each of the two, about.
    """
    parts = []
    if sequences or not prompts:
        parts.append(_scoring(engine, sequences, seconds))
    if prompts:
        parts.append(_generation(engine, prompts, seconds))
    if len(parts) == 1:
        return parts[0]
    tokens = sum(one.tokens_computed for one in parts)
    return Cost(
        tokens_asked=sum(one.tokens_asked for one in parts),
        tokens_computed=tokens,
        batches=sum(one.batches for one in parts),
        batch_tokens=engine.token_budget,
        peak_bytes=max(one.peak_bytes for one in parts),
        available_bytes=parts[0].available_bytes,
        tokens_per_second=tokens / sum(one.seconds for one in parts),
        new_tokens=sum(one.new_tokens for one in parts),
    )


def _scoring(engine: Engine, sequences: Sequence[token_sequences.Sequence], seconds: float) -> Cost:
    forecast = engine.forecast(sequences)
    return Cost(
        tokens_asked=forecast.tokens_asked,
        tokens_computed=forecast.tokens_computed,
        batches=forecast.batches,
        batch_tokens=engine.token_budget,
        peak_bytes=forecast.peak_bytes,
        available_bytes=_available(engine),
        tokens_per_second=engine.probe(sequences, seconds),
    )


def _generation(engine: Engine, prompts: Sequence[Prompt], seconds: float) -> Cost:
    forecast = engine.generator.forecast(prompts)
    prompt_rate, new_rate = engine.generator.probe(prompts, seconds)
    tokens = forecast.prompt_tokens + forecast.new_tokens
    return Cost(
        tokens_asked=forecast.tokens_asked,
        tokens_computed=tokens,
        batches=forecast.steps,
        batch_tokens=engine.generator.limits.budget,
        peak_bytes=forecast.peak_bytes,
        available_bytes=_available(engine),
        tokens_per_second=tokens / (forecast.prompt_tokens / prompt_rate + forecast.new_tokens / new_rate),
        new_tokens=forecast.new_tokens,
    )


def _available(engine: Engine) -> int:
    device = engine.split.core.device
    return memory.used_memory(device) + memory.free_memory(device)
