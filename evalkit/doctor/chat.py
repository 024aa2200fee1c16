"""What a tokenizer's chat template does, found by rendering short conversations with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from evalkit.backends.base import Backend
from evalkit.decoding import Decoding
from evalkit.doctor.diagnosis import ChatFindings, FirstTokens, SystemRole
from evalkit.engine.tokenization import TextEncoder
from evalkit.errors import EvalkitError
from evalkit.models.chat import render_chat
from evalkit.requests import Generate, Generation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN = 6
"""First tokens that are shown."""
NEW_TOKENS = 64
"""Tokens in which an answer to a short question should have ended."""
QUESTIONS = (
    "What is the capital of France? Answer with one word.",
    "What is 2 + 2? Answer with a number only.",
    "Say yes or no: is ice cold?",
)

_SYSTEM, _USER, _BEGUN = "Kumquat rules apply.", "Which zebra is striped?", "The answer is"


def examine_template(tokenizer: PreTrainedTokenizerBase, encoder: TextEncoder) -> ChatFindings:
    """Everything about a template but what the model makes of it.

    Args:
        tokenizer: The model's tokenizer.
        encoder: evalkit's own way from texts to tokens with it.
    """
    plain = _first(tokenizer, tokenizer(_USER)["input_ids"])
    if not getattr(tokenizer, "chat_template", None):
        return ChatFindings(False, plain)
    try:
        text = _rendered(tokenizer, ("user", _USER))
    except EvalkitError as error:
        return ChatFindings(True, plain, error=error.message)
    system, default = _system_role(tokenizer, text)
    return ChatFindings(
        template=True,
        plain=plain,
        usual=_first(tokenizer, tokenizer(text)["input_ids"]),
        evalkit=_first(tokenizer, encoder.encode_prompts([text])[0].tolist()),
        system=system,
        default_system=default,
        thinking_switch="enable_thinking" in _source(tokenizer.chat_template),
        continues=_continues(tokenizer),
    )


def ended_by_itself(backend: Backend, findings: ChatFindings) -> tuple[int, int]:
    """(questions asked through the template, answers that the model ended by itself within 64 tokens).

    A model that can be kept from thinking first is.
    """
    variables = {"enable_thinking": False} if findings.thinking_switch else {}
    requests = [
        Generate(
            backend.render_chat([{"role": "user", "content": question}], **variables),
            Decoding(max_new_tokens=NEW_TOKENS),
        )
        for question in QUESTIONS
    ]
    replies = [reply for answers in backend.compute(backend.prepare(requests)) for _, reply in answers]
    finished = [reply.completions[0].finish for reply in replies if isinstance(reply, Generation)]
    return len(requests), finished.count("stop")


def _source(template: Any) -> str:
    return "\n".join(map(str, template.values())) if isinstance(template, Mapping) else str(template)


def _rendered(tokenizer: PreTrainedTokenizerBase, *turns: tuple[str, str]) -> str:
    return render_chat(tokenizer, [{"role": role, "content": content} for role, content in turns])


def _first(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> FirstTokens:
    first = tuple(int(one) for one in list(ids)[:SHOWN])
    bos = tokenizer.bos_token_id
    double = len(first) > 1 and bos is not None and first[0] == first[1] == bos
    return FirstTokens(first, tuple(str(tokenizer.decode([one])) for one in first), double)


def _system_role(tokenizer: PreTrainedTokenizerBase, without: str) -> tuple[SystemRole, str | None]:
    """What becomes of a system message, and the one that stands there when none is given.

    Args:
        tokenizer: The tokenizer.
        without: The same conversation without one.
    """
    try:
        text = _rendered(tokenizer, ("system", _SYSTEM), ("user", _USER))
    except EvalkitError:
        return "refused", None
    if _SYSTEM not in text:
        return "ignored", None
    before, _, behind = text.partition(_SYSTEM)
    opening = without.partition(_USER)[0]
    if before == opening:
        return "in the user turn", None
    between = behind.partition(_USER)[0]
    own = opening.removeprefix(before).removesuffix(between)
    added = opening.startswith(before) and opening.endswith(between) and own.strip()
    return "own turn", own.strip() if added else None


def _continues(tokenizer: PreTrainedTokenizerBase) -> bool:
    try:
        text = _rendered(tokenizer, ("user", _USER), ("assistant", _BEGUN))
    except EvalkitError:
        return False
    return text.rstrip().endswith(_BEGUN)
