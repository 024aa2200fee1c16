"""Training rows as token ids, and which of them are trained on.

A conversation is rendered by the model's chat template, and each answer is what the rendering up to and with it has beyond
the rendering up to it (with the marker that opens an answer). So no `{% generation %}` marks are needed, and the labels hold
the token that ends the turn, and what the template puts after it, as with TRL's prompts and completions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.errors import TrainingDataError, UsageError
from evalkit.sft.rows import Message, TrainingRow
from evalkit.sft.spec import TrainingSpec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label of a token that is not trained on."""


@dataclass(frozen=True, slots=True)
class Example:
    """A row as tokens.

    Attributes:
        source: Where the row is from.
        input_ids: All of it; of a pair its prompt.
        labels: The same ids where a token is trained on, else -100; empty for a pair.
        chosen: Of a pair: the better answer, with its end of turn.
        rejected: The worse.
    """

    source: str
    input_ids: list[int]
    labels: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def length(self) -> int:
        """Tokens of the row; of a pair those of the longer half."""
        return len(self.input_ids) + max(len(self.chosen), len(self.rejected))

    @property
    def trained(self) -> int:
        """Tokens that the loss is taken over."""
        return sum(label != IGNORED for label in self.labels) + len(self.chosen) + len(self.rejected)

    def cut(self, length: int) -> Example:
        """The row without what is beyond `length` tokens."""
        rest = max(0, length - len(self.input_ids))
        return Example(
            self.source, self.input_ids[:length], self.labels[:length], self.chosen[:rest], self.rejected[:rest]
        )


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Rows as tokens, and what was lost.

    Attributes:
        examples: Those that can be trained on.
        lengths: Tokens a row, before any cutting.
        max_length: Longest row in tokens.
        truncated: Rows that were cut.
        lost_end: Rows that lost the token which ends the turn.
        without_labels: Rows dropped because nothing of them would be trained on.
    """

    examples: tuple[Example, ...]
    lengths: tuple[int, ...]
    max_length: int
    truncated: int
    lost_end: int
    without_labels: int


def tokenize(
    rows: Sequence[TrainingRow],
    tokenizer: PreTrainedTokenizerBase,
    spec: TrainingSpec,
    context_length: int,
    max_length: int | None = None,
) -> Tokenized:
    """Rows as token ids and labels.

    Args:
        rows: What to train on.
        tokenizer: The model's.
        spec: Template, longest row, and how many rows may lose their end.
        context_length: Tokens that the model can read.
        max_length: Longest row, where another set of rows has decided it; None decides here.

    Raises:
        TrainingDataError: No row has anything to train on, too many lose their end, or the template cannot be used.
        UsageError: A chat template is asked for, and there is none.
    """
    encoder = _Encoder(tokenizer, spec, pairs_are_whole=spec.objective == "reward")
    examples = [encoder.example(row) for row in rows]
    lengths = tuple(one.length for one in examples)
    longest = max_length or min(spec.max_length or _usual(lengths, spec.truncation_limit), context_length)
    cut = [one.cut(longest) for one in examples]
    truncated = sum(length > longest for length in lengths)
    if rows and truncated > spec.truncation_limit * len(rows) and max_length is None:
        needed = _usual(lengths, spec.truncation_limit)
        hint = f"--train-length {needed} is long enough" if needed <= context_length else "shorten or split these rows"
        raise TrainingDataError(
            f"{truncated:,} of {len(rows):,} rows are longer than {longest:,} tokens and would lose the token that ends "
            f"the answer, more than {spec.truncation_limit:.0%}: the model would learn not to stop",
            hint=f"{hint}; or --truncation-limit to allow it",
        )
    kept = tuple(one for one in cut if _has_labels(one, spec))
    if rows and not kept:
        raise TrainingDataError(
            f"of {len(rows):,} rows none has a token to train on within {longest:,} tokens",
            hint="the prompts alone are that long; raise --train-length, or shorten them",
        )
    return Tokenized(kept, lengths, longest, truncated, truncated, len(rows) - len(kept))


def _usual(lengths: Sequence[int], limit: float) -> int:
    """The length which at most a hundredth of the rows exceed, and never more of them than may lose their end."""
    ordered = sorted(lengths)
    beyond = math.floor(min(limit, 0.01) * len(ordered))
    return ordered[-1 - beyond] if ordered else 1


def _has_labels(example: Example, spec: TrainingSpec) -> bool:
    if spec.objective == "sft":
        return any(label != IGNORED for label in example.labels[1:])  # the first token is predicted from nothing
    return bool(example.chosen and example.rejected)


class _Encoder:
    """Rows to tokens, with one tokenizer and template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, spec: TrainingSpec, *, pairs_are_whole: bool) -> None:
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if spec.template == "chat" and not has_template:
            raise UsageError("the model has no chat template", hint="leave --train-template out, or use plain")
        if tokenizer.eos_token_id is None:
            raise TrainingDataError(
                "the tokenizer has no token that ends a text, so that the model could not learn to stop"
            )
        self.tokenizer = tokenizer
        self.chat = has_template and spec.template != "plain"
        self.end: int = int(tokenizer.eos_token_id)
        self.pairs_are_whole = pairs_are_whole

    def example(self, row: TrainingRow) -> Example:
        """One row."""
        if row.text is not None:
            ids = self._with_end(self._ids(row.text))
            return Example(row.source, ids, list(ids), [], [])
        if row.rejected is not None:
            return self._pair(row)
        if self.chat:
            return self._conversation(row)
        prompt, whole = self._plain(row.prompt_text, row.answer)
        start = _common(prompt, whole)
        return Example(row.source, whole, [IGNORED] * start + whole[start:], [], [])

    def _pair(self, row: TrainingRow) -> Example:
        assert row.rejected is not None
        if self.chat:
            prompt = self._render(row.prompt, opens_answer=True)
            worse = (*row.prompt, Message("assistant", row.rejected))
            chosen, rejected = self._render(row.messages), self._render(worse)
        else:
            prompt, chosen = self._plain(row.prompt_text, row.answer)
            _, rejected = self._plain(row.prompt_text, row.rejected)
        start = 0 if self.pairs_are_whole else min(_common(prompt, chosen), _common(prompt, rejected))
        return Example(row.source, chosen[:start], [], chosen[start:], rejected[start:])

    def _conversation(self, row: TrainingRow) -> Example:
        whole = self._render(row.messages)
        labels = [IGNORED] * len(whole)
        for place, message in enumerate(row.messages):
            if message.role != "assistant":
                continue
            is_last = place == len(row.messages) - 1
            until = whole if is_last else self._render(row.messages[: place + 1])
            start = _common(self._render(row.messages[:place], opens_answer=True), until)
            if is_last and not 0 < start < len(until):
                raise TrainingDataError(
                    f"{row.source}, row {row.index + 1}: the model's chat template does not put the answer after the "
                    "question, so that it cannot be told what to train on",
                    hint="--train-template plain trains without it",
                )
            if whole[: len(until)] == until:  # a template may change earlier turns, as those that drop thoughts do
                labels[start : len(until)] = whole[start : len(until)]
        return Example(row.source, whole, labels, [], [])

    def _render(self, messages: Sequence[Message], *, opens_answer: bool = False) -> list[int]:
        turns = [{"role": one.role, "content": one.content} for one in messages]
        if not turns:
            return []
        try:
            rendered: Any = self.tokenizer.apply_chat_template(
                turns, tokenize=True, add_generation_prompt=opens_answer, return_dict=False
            )
        except Exception as error:
            raise TrainingDataError(
                f"the model's chat template refuses a row: {error}", hint="--train-template plain trains without it"
            ) from error
        return list(rendered)

    def _plain(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        """Prompt, and prompt with answer.

        Between them stands what they have at their ends, else a blank after a colon and a line break after anything else,
        as evaluation tasks have it.
        """
        apart = (
            "" if not prompt or prompt[-1:].isspace() or answer[:1].isspace() else " " if prompt[-1] == ":" else "\n"
        )
        return self._ids(prompt + apart.strip(" ")), self._with_end(self._ids(prompt + apart + answer))

    def _ids(self, text: str) -> list[int]:
        ids = list(self.tokenizer(text)["input_ids"])
        return ids[:-1] if ids and ids[-1] == self.end and not text.endswith(str(self.tokenizer.eos_token)) else ids

    def _with_end(self, ids: list[int]) -> list[int]:
        return ids if ids and ids[-1] == self.end else [*ids, self.end]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for place, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            return place
    return min(len(one), len(other))
