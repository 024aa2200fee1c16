"""How text is generated: the settings that decide which token follows, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from evalkit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How a prompt is continued.

    Attributes:
        max_new_tokens: Tokens generated at most, end-of-turn token included.
        stop: Texts that end the answer; they are not part of it. They may cross token borders.
        temperature: 0 takes the most probable token each time (greedy); above it logits are divided by it and a token is
            drawn.
        top_p: Draw from the smallest set of tokens whose probability reaches this (nucleus sampling; Holtzman et al. 2020).
        top_k: Draw from this many most probable tokens; 0 for all.
        samples: Completions a prompt, each drawn with a seed of its own.
        beams: Hypotheses kept by beam search; 1 for none. All final hypotheses and their scores are returned.
        length_penalty: Beam scores are divided by (tokens generated) ** this.
        seed: With the prompt's text and the sample's number it decides every draw, whatever else is computed.
        thinking: Tags around a thought, as ("<think>", "</think>"): stop texts inside one do not end the answer (a prompt
            that ends with the first tag has opened one), and the tags stay in the text even where they are special tokens.
    """

    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    samples: int = 1
    beams: int = 1
    length_penalty: float = 1.0
    seed: int = 0
    thinking: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        for name, smallest in (("max_new_tokens", 1), ("samples", 1), ("beams", 1), ("top_k", 0), ("temperature", 0)):
            if not getattr(self, name) >= smallest:
                raise UsageError(f"{name} is {getattr(self, name)}", hint=f"give {smallest} or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}", hint="give more than 0 and at most 1")
        if self.samples > 1 and self.is_greedy:
            raise UsageError(
                f"{self.samples} samples a prompt would all be the same at temperature 0",
                hint="give a temperature above 0, as --temperature 0.7",
            )
        if self.beams > 1 and (self.samples > 1 or not self.is_greedy):
            raise UsageError("beam search draws nothing", hint="use either beams, or samples with a temperature")
        if "" in self.stop:
            raise UsageError("an empty stop text would end every answer at once", hint="leave it out")

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is taken each time."""
        return self.temperature == 0

    def changed(self, overrides: Mapping[str, Any]) -> Decoding:
        """The same with the settings that are not None in `overrides` put in."""
        return replace(self, **{name: value for name, value in overrides.items() if value is not None})

    def described(self) -> dict[str, Any]:
        """As JSON values, for results and hashes."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
