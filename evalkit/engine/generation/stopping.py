"""When a text is over: an end token, a stop text that may cross token borders, or the limit on new tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.engine.generation.prompt import Decode, Finish, Prompt


@dataclass(frozen=True, slots=True, eq=False)
class Stopping:
    """Watches the texts generated for one prompt.

    Attributes:
        prompt: What is continued.
        decode: Token ids -> text.
        window: Tokens that may hold a stop text whose last byte is in the last of them: no token is shorter than a byte,
            and one more because some tokenizers drop a space where decoding begins.
    """

    prompt: Prompt
    decode: Decode
    window: int

    @classmethod
    def of(cls, prompt: Prompt, decode: Decode) -> Stopping:
        """For one prompt, whose own way to read tokens goes before the given one."""
        longest = max((len(stop.encode()) for stop in prompt.decoding.stop), default=0)
        return cls(prompt, prompt.decode or decode, longest + 1)

    def finish(self, tokens: Sequence[int]) -> Finish | None:
        """Why the text ends with the last of these tokens; None when it goes on."""
        if tokens[-1] in self.prompt.end_tokens or self._meets_stop(tokens):
            return "stop"
        return "length" if len(tokens) >= self.prompt.decoding.max_new_tokens else None

    def text(self, tokens: Sequence[int]) -> str:
        """The answer: the tokens' text before the first stop text."""
        text = self.decode(tokens)
        end = self._first_stop(text)
        return text if end is None else text[:end]

    def _meets_stop(self, tokens: Sequence[int]) -> bool:
        stops = self.prompt.decoding.stop
        if not stops:
            return False
        tail = self.decode(tokens[-self.window :])
        return any(stop in tail for stop in stops) and self._first_stop(self.decode(tokens)) is not None

    def _first_stop(self, text: str) -> int | None:
        return self.prompt.thoughts.first_stop(text, self.prompt.decoding.stop)
