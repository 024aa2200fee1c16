"""One rater's way through the items: what is asked next, on which side each answer stands, what was said."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from evalkit.ratings.items import Output, RatingItem
from evalkit.ratings.model import CRITERIA, HIGHEST, LOWEST, Choice, Mode, Rating, RatingKey, Side

Save = Callable[[Iterable[Rating]], None]

PLACES = ("left", "right")
"""Where an answer stands on the page; all that the page knows of its origin."""

_DAY = 86400.0


class Session:
    """The items one rater is asked, one at a time.

    Documents come in an order drawn by the seed, the same for every rater, so that raters who stop early have rated the
    same ones; a larger `limit` goes on where a smaller one ended. Which model stands left is drawn for each document and
    rater. Pairs of identical answers are not asked about: they are recorded as ties when the rater has passed them, so
    that they have the share among the rated documents that they have among all.

    Args:
        items: What can be rated.
        rater: Name of the rater.
        mode: What is asked; `choice` needs two answers an item.
        save: Takes each rating and returns when it is safe.
        earlier: Ratings given before; this rater's are gone on with.
        seed: Of order and sides.
        limit: How many documents to ask about; None for all.
        show_reference: The rater may look at the reference answer.

    Attributes:
        asked: The documents to ask about, in order.
    """

    def __init__(
        self,
        items: Sequence[RatingItem],
        rater: str,
        mode: Mode,
        save: Save,
        *,
        earlier: Iterable[Rating] = (),
        seed: int = 0,
        limit: int | None = None,
        show_reference: bool = True,
    ) -> None:
        self.rater = rater
        self.mode = mode
        self.show_reference = show_reference
        self._save = save
        self._seed = seed
        self.asked: list[RatingItem] = []
        self._identical: list[tuple[int, RatingItem]] = []
        self._choose(items, limit)
        self._ratings: dict[RatingKey, Rating] = {
            rating.key: rating for rating in earlier if (rating.rater, rating.mode) == (rater, mode)
        }
        places = {self._key(item): place for place, item in enumerate(self.asked)}
        self._history = [places[key] for key in self._ratings if key in places]
        self._skipped: set[int] = set()
        self._seen_reference: set[int] = set()
        self.position = self._next(-1)
        if not self.asked:
            self._record_identical(0)

    def _choose(self, items: Sequence[RatingItem], limit: int | None) -> None:
        def draw(item: RatingItem) -> bytes:
            return self._hash(item.task, item.document)

        for item in sorted(items, key=draw):
            if limit is not None and len(self.asked) >= limit:
                break
            if item.identical and self.mode == "choice":
                self._identical.append((len(self.asked), item))
            else:
                self.asked.append(item)

    @property
    def identical(self) -> int:
        """How many documents are not asked about because both answers are the same."""
        return len(self._identical)

    @property
    def rated(self) -> int:
        """How many of the asked documents are rated."""
        return sum(self._rating(place) is not None for place in range(len(self.asked)))

    def view(self) -> dict[str, Any]:
        """What the page shows now, as JSON: nothing in it tells the models apart."""
        waiting = {place for place in self._skipped if self._rating(place) is None}
        return {
            "total": len(self.asked),
            "rated": self.rated,
            "skipped": len(waiting),
            "canUndo": bool(self._history),
            "canGoBack": self.position is None or self.position > 0,
            "item": None if self.position is None else self._item_view(self.position),
        }

    def _item_view(self, place: int) -> dict[str, Any]:
        item = self.asked[place]
        return {
            "position": place,
            "task": readable(item.task),
            "question": readable(item.question),
            "prompt": readable(item.prompt) if item.prompt.strip() != item.question else None,
            "answers": [
                {"text": readable(output.text), "finish": output.finish} for output in self._outputs(item).values()
            ],
            "hasReference": self.show_reference and bool(item.reference.strip()),
            "given": self._given(place),
        }

    def reference(self, place: int) -> str:
        """The reference answer of an item; that it was shown is recorded with the rating.

        Raises:
            ValueError: There is no such item, or references are not to be shown.
        """
        item = self._item(place)
        if not self.show_reference:
            raise ValueError("references are not shown in this session")
        self._seen_reference.add(place)
        return readable(item.reference)

    def rate(self, place: int, answer: Mapping[str, Any], seconds: float) -> None:
        """Saves a rating and moves on to the next item that has none.

        Args:
            place: The item.
            answer: `{"choice": "left" | "right" | "tie" | "both_bad"}`, or `{"scores": [{criterion: 1 to 5}, ...]}` with an
                entry an answer shown.
            seconds: How long the page was in view.

        Raises:
            ValueError: It is no such thing.
            OutputError: It cannot be saved; then it does not count.
        """
        item = self._item(place)
        sides = self._outputs(item)
        rating = Rating(
            rater=self.rater,
            mode=self.mode,
            task=item.task,
            document=item.document,
            cluster=item.cluster,
            choice=self._choice(answer, list(sides)) if self.mode == "choice" else None,
            scores=self._scores(answer, item, list(sides)) if self.mode == "score" else None,
            left=next(iter(sides)) if len(sides) == 2 else None,
            identical=item.identical,
            reference=place in self._seen_reference,
            seconds=round(min(max(0.0, seconds), _DAY), 1),
            time=_now(),
        )
        self._save([rating])
        self._ratings[rating.key] = rating
        if place in self._history:
            self._history.remove(place)
        self._history.append(place)
        self._skipped.discard(place)
        self._record_identical(place)
        self.position = self._next(place)

    def skip(self, place: int) -> None:
        """Leaves an item for later: it comes again when all others are rated."""
        self._item(place)
        self._skipped.add(place)
        self.position = self._next(place)

    def undo(self) -> None:
        """Takes the last rating back and shows its item again."""
        if not self._history:
            return
        place = self._history[-1]
        key = self._key(self.asked[place])
        withdrawn = Rating(
            rater=self.rater, mode=self.mode, task=key.task, document=key.document, time=_now(), withdrawn=True
        )
        self._save([withdrawn])
        del self._ratings[key]
        self._history.pop()
        self.position = place

    def back(self) -> None:
        """Shows the item before this one, rated or not; from the end, the last one."""
        here = len(self.asked) if self.position is None else self.position
        self.position = max(0, here - 1) if self.asked else None

    def forward(self) -> None:
        """Shows the item after this one; after the last, the first that waits for a rating."""
        if self.position is not None:
            after = self.position + 1
            self.position = after if after < len(self.asked) else self._next(self.position)

    def _next(self, place: int) -> int | None:
        """The next item without a rating, from `place` on and around; skipped ones when there is no other."""
        count = len(self.asked)
        around = [(place + step) % count for step in range(1, count + 1)] if count else []
        open_places = [other for other in around if self._rating(other) is None]
        return next((other for other in open_places if other not in self._skipped), next(iter(open_places), None))

    def _record_identical(self, place: int) -> None:
        """Ties that the rater has passed: those before the item, or all when it is the last."""
        last = place >= len(self.asked) - 1
        new = [
            Rating(
                rater=self.rater,
                mode=self.mode,
                task=item.task,
                document=item.document,
                cluster=item.cluster,
                choice="tie",
                identical=True,
                time=_now(),
            )
            for before, item in self._identical
            if (last or before <= place) and self._key(item) not in self._ratings
        ]
        self._save(new)
        self._ratings.update({rating.key: rating for rating in new})

    def _outputs(self, item: RatingItem) -> dict[Side, Output]:
        """The answers to show, from left to right; identical ones once."""
        sides = list(item.outputs)
        if item.identical:
            sides = sides[:1]
        elif len(sides) == 2 and self._hash(self.rater, item.task, item.document)[0] % 2:
            sides.reverse()
        return {side: item.outputs[side] for side in sides}

    def _choice(self, answer: Mapping[str, Any], sides: Sequence[Side]) -> Choice:
        choice = answer.get("choice")
        if choice in PLACES:
            return sides[PLACES.index(choice)]
        if choice not in ("tie", "both_bad"):
            raise ValueError(f"not a choice: {choice!r}")
        return cast(Choice, choice)

    def _scores(
        self, answer: Mapping[str, Any], item: RatingItem, sides: Sequence[Side]
    ) -> dict[Side, Mapping[str, int]]:
        given = answer.get("scores")
        if not isinstance(given, list) or len(given) != len(sides):
            raise ValueError(f"not the scores of {len(sides)} answers: {given!r}")
        for scores in given:
            if not isinstance(scores, dict) or set(scores) != set(CRITERIA):
                raise ValueError(f"not a score for each of {', '.join(CRITERIA)}: {scores!r}")
            if not all(type(score) is int and LOWEST <= score <= HIGHEST for score in scores.values()):
                raise ValueError(f"not scores between {LOWEST} and {HIGHEST}: {scores!r}")
        if item.identical:
            return {side: given[0] for side in item.outputs}  # one opinion on both
        by_side = dict(zip(sides, given, strict=True))
        return {side: by_side[side] for side in item.outputs}

    def _given(self, place: int) -> dict[str, Any] | None:
        """What was said of an item, in terms of left and right."""
        rating = self._rating(place)
        if rating is None:
            return None
        sides = list(self._outputs(self.asked[place]))
        if rating.scores is not None:
            return {"scores": [rating.scores[side] for side in sides]}
        choice = rating.choice
        return {"choice": PLACES[sides.index(choice)] if choice in ("base", "tuned") else choice}

    def _rating(self, place: int) -> Rating | None:
        return self._ratings.get(self._key(self.asked[place]))

    def _item(self, place: int) -> RatingItem:
        if not 0 <= place < len(self.asked):
            raise ValueError(f"no item {place}")
        return self.asked[place]

    def _key(self, item: RatingItem) -> RatingKey:
        return RatingKey(self.rater, self.mode, item.task, item.document)

    def _hash(self, *words: str) -> bytes:
        return hashlib.sha256("\0".join((str(self._seed), *words)).encode("utf-8", "backslashreplace")).digest()


def readable(text: str) -> str:
    r"""Text for the page: line breaks and tabs stay, other controls and what turns the reading direction is shown.

    Joiners and the like stay too: emoji and several scripts need them.
    """
    text = text.replace("\r\n", "\n")
    return "".join(_shown(character) for character in text) if not text.isprintable() else text


def _shown(character: str) -> str:
    code = ord(character)
    control = (code < 0x20 and character not in "\n\t") or 0x7F <= code < 0xA0
    turns = code in (0x200E, 0x200F, 0x061C) or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    if control or turns or 0xD800 <= code <= 0xDFFF:
        return character.encode("unicode_escape").decode("ascii")
    return character


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
