"""Token sequences to score: what requests become once they are tokenised.

A `Sequence` is the input of one (virtual) forward pass and the targets of its last positions. A `Score` request gives one
sequence, a `Roll` request one for each window of the model's context length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from evalkit.errors import OverLengthError

TokenArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """Tokens put through the model, and the tokens to be predicted at its end.

    Attributes:
        inputs: int32 [length]. Position i predicts the token after it.
        targets: int32 [scored], 1 <= scored <= length: the tokens predicted by the last `scored` positions.
        truncated: Tokens that were cut off on the left to fit the model's context.
    """

    inputs: TokenArray
    targets: TokenArray
    truncated: int = 0

    @property
    def first_scored(self) -> int:
        """Position of the first input whose prediction is scored."""
        return len(self.inputs) - len(self.targets)

    @property
    def tokens(self) -> int:
        """Tokens that the model sees."""
        return len(self.inputs)

    @property
    def context_tokens(self) -> int:
        """Tokens before the first target."""
        return self.first_scored + 1

    def content(self) -> tuple[bytes, ...]:
        """All that decides its scores, and what was cut off."""
        return self.inputs.tobytes(), self.targets.tobytes(), self.truncated.to_bytes(4, "big")

    def cut(self, targets: int) -> Self:
        """The sequence with its first so many targets only."""
        return replace(self, inputs=self.inputs[: self.first_scored + targets], targets=self.targets[:targets])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EncoderDecoderSequence(Sequence):
    """A sequence for an encoder-decoder: `inputs` and `targets` are the decoder's, after a text of the encoder's own.

    Attributes:
        encoder_inputs: int32 [tokens], what the encoder reads.
    """

    encoder_inputs: TokenArray

    @property
    def tokens(self) -> int:
        """Tokens that the model sees: the encoder's and the decoder's."""
        return len(self.encoder_inputs) + len(self.inputs)

    @property
    def context_tokens(self) -> int:
        """Tokens that the encoder sees."""
        return len(self.encoder_inputs)

    def content(self) -> tuple[bytes, ...]:
        """All that decides its scores, and what was cut off."""
        return self.encoder_inputs.tobytes(), *super().content()


def encoder_decoder_sequence(
    context: TokenArray, continuation: TokenArray, start: TokenArray, max_length: int
) -> EncoderDecoderSequence:
    """The sequence that scores `continuation` after an encoder input of `context`, cut on the left to `max_length`.

    Args:
        context: int32, the encoder's input.
        continuation: int32, the tokens to be predicted.
        start: int32 [1 or more], what the decoder begins with.
        max_length: Inputs the encoder takes, and inputs the decoder takes.
    """
    inputs = np.concatenate([start, continuation[:-1]]).astype(np.int32)
    if len(inputs) > max_length:
        raise OverLengthError(
            f"an answer of {len(continuation)} tokens is longer than the model's decoder takes, {max_length}",
            hint="leave the document out with --over-length skip, or use a model with a longer context",
        )
    excess = max(0, len(context) - max_length)
    return EncoderDecoderSequence(
        inputs=inputs, targets=continuation, truncated=excess, encoder_inputs=context[excess:] if excess else context
    )


def continuation_sequence(context: TokenArray, continuation: TokenArray, max_length: int) -> Sequence:
    """The sequence that scores `continuation` after `context`, cut on the left to `max_length` inputs.

    The last continuation token is never an input, so that continuations of one token leave the context's array as it is
    and all share it. Cutting follows lm-eval's `hf` model: the last max_length + 1 tokens of context and continuation are
    kept.
    """
    if len(continuation) > max_length:
        raise OverLengthError(
            f"an answer of {len(continuation)} tokens is longer than the model's context of {max_length}",
            hint="leave the document out with --over-length skip, or use a model with a longer context",
        )
    inputs = context if len(continuation) == 1 else np.concatenate([context, continuation[:-1]])
    excess = max(0, len(inputs) - max_length)
    return Sequence(inputs[excess:] if excess else inputs, continuation, excess)


def rolling_sequences(
    tokens: TokenArray, prefix_token: int, max_length: int, stride: int | None = None
) -> Iterator[Sequence]:
    """Cuts a text into windows so that every token is scored exactly once.

    The first window starts with `prefix_token`, which conditions the first token and is not scored. Without `stride`
    the windows are disjoint but for one token of context; the last one is filled up on the left with tokens already
    scored, which only condition (lm-eval's rule). With `stride` s every later window scores s tokens and is conditioned
    on the max_length - s before them (the sliding-window perplexity of Hugging Face's guide).

    Args:
        tokens: int32 [n], the text without special tokens.
        prefix_token: Conditions the first token.
        max_length: Inputs a window may have.
        stride: Tokens scored in each window after the first; None for `max_length`.
    """
    step = max_length if stride is None else min(stride, max_length)
    padded = np.concatenate([np.array([prefix_token], dtype=np.int32), tokens])
    scored = 0
    while scored < len(tokens):
        count = min(len(tokens) - scored, max_length if scored == 0 else step)
        end = scored + count
        start = max(0, end - max_length) if scored else 0
        yield Sequence(padded[start:end], tokens[scored:end])
        scored = end
