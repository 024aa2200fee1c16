"""A round of making: prompts grown, answered and filtered."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.sft.making.filters import Known, agreement, answer_reason, prompt_reason
from evalkit.sft.making.request import MakingRequest
from evalkit.sft.making.writing import Writer
from evalkit.sft.rows import Message, TrainingRow

if TYPE_CHECKING:
    from evalkit.backends.base import Backend

BARREN = 10
"""Rounds in a row which together keep less than one prompt in a hundred, after which it stops."""


class Rounds:
    """What is made so far, and how the next round is made.

    Args:
        request: What to make.
        seeds: To grow from.
        sha256: Their hash.
        backend: What writes.
    """

    def __init__(self, request: MakingRequest, seeds: Sequence[TrainingRow], sha256: str, backend: Backend) -> None:
        self.request, self.seeds, self.backend = request, list(seeds), backend
        self.writer = Writer(backend, request.prompt_tokens, request.answer_tokens)
        self.known = Known(request.limits.similarity)
        for seed in seeds:
            self.known.add(seed.prompt_text)
        self.kept: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.grown = self.surplus = self.rounds = 0
        self.seconds = 0.0
        self.history: list[tuple[int, int]] = []
        info = backend.info
        self.origin = {"model": info.name, "weights_sha256": info.weights_sha256, "seeds_sha256": sha256}

    def is_done(self) -> bool:
        """Whether there is enough, or nothing more to be had."""
        if len(self.kept) >= self.request.count:
            return True
        last = self.history[-BARREN:]
        return len(last) == BARREN and sum(kept for kept, _ in last) < 0.01 * sum(grown for _, grown in last)

    def take(self, done: dict[str, Any]) -> None:
        """A round that was done, now or by an earlier process."""
        room = self.request.count - len(self.kept)
        for row in done["kept"][:room]:
            self.kept.append(row)
            self.known.add(row["messages"][0]["content"])
        self.surplus += len(done["kept"][room:])
        self.rejected += done["rejected"]
        self.grown += done["grown"]
        self.rounds += 1
        self.seconds += done.get("seconds", 0.0)
        self.history.append((len(done["kept"]), done["grown"]))

    def round(self) -> dict[str, Any]:
        """Grows, answers and filters; the draws depend on the seed and the round alone."""
        request, number = self.request, self.rounds + 1
        generator = random.Random(f"{request.seed} {number}")
        shown = [self._examples(generator) for _ in range(request.round_size)]
        prompts = [[row.prompt_text for row in rows] for rows in shown]
        grown = self.writer.grow(prompts, request.temperature, request.top_p, seed=generator.getrandbits(31))
        rejected: list[dict[str, Any]] = []
        candidates: list[dict[str, Any]] = []
        accepted = Known(request.limits.similarity)  # of this round: it may be done again, so that it is not kept
        for text, rows in zip(grown, shown, strict=True):
            if text.finish == "errored":
                reason: tuple[str, str] | None = ("errored", "the model could not be asked")
            else:
                reason = prompt_reason(text.text, text.finish, request.limits, self.known)
                reason = reason or prompt_reason(text.text, text.finish, request.limits, accepted)
            candidate = {"prompt": text.text, "examples": rows, "round": number}
            if reason is None:
                accepted.add(text.text)
                candidates.append(candidate)
            else:
                rejected.append(_rejected(candidate, reason))
        kept = self._answered(candidates, rejected, seed=generator.getrandbits(31))
        return {"kept": kept, "rejected": rejected, "grown": len(grown)}

    def _examples(self, generator: random.Random) -> list[TrainingRow]:
        """Seeds, a quarter of them replaced by rows made before; their order is drawn."""
        wanted = min(self.request.examples, len(self.seeds))
        made = min(wanted // 4, len(self.kept))
        rows = generator.sample(self.seeds, wanted - made)
        rows += [_row(one) for one in generator.sample(self.kept, made)]
        generator.shuffle(rows)
        return rows

    def _answered(
        self, candidates: list[dict[str, Any]], rejected: list[dict[str, Any]], seed: int
    ) -> list[dict[str, Any]]:
        limits = self.request.limits
        answers = self.writer.answer([one["prompt"] for one in candidates], [one["examples"] for one in candidates])
        left = []
        for candidate, answer in zip(candidates, answers, strict=True):
            candidate["answer"] = answer.text
            reason = (
                ("errored", "the model could not be asked")
                if answer.finish == "errored"
                else answer_reason(candidate["prompt"], answer.text, answer.finish, limits)
            )
            if reason is None:
                left.append(candidate)
            else:
                rejected.append(_rejected(candidate, reason))
        left = self._within_perplexity(left, rejected)
        left = self._agreed(left, rejected, seed)
        return [self._finished(one) for one in self._verified(left, rejected)]

    def _within_perplexity(self, left: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ends = self.request.limits.perplexity
        if ends is None or self.backend.chat.only:
            return left
        values = self.writer.perplexities([f"{one['prompt']}\n{one['answer']}" for one in left])
        kept = []
        for candidate, value in zip(left, values, strict=True):
            if ends[0] <= value <= ends[1]:
                kept.append({**candidate, "perplexity": round(value, 3)})
            else:
                rejected.append(
                    _rejected(candidate, ("perplexity", f"{value:.4g}, not within {ends[0]:g} to {ends[1]:g}"))
                )
        return kept

    def _agreed(self, left: list[dict[str, Any]], rejected: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
        count = self.request.agree
        if not count:
            return left
        drawn = self.writer.answers([one["prompt"] for one in left], [one["examples"] for one in left], count, seed)
        kept = []
        for candidate, others in zip(left, drawn, strict=True):
            share = agreement(candidate["answer"], others)
            if share >= 0.5:
                kept.append({**candidate, "agreement": share})
            else:
                rejected.append(
                    _rejected(candidate, ("disagreement", f"{share:.0%} of {count} more answers are the same"))
                )
        return kept

    def _verified(self, left: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        verify = self.request.verify
        for candidate in left:
            if verify is None or verify(candidate["prompt"], candidate["answer"]):
                yield candidate
            else:
                rejected.append(_rejected(candidate, ("not-verified", "--verify says that it is wrong")))

    def _finished(self, candidate: dict[str, Any]) -> dict[str, Any]:
        """The row as it is written."""
        measured = {name: candidate[name] for name in ("perplexity", "agreement") if name in candidate}
        examples = [row.id for row in candidate["examples"]]
        return {
            "messages": [
                {"role": "user", "content": candidate["prompt"]},
                {"role": "assistant", "content": candidate["answer"]},
            ],
            "provenance": {**self.origin, "round": candidate["round"], "examples": examples, **measured},
        }


def _row(made: dict[str, Any]) -> TrainingRow:
    return TrainingRow("made", 0, tuple(Message(one["role"], one["content"]) for one in made["messages"]))


def _rejected(candidate: dict[str, Any], reason: tuple[str, str]) -> dict[str, Any]:
    return {
        "reason": reason[0],
        "detail": reason[1],
        "prompt": candidate["prompt"],
        **({"answer": candidate["answer"]} if "answer" in candidate else {}),
        "round": candidate["round"],
        "examples": [row.id for row in candidate["examples"]],
    }
