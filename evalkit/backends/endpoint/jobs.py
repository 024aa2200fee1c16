"""One request of evalkit's as one or several requests to the server, and their replies as one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from evalkit.backends.endpoint.client import Client
from evalkit.backends.endpoint.probing import Scoring
from evalkit.backends.endpoint.scoring import (
    BoundaryError,
    Prompt,
    PromptScores,
    read_scores,
    response,
    scoring_body,
    tokens_after,
    tokens_at_end,
)
from evalkit.backends.endpoint.wire import PATHS, Api, Dialect, completions_of, usage_of
from evalkit.backends.seeds import request_seed
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.requests import Completion, Failure, Generate, Generation, Reply, Request, Response, Score

NEEDS_TOKENIZER = "name the model's tokenizer with --tokenizer, so that token ids are sent"

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Worker:
    """Answers requests through one client.

    Attributes:
        client: Sends.
        dialects: How each API is asked to generate.
        scoring: How prompts are scored; None where nothing is.
        variables: Given to the server's chat template.
    """

    client: Client
    dialects: Mapping[Api, Dialect]
    scoring: Scoring | None
    variables: Mapping[str, Any]
    _contexts: dict[str, asyncio.Task[PromptScores]] = field(default_factory=dict)

    async def answer(self, request: Request, api: Api | None, sequences: Sequence[TokenSequence] | None) -> Reply:
        """The answer to one request; a `Failure` where its own properties leave none.

        Args:
            request: What is asked.
            api: Which API generates; None where nothing is generated.
            sequences: The request in token ids, where the server takes them.

        Raises:
            Unanswered: The server has no answer.
            ModelError: The server will answer nothing at all.
        """
        if isinstance(request, Generate):
            assert api is not None
            return await self._generate(request, self.dialects[api])
        try:
            if sequences is not None:
                return await self._score_tokens(sequences)
            assert isinstance(request, Score)
            return await self._score_text(request)
        except BoundaryError as error:
            return Failure(f"{error}; {NEEDS_TOKENIZER}")

    async def _generate(self, request: Generate, dialect: Dialect) -> Generation:
        samples, seed = request.decoding.samples, request.decoding.seed
        if dialect.many or samples == 1:
            calls = [(request_seed(seed, request.prompt), samples)]
        else:
            calls = [(request_seed(seed, request.prompt, place), 1) for place in range(samples)]
        parts = await _all(*(self._complete(request, dialect, seed, count) for seed, count in calls))
        completions = tuple(completion for texts, _ in parts for completion in texts)
        return Generation(completions, context_tokens=parts[0][1])

    async def _complete(
        self, request: Generate, dialect: Dialect, seed: int, count: int
    ) -> tuple[list[Completion], int]:
        body = dialect.body(self.client.address.model, request, seed, count)
        if dialect.api == "chat" and self.variables:
            body["chat_template_kwargs"] = dict(self.variables)

        def read(reply: dict[str, Any]) -> tuple[list[Completion], int]:
            return completions_of(reply, dialect.api, request, count), usage_of(reply).prompt

        return await self.client.ask(PATHS[dialect.api], body, read)

    async def _score_tokens(self, sequences: Sequence[TokenSequence]) -> Reply:
        if not sequences:
            return Response(0.0, True, (), 1)
        prompts = [[*sequence.inputs.tolist(), int(sequence.targets[-1])] for sequence in sequences]
        found = await _all(*(self._scores(prompt) for prompt in prompts))
        if any(len(scores.tokens) != len(prompt) for scores, prompt in zip(found, prompts, strict=True)):
            return Failure("the server scored other tokens than those it was given")
        parts = [(scores, len(sequence.targets)) for scores, sequence in zip(found, sequences, strict=True)]
        return response(parts, sequences[0].truncated)

    async def _score_text(self, request: Score) -> Reply:
        # white space at the end of the context belongs to the answer, as lm-eval has it
        context = request.context.rstrip()
        answer = request.context[len(context) :] + request.continuation
        scores = await self._scores(context + answer)
        assert self.scoring is not None
        scored = tokens_at_end(scores, answer) if self.scoring.how == "echo" else None
        if scored is None:
            if not context:
                raise BoundaryError("where an answer without context begins does not show")
            scored = tokens_after(scores, await self._context(context))
        return response([(scores, scored)])

    async def _context(self, context: str) -> PromptScores:
        """The tokens of a context alone, asked for once."""
        if context not in self._contexts:
            self._contexts[context] = asyncio.create_task(self._scores(context))
        return await self._contexts[context]

    async def _scores(self, prompt: Prompt) -> PromptScores:
        assert self.scoring is not None
        how = self.scoring.how
        body = scoring_body(self.client.address.model, prompt, how)
        return await self.client.ask(PATHS["completions"], body, partial(read_scores, how=how))


async def _all(*calls: Coroutine[Any, Any, Answer]) -> list[Answer]:
    """The results of all; the first failure cancels the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
