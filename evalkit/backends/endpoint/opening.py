"""From what the user types after `--model` to an endpoint that can be asked."""

from __future__ import annotations

from importlib.util import find_spec

from evalkit.backends.endpoint.address import parse
from evalkit.backends.endpoint.backend import EndpointBackend, EndpointOptions
from evalkit.errors import ModelError
from evalkit.models import ModelOptions, load_tokenizer


def open_endpoint(
    spec: str, options: EndpointOptions, tokenizer: str | None = None, model_options: ModelOptions | None = None
) -> EndpointBackend:
    """The endpoint that `spec` means. Nothing is sent yet.

    Args:
        spec: `openai:MODEL@URL` or one of its kin.
        options: How to ask.
        tokenizer: The model whose tokenizer to use; None for none.
        model_options: How to load that.

    Raises:
        ModelError: The HTTP client is not installed, or there is no such tokenizer.
        UsageError: The address or an option cannot be meant.
    """
    address = parse(spec)
    if find_spec("httpx2") is None:
        raise ModelError("endpoints need the package httpx2", hint="install it: pip install httpx2")
    return EndpointBackend(address, options, None if tokenizer is None else load_tokenizer(tokenizer, model_options))
