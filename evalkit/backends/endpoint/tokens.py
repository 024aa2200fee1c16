"""The tokenizer that the user names for an endpoint: counts tokens, sends ids, renders conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evalkit.chat import ChatFormat
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.requests import Generate, Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_UNLIMITED = 2**30


class EndpointTokenizer:
    """A model's tokenizer, far from its weights.

    Args:
        tokenizer: A transformers tokenizer.
        stride: As `RequestEncoder`'s.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stride: int | None = None) -> None:
        from evalkit.backends.sequences import RequestEncoder
        from evalkit.models.tokenizer import prefix_token

        self.tokenizer = tokenizer
        self._encoder = RequestEncoder(tokenizer, prefix_token(tokenizer), stride)

    @cached_property
    def sha256(self) -> str:
        """Its hash."""
        from evalkit.models.hashing import tokenizer_sha256

        return tokenizer_sha256(self.tokenizer)

    @cached_property
    def chat(self) -> ChatFormat:
        """What it knows of conversations."""
        from evalkit.models.chat import chat_format

        return chat_format(self.tokenizer)

    @cached_property
    def trial(self) -> list[int]:
        """A few ids, to see whether a server takes them."""
        return [self._encoder.prefix_token, *self._encoder.prompt("The capital of France is").tolist()[-4:]]

    def render_chat(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> str:
        """The conversation through its template."""
        from evalkit.models.chat import render_chat

        return render_chat(self.tokenizer, [dict(message) for message in messages], **variables)

    def cut(self, prompt: str, kept: int) -> tuple[str, int]:
        """The end of a prompt that has at most so many tokens, those included that the server adds, and how many it lost."""
        ids = self._encoder.prompt(prompt)
        text, left = prompt, len(ids)
        for size in range(min(kept, len(ids) - 1), 0, -1):
            if left <= kept:
                break
            # the cut may part the bytes of one character
            text = str(self.tokenizer.decode(ids[-size:].tolist())).lstrip("\ufffd")
            left = len(self._encoder.prompt(text))
        return text, len(ids) - left

    def encode(
        self, requests: Sequence[Request], max_length: int | None
    ) -> tuple[list[int], list[int], list[Sequence[TokenSequence] | None]]:
        """Tokens that each request needs at once, its tokens, and its sequences where it is scored."""
        encoded = self._encoder.encode(requests, max_length or _UNLIMITED)
        sequences: list[Sequence[TokenSequence] | None] = [
            None if isinstance(request, Generate) else own
            for request, own in zip(requests, encoded.sequences, strict=True)
        ]
        return encoded.lengths, encoded.tokens, sequences
