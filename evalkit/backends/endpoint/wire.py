"""The wire format of OpenAI's two APIs: requests as JSON bodies, replies as texts, token counts and reasons to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.backends.endpoint.client import Retryable
from evalkit.backends.stop_texts import cut_at_stop
from evalkit.decoding import Decoding
from evalkit.requests import Completion, Finish, Generate
from evalkit.thinking import KNOWN_TAGS, may_think, opens_thought

Api = Literal["chat", "completions"]

PATHS: Mapping[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}
MOST_STOPS = 4
"""Stop texts that OpenAI's API takes; ours cut at all of them in any case."""
OPTIONAL = ("seed", "stop", "top_k", "top_p", "temperature")
"""Parameters that a server may refuse without making a request senseless; what it refused stands in the result."""

_FINISHES: Mapping[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "content_filter": "refused",
    "tool_calls": "stop",
    "function_call": "stop",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one API of a server wants to be asked to generate.

    Attributes:
        api: Which API.
        limit: Name of the parameter for the most new tokens.
        many: Whether one request may ask for several completions (`n`).
        refused: Optional parameters that the server does not take.
        thinks: A first answer showed that the model thinks, so that the server would end answers inside a thought.
    """

    api: Api
    limit: str = "max_tokens"
    many: bool = True
    refused: frozenset[str] = frozenset()
    thinks: bool = False

    def body(self, model: str, request: Generate, seed: int, count: int) -> dict[str, Any]:
        """The JSON that asks for `count` completions."""
        decoding = request.decoding
        body: dict[str, Any] = {"model": model, self.limit: decoding.max_new_tokens}
        if self.api == "chat":
            body["messages"] = turns(request)
        else:
            body["prompt"] = request.prompt
        optional = {"temperature": decoding.temperature, **_drawing(decoding, seed)}
        if decoding.stop and not may_think(request) and not (self.thinks and decoding.thinking):
            optional["stop"] = list(decoding.stop[:MOST_STOPS])
        body |= {name: value for name, value in optional.items() if name not in self.refused}
        return body | ({"n": count} if count > 1 else {})


def _drawing(decoding: Decoding, seed: int) -> dict[str, Any]:
    if decoding.is_greedy:
        return {}
    drawing: dict[str, Any] = {"seed": seed}
    if decoding.top_p < 1:
        drawing["top_p"] = decoding.top_p
    if decoding.top_k:
        drawing["top_k"] = decoding.top_k
    return drawing


def turns(request: Generate) -> list[dict[str, str]]:
    """The conversation to send: a plain prompt is one turn of the user's."""
    return [dict(message) for message in request.messages] or [{"role": "user", "content": request.prompt}]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server counted for one request.

    Attributes:
        prompt: Tokens of the prompt.
        completion: Tokens generated, thoughts that are not shown included.
        cached: Tokens of the prompt that the server did not compute again.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0


def usage_of(reply: Mapping[str, Any]) -> Usage:
    """The reply's token account; zeros where it has none."""
    usage = reply.get("usage")
    if not isinstance(usage, Mapping):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached))


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def choices_of(reply: Mapping[str, Any], expected: int) -> Sequence[Mapping[str, Any]]:
    """The reply's choices, in order.

    Raises:
        Retryable: There are not as many as asked for.
    """
    choices = reply.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
        raise Retryable("the reply has no choices")
    if len(choices) != expected:
        raise Retryable(f"the reply has {len(choices)} choices, not {expected}")
    order = [choice.get("index") for choice in choices]
    if sorted(map(str, order)) == sorted(map(str, range(expected))):
        return sorted(choices, key=lambda choice: int(choice["index"]))
    return choices


def shows_thought(reply: Mapping[str, Any], api: Api) -> bool:
    """Whether a reply comes from a model that thinks; one without any text may still be at it."""
    if api == "completions":
        return False
    choices = reply.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, Mapping) else None
        if not isinstance(message, Mapping):
            continue
        content = message.get("content")
        if _reasoning(message) or not content:
            return True
        if any(tag in str(content) for tags in KNOWN_TAGS for tag in tags):
            return True
    return False


def _reasoning(message: Mapping[str, Any]) -> bool:
    return bool(message.get("reasoning_content") or message.get("reasoning"))


def completions_of(reply: Mapping[str, Any], api: Api, request: Generate, expected: int) -> list[Completion]:
    """The reply's texts, cut at all stop texts.

    The token account is of all texts together: with several, each gets an equal share of it.

    Raises:
        Retryable: There are not as many as asked for, or one has no text or no reason to stop.
    """
    choices = choices_of(reply, expected)
    total = usage_of(reply).completion
    shares = [total // expected + (place < total % expected) for place in range(expected)]
    return [_completion(choice, api, request, tokens) for choice, tokens in zip(choices, shares, strict=True)]


def _completion(choice: Mapping[str, Any], api: Api, request: Generate, tokens: int) -> Completion:
    finish = _FINISHES.get(str(choice.get("finish_reason")))
    if finish is None:
        raise Retryable(f"the reply ended for the reason {choice.get('finish_reason')!r}")
    message = choice.get("message") if api == "chat" else {"content": choice.get("text")}
    if not isinstance(message, Mapping):
        raise Retryable("a choice of the reply has no message")
    if message.get("refusal"):
        return Completion(str(message["refusal"]), "refused", tokens)
    # thoughts come apart (`reasoning_content`) or not at all; a limit reached while thinking leaves no content
    text = message.get("content")
    if text is None and (api == "chat" or finish == "refused"):
        text = ""
    if not isinstance(text, str):
        raise Retryable("a choice of the reply has no text")
    tags = request.decoding.thinking
    if tags and text and _reasoning(message) and opens_thought(request.prompt, tags) and tags[1] not in text:
        text = tags[1] + text  # the prompt opened the thought that the server took out, tag and all
    text, stopped = cut_at_stop(text, request)
    return Completion(text, "stop" if stopped and finish != "refused" else finish, tokens)
