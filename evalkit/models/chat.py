"""Renders messages with a tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def render_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]) -> str:
    """The text that the model sees for a conversation, ending where its answer begins.

    Args:
        tokenizer: The model's tokenizer.
        messages: `{"role": "system" | "user" | "assistant", "content": text}`, in order.

    Raises:
        ModelError: The tokenizer has no chat template, or its template refuses these messages.
    """
    import jinja2

    name = tokenizer.name_or_path
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            f"the tokenizer of '{name}' has no chat template",
            hint="Leave out `--chat-template`: this is probably a base model, not a chat model.",
        )
    try:
        text = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        if any(message["role"] == "system" for message in messages) and _accepts_without_system(tokenizer, messages):
            raise ModelError(
                f"the chat template of '{name}' refuses a system message: {error}",
                hint="Leave out `--system`, or put the instruction into the task's description.",
            ) from error
        raise ModelError(
            f"the chat template of '{name}' cannot render these messages: {error}",
            hint="Check the template (`chat_template` in tokenizer_config.json or chat_template.jinja).",
        ) from error
    assert isinstance(text, str)
    return text


def _accepts_without_system(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]]) -> bool:
    import jinja2

    rest = [message for message in messages if message["role"] != "system"]
    try:
        tokenizer.apply_chat_template(rest, add_generation_prompt=True, tokenize=False)
    except (jinja2.TemplateError, ValueError, TypeError):
        return False
    return True
