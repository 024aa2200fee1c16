"""Log-probabilities of a prompt's own tokens, as servers give them, and where the answer begins among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.backends.endpoint.client import Retryable
from evalkit.backends.endpoint.wire import Usage, choices_of, usage_of
from evalkit.requests import Response

How = Literal["echo", "prompt_logprobs"]
Prompt = str | list[int]


@dataclass(frozen=True, slots=True)
class PromptScores:
    """A prompt's tokens and how probable the model finds them.

    Attributes:
        tokens: Text of each token, or its id where the server tells ids.
        values: log P(token | all before it), nats; None where nothing stands before it.
        greedy: Whether the token is the model's most probable one; False where nothing stands before it.
    """

    tokens: tuple[str, ...]
    values: tuple[float | None, ...]
    greedy: tuple[bool, ...]


class BoundaryError(Exception):
    """The server's tokens do not show where the answer begins."""


def scoring_body(model: str, prompt: Prompt, how: How) -> dict[str, Any]:
    """The JSON that asks for a prompt's log-probabilities. One token is generated: some servers read 0 as no limit."""
    body: dict[str, Any] = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0}
    return body | ({"echo": True, "logprobs": 1} if how == "echo" else {"prompt_logprobs": 1})


def read_scores(reply: Mapping[str, Any], how: How) -> PromptScores:
    """The prompt's scores from the reply.

    Raises:
        Retryable: They are not in it.
    """
    (choice,) = choices_of(reply, 1)
    try:
        return _echoed(choice, usage_of(reply)) if how == "echo" else _prompt_logprobs(choice)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration, OverflowError) as error:
        raise Retryable("the reply's log-probabilities cannot be read") from error


def _echoed(choice: Mapping[str, Any], usage: Usage) -> PromptScores:
    found = choice["logprobs"]
    tokens, values, tops = found["tokens"], found["token_logprobs"], found["top_logprobs"]
    if not len(tokens) == len(values) == len(tops):
        raise ValueError
    end = _prompt_tokens(len(tokens), usage)
    numbers = [None if value is None else float(value) for value in values[:end]]
    greedy = [
        value is not None and bool(top) and value >= max(map(float, top.values()))
        for value, top in zip(numbers, tops[:end], strict=True)
    ]
    return PromptScores(tuple(map(str, tokens[:end])), tuple(numbers), tuple(greedy))


def _prompt_tokens(listed: int, usage: Usage) -> int:
    """How many of the listed tokens are the prompt's: the generated one may follow, and a BOS may be hidden."""
    if usage.prompt == 0:
        end = listed - 1  # without an account: the generated token is listed, as OpenAI has it
    elif listed in (usage.prompt, usage.prompt - 1):
        end = listed
    elif listed == usage.prompt + usage.completion:
        end = usage.prompt
    else:
        raise ValueError
    if end < 1:
        raise ValueError
    return end


def _prompt_logprobs(choice: Mapping[str, Any]) -> PromptScores:
    tokens: list[str] = []
    values: list[float | None] = []
    greedy: list[bool] = []
    for place in choice["prompt_logprobs"]:
        if place is None:
            tokens.append("")
            values.append(None)
            greedy.append(False)
            continue
        token, entry = next(iter(place.items()))  # the prompt's own token stands first, the most probable after it
        tokens.append(str(token))
        values.append(float(entry["logprob"]))
        greedy.append(int(entry["rank"]) == 1)
    if not tokens:
        raise ValueError
    return PromptScores(tuple(tokens), tuple(values), tuple(greedy))


def tokens_at_end(scores: PromptScores, answer: str) -> int | None:
    """How many tokens at the end spell `answer`; None where that cannot be seen from their texts.

    Bytes of a character that is spread over several tokens show as an empty or a replacement text: where one stands at
    the border, the answer may begin before it.
    """
    spelled = ""
    for count, token in enumerate(reversed(scores.tokens), 1):
        spelled = token + spelled
        if len(spelled) < len(answer):
            continue
        before = scores.tokens[-count - 1] if count < len(scores.tokens) else None
        border_shows = token != "" and before != "" and "�" not in (before or "")
        return count if spelled == answer and border_shows else None
    return None


def tokens_after(scores: PromptScores, context: PromptScores) -> int:
    """How many tokens follow those of the context alone.

    Raises:
        BoundaryError: The context's tokens are others when the answer follows: the answer begins inside a token.
    """
    length = len(context.tokens)
    if scores.tokens[:length] != context.tokens or len(scores.tokens) <= length:
        raise BoundaryError("the answer begins inside a token")
    return len(scores.tokens) - length


def response(parts: Sequence[tuple[PromptScores, int]], truncated: int = 0) -> Response:
    """The answer from the last `scored` tokens of each part.

    Raises:
        BoundaryError: One of these tokens has no log-probability, because nothing stands before it.
    """
    values: list[float] = []
    greedy = True
    for scores, scored in parts:
        for value, best in zip(scores.values[-scored:], scores.greedy[-scored:], strict=True):
            if value is None:
                raise BoundaryError("the server gives the first token of a prompt no log-probability")
            values.append(value)
            greedy = greedy and best
    first, scored = parts[0]
    return Response(sum(values), greedy, tuple(values), len(first.tokens) - scored, truncated)
