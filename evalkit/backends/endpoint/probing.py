"""What a server offers, found out with a few small requests before the first real one."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from evalkit.backends.endpoint.client import Client, Retryable, Unanswered
from evalkit.backends.endpoint.scoring import How, Prompt, read_scores, scoring_body
from evalkit.backends.endpoint.wire import OPTIONAL, PATHS, Api, Dialect, choices_of, shows_thought
from evalkit.errors import ModelError
from evalkit.requests import Generate

logger = logging.getLogger(__name__)

_TEXT = "The capital of France is"
_TEXTS = (_TEXT, "One, two, three, four,", "The sun rises in the", "Question: What is 1 + 1?\nAnswer:")
_TOKENS = 16
"""New tokens of a probe: models that think refuse to answer with fewer."""
_NOT_OFFERED = frozenset({400, 404, 405, 410, 422, 501})
_AGREE = 0.15
"""Nats by which the same token's log-probability may differ between generating and scoring (bfloat16 moves it by less)."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a server scores prompts.

    Attributes:
        how: Which of its ways.
        token_ids: Whether prompts may be token ids.
    """

    how: How
    token_ids: bool


async def find_dialect(client: Client, api: Api, request: Generate) -> Dialect:
    """How to ask one API to generate.

    Args:
        client: The endpoint.
        api: Which API.
        request: The most demanding of what will be asked.

    Raises:
        Unanswered: The server does not offer it.
        ModelError: It offers nothing at all.
    """
    decoding = request.decoding
    count = min(2, decoding.samples)
    trial = Generate(_TEXT, replace(decoding, max_new_tokens=_TOKENS), messages=_trial_turns(request))
    dialect = Dialect(api, many=count > 1)
    for _ in range(len(OPTIONAL) + 3):
        asked = count if dialect.many else 1
        body = dialect.body(client.address.model, trial, decoding.seed, asked)
        try:
            given, thinks = await client.ask(PATHS[api], body, partial(_choices_shown, api=api))
        except Unanswered as error:
            known = _without_refused(dialect, error, body)
            if known is None:
                raise
            dialect = known
            continue
        if dialect.refused:
            names = ", ".join(sorted(dialect.refused))
            logger.warning("%s does not take %s: its own defaults apply", client.address.name, names)
        return replace(dialect, many=given == asked > 1, thinks=thinks)
    raise ModelError(f"{client.address.name} refuses every form of a first small request")


def _trial_turns(request: Generate) -> tuple[Mapping[str, str], ...]:
    """A short conversation, with a system turn where the request has one: not every template takes it."""
    if not request.messages:
        return ()
    system = [{"role": "system", "content": "Be brief."}] if request.messages[0]["role"] == "system" else []
    return (*system, {"role": "user", "content": _TEXT})


def _choices_given(reply: Mapping[str, Any]) -> int:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Retryable("the reply has no choices")
    return len(choices)


def _choices_shown(reply: Mapping[str, Any], api: Api) -> tuple[int, bool]:
    return _choices_given(reply), shows_thought(reply, api)


def _without_refused(dialect: Dialect, error: Unanswered, body: Mapping[str, Any]) -> Dialect | None:
    """The dialect without what the server's refusal names; None where it names nothing that can be left out."""
    if error.status not in (400, 422):
        return None
    if dialect.limit == "max_tokens" and "max_completion_tokens" in error.reason:
        return replace(dialect, limit="max_completion_tokens")
    if "n" in body and re.search(r"""['"`]n['"`]|\bn\b\s*(?:>|must|is|=)""", error.reason):
        return replace(dialect, many=False)
    for name in OPTIONAL:
        if name in body and re.search(rf"\b{name}\b", error.reason):
            return replace(dialect, refused=dialect.refused | {name})
    return None


async def offers_completions(client: Client) -> bool:
    """Whether the server continues plain text; False where it only speaks chat.

    Raises:
        Unanswered: It could not be asked.
        ModelError: It will answer nothing.
    """
    body = {"model": client.address.model, "prompt": _TEXT, "max_tokens": 1}
    try:
        await client.ask(PATHS["completions"], body, _choices_given)
    except Unanswered as error:
        if error.status in _NOT_OFFERED:
            return False
        raise
    return True


async def find_scoring(client: Client, token_ids: list[int] | None) -> Scoring | None:
    """How the server scores prompts; None where it cannot.

    What it says is checked against itself: the token that it generates after a text must have the same log-probability
    when the text with that token is scored. A server whose scores belong to other tokens does not pass (llama-cpp-python
    0.3 gives each token the log-probability that it has one place later).

    Args:
        client: The endpoint.
        token_ids: A prompt in ids, where a tokenizer is at hand.
    """
    for how in ("echo", "prompt_logprobs"):
        if await _scores(client, _TEXT, how):
            checks = [await _agrees(client, text, how) for text in _TEXTS]
            if True in checks and False not in checks:
                return Scoring(how, token_ids is not None and await _scores(client, token_ids, how))
    return None


async def _scores(client: Client, prompt: Prompt, how: How) -> bool:
    body = scoring_body(client.address.model, prompt, how)
    try:
        reply = await client.ask(PATHS["completions"], body, dict)
        scores = read_scores(reply, how)
    except (Retryable, Unanswered):
        return False
    return len(scores.values) > 1 and all(value is not None for value in scores.values[1:])


async def _agrees(client: Client, prompt: str, how: How) -> bool | None:
    """Whether the token generated after a text is scored alike; None where the server's tokens do not show it."""
    model, path = client.address.model, PATHS["completions"]
    body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0, "logprobs": 1}
    try:
        (choice,) = choices_of(await client.ask(path, body, dict), 1)
        generated, value = choice["logprobs"]["tokens"][0], float(choice["logprobs"]["token_logprobs"][0])
        text = str(choice["text"])
        before = read_scores(await client.ask(path, scoring_body(model, prompt, how), dict), how)
        after = read_scores(await client.ask(path, scoring_body(model, prompt + text, how), dict), how)
    except (Retryable, Unanswered, KeyError, TypeError, ValueError, IndexError):
        return None
    length = len(before.tokens)
    same_token = how != "echo" or after.tokens[-1] == generated
    if not text or len(after.tokens) != length + 1 or after.tokens[:length] != before.tokens or not same_token:
        return None
    found = after.values[-1]
    return found is not None and abs(found - value) <= _AGREE and after.greedy[-1]


async def context_length(client: Client) -> int | None:
    """Tokens the model sees at once, where the server's list of models tells."""
    reply = await client.look("/models")
    models = reply.get("data") if reply else None
    for model in models if isinstance(models, list) else ():
        if isinstance(model, Mapping) and model.get("id") == client.address.model:
            for name in ("max_model_len", "context_length", "max_context_length"):
                if isinstance(model.get(name), int):
                    return int(model[name])
    return None


def most_demanding(requests: Iterable[Generate]) -> Generate:
    """The request that uses most of what a server may not offer."""
    return max(
        requests,
        key=lambda request: (
            request.decoding.samples,
            request.decoding.temperature > 0,
            request.decoding.top_k,
            request.decoding.top_p < 1,
            len(request.decoding.stop),
            bool(request.messages) and request.messages[0]["role"] == "system",
        ),
    )
