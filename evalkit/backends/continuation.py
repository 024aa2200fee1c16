"""What a tokenizer knows of texts to be written: how they begin, what ends them, and which of their tokens are text.

Shared by the built-in engine and vLLM, so that both give the same answer for the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.decoding import Decoding
from evalkit.requests import Generate
from evalkit.thinking import Tags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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


class Continuation:
    """How texts of one tokenizer end, and how their tokens are read.

    Args:
        tokenizer: The model's tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._special = {
            token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        end = tokenizer.eos_token_id
        self._own = {end} if isinstance(end, int) else set()
        # lm-eval cuts answers at this text too, whether it came as one token or spelt out
        self._end_text = str(tokenizer.decode([end])) if isinstance(end, int) else ""
        self._chat = {self._special[text] for text in CHAT_END_TOKENS if text in self._special}
        self._decoders: dict[Tags | None, Callable[[Sequence[int]], str]] = {}

    def end_tokens(self, request: Generate, configured: int | Collection[int | None] | None = None) -> frozenset[int]:
        """The tokens that end the answer to a request.

        Those of the model's generation configuration and the tokenizer's end-of-sequence token, as in lm-eval's `hf`
        model; stop texts that are a special token; and where the prompt was rendered by a chat template, how chat formats
        end a turn.

        Args:
            request: What is asked.
            configured: `eos_token_id` of the model's generation configuration.
        """
        named = configured if isinstance(configured, Collection) else [configured]
        stops = {self._special[stop] for stop in request.decoding.stop if stop in self._special}
        chat = self._chat if request.messages else set()
        return frozenset({int(index) for index in named if index is not None} | self._own | stops | chat)

    def decoding(self, request: Generate) -> Decoding:
        """The request's decoding, which also stops at the end-of-sequence token spelt out."""
        decoding = request.decoding
        if not self._end_text or self._end_text in decoding.stop:
            return decoding
        return replace(decoding, stop=(*decoding.stop, self._end_text))

    def decoder(self, thinking: Tags | None) -> Callable[[Sequence[int]], str]:
        """Reads tokens as text without special ones, but with the tags of thoughts, which may be special tokens."""
        if thinking not in self._decoders:
            self._decoders[thinking] = self._decoder(thinking or ())
        return self._decoders[thinking]

    def _decoder(self, tags: Sequence[str]) -> Callable[[Sequence[int]], str]:
        shown = {self._special[tag] for tag in tags if tag in self._special}
        if not shown:
            return self.decode
        hidden = {*self._special.values(), *self._tokenizer.all_special_ids} - shown

        def decode(tokens: Sequence[int]) -> str:
            return self._text([token for token in tokens if token not in hidden], skip_special_tokens=False)

        return decode

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens without special ones."""
        return self._text(list(tokens), skip_special_tokens=True)

    def _text(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        text: Any = self._tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens)
        assert isinstance(text, str)
        return text
