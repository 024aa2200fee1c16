"""Keeps loading quiet: what libraries would print goes to evalkit's log instead."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("evalkit.models")

_LIBRARIES = ("transformers", "huggingface_hub", "peft", "accelerate")


class _Forward(logging.Handler):
    """Passes a library's records on to evalkit's logger, at most at level INFO."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.log(min(record.levelno, logging.INFO), "%s: %s", record.name, record.getMessage())


@contextmanager
def quiet_libraries() -> Iterator[list[str]]:
    """Sends the libraries' log records and Python warnings to the logger `evalkit.models`, and hides progress bars.

    Yields:
        The texts of the Python warnings seen so far: some of them mean that the model is not what it seems.
    """
    from transformers.utils import logging as transformers_logging

    messages: list[str] = []
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    forward = _Forward()
    restored = []
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        restored.append((library, library.handlers[:], library.propagate))
        library.handlers, library.propagate = [forward], False
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            # the caller reads `seen` through `messages` once its block is done
            yield messages
            _take(seen, messages)
    finally:
        for library, handlers, propagate in restored:
            library.handlers, library.propagate = handlers, propagate
        if bars:
            transformers_logging.enable_progress_bar()


def _take(seen: list[warnings.WarningMessage], messages: list[str]) -> None:
    for warning in seen:
        messages.append(str(warning.message))
        logger.info("%s: %s", warning.category.__name__, warning.message)
