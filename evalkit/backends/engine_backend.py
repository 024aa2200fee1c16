"""What every backend on the built-in engine does without the weights: requests to sequences, scores to responses."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evalkit.backends.base import Answer, Fingerprint, Prepared
from evalkit.backends.local_generation import LocalGeneration, TokenizedPrompt
from evalkit.engine import sequences as token_sequences
from evalkit.engine.engine import NonFiniteSequenceError
from evalkit.engine.engine import Score as SequenceScore
from evalkit.engine.generation.self_check import DecodingCheck
from evalkit.engine.self_check import SelfCheck
from evalkit.engine.sequences import TokenArray
from evalkit.engine.tokenization import TextEncoder, Tokens
from evalkit.errors import NonFiniteError, OverLengthError, UsageError
from evalkit.requests import Generate, Request, Response, Roll, Score

if TYPE_CHECKING:
    from evalkit.chat import ChatFormat, Turns
    from evalkit.models import LoadedModel, OpenedModel
    from evalkit.results import ModelInfo


@dataclass(frozen=True, slots=True)
class TokenizedRequests:
    """Requests and the token sequences that answer them.

    Attributes:
        requests: What was asked.
        lengths: Inputs each `Score` needs at once, and prompt and answer of each `Generate`, before any cutting; 0 for
            `Roll`.
        tokens: Inputs of all sequences of each request.
        sequences: All sequences of all requests.
        owners: For each sequence the request it belongs to.
        prompts: Request -> what is to be continued.
    """

    requests: Sequence[Request]
    lengths: Sequence[int]
    tokens: Sequence[int]
    sequences: Sequence[token_sequences.Sequence]
    owners: Sequence[int]
    prompts: Mapping[int, TokenizedPrompt]

    def digest(self, index: int) -> bytes:
        """Hash of a request as it is computed: all its tokens, and how a text goes on after them."""
        digest = hashlib.blake2b(digest_size=20)
        request = self.requests[index]
        if isinstance(request, Generate):
            how = {
                "decoding": request.decoding.described(),
                "thinks": request.thinks,
                "turn": bool(request.messages),  # which tokens end the text, and how thoughts are read
                "kept": self.prompts[index].kept,
            }
            parts = [self.prompts[index].tokens.tobytes(), json.dumps(how, sort_keys=True).encode()]
        else:
            first, end = bisect_left(self.owners, index), bisect_right(self.owners, index)
            parts = [part for one in self.sequences[first:end] for part in one.content()]
        for part in parts:
            digest.update(len(part).to_bytes(4, "big") + part)
        return digest.digest()


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How the built-in engine computes.

    Attributes:
        token_budget: Distinct tokens a batch may hold; None chooses for the device.
        deterministic: See `Engine`.
        share_prefixes: Compute every shared prefix once where the model allows it.
        compat_lm_eval: Reproduce lm-eval's faults: special tokens inside rolling texts (a second, scored BOS), and
            log-softmax and sums in the model's dtype.
        stride: Tokens scored in each perplexity window after the first; None for windows without overlap.
    """

    token_budget: int | None = None
    deterministic: bool = False
    share_prefixes: bool = True
    compat_lm_eval: bool = False
    stride: int | None = None


@dataclass(frozen=True, slots=True)
class Checks:
    """What the engine found out about the model before it computed anything.

    Attributes:
        scoring: How scores are computed.
        generation: How texts are; None while none was asked for.
    """

    scoring: SelfCheck
    generation: DecodingCheck | None


