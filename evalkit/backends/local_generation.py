"""Generation by the built-in engine: requests to prompts, texts to replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.backends.base import Answer
from evalkit.engine.generation.prompt import Prompt, Text
from evalkit.engine.sequences import TokenArray
from evalkit.errors import OverLengthError
from evalkit.requests import Completion, Generate, Generation, Request
from evalkit.thinking import Thoughts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evalkit.engine.generation.generator import TextGenerator
    from evalkit.engine.tokenization import TextEncoder

# How the chat formats in use end a turn. A checkpoint that names its end token makes the list needless; converted ones
# (GGUF, fine-tunes of base models) often do not, and write on as the user.
CHAT_END_TOKENS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|return|>",
    "<|user|>",
)


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedPrompt:
    """A `Generate` request as tokens.

    Attributes:
        tokens: int32 [length], the whole prompt.
        kept: Tokens of it that leave room for the answer; below 1 when the answer alone does not fit.
        needed: Inputs that prompt and answer need at once, before any cutting.
    """

    tokens: TokenArray
    kept: int
    needed: int

    @property
    def seen(self) -> TokenArray:
        """What the model sees: the end of the prompt."""
        return self.tokens[max(0, len(self.tokens) - self.kept) :]


class EndTokens:
    """Which tokens end an answer.

    Those of the model's generation configuration and the tokenizer's end-of-sequence token, as in lm-eval's `hf` model;
    stop texts that are a special token; and where the prompt was rendered by a chat template, how chat formats end a turn.

    Args:
        tokenizer: The model's tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._special = {
            token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        self._own = {index for index in (tokenizer.eos_token_id,) if isinstance(index, int)}
        self._chat = {self._special[text] for text in CHAT_END_TOKENS if text in self._special}

    def of(self, request: Generate, model: PreTrainedModel) -> frozenset[int]:
        """The tokens that end the answer to a request."""
        configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
        named = configured if isinstance(configured, list | tuple) else [configured]
        stops = {self._special[stop] for stop in request.decoding.stop if stop in self._special}
        chat = self._chat if request.messages else set()
        return frozenset({int(index) for index in named if index is not None} | self._own | stops | chat)


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
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._ends = EndTokens(tokenizer)
        # lm-eval cuts answers at this text too, whether it came as one token or spelt out
        end = tokenizer.eos_token_id
        self._end_text = tokenizer.decode([end]) if isinstance(end, int) else ""

    def prepare(self, requests: Sequence[Request], max_length: int) -> dict[int, TokenizedPrompt]:
        """Tokenises the `Generate` requests among others: index -> prompt."""
        chosen = [(index, one) for index, one in enumerate(requests) if isinstance(one, Generate)]
        encoded = self._encoder.encode([one.prompt for _, one in chosen], special_tokens=True)
        prefix = np.array([self._encoder.prefix_token], dtype=np.int32)
        return {
            index: self._tokenized(tokens if len(tokens) else prefix, one.decoding.max_new_tokens, max_length)
            for (index, one), tokens in zip(chosen, encoded, strict=True)
        }

    def _tokenized(self, tokens: TokenArray, new_tokens: int, max_length: int) -> TokenizedPrompt:
        left = max_length - new_tokens
        if not self._is_encoder_decoder:
            return TokenizedPrompt(tokens, left, len(tokens) + new_tokens)
        # the decoder has a context of its own, as long as the encoder's, and begins it with a token of its own
        return TokenizedPrompt(tokens, left if left < 0 else max_length, max(len(tokens), new_tokens))

    def prompts(
        self, requests: Sequence[Request], tokenized: Mapping[int, TokenizedPrompt], model: PreTrainedModel
    ) -> dict[int, Prompt]:
        """The prompts as the engine takes them.

        Raises:
            OverLengthError: An answer may become longer than the model's context, which no cutting of its prompt settles.
        """
        prompts = {}
        for index, one in tokenized.items():
            request = requests[index]
            assert isinstance(request, Generate)
            decoding = request.decoding
            if one.kept < 1:
                raise OverLengthError(
                    f"an answer of up to {decoding.max_new_tokens} tokens leaves no room for a prompt in the model's "
                    f"context of {one.kept + decoding.max_new_tokens} tokens",
                    hint="give a smaller --max-new-tokens, or use a model with a longer context",
                )
            if self._end_text and self._end_text not in decoding.stop:
                decoding = replace(decoding, stop=(*decoding.stop, self._end_text))
            ends = self._ends.of(request, model)
            prompts[index] = Prompt(one.seen, decoding, ends, Thoughts.after(request))
        return prompts

    def answers(
        self,
        generator: TextGenerator,
        prompts: Mapping[int, Prompt],
        tokenized: Mapping[int, TokenizedPrompt],
    ) -> Iterator[list[Answer]]:
        """Replies as they are complete."""
        indices = list(prompts)
        for finished in generator.generate([prompts[index] for index in indices], self.decode):
            yield [(indices[place], _reply(tokenized[indices[place]], texts)) for place, texts in finished]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens without special ones."""
        text: Any = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        assert isinstance(text, str)
        return text


def _reply(prompt: TokenizedPrompt, texts: Sequence[Text]) -> Generation:
    completions = tuple(
        Completion(one.text, one.finish, len(one.tokens), one.tokens, one.log_probability, one.score) for one in texts
    )
    return Generation(completions, len(prompt.seen), len(prompt.tokens) - len(prompt.seen))
