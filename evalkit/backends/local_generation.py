"""Generation by the built-in engine: requests to prompts, texts to replies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.backends.base import Answer
from evalkit.backends.continuation import Continuation
from evalkit.decoding import Decoding
from evalkit.engine.generation.prompt import Prompt, Text
from evalkit.engine.sequences import TokenArray
from evalkit.errors import OverLengthError
from evalkit.requests import Completion, Generate, Generation, Request
from evalkit.thinking import Thoughts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evalkit.engine.generation.generator import TextGenerator
    from evalkit.engine.tokenization import TextEncoder


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedPrompt:
    """A `Generate` request as tokens.

    Attributes:
        tokens: int32 [length], the whole prompt.
        kept: Tokens of it that leave room for the answer; below 1 when the answer alone does not fit.
        needed: Inputs that prompt and answer need at once, before any cutting.
        decoding: How it is continued.
    """

    tokens: TokenArray
    kept: int
    needed: int
    decoding: Decoding

    @property
    def seen(self) -> TokenArray:
        """What the model sees: the end of the prompt."""
        return self.tokens[max(0, len(self.tokens) - self.kept) :]

    def check_room(self) -> None:
        """Makes sure that something of the prompt can be seen.

        Raises:
            OverLengthError: The answer may become longer than the model's context, which no cutting of its prompt settles.
        """
        if self.kept < 1:
            raise OverLengthError(
                f"an answer of up to {self.decoding.max_new_tokens} tokens leaves no room for a prompt in the "
                f"model's context of {self.kept + self.decoding.max_new_tokens} tokens",
                hint="give a smaller --max-new-tokens, or use a model with a longer context",
            )


class LocalGeneration:
    """Answers `Generate` requests.

    Args:
        tokenizer: The model's tokenizer.
        encoder: Encodes with it.
        is_encoder_decoder: Whether answers take no room from their prompts.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, encoder: TextEncoder, *, is_encoder_decoder: bool = False
    ) -> None:
        self._is_encoder_decoder = is_encoder_decoder
        self._encoder = encoder
        self._continuation = Continuation(tokenizer)
        self.decode = self._continuation.decode

    def prepare(self, requests: Sequence[Request], max_length: int) -> dict[int, TokenizedPrompt]:
        """Tokenises the `Generate` requests among others: index -> prompt."""
        chosen = [(index, one) for index, one in enumerate(requests) if isinstance(one, Generate)]
        encoded = self._encoder.encode_prompts([one.prompt for _, one in chosen])
        return {
            index: self._tokenized(tokens, one.decoding, max_length)
            for (index, one), tokens in zip(chosen, encoded, strict=True)
        }

    def _tokenized(self, tokens: TokenArray, decoding: Decoding, max_length: int) -> TokenizedPrompt:
        new_tokens = decoding.max_new_tokens
        left = max_length - new_tokens
        if not self._is_encoder_decoder:
            return TokenizedPrompt(tokens, left, len(tokens) + new_tokens, decoding)
        # the decoder has a context of its own, as long as the encoder's, and begins it with a token of its own
        return TokenizedPrompt(tokens, left if left < 0 else max_length, max(len(tokens), new_tokens), decoding)

    def prompts(
        self, requests: Sequence[Request], tokenized: Mapping[int, TokenizedPrompt], model: PreTrainedModel
    ) -> dict[int, Prompt]:
        """The prompts as the engine takes them.

        Raises:
            OverLengthError: An answer may become longer than the model's context, which no cutting of its prompt settles.
        """
        configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        prompts = {}
        for index, one in tokenized.items():
            request = requests[index]
            assert isinstance(request, Generate)
            one.check_room()
            decoding = request.decoding
            prompts[index] = Prompt(
                tokens=one.seen,
                decoding=self._continuation.decoding(request),
                end_tokens=self._continuation.end_tokens(request, configured),
                thoughts=Thoughts.after(request),
                decode=None if decoding.thinking is None else self._continuation.decoder(decoding.thinking),
            )
        return prompts

    def answers(
        self,
        generator: TextGenerator,
        prompts: Mapping[int, Prompt],
        tokenized: Mapping[int, TokenizedPrompt],
        done: Collection[int] = (),
    ) -> Iterator[list[Answer]]:
        """Replies as they are complete, but for those in `done`."""
        indices = list(prompts)
        known = {place for place, index in enumerate(indices) if index in done}
        for finished in generator.generate([prompts[index] for index in indices], self.decode, known):
            yield [(indices[place], reply_of(tokenized[indices[place]], texts)) for place, texts in finished]


def reply_of(prompt: TokenizedPrompt, texts: Sequence[Text]) -> Generation:
    """What was written after a prompt."""
    completions = tuple(
        Completion(one.text, one.finish, len(one.tokens), one.tokens, one.log_probability, one.score) for one in texts
    )
    return Generation(completions, len(prompt.seen), len(prompt.tokens) - len(prompt.seen))
