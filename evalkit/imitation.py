"""From a result back to the options that it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.api import DECODING_OPTIONS
from evalkit.results import Run
from evalkit.runner.settings import RARE_DEFAULTS

TAKEN = ("limit", "seed", "chat_template", "system", "over_length", *RARE_DEFAULTS)
"""Settings of a result that are options of an evaluation by the same name."""


def options_of(run: Run) -> dict[str, Any]:
    """Fields of `evalkit.Evaluation` that decide what is asked and how it is computed, as a run of evalkit had them.

    Model, tasks and the places of data are left to the caller; so is a file of passages, of which a result has the hash.
    """
    settings = run.settings
    found = {name: settings[name] for name in TAKEN if name in settings}
    decoding = settings.get("decoding")
    if isinstance(decoding, Mapping):
        found |= {name: decoding[name] for name in DECODING_OPTIONS if name in decoding}
    for name in ("stride", "deterministic"):
        if settings.get(name):
            found[name] = settings[name]
    if settings.get("compat_lm_eval"):
        found["compat"] = "lm-eval"
    if settings.get("engine") == "evalkit":
        found["dtype"] = run.model.dtype
    return found
