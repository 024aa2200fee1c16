"""The filters of one of lm-eval's tasks: what they make of the answers, and what that says."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from evalkit.lm_eval_bridge.scores import plain

_NOTHING = frozenset({"[invalid]"})
"""What lm-eval's regular expressions give where they find nothing, unless a task says otherwise."""


class Filters:
    """A task's filter ensembles. Each gives every metric a value of its own.

    Args:
        task: lm-eval's task object.

    Attributes:
        names: The ensembles', the main one first; a single `none` where the task names no filters.
        extract: Whether the main one looks for an answer in the text, rather than taking it whole.
        nothing: What the main one gives where it finds no answer.
    """

    def __init__(self, task: Any) -> None:
        from lm_eval.filters.selection import TakeFirstFilter

        self._ensembles: list[Any] = list(task._filters)
        self.names: list[str] = [ensemble.name for ensemble in self._ensembles]
        steps = self._ensembles[0].filters
        self.extract = any(getattr(step, "func", step) is not TakeFirstFilter for step in steps)
        self.nothing: frozenset[str] = _NOTHING | {text for step in steps for text in _fallback(step)}

    def metric_name(self, metric: str, ensemble: str) -> str:
        """What a metric is called in the result: its plain name for the main filter, `METRIC@FILTER` for others."""
        return metric if ensemble == self.names[0] else f"{metric}@{ensemble}"

    def plain_name(self, name: str) -> str:
        """lm-eval's own name of a metric in the result."""
        for ensemble in self.names[1:]:
            if name.endswith(f"@{ensemble}"):
                return name.removesuffix(f"@{ensemble}")
        return name

    def apply(self, instances: Sequence[Any], responses: Sequence[list[Any]]) -> None:
        """Gives lm-eval's requests their responses and filters them; nothing to do where that was done before."""
        if all(one.filtered_resps and one.resps == given for one, given in zip(instances, responses, strict=True)):
            return
        for instance, given in zip(instances, responses, strict=True):
            instance.resps = given
        for ensemble in self._ensembles:
            ensemble.apply(instances)

    def found(self, instance: Any) -> list[str | None]:
        """What the main filter finds in each response taken by itself; None where it finds nothing.

        Args:
            instance: One of lm-eval's requests, its responses filtered.
        """
        texts: list[str] = instance.resps
        if not self.extract:
            return [text if text.strip() else None for text in texts]
        if len(texts) == 1:
            return [as_text(instance.filtered_resps[self.names[0]], self.nothing)]
        answers = {}
        for text in dict.fromkeys(texts):
            # repeated, for filters that want a certain number of responses
            alone = SimpleNamespace(resps=[text] * len(texts), doc=instance.doc, filtered_resps={})
            self._ensembles[0].apply([alone])
            answer = alone.filtered_resps[self.names[0]]
            # a filter that does not take the first gives one answer a response, here all the same
            single = answer[0] if isinstance(answer, list) and len(answer) == len(texts) else answer
            answers[text] = as_text(single, self.nothing)
        return [answers[text] for text in texts]

    def kept(self, instance: Any) -> dict[str, Any]:
        """What each filter made of all responses, as JSON can hold it."""
        return {name: plain(answer) for name, answer in instance.filtered_resps.items()}


def as_text(answer: Any, nothing: frozenset[str]) -> str | None:
    """What a filter found, as text; None where it found nothing."""
    if isinstance(answer, list | tuple):
        parts = [part for part in (as_text(part, nothing) for part in answer) if part is not None]
        return ", ".join(parts) or None
    text = "" if answer is None else str(answer)
    return None if not text.strip() or text in nothing else text


def _fallback(step: Any) -> list[str]:
    fallback = getattr(step(), "fallback", None)
    if isinstance(fallback, list):
        return [str(text) for text in fallback]
    return [] if fallback is None else [str(fallback)]
