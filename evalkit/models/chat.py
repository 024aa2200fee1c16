"""Renders messages with a tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.chat import ChatFormat
from evalkit.errors import ModelError, UsageError
from evalkit.thinking import find_tags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def chat_format(tokenizer: PreTrainedTokenizerBase) -> ChatFormat:
    """Whether a tokenizer has a chat template, and the tags between which its model thinks."""
    template = getattr(tokenizer, "chat_template", None)
    source = "\n".join(map(str, template.values())) if isinstance(template, Mapping) else str(template or "")
    added = [str(token) for token in getattr(tokenizer, "added_tokens_decoder", {}).values()]
    return ChatFormat(template=bool(template), thinking=find_tags(source, added))


def render_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], **variables: Any) -> str:
    """The text that the model sees for a conversation, ending where its answer begins.

    Args:
        tokenizer: The model's tokenizer.
        messages: `{"role": "system" | "user" | "assistant", "content": text}`, in order. An assistant's turn at the end is
            the beginning of the answer and is left open.
        variables: What else the template is given, as `enable_thinking`; a template does not have to know them.

    Raises:
        UsageError: The tokenizer has no chat template.
        ModelError: Its template refuses these messages.
    """
    import jinja2

    name = tokenizer.name_or_path
    if not getattr(tokenizer, "chat_template", None):
        raise UsageError(
            f"the tokenizer of '{name}' has no chat template",
            hint="Leave out `--chat-template`: this is probably a base model, not a chat model.",
        )
    try:
        return _rendered(tokenizer, messages, variables)
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        if any(message["role"] == "system" for message in messages) and _accepts_without_system(
            tokenizer, messages, variables
        ):
            raise ModelError(
                f"the chat template of '{name}' refuses a system message: {error}",
                hint="Leave out `--system`; or let `--system-as-user` put it, or the task's own instruction, into the "
                "first user turn.",
            ) from error
        raise ModelError(
            f"the chat template of '{name}' cannot render these messages: {error}",
            hint="Check the template (`chat_template` in tokenizer_config.json or chat_template.jinja).",
        ) from error


def _rendered(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]
) -> str:
    begun = messages[-1]["role"] == "assistant"
    text = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        add_generation_prompt=not begun,
        continue_final_message=begun,
        tokenize=False,
        **variables,
    )
    assert isinstance(text, str)
    return text


def _accepts_without_system(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]
) -> bool:
    import jinja2

    rest = [message for message in messages if message["role"] != "system"]
    try:
        _rendered(tokenizer, rest, variables)
    except (jinja2.TemplateError, ValueError, TypeError):
        return False
    return True
