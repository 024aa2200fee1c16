"""Loading models: from what the user types to weights and tokenizer in memory, checked and identified."""

from evalkit.models.chat import chat_format, render_chat
from evalkit.models.load import LoadedModel, OpenedModel, load_model, open_model
from evalkit.models.location import ModelLocation, resolve
from evalkit.models.options import ModelOptions
from evalkit.models.tokenizer import load_tokenizer

__all__ = [
    "LoadedModel",
    "ModelLocation",
    "ModelOptions",
    "OpenedModel",
    "chat_format",
    "load_model",
    "load_tokenizer",
    "open_model",
    "render_chat",
    "resolve",
]
