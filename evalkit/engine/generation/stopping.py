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
        """For one prompt."""
        longest = max((len(stop.encode()) for stop in prompt.decoding.stop), default=0)
        return cls(prompt, decode, longest + 1)

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
        """Where the first stop text begins that is not part of a thought."""
        decoding = self.prompt.decoding
        if decoding.thinking is None:
            return _first(text, decoding.stop, 0, len(text))
        opening, closing = decoding.thinking
        place, inside = 0, self.prompt.thinks
        while True:
            if inside:
                end = text.find(closing, place)
                if end < 0:
                    return None
                place, inside = end + len(closing), False
            start = text.find(opening, place)
            if (found := _first(text, decoding.stop, place, len(text) if start < 0 else start)) is not None:
                return found
            if start < 0:
                return None
            place, inside = start + len(opening), True


def thinks(text: str, thinking: tuple[str, str] | None) -> bool:
    """Whether a text ends inside a thought, as prompts of some chat templates do."""
    return thinking is not None and text.rfind(thinking[0]) > text.rfind(thinking[1])


def _first(text: str, stops: Sequence[str], start: int, stop: int) -> int | None:
    """The first place between two others where a stop text stands."""
    return min((place for one in stops if (place := text.find(one, start, stop)) >= 0), default=None)
