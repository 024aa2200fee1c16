"""Requests as token sequences, by the rules of the built-in engine, for backends that compute elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.engine.sequences import TokenArray, continuation_sequence, rolling_sequences
from evalkit.engine.tokenization import TextEncoder
from evalkit.requests import Generate, Request, Roll, Score

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class EncodedRequests:
    """Requests in token ids.

    Attributes:
        lengths: Tokens that each needs the model to see at once; 0 for `Roll`. A `Generate` needs its prompt and room for
            what may follow.
        tokens: Tokens of each.
        sequences: The sequences that score a request, none for `Generate` and for an answer that is too long by itself.
        prompts: The ids that a `Generate` continues, whole.
    """

    lengths: list[int]
    tokens: list[int]
    sequences: list[list[TokenSequence]]
    prompts: list[TokenArray | None]


class RequestEncoder:
    """Encodes requests with one tokenizer.

    Args:
        tokenizer: A transformers tokenizer.
        prefix_token: Stands for an empty context.
        stride: Tokens scored in each perplexity window after the first; None for windows without overlap.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prefix_token: int, stride: int | None = None) -> None:
        self.prefix_token = prefix_token
        self.stride = stride
        self._encoder = TextEncoder(tokenizer, prefix_token)

    def prompt(self, text: str) -> TokenArray:
        """The ids of a text that is to be continued, with the special tokens that the tokenizer adds."""
        return self._encoder.encode_prompts([text])[0]

    def encode(self, requests: Sequence[Request], max_length: int) -> EncodedRequests:
        """Encodes requests, all of a kind together.

        Args:
            requests: What is asked.
            max_length: Inputs that the model takes at once.
        """
        scores = [request for request in requests if isinstance(request, Score)]
        pairs = iter(
            self._encoder.encode_pairs([(r.context, r.continuation) for r in scores], [r.shared for r in scores])
        )
        rolls = [request.text for request in requests if isinstance(request, Roll)]
        texts = iter(self._encoder.encode(rolls, special_tokens=False))
        texts_to_continue = [request.prompt for request in requests if isinstance(request, Generate)]
        prompts = iter(self._encoder.encode_prompts(texts_to_continue))
        encoded = EncodedRequests([], [], [], [])
        for request in requests:
            own: list[TokenSequence] = []
            length, prompt = 0, None
            if isinstance(request, Score):
                context, continuation = next(pairs)
                length = len(context) + len(continuation) - 1
                if len(continuation) <= max_length:
                    own = [continuation_sequence(context, continuation, max_length)]
            elif isinstance(request, Roll):
                own = list(rolling_sequences(next(texts), self.prefix_token, max_length, self.stride))
            else:
                prompt = next(prompts)
                length = len(prompt) + request.decoding.max_new_tokens
            encoded.lengths.append(length)
            encoded.tokens.append(sum(len(sequence.inputs) for sequence in own) if prompt is None else len(prompt))
            encoded.sequences.append(own)
            encoded.prompts.append(prompt)
        return encoded
