"""Text to tokens: the rules by which lm-eval 0.4.13 joins context and continuation, applied to whole batches at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evalkit.engine.sequences import TokenArray
from evalkit.errors import DataError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Texts handed to the tokenizer's own thread pool at once: enough to fill it, small enough to stream.
BATCH = 2048


class TextEncoder:
    """Encodes texts and (context, continuation) pairs with one tokenizer.

    Args:
        tokenizer: A transformers tokenizer.
        prefix_token: Stands for an empty context (beginning of sequence, else end of sequence).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prefix_token: int) -> None:
        self.tokenizer = tokenizer
        self.prefix_token = prefix_token
        self._prefix_text = str(tokenizer.decode([prefix_token]))

    def encode(self, texts: Sequence[str], *, special_tokens: bool) -> list[TokenArray]:
        """Token ids of each text, int32 [tokens].

        With `special_tokens` the tokenizer adds what it adds by default (often a BOS), except to a text that already
        begins with the prefix token's text.
        """
        prefix = self._prefix_text
        adds = [special_tokens and not (prefix and text.startswith(prefix)) for text in texts]
        encoded: dict[int, TokenArray] = {}
        for add_special_tokens in (False, True):
            indices = [index for index, add in enumerate(adds) if add is add_special_tokens]
            arrays = self._encode_batch([texts[index] for index in indices], add_special_tokens)
            encoded.update(zip(indices, arrays, strict=True))
        return [encoded[index] for index in range(len(texts))]

    def _encode_batch(self, texts: Sequence[str], add_special_tokens: bool) -> Iterable[TokenArray]:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            if backend is not None:
                for encoding in backend.encode_batch_fast(batch, add_special_tokens=add_special_tokens):
                    yield np.asarray(encoding.ids, dtype=np.int32)
            else:
                for ids in self.tokenizer(batch, add_special_tokens=add_special_tokens)["input_ids"]:
                    yield np.asarray(ids, dtype=np.int32)

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[TokenArray, TokenArray]]:
        """Token ids of each (context, continuation).

        The rules are lm-eval's (`TemplateLM._encode_pair`, `loglikelihood`): white space at the end of the context
        moves to the continuation; both are encoded together and the context alone, and the continuation is what
        follows the context's number of tokens; an empty context is the prefix token.

        Raises:
            DataError: A continuation has no token of its own, so that there is nothing to score.
        """
        joined = [_move_spaces(context, continuation) for context, continuation in pairs]
        contexts = {context: index for index, context in enumerate(dict.fromkeys(c for c, _ in joined if c))}
        context_ids = self.encode(list(contexts), special_tokens=True)
        wholes = iter(self.encode([context + rest for context, rest in joined if context], special_tokens=True))
        alone = iter(self.encode([rest for context, rest in joined if not context], special_tokens=False))
        encoded = []
        for (context, _), (_, original) in zip(joined, pairs, strict=True):
            if context:
                head = context_ids[contexts[context]]
                tail = next(wholes)[len(head) :]
            else:
                head, tail = np.array([self.prefix_token], dtype=np.int32), next(alone)
                if len(tail) and tail[0] == self.prefix_token:
                    head, tail = tail[:1], tail[1:]
            if not len(tail):
                raise DataError(
                    f"the continuation {original!r} has no token of its own after the context ending {context[-40:]!r}",
                    hint="the tokenizer merges it into the context: end the context or begin the continuation elsewhere",
                )
            encoded.append((head, tail))
        return encoded


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation


def check_special_tokens(tokenizer: PreTrainedTokenizerBase, prefix_token: int | None) -> int:
    """The token that stands for an empty context; a tokenizer with neither BOS nor EOS is an error."""
    if prefix_token is None:
        raise ModelError(
            f"the tokenizer {tokenizer.name_or_path} has neither a beginning-of-sequence nor an end-of-sequence token",
            hint="set bos_token or eos_token in its tokenizer_config.json",
        )
    return prefix_token
