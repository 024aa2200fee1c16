"""Metrics of instructions that a program can check ("at least 300 words", "no commas"), by lm-eval's checkers.

The checkers are Google's (Zhou et al. 2023, arXiv 2311.07911), as lm-eval carries them; they need lm-eval, langdetect,
immutabledict, and NLTK's sentence splitter. `strict` looks at the reply as it is; `loose` also without its first line,
its last line, both, and without asterisks, and is content if any of these follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from evalkit.documents import OpenQuestion
from evalkit.errors import UsageError
from evalkit.metrics.text import Corpus, TextMetric

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Manner = Literal["strict", "loose"]
PACKAGES = {"lm_eval": "lm-eval", "langdetect": "langdetect", "immutabledict": "immutabledict", "nltk": "nltk"}
"""Module -> package that has it."""


def require_checkers() -> None:
    """Makes sure that instructions can be checked, before any model is loaded; touches no network.

    Raises:
        UsageError: A package or NLTK's data is missing.
    """
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"checking instructions needs {', '.join(missing)}, not installed here",
            hint=f"pip install {' '.join(missing)}",
        )
    try:
        import_module("nltk").data.find("tokenizers/punkt_tab")
    except LookupError as error:
        raise UsageError(
            "checking instructions needs NLTK's sentence splitter `punkt_tab`, which is not here",
            hint="run `python -m nltk.downloader punkt_tab` where there is a network, and copy ~/nltk_data (or the folder "
            "that NLTK_DATA names) here",
        ) from error


def prompt_level(name: str, manner: Manner) -> TextMetric:
    """Whether a reply follows all instructions of its prompt.

    The document's `details` are the benchmark's row: "key", "prompt", "instruction_id_list" and "kwargs".

    Args:
        name: Of the metric.
        manner: How the reply is looked at.
    """

    def value(document: OpenQuestion, text: str | None) -> float:
        return float(all(followed(document.details, text, manner)))

    return TextMetric(
        name, True, True, (0.0, 1.0), value, lm_eval=f"prompt_level_{manner}_acc", prepare=lambda _: require_checkers()
    )


def instruction_level(name: str, manner: Manner) -> TextMetric:
    """The share of all instructions that are followed: of one prompt, and of all prompts together.

    Args:
        name: Of the metric.
        manner: How the reply is looked at.
    """

    def statistics(document: OpenQuestion, text: str | None) -> Sequence[float]:
        found = followed(document.details, text, manner)
        return float(sum(found)), float(len(found))

    def value(document: OpenQuestion, text: str | None) -> float:
        right, count = statistics(document, text)
        return right / count

    corpus = Corpus(statistics, _share, lambda sums: sums[:, 0] / sums[:, 1])
    return TextMetric(
        name,
        True,
        False,
        (0.0, 1.0),
        value,
        corpus,
        lm_eval=f"inst_level_{manner}_acc",
        prepare=lambda _: require_checkers(),
    )


def followed(details: Mapping[str, Any], text: str | None, manner: Manner) -> Sequence[bool]:
    """For each instruction of a prompt whether the reply follows it.

    Raises:
        UsageError: A package or NLTK's data is missing.
    """
    found: Sequence[bool] = _checked(json.dumps(dict(details)), text or "")[f"inst_level_{manner}_acc"]
    return found


def _share(statistics: npt.NDArray[np.float64]) -> float:
    followed_and_all = statistics.sum(axis=0)
    return float(followed_and_all[0] / followed_and_all[1])


@lru_cache(maxsize=16)  # four metrics look at the same reply
def _checked(details: str, text: str) -> Mapping[str, Any]:
    results: Mapping[str, Any] = _checkers()(json.loads(details), [text])
    return results


@cache
def _checkers() -> Any:
    require_checkers()
    # the detector draws at random otherwise, and the same reply could be judged differently
    import_module("langdetect").DetectorFactory.seed = 0
    return import_module("lm_eval.tasks.ifeval.utils").process_results