class EngineBackend(ABC):
    """Answers requests with the built-in engine, wherever that computes.

    Args:
        model: The model with its tokenizer, opened or loaded.
        options: How to compute.
    """

    def __init__(self, model: LoadedModel | OpenedModel, options: LocalOptions | None = None) -> None:
        self.options = options or LocalOptions()
        self.encoder = TextEncoder(model.tokenizer, model.prefix_token)
        self.generation = LocalGeneration(model.tokenizer, self.encoder, is_encoder_decoder=model.is_encoder_decoder)
        self._model = model
        self._asked = 0

    # where it computes ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def info(self) -> ModelInfo:
        """The model's identity."""

    @property
    @abstractmethod
    def device(self) -> str:
        """The torch device."""

    @property
    @abstractmethod
    def budget(self) -> int:
        """Distinct tokens in a batch."""

    @abstractmethod
    def _checks(self) -> Checks:
        """What the engine found out."""

    @abstractmethod
    def is_known_code(self) -> bool:
        """Whether the hashes cover what computes: neither put together in memory, nor code that comes with the weights."""

    @abstractmethod
    def _decoder_start(self, targets: TokenArray) -> TokenArray:
        """What an encoder-decoder's decoder begins with before `targets`, int32."""

    @abstractmethod
    def check_generation(self) -> None:
        """Makes sure that `_checks` says how texts are written."""

    @abstractmethod
    def _scores(
        self, sequences: Sequence[token_sequences.Sequence], done: Collection[int]
    ) -> Iterator[list[SequenceScore]]:
        """Scores sequences but those in `done`, as `Engine.score`."""

    @abstractmethod
    def _texts(
        self, tokenized: TokenizedRequests, prompts: Mapping[int, TokenizedPrompt], finished: Collection[int]
    ) -> Iterator[list[Answer]]:
        """Continues prompts but those in `finished`, which only stand beside the others."""

    # what is the same everywhere -----------------------------------------------------------------------------------

    @property
    def max_length(self) -> int:
        """Inputs the model takes at once."""
        return self._model.max_length

    def settings(self) -> dict[str, Any]:
        """Engine settings that can change an answer, and what the self-check found."""
        checks = self._checks()
        return {
            "engine": "evalkit",
            "batch_tokens": self.budget,
            "deterministic": self.options.deterministic,
            "share_prefixes": self.options.share_prefixes,
            "compat_lm_eval": self.options.compat_lm_eval,
            "stride": self.options.stride,
            "max_length": self.max_length,
            "self_check": {
                **asdict(checks.scoring),
                **({} if checks.generation is None else {"generation": asdict(checks.generation)}),
            },
        }

    def fingerprint(self) -> Fingerprint | None:
        """What answers; None where the hashes do not cover it."""
        if not self.is_known_code():
            return None
        settings = self.settings()
        check = settings.pop("self_check")
        if not self.options.deterministic:
            settings.pop("batch_tokens")  # whoever needs it adds the budget of the moment
        content = {"model": self.info.content(), "engine": settings, "path": check["path"]}
        return Fingerprint(content, alone=self.options.deterministic)

    @property
    def chat(self) -> ChatFormat:
        """What the tokenizer knows of conversations."""
        from evalkit.models.chat import chat_format

        return chat_format(self._model.tokenizer)

    def render_chat(self, messages: Turns, **variables: Any) -> str:
        """The tokenizer's chat template applied to messages."""
        from evalkit.models.chat import render_chat

        return render_chat(self._model.tokenizer, messages, **variables)

    def prepare(self, requests: Sequence[Request]) -> TokenizedRequests:
        """Tokenises all requests, each distinct part of their contexts once."""
        scores = [index for index, request in enumerate(requests) if isinstance(request, Score)]
        encoded = dict(zip(scores, self._encode([r for r in requests if isinstance(r, Score)]), strict=True))
        texts = [r.text for r in requests if isinstance(r, Roll)]
        rolled = iter(self.encoder.encode(texts, special_tokens=self.options.compat_lm_eval))
        prompts = self.generation.prepare(requests, self.max_length)
        sequences: list[token_sequences.Sequence] = []
        owners: list[int] = []
        lengths, tokens = [], []
        for index, request in enumerate(requests):
            own: list[token_sequences.Sequence] = []
            if isinstance(request, Generate):
                lengths.append(prompts[index].needed)
                tokens.append(len(prompts[index].tokens))
                continue
            if isinstance(request, Score):
                length, own = self._continuation(*encoded[index])
            else:
                length, own = 0, self._windows(next(rolled))
            lengths.append(length)
            sequences.extend(own)
            owners.extend([index] * len(own))
            tokens.append(sum(sequence.tokens for sequence in own))
        return TokenizedRequests(requests, lengths, tokens, sequences, owners, prompts)

    def _encode(self, scores: Sequence[Score]) -> list[Tokens]:
        pairs = [(request.context, request.continuation) for request in scores]
        if self._model.is_encoder_decoder:
            return self.encoder.encode_apart(pairs, as_targets=not self.options.compat_lm_eval)
        return self.encoder.encode_pairs(pairs, [request.shared for request in scores])

    def _continuation(
        self, context: TokenArray, continuation: TokenArray
    ) -> tuple[int, list[token_sequences.Sequence]]:
        """Inputs that a request needs at once, and its sequence; none where the answer does not fit by itself.

        What does not fit is settled by the caller.
        """
        if self._model.is_encoder_decoder:
            start = self._decoder_start(continuation)
            needed = len(start) + len(continuation) - 1
            length = max(len(context), needed)
            if needed > self.max_length:
                return length, []
            return length, [token_sequences.encoder_decoder_sequence(context, continuation, start, self.max_length)]
        length = len(context) + len(continuation) - 1
        if len(continuation) > self.max_length:
            return length, []
        return length, [token_sequences.continuation_sequence(context, continuation, self.max_length)]

    def _windows(self, tokens: TokenArray) -> list[token_sequences.Sequence]:
        """The windows of a text.

        Raises:
            UsageError: The model is an encoder-decoder.
        """
        windows = token_sequences.rolling_sequences(
            tokens, self.encoder.prefix_token, self.max_length, self.options.stride
        )
        if not self._model.is_encoder_decoder:
            return list(windows)
        if not self.options.compat_lm_eval:
            raise UsageError(
                "an encoder-decoder has no likelihood of a text alone: its decoder writes after what the encoder reads",
                hint="use a causal model, or --compat lm-eval for lm-eval's number, whose encoder reads one token",
            )
        return [
            token_sequences.encoder_decoder_sequence(
                window.inputs[: window.context_tokens],
                window.targets,
                self._decoder_start(window.targets),
                self.max_length,
            )
            for window in windows
        ]

    def compute(
        self, prepared: Prepared, done: Collection[int] = (), left_out: Collection[int] = ()
    ) -> Iterator[list[Answer]]:
        """Answers requests: scores batch by batch (a text when its last window is), then texts as they are finished."""
        tokenized = own(prepared)
        finished = {*done, *left_out}
        if without := _without_tokens(tokenized, finished):
            finished.update(index for index, _ in without)
            yield without
        self._asked += sum(count for index, count in enumerate(tokenized.tokens) if index not in finished)
        if tokenized.prompts:
            self.check_generation()  # a result names how texts are written, also where all are known already
        prompts = {index: one for index, one in tokenized.prompts.items() if index not in left_out}
        for index, one in prompts.items():
            if index not in finished:
                one.check_room()  # before anything is computed
        yield from self._score(tokenized, finished)
        if prompts.keys() - finished:
            yield from self._texts(tokenized, prompts, finished)

    def _score(self, tokenized: TokenizedRequests, finished: set[int]) -> Iterator[list[Answer]]:
        if not tokenized.sequences:
            return
        waiting = Counter(tokenized.owners)
        parts: dict[int, dict[int, tuple[np.ndarray, bool]]] = {}
        skip = {place for place, owner in enumerate(tokenized.owners) if owner in finished}
        try:
            for scores in self._scores(tokenized.sequences, skip):
                answers: list[Answer] = []
                for place, values, greedy in scores:
                    owner = tokenized.owners[place]
                    own = parts.setdefault(owner, {})
                    own[place] = (values, greedy)
                    if len(own) == waiting[owner] and owner not in finished:
                        finished.add(owner)
                        answers.append((owner, self._response(tokenized, parts.pop(owner))))
                yield answers
        except NonFiniteSequenceError as error:
            raise NonFiniteRequestError(error, tokenized.owners[error.sequence], error.token) from error

    def answer(self, requests: Sequence[Request]) -> Iterator[Answer]:
        """Prepares and answers requests; (index, response) in any order."""
        for answers in self.compute(self.prepare(requests)):
            yield from answers

    def _response(self, prepared: TokenizedRequests, parts: dict[int, tuple[np.ndarray, bool]]) -> Response:
        places = sorted(parts)
        values = np.concatenate([parts[place][0] for place in places])
        first = prepared.sequences[places[0]]
        return Response(
            log_probability=self._total(values),
            greedy=all(parts[place][1] for place in places),
            token_log_probabilities=tuple(values.tolist()),
            context_tokens=first.context_tokens,
            truncated=first.truncated,
        )

    def _total(self, values: np.ndarray) -> float:
        dtype = getattr(torch, self.info.dtype or "float32")
        if self.options.compat_lm_eval and dtype != torch.float32:
            return float(torch.from_numpy(values).to(dtype).sum())
        return float(np.sum(values, dtype=np.float64))


def _without_tokens(tokenized: TokenizedRequests, done: Collection[int]) -> list[Answer]:
    """Answers to texts without tokens.

    Raises:
        OverLengthError: An answer is longer than the model's context, which no cutting on the left can settle.
    """
    answers: list[Answer] = []
    for index, request in enumerate(tokenized.requests):
        if tokenized.tokens[index] or index in done:
            continue
        if isinstance(request, Score):
            raise OverLengthError(
                f"an answer of {tokenized.lengths[index]} tokens with its context is longer than the model's context",
                hint="leave the document out with --over-length skip, or use a model with a longer context",
            )
        answers.append((index, Response(0.0, True, (), 1)))
    return answers


def own(prepared: Prepared) -> TokenizedRequests:
    """Requests that a backend of this kind has prepared."""
    if not isinstance(prepared, TokenizedRequests):
        raise TypeError("these requests were prepared by another backend")
    return prepared


class NonFiniteRequestError(NonFiniteError):
    """Non-finite logits in the answer to a request.

    Attributes:
        request: Index of the request.
        token: Place of the first bad token among those scored or generated.
    """

    def __init__(self, error: NonFiniteError, request: int, token: int) -> None:
        super().__init__(error.message, hint=error.hint)
        self.request = request
        self.token = token
