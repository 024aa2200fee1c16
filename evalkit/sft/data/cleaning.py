"""What is left out of training rows that could be read: duplicates, and on request outliers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from evalkit.errors import UsageError
from evalkit.sft.data.dropped import Dropped
from evalkit.sft.rows import TrainingRow
from evalkit.word_index import words

NEAR_WORDS = 20
"""Words from which a row can be a near duplicate. Of shorter ones a single other word may be all that matters: `Compute
3 + 5` and `Compute 3 + 6` share most of theirs, and teach different things."""
SHINGLE = 5
"""Words of a shingle (datatrove's default)."""
PERMUTATIONS = 112
"""Of MinHash: 14 bands of 8, found from a similarity of about 0.72 on; each find is checked exactly."""
LANGUAGE_CHARACTERS = 60
"""Characters from which a language is told."""
RARE_LANGUAGE = 0.01
"""A language with a smaller share of the rows is an outlier."""
LENGTH_DEVIATIONS = 6.0
"""Deviations (median absolute, scaled as a standard deviation) of the log of the length that make an outlier."""

_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningOptions:
    """What is dropped.

    Attributes:
        exact: Rows that are the same but for case, width and blanks, after the first.
        near: Rows whose sets of five-word shingles overlap by this share (Jaccard) or more, after the first; None keeps
            them. Rows of less than twenty words, or with other numbers, are never near duplicates.
        outliers: Rows in a rare language or of an unusual length are counted (`flag`) or dropped.
    """

    exact: bool = True
    near: float | None = 0.8
    outliers: Literal["flag", "drop"] = "flag"

    def __post_init__(self) -> None:
        if self.near is not None and not 0.3 <= self.near <= 1:
            raise UsageError(f"--near-duplicates is {self.near}", hint="give a share from 0.3 to 1, or 0 for off")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Rows of all sources after cleaning.

    Attributes:
        rows: Those left, in order.
        dropped: Those that are not.
        flagged: (source, reason) -> rows kept although something is odd.
        conflicts: Prompts that stand with different answers.
        languages: (source, language) -> rows.
    """

    rows: tuple[TrainingRow, ...]
    dropped: tuple[Dropped, ...]
    flagged: Counter[tuple[str, str]]
    conflicts: tuple[str, ...]
    languages: Counter[tuple[str, str]]


def clean(rows: Sequence[TrainingRow], options: CleaningOptions) -> Cleaned:
    """Leaves out duplicates over all sources, finds conflicts and outliers.

    Args:
        rows: Of all sources, in order; of duplicates the first is kept.
        options: What is dropped.
    """
    dropped: list[Dropped] = []
    left = list(rows)
    if options.exact:
        left = _without(left, _exact(left), dropped)
    if options.near is not None:
        left = _without(left, _near(left, options.near), dropped)
    languages = _languages(left)
    odd = {**_odd_languages(left, languages), **_odd_lengths(left)}
    if options.outliers == "drop":
        left = _without(left, odd, dropped)
        odd = {}
    conflicts, conflicting = _conflicts(left)
    flagged = Counter((row.source, reason) for row in left if (reason := odd.get(_key(row), ("", ""))[0]))
    flagged.update((row.source, "conflicting") for row in left if _key(row) in conflicting)
    counted = Counter((row.source, languages[_key(row)]) for row in left if _key(row) in languages)
    return Cleaned(tuple(left), tuple(dropped), flagged, conflicts, counted)


def normalised(text: str) -> str:
    """The text without differences of case, width and blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


Key = tuple[str, int]
Reasons = dict[Key, tuple[str, str]]


def _key(row: TrainingRow) -> Key:
    return row.source, row.index


def _without(rows: list[TrainingRow], reasons: Reasons, dropped: list[Dropped]) -> list[TrainingRow]:
    dropped += [Dropped.of(row, *reasons[_key(row)]) for row in rows if _key(row) in reasons]
    return [row for row in rows if _key(row) not in reasons]


def _place(row: TrainingRow) -> str:
    return f"row {row.index + 1} of {row.source}"


def _whole(row: TrainingRow) -> str:
    return "\n".join(part for part in (row.prompt_text, row.answer, row.rejected) if part)


def _exact(rows: Sequence[TrainingRow]) -> Reasons:
    first: dict[tuple[str, ...], TrainingRow] = {}
    found: Reasons = {}
    for row in rows:
        key = (normalised(row.prompt_text), normalised(row.answer), normalised(row.rejected or ""))
        if key in first:
            found[_key(row)] = ("duplicate", f"the same as {_place(first[key])}")
        else:
            first[key] = row
    return found


def _near(rows: Sequence[TrainingRow], threshold: float) -> Reasons:
    """Near duplicates: candidates by MinHash and LSH (Broder 1997; Leskovec et al.), each checked by its exact Jaccard."""
    from datasketch import MinHash, MinHashLSH

    shingles: dict[int, frozenset[str]] = {}
    numbers: dict[int, list[str]] = {}
    for place, row in enumerate(rows):
        text = normalised(_whole(row))
        found = words(text)
        if len(found) >= NEAR_WORDS:
            shingles[place] = frozenset(" ".join(found[at : at + SHINGLE]) for at in range(len(found) - SHINGLE + 1))
            numbers[place] = _NUMBERS.findall(text)
    if len(shingles) < 2:
        return {}
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(14, 8))
    reasons: Reasons = {}
    encoded: Iterator[list[bytes]] = ([one.encode() for one in sorted(own)] for own in shingles.values())
    for place, signature in zip(shingles, MinHash.generator(encoded, num_perm=PERMUTATIONS, seed=1), strict=True):
        twin = _twin(sorted(index.query(signature)), place, shingles, numbers, threshold)
        if twin is None:
            index.insert(place, signature)
        else:
            reasons[_key(rows[place])] = ("near-duplicate", f"nearly the same as {_place(rows[twin])}")
    return reasons


