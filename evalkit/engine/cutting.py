"""Where a text can be cut so that the tokens of its parts, put together, are the tokens of the whole.

The one kind of cut used here is before a space that follows a letter, digit, mark, punctuation or symbol. The regexes of
the GPT-2, cl100k (Llama 3, Qwen) and o200k families begin a new pre-token there whatever stands further left or right:

- no alternative matches a space after anything but white space, so no match runs across the cut;
- the only look-ahead is `(?!\\S)` after white space, which ends at the first character that is none, so nothing left of
  the cut depends on what is right of it;
- there is no look-behind, so from the cut on the text is split as if it began there.

Models of tokens (BPE and others) work inside pre-tokens, and a space neither composes nor reorders under NFC, so the ids
are those of the whole text. A tokenizer with any part that is not known to behave so is not cut at all.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_LOWER, _UPPER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_ANY_SPACE = r"\s+"
_ALTERNATIVES = frozenset(
    (
        *_CONTRACTIONS.split("|"),
        f"(?i:{_CONTRACTIONS})",
        *(rf"{start}{letters}+" for start in (" ?", r"[^\r\n\p{L}\p{N}]?") for letters in (r"\p{L}", r"[\p{L}\p{M}]")),
        *(
            rf"[^\r\n\p{{L}}\p{{N}}]?{letters}{end}"
            for letters in (f"{_UPPER}*{_LOWER}+", f"{_UPPER}+{_LOWER}*")
            for end in ("", f"(?i:{_CONTRACTIONS})?")
        ),
        *(r"\p{N}", r"\p{N}+", r" ?\p{N}+", r"\p{N}{1,3}"),
        *(
            rf" ?{others}+{end}"
            for others in (r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
            for end in ("", r"[\r\n]*", r"[\r\n/]*")
        ),
        *(r"\s*[\r\n]+", r"\s*[\r\n]", r"\s+(?!\S)", _ANY_SPACE),
    )
)
"""Alternatives of pre-tokenisers' regexes that have the three properties above."""

_VISIBLE = frozenset("LMNPS")
"""First letters of the Unicode categories of characters that are white space by nobody's definition."""


class Cutter:
    """Finds the cuts in texts for one tokenizer.

    Args:
        minimum: Characters that must stand before the first cut: the beginning of a text decides about special tokens.
        forbidden: Added tokens that reach across cuts; a text that contains one is not cut.
    """

    def __init__(self, minimum: int, forbidden: tuple[str, ...]) -> None:
        self._minimum = max(1, minimum)
        self._forbidden = forbidden

    def segments(self, text: str, shared: int) -> list[str]:
        """The text in parts that are likely to recur in other texts.

        It is cut before and behind every blank line (by default they part few-shot examples, and what stands right
        before one differs from draw to draw) and near the end of the first `shared` characters.
        """
        if self._is_forbidden(text):
            return [text]
        cuts = sorted({0, *self._cuts(text, shared), len(text)})
        return [text[start:end] for start, end in pairwise(cuts)]

    def _cuts(self, text: str, shared: int) -> Iterator[int]:
        if shared:
            yield self._last_cut(text, shared)
        blank = text.find("\n\n")
        while blank >= 0:
            yield self._last_cut(text, blank)
            yield self._first_cut(text, blank)
            blank = text.find("\n\n", blank + 2)

    def window(self, context: str, continuation: str) -> str | None:
        """The shortest end of a context that decides, with the continuation, about the tokens of both.

        Returns:
            The end, possibly empty; None if only the whole context will do.
        """
        if self._is_forbidden(context) or self._is_forbidden(context + continuation):
            return None
        if continuation[0] == " " and _is_visible(context[-1]) and len(context) >= self._minimum:
            return ""
        cut = self._last_cut(context, len(context) - 1)
        return context[cut:] if cut else None

    def _last_cut(self, text: str, limit: int) -> int:
        """The last cut at or before a place; 0 if there is none."""
        place = text.rfind(" ", self._minimum, limit + 1)
        while place > 0 and not _is_visible(text[place - 1]):
            place = text.rfind(" ", self._minimum, place)
        return max(place, 0)

    def _first_cut(self, text: str, start: int) -> int:
        """The first cut behind a place; 0 if there is none."""
        place = text.find(" ", max(start, self._minimum))
        while place > 0 and not _is_visible(text[place - 1]):
            place = text.find(" ", place + 1)
        return max(place, 0)

    def _is_forbidden(self, text: str) -> bool:
        return any(token in text for token in self._forbidden)


def cutter_for(tokenizer: Tokenizer, minimum: int) -> Cutter | None:
    """A cutter for a tokenizer; None if it is not known to have the properties above.

    Args:
        tokenizer: Of the `tokenizers` library.
        minimum: See `Cutter`.
    """
    normalizer = _steps(tokenizer.normalizer, "normalizers")
    splits = _steps(tokenizer.pre_tokenizer, "pretokenizers")
    forbidden = tuple(
        token.content for token in tokenizer.get_added_tokens_decoder().values() if _reaches_across(token)
    )
    known = (
        all(step["type"] == "NFC" for step in normalizer)
        and all(_keeps_cuts(step) for step in splits)
        and any(_splits_before_spaces(step) for step in splits)
        and not getattr(tokenizer.model, "dropout", None)
        and _adds_in_front_only(tokenizer)
    )
    # normalising may bring about a token that the text as it is does not contain
    return Cutter(minimum, forbidden) if known and not (forbidden and normalizer) else None


def _steps(component: Any, field: str) -> list[dict[str, Any]]:
    """The description of a normaliser or pre-tokeniser, as it stands in tokenizer.json, sequences unrolled."""
    return [] if component is None else _unrolled(json.loads(component.__getstate__()), field)


def _unrolled(part: dict[str, Any], field: str) -> list[dict[str, Any]]:
    if part["type"] == "Sequence":
        return [step for inner in part[field] for step in _unrolled(inner, field)]
    return [part]


def _keeps_cuts(step: dict[str, Any]) -> bool:
    if step["type"] == "Split":
        return step["behavior"] == "Isolated" and not step["invert"] and _alternatives(step) <= _ALTERNATIVES
    return step["type"] in ("ByteLevel", "Digits")


def _splits_before_spaces(step: dict[str, Any]) -> bool:
    if step["type"] == "Split":
        # where some alternative takes any space, a match begins at the cut
        return _ANY_SPACE in _alternatives(step)
    return step["type"] == "ByteLevel" and bool(step.get("use_regex", True))


def _alternatives(step: dict[str, Any]) -> set[str]:
    """The regex of a split, cut at its outermost bars."""
    pattern = step["pattern"].get("Regex", "")
    alternatives, depth = [""], 0
    for character in pattern:
        depth += (character in "([") - (character in ")]")
        if character == "|" and depth == 0:
            alternatives.append("")
        else:
            alternatives[-1] += character
    return set(alternatives)


def _adds_in_front_only(tokenizer: Tokenizer) -> bool:
    plain, special = (tokenizer.encode("a", add_special_tokens=add).ids for add in (False, True))
    return bool(plain) and bool(special[-len(plain) :] == plain)


def _reaches_across(token: AddedToken) -> bool:
    inside = any(after == " " and not before.isspace() for before, after in pairwise(token.content))
    return bool(token.rstrip) or inside


def _is_visible(character: str) -> bool:
    return "!" <= character <= "~" or unicodedata.category(character)[0] in _VISIBLE
