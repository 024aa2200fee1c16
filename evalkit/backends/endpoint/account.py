"""What an endpoint was sent and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evalkit.backends.endpoint.wire import Usage


@dataclass(slots=True)
class Account:
    """Adds up what the server counts. All answers that came count, also those that could not be used.

    Attributes:
        price_prompt: Price of a million tokens of prompts; None if not known.
        price_completion: Price of a million generated tokens; None if not known.
        prompt: Tokens of prompts.
        cached: Those that the server did not compute again.
        completion: Tokens generated.
    """

    price_prompt: float | None = None
    price_completion: float | None = None
    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def add(self, usage: Usage) -> None:
        """Counts one reply."""
        self.prompt += usage.prompt
        self.cached += usage.cached
        self.completion += usage.completion

    def counters(self) -> dict[str, int]:
        """Tokens asked for and computed, and the server's own account."""
        return {
            "tokens_asked": self.prompt,
            "tokens_computed": self.prompt - self.cached + self.completion,
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
        }

    def cost(self) -> dict[str, Any]:
        """The price of it all, without discounts for cached prompts; nothing where no price was given."""
        if self.price_prompt is None and self.price_completion is None:
            return {}
        total = self.prompt * (self.price_prompt or 0.0) + self.completion * (self.price_completion or 0.0)
        return {
            "cost": round(total / 1e6, 6),
            "price_prompt": self.price_prompt,
            "price_completion": self.price_completion,
        }