def _twin(
    candidates: Sequence[int],
    place: int,
    shingles: dict[int, frozenset[str]],
    numbers: dict[int, list[str]],
    threshold: float,
) -> int | None:
    for other in candidates:
        shared = len(shingles[place] & shingles[other])
        similarity = shared / (len(shingles[place]) + len(shingles[other]) - shared)
        if similarity >= threshold and numbers[place] == numbers[other]:
            return other
    return None


def _conflicts(rows: Sequence[TrainingRow]) -> tuple[tuple[str, ...], set[Key]]:
    """Prompts with different answers, and all rows that have them; pairs are told apart by their answers as they should."""
    answers: dict[str, set[str]] = {}
    for row in rows:
        if row.kind == "conversation":
            answers.setdefault(normalised(row.prompt_text), set()).add(normalised(row.answer))
    found = {prompt for prompt, given in answers.items() if len(given) > 1}
    keys = {_key(row) for row in rows if row.kind == "conversation" and normalised(row.prompt_text) in found}
    return tuple(sorted(found))[:20], keys


def _languages(rows: Sequence[TrainingRow]) -> dict[Key, str]:
    """ISO 639-1 code of each row that is long enough to tell."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found = {}
    for row in rows:
        text = _whole(row)
        wide = sum(unicodedata.east_asian_width(character) == "W" for character in text[:400])
        if len(text) + 2 * wide >= LANGUAGE_CHARACTERS:
            language, sure = identifier.classify(text[:2000])
            if sure > 0.99:
                found[_key(row)] = str(language)
    return found


def _odd_languages(rows: Sequence[TrainingRow], languages: dict[Key, str]) -> Reasons:
    counts = Counter(languages.values())
    rare = {name for name, count in counts.items() if count < RARE_LANGUAGE * len(languages)}
    return {
        key: ("language-outlier", f"its language is {language}, as that of few others")
        for key, language in languages.items()
        if language in rare
    }


def _odd_lengths(rows: Sequence[TrainingRow]) -> Reasons:
    """Rows of a length that is far from the others' (Iglewicz & Hoaglin 1993, on a logarithmic scale)."""
    import math

    if len(rows) < 20:
        return {}
    logs = {_key(row): math.log(len(_whole(row)) + 1) for row in rows}
    middle = median(logs.values())
    # a set of rows that are all as long as each other has no scale: then a factor of two is where oddness begins
    scale = max(1.4826 * median(abs(one - middle) for one in logs.values()), math.log(2) / LENGTH_DEVIATIONS)
    return {
        key: ("length-outlier", f"it has {round(math.exp(one))} characters, others about {round(math.exp(middle))}")
        for key, one in logs.items()
        if abs(one - middle) > LENGTH_DEVIATIONS * scale
    }
