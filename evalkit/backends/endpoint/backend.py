"""An OpenAI-compatible endpoint under the backend protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from evalkit.backends.base import Answer, Prepared
from evalkit.backends.endpoint.account import Account
from evalkit.backends.endpoint.address import Address
from evalkit.backends.endpoint.client import Client, RetryPolicy, Unanswered
from evalkit.backends.endpoint.jobs import NEEDS_TOKENIZER, Worker
from evalkit.backends.endpoint.pool import Job, answer_all
from evalkit.backends.endpoint.probing import (
    Scoring,
    context_length,
    find_dialect,
    find_scoring,
    most_demanding,
    offers_completions,
)
from evalkit.backends.endpoint.streaming import call, stream
from evalkit.backends.endpoint.tokens import EndpointTokenizer
from evalkit.backends.endpoint.wire import Api, Dialect, usage_of
from evalkit.chat import ChatFormat
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.errors import ModelError, OverLengthError, UsageError
from evalkit.requests import Generate, Generation, Request, Roll, Score
from evalkit.results import ModelInfo
from evalkit.thinking import KNOWN_TAGS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE_TRIES = 3
_SCORE_HINT = (
    "use a task that generates its answers, as mmlu:cot or gsm8k, or a server that gives log-probabilities of prompts "
    "(vLLM, SGLang)"
)


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """How an endpoint is asked.

    Attributes:
        concurrency: Requests under way at once, at most.
        policy: When to try again.
        max_length: Tokens the model sees at once; None asks the server.
        stride: Tokens scored in each perplexity window after the first; None for windows without overlap.
        price_prompt: Price of a million tokens of prompts, for the account.
        price_completion: Price of a million generated tokens.
    """

    concurrency: int = 64
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    max_length: int | None = None
    stride: int | None = None
    price_prompt: float | None = None
    price_completion: float | None = None


@dataclass(frozen=True, slots=True)
class EndpointPrepared:
    """Requests as they will be asked.

    Attributes:
        requests: What was asked.
        lengths: Tokens that each needs at once; 0 without a tokenizer.
        tokens: Tokens of each; without a tokenizer a quarter of its bytes, a rule of thumb.
        sequences: Each scored request in token ids; None where texts are sent.
    """

    requests: Sequence[Request]
    lengths: Sequence[int]
    tokens: Sequence[int]
    sequences: Sequence[Sequence[TokenSequence] | None]


class EndpointBackend:
    """Answers requests through an OpenAI-compatible server.

    Args:
        address: The model and where it is.
        options: How to ask.
        tokenizer: The model's tokenizer, where the user names one: prompts to be scored are then sent as token ids.

    Raises:
        UsageError: An option has no meaning.
    """

    device = None
    budget = 1

    def __init__(
        self,
        address: Address,
        options: EndpointOptions | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        self.address = address
        self.options = options or EndpointOptions()
        if self.options.concurrency < 1:
            raise UsageError(f"--concurrency is {self.options.concurrency}", hint="give 1 or more")
        self._tokens = None if tokenizer is None else EndpointTokenizer(tokenizer, self.options.stride)
        self._account = Account(self.options.price_prompt, self.options.price_completion)
        self._dialects: dict[Api, Dialect] = {}
        self._scoring: Scoring | None = None
        self._rendered: set[str] = set()
        self._variables: Mapping[str, Any] = {}
        self._fingerprints: set[str] = set()
        self._clients: list[Client] = []

    @property
    def info(self) -> ModelInfo:
        """The model's name and where it is: its weights are not known."""
        identity = hashlib.sha256(f"endpoint\0{self.address.url}\0{self.address.model}".encode()).hexdigest()
        return ModelInfo(
            name=self.address.name,
            source="endpoint",
            revision=None,
            parameters=None,
            dtype="unknown",
            weights_sha256=identity,
            tokenizer_sha256=identity if self._tokens is None else self._tokens.sha256,
            adapter=None,
            extra={
                "endpoint": self.address.url,
                "served_model": self.address.model,
                "weights": "not known: the hash is that of the endpoint's address and the model's name there",
            },
        )

    @cached_property
    def max_length(self) -> int | None:
        """Inputs the model takes at once; None without a tokenizer, which could not count them."""
        if self._tokens is None:
            return None
        if self.options.max_length is not None:
            return self.options.max_length
        found = self._probe(context_length)
        # a prompt to be scored holds one token more than the inputs, and one token is generated after it
        return None if found is None else found - 2

    @cached_property
    def chat_only(self) -> bool:
        """Whether the endpoint takes chat turns only, and does not continue plain text."""
        if self.address.style != "auto":
            return self.address.style == "chat"
        return not self._probe(offers_completions)

    @cached_property
    def chat(self) -> ChatFormat:
        """Whether it takes chat turns, or nothing else; tags of thoughts are those that nearly all models write."""
        if self._tokens is None:
            return ChatFormat(self.address.style != "completions", self.chat_only, KNOWN_TAGS[0], assumed=True)
        known = self._tokens.chat
        return ChatFormat(self.address.style != "completions" or known.template, self.chat_only, known.thinking)

    def settings(self) -> dict[str, Any]:
        """How the endpoint is asked, and under `self_check` what it told of itself."""
        return {
            "engine": "endpoint",
            "api": {
                api: {"limit": dialect.limit, "several_at_once": dialect.many, "not_sent": sorted(dialect.refused)}
                for api, dialect in sorted(self._dialects.items())
            },
            "scoring": None if self._scoring is None else self._scoring.how,
            "token_ids": self._sends_token_ids,
            "template_variables": dict(self._variables),
            "max_length": self.max_length,
            "stride": self.options.stride,
            "self_check": {"fingerprints": sorted(self._fingerprints)},
        }

    def render_chat(self, messages: Sequence[Mapping[str, str]], **variables: Any) -> str:
        """The conversation as text: through the tokenizer's template where one is at hand, else for the eye only.

        Raises:
            ModelError: Only plain text is sent, and no tokenizer with a template is at hand.
        """
        self._variables = variables
        if self._tokens is not None and self._tokens.chat.template:
            return self._tokens.render_chat(messages, variables)
        if self.address.style == "completions":
            raise ModelError(
                f"{self.address.name} is asked for completions of plain text, which needs the model's own chat template",
                hint="name the model's tokenizer with --tokenizer, or use openai-chat: in place of openai-completions:",
            )
        text = "".join(f"<{message['role']}> {message['content']}\n" for message in messages) + "<assistant> "
        self._rendered.add(text)
        return text

    def prepare(self, requests: Sequence[Request]) -> EndpointPrepared:
        """Finds out how the server wants to be asked for these, and counts tokens where a tokenizer is at hand.

        Raises:
            ModelError: The server cannot do it, or does not answer at all.
        """
        generating = [request for request in requests if isinstance(request, Generate)]
        self._find_dialects(generating)
        if len(generating) < len(requests):
            self._find_scoring(requests)
        if self._tokens is None:
            estimated = [len(_text(request).encode("utf-8", "replace")) // 4 + 1 for request in requests]
            return EndpointPrepared(requests, [0] * len(requests), estimated, [None] * len(requests))
        lengths, tokens, sequences = self._tokens.encode(requests, self.max_length)
        return EndpointPrepared(
            requests, lengths, tokens, sequences if self._sends_token_ids else [None] * len(requests)
        )

    def compute(
        self, prepared: Prepared, done: Collection[int] = (), left_out: Collection[int] = ()
    ) -> Iterator[list[Answer]]:
        """Answers requests in order, several at once; those that get no answer are a `Failure`.

        Plain prompts that leave no room for their answers are cut on the left.

        Raises:
            OverLengthError: A conversation leaves no room for its answer, or an answer has none without any prompt.
        """
        if not isinstance(prepared, EndpointPrepared):
            raise TypeError("these requests were prepared by another backend")
        finished = frozenset(done).union(left_out)
        jobs: list[Job] = []
        cuts: dict[int, int] = {}
        for index, request in enumerate(prepared.requests):
            if index in finished:
                continue
            api = None
            if isinstance(request, Generate):
                api = self._api(request)
                request, cuts[index] = self._cut(request, api, prepared.lengths[index])  # noqa: PLW2901
            jobs.append((index, request, api, prepared.sequences[index]))

        async def produce(give: Callable[[Answer], None]) -> None:
            def put(answer: Answer) -> None:
                index, reply = answer
                if isinstance(reply, Generation):
                    reply = replace(reply, truncated=cuts[index])
                give((index, reply))

            async with self._client(self.options.policy) as client:
                await answer_all(Worker(client, self._dialects, self._scoring, self._variables), jobs, put)

        yield from stream(produce)

    def cost(self, prepared: Prepared, seconds: float) -> None:
        """What the server computes is not known here."""

    def counters(self) -> dict[str, int]:
        """The server's own token account, and how often it was asked."""
        return {
            **self._account.counters(),
            "requests_sent": sum(client.sent for client in self._clients),
            "retries": sum(client.retried for client in self._clients),
        }

    def account(self) -> dict[str, Any]:
        """The price of what this process asked for, where prices were given."""
        return self._account.cost()

    def _cut(self, request: Generate, api: Api, length: int) -> tuple[Generate, int]:
        """The request with what fits of its prompt, and how many tokens that lost."""
        limit = self.max_length
        if self._tokens is None or limit is None or length <= limit:
            return request, 0
        kept = limit - request.decoding.max_new_tokens
        if kept < 1:
            raise OverLengthError(
                f"an answer of up to {request.decoding.max_new_tokens} tokens leaves no room for a prompt in the model's "
                f"context of {limit} tokens",
                hint="give a smaller --max-new-tokens, or use a model with a longer context",
            )
        if api == "chat":
            raise OverLengthError(
                f"a conversation needs {length} tokens with its answer, but the model takes {limit}, and turns are not cut",
                hint="use --over-length drop-shots or skip, or a smaller --max-new-tokens",
            )
        prompt, lost = self._tokens.cut(request.prompt, kept)
        return replace(request, prompt=prompt), lost

    @property
    def _sends_token_ids(self) -> bool:
        return self._scoring is not None and self._scoring.token_ids

    def _api(self, request: Generate) -> Api:
        if self.address.style != "auto":
            return "chat" if self.address.style == "chat" else "completions"
        return "chat" if request.messages or self.chat_only else "completions"

    def _client(self, policy: RetryPolicy) -> Client:
        client = Client(self.address, policy, self.options.concurrency, self._replied)
        self._clients.append(client)
        return client

    def _replied(self, reply: Mapping[str, Any]) -> None:
        self._account.add(usage_of(reply))
        if fingerprint := reply.get("system_fingerprint"):
            self._fingerprints.add(str(fingerprint))

    def _probe(self, ask: Callable[[Client], Any]) -> Any:
        """What a first small request gives.

        Raises:
            ModelError: Nothing: the endpoint is dead, or the request is not for it.
        """

        async def probe() -> Any:
            async with self._client(self.options.policy.hasty(_PROBE_TRIES)) as client:
                return await ask(client)

        try:
            return call(probe())
        except Unanswered as error:
            raise ModelError(f"{self.address.name} does not answer: {error.reason}", hint=_hint(error)) from None

    def _find_dialects(self, requests: Sequence[Generate]) -> None:
        if any(request.decoding.beams > 1 for request in requests):
            raise ModelError("OpenAI's API has no beam search", hint="leave --beams out, or use the built-in engine")
        asked: dict[Api, list[Generate]] = {}
        for request in requests:
            asked.setdefault(self._api(request), []).append(request)
        for api, own in asked.items():
            if api not in self._dialects:
                self._dialects[api] = self._probe(partial(find_dialect, api=api, request=most_demanding(own)))

    def _find_scoring(self, requests: Sequence[Request]) -> None:
        if any(isinstance(request, Score) and request.context in self._rendered for request in requests):
            raise ModelError(
                "answers after chat turns cannot be scored: only the server knows its chat template",
                hint=_SCORE_HINT
                if self.chat_only
                else f"leave --chat-template out for tasks that score answers, or {NEEDS_TOKENIZER}",
            )
        if self._scoring is None:
            if self.chat_only:
                raise ModelError(
                    f"{self.address.name} only speaks chat, and gives no log-probabilities of prompts", hint=_SCORE_HINT
                )
            trial = None if self._tokens is None else self._tokens.trial
            self._scoring = self._probe(lambda client: find_scoring(client, trial))
        if self._scoring is None:
            raise ModelError(
                f"{self.address.name} gives no log-probabilities of prompts, or not those of its own tokens",
                hint=_SCORE_HINT,
            )
        if any(isinstance(request, Roll) for request in requests) and not self._sends_token_ids:
            raise ModelError("the perplexity of a text is measured over windows of token ids", hint=NEEDS_TOKENIZER)


def _text(request: Request) -> str:
    if isinstance(request, Generate):
        return request.prompt
    return request.text if isinstance(request, Roll) else request.context + request.continuation


def _hint(error: Unanswered) -> str:
    if error.status == 404:
        return "check the model's name and the URL, which mostly ends in /v1"
    if error.status is not None:
        return "check what the server's message names"
    return "check that the server runs and that the URL is right"
