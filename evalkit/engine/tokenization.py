"""Text to tokens: the rules by which lm-eval 0.4.13 joins context and continuation, applied to whole batches at once.

Texts are encoded in parts where that gives the ids of the whole text (`evalkit.engine.cutting`), so that a few-shot
example or an answer letter that thousands of requests repeat is tokenised once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evalkit.engine.cutting import Cutter, cutter_for
from evalkit.engine.sequences import TokenArray
from evalkit.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

# Texts handed to the tokenizer's own thread pool at once: enough to fill it, small enough to stream.
BATCH = 2048
# Pairs of each call that are also encoded whole: a check on the reasoning behind the cuts, on the run's own texts.
VERIFIED = 32

Tokens = tuple[TokenArray, TokenArray]


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
        self._backend = _plain_backend(tokenizer)
        self._cutter = None if self._backend is None else cutter_for(self._backend, len(self._prefix_text))

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

    def encode_prompts(self, texts: Sequence[str]) -> list[TokenArray]:
        """Token ids of texts to be continued, int32 [tokens >= 1]: the prefix token stands for a text without tokens."""
        prefix = np.array([self.prefix_token], dtype=np.int32)
        return [tokens if len(tokens) else prefix for tokens in self.encode(texts, special_tokens=True)]

    def encode_apart(self, pairs: Sequence[tuple[str, str]], *, as_targets: bool = True) -> list[Tokens]:
        """Token ids of (context, continuation) pairs for an encoder-decoder, each side encoded by itself.

        The context has the special tokens that the tokenizer adds by default (the end of sequence of T5, the language of
        mBART), the continuation has none. Trailing whitespace of the context moves to the continuation, and the prefix
        token stands for an empty context, as in `encode_pairs`.

        Args:
            pairs: Contexts and continuations.
            as_targets: Encode continuations as the tokenizer encodes texts to be written, which matters where it has
                another vocabulary for them (Marian); lm-eval encodes them as texts to be read.

        Raises:
            DataError: A continuation has no tokens.
        """
        joined = [_move_spaces(context, continuation) for context, continuation in pairs]
        contexts = list({context for context, _ in joined if context})
        heads = dict(zip(contexts, self.encode(contexts, special_tokens=True), strict=True))
        texts = list({rest for _, rest in joined})
        rests = dict(zip(texts, self._encode_batch(texts, False, as_targets), strict=True))
        encoded = [
            (heads[context], rests[rest]) if context else self._after_prefix(rests[rest]) for context, rest in joined
        ]
        for (_head, tail), (_context, continuation) in zip(encoded, pairs, strict=True):
            if not len(tail):
                raise DataError(
                    f"the continuation {continuation!r} has no tokens", hint="give every answer a text of its own"
                )
        return encoded

    def _encode_batch(
        self, texts: Sequence[str], add_special_tokens: bool, as_targets: bool = False
    ) -> Iterable[TokenArray]:
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            if self._backend is not None:
                for encoding in self._backend.encode_batch_fast(batch, add_special_tokens=add_special_tokens):
                    yield np.array(encoding.ids, dtype=np.int32)
            else:
                side = "text_target" if as_targets else "text"
                for ids in self.tokenizer(**{side: batch}, add_special_tokens=add_special_tokens)["input_ids"]:
                    yield np.array(ids, dtype=np.int32)

    def _encode_distinct(self, texts: Iterable[str], *, special_tokens: bool) -> dict[str, TokenArray]:
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self.encode(distinct, special_tokens=special_tokens), strict=True))

    def encode_pairs(self, pairs: Sequence[tuple[str, str]], shared: Sequence[int] | None = None) -> list[Tokens]:
        """Token ids of each (context, continuation); equal contexts give the same array.

        The rules are lm-eval's (`TemplateLM._encode_pair`, `loglikelihood`): white space at the end of the context
        moves to the continuation; both are encoded together and the context alone, and the continuation is what
        follows the context's number of tokens; an empty context is the prefix token.

        Args:
            pairs: Contexts and continuations.
            shared: For each pair, how many characters of the context other pairs repeat (`Score.shared`). It saves
                time and never changes an id.

        Raises:
            DataError: A continuation has no token of its own, so that there is nothing to score.
        """
        joined = [_move_spaces(context, continuation) for context, continuation in pairs]
        encoded = self._encode_joined(joined, shared or [0] * len(pairs))
        for (_head, tail), (context, _rest), (_context, original) in zip(encoded, joined, pairs, strict=True):
            if not len(tail):
                raise DataError(
                    f"the continuation {original!r} has no token of its own after the context ending {context[-40:]!r}",
                    hint="the tokenizer merges it into the context: end the context or begin the continuation elsewhere",
                )
        return encoded

    def _encode_joined(self, joined: Sequence[tuple[str, str]], shared: Sequence[int]) -> list[Tokens]:
        encoded = self._encode_cut(joined, shared, self._cutter)
        if self._cutter is None:
            return encoded
        checked = range(0, len(joined), max(1, len(joined) // VERIFIED))
        wholes = self._encode_cut([joined[index] for index in checked], [0] * len(checked), None)
        if all(_equal(encoded[index], whole) for index, whole in zip(checked, wholes, strict=True)):
            return encoded
        logger.warning("the tokenizer's parts do not add up to the whole text: every text is tokenised whole")
        self._cutter = None
        return self._encode_cut(joined, shared, None)

    def _encode_cut(
        self, joined: Sequence[tuple[str, str]], shared: Sequence[int], cutter: Cutter | None
    ) -> list[Tokens]:
        """As `encode_pairs` for pairs whose spaces are moved; without a cutter from whole strings only."""
        heads = self._encode_contexts(
            {context: place for (context, _), place in zip(joined, shared, strict=True) if context}, cutter
        )
        # the end of the context that a continuation is encoded with; None where only the whole context will do
        windows = [cutter.window(*pair) if cutter and all(pair) else None for pair in joined]
        short = [(window, rest) for window, (_, rest) in zip(windows, joined, strict=True) if window is not None]
        long = [pair for window, pair in zip(windows, joined, strict=True) if window is None and pair[0]]
        ends = self._encode_distinct((window for window, _ in short), special_tokens=False)
        parts = self._encode_distinct((window + rest for window, rest in short), special_tokens=False)
        wholes = self._encode_distinct((context + rest for context, rest in long), special_tokens=True)
        alone = self._encode_distinct((rest for context, rest in joined if not context), special_tokens=False)
        encoded = []
        for window, (context, rest) in zip(windows, joined, strict=True):
            if not context:
                encoded.append(self._after_prefix(alone[rest]))
            elif window is None:
                encoded.append((heads[context], wholes[context + rest][len(heads[context]) :]))
            else:
                encoded.append((heads[context], parts[window + rest][len(ends[window]) :]))
        return encoded

    def _encode_contexts(self, contexts: dict[str, int], cutter: Cutter | None) -> dict[str, TokenArray]:
        """Token ids of each context (with its shared characters), every distinct segment of them encoded once."""
        cut = {text: cutter.segments(text, shared) if cutter else [text] for text, shared in contexts.items()}
        firsts = self._encode_distinct((parts[0] for parts in cut.values()), special_tokens=True)
        others = self._encode_distinct((part for parts in cut.values() for part in parts[1:]), special_tokens=False)
        return {
            text: np.concatenate([firsts[parts[0]], *(others[part] for part in parts[1:])])
            for text, parts in cut.items()
        }

    def _after_prefix(self, tokens: TokenArray) -> Tokens:
        """The prefix token and what follows it: a text's tokens, or all but the first if that is the prefix token."""
        if len(tokens) and tokens[0] == self.prefix_token:
            return tokens[:1], tokens[1:]
        return np.array([self.prefix_token], dtype=np.int32), tokens


def _plain_backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer | None:
    """The fast tokenizer inside, unless there is none or it was saved with a limit or padding of its own."""
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    return None if backend is None or backend.truncation or backend.padding else backend


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation


def _equal(left: Tokens, right: Tokens) -> bool:
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(left, right, strict=True))
