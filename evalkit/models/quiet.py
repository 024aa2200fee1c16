"""Keeps libraries quiet: what they would print goes to evalkit's log instead."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

logger = logging.getLogger("evalkit.models")

_LIBRARIES = ("transformers", "huggingface_hub", "peft", "accelerate")


class _Forward(logging.Handler):
    """Passes a library's records on to evalkit's logger, at most at level INFO."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.log(min(record.levelno, logging.INFO), "%s: %s", record.name, record.getMessage())


@contextmanager
def forward_logs(libraries: Sequence[str]) -> Iterator[list[str]]:
    """Sends libraries' log records, and Python warnings, to the logger `evalkit.models` at level INFO.

    Args:
        libraries: Names of their loggers.

    Yields:
        A list that holds the texts of the Python warnings once the block is done: some of them mean that the model is
        not what it seems.
    """
    messages: list[str] = []
    forward = _Forward()
    restored = []
    for name in libraries:
        library = logging.getLogger(name)
        restored.append((library, library.handlers[:], library.propagate))
        library.handlers, library.propagate = [forward], False
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            yield messages
        for warning in seen:
            messages.append(str(warning.message))
            logger.info("%s: %s", warning.category.__name__, warning.message)
    finally:
        for library, handlers, propagate in restored:
            library.handlers, library.propagate = handlers, propagate


@contextmanager
def quiet_libraries(more: Sequence[str] = ()) -> Iterator[list[str]]:
    """As `forward_logs` for the libraries that load models, and more of them, their progress bars hidden."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with forward_logs((*_LIBRARIES, *more)) as messages:
            yield messages
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
