"""What is generated: prompts as token ids, and the texts that come of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evalkit.decoding import Decoding
from evalkit.engine.sequences import TokenArray
from evalkit.thinking import Thoughts

Decode = Callable[[Sequence[int]], str]
"""Token ids -> their text, without special tokens."""

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prompt to be continued.

    Attributes:
        tokens: int32 [length], length >= 1.
        decoding: How.
        end_tokens: Tokens that end the answer.
        thoughts: Which parts of its texts are thoughts, where no stop text counts.
        decode: Reads its texts, where not as those of the other prompts: tags of thoughts may be special tokens.
    """

    tokens: TokenArray
    decoding: Decoding
    end_tokens: frozenset[int] = frozenset()
    thoughts: Thoughts = field(default_factory=Thoughts)
    decode: Decode | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A generated text.

    Attributes:
        text: The answer, cut before the first stop text.
        finish: Why it ended: a stop text or end token, or the limit on new tokens.
        tokens: What was generated, an end token included.
        log_probability: Sum of the tokens' log-probabilities under the model's own distribution (nats).
        score: What beam search ranked it by; None without beams.
    """

    text: str
    finish: Finish
    tokens: tuple[int, ...]
    log_probability: float
    score: float | None = None
