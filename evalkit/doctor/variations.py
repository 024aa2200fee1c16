"""Ways of computing the same answers, each the reference with one thing changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as Sequences
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evalkit.backends.local import LocalBackend, LocalOptions
from evalkit.doctor import computing
from evalkit.doctor.diagnosis import Change, Measured
from evalkit.doctor.measure import Choice, Values, compare
from evalkit.engine import memory
from evalkit.engine.engine import Engine
from evalkit.engine.sequences import Sequence
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.models.load import LoadedModel

BUDGETS = (256, 8192)
"""Token budgets (tokens) besides the usual one: far smaller and far larger."""

ATTENTION = ("eager", "sdpa", "flash_attention_2", "flex_attention")
"""Implementations of attention that transformers knows; the last two need a GPU."""


@dataclass(frozen=True, slots=True)
class Variation:
    """One way of computing.

    Attributes:
        name: Short name.
        label: In words.
        by: Who computes so.
        compute: Computes it.
    """

    name: str
    label: str
    by: Literal["evalkit", "others"]
    compute: Callable[[], Values]


class Bench:
    """One loaded model, and the answers that are computed with it again and again.

    Args:
        loaded: The model.
        sequences: The answers, as tokens.
        choices: The questions that they belong to.
        budget: Token budget that `evalkit run` would be given; None where it chooses.
    """

    def __init__(
        self, loaded: LoadedModel, sequences: Sequences[Sequence], choices: Sequences[Choice], budget: int | None
    ) -> None:
        self.loaded, self.sequences, self.choices, self.budget = loaded, sequences, choices, budget
        self._backend: LocalBackend | EvalkitError | None = None
        self.alone: Values = []

    @property
    def dtype(self) -> str:
        """Type of the weights."""
        return str(self.loaded.dtype).removeprefix("torch.")

    @property
    def backend(self) -> LocalBackend:
        """The model as `evalkit run` computes it, made once.

        Raises:
            EvalkitError: The engine refuses the model; the second time as well.
        """
        if self._backend is None:
            try:
                self._backend = LocalBackend(self.loaded, LocalOptions(token_budget=self.budget))
            except EvalkitError as error:
                self._backend = error
        if isinstance(self._backend, EvalkitError):
            raise self._backend
        return self._backend

    @property
    def engine(self) -> Engine:
        """Its engine."""
        return self.backend.engine

    def new_engine(self, *, share_prefixes: bool = True, deterministic: bool = False) -> Engine:
        """Another engine with the same model."""
        return Engine(
            self.loaded.model,
            self.loaded.max_length,
            token_budget=self.budget,
            share_prefixes=share_prefixes,
            deterministic=deterministic,
        )

    def compute_alone(self) -> Values:
        """Each prompt by itself; kept."""
        self.alone = computing.alone(self.loaded.model, self.sequences)
        return self.alone

    def variations(self, *, thorough: bool) -> list[Variation]:
        """What is tried with this model.

        Args:
            thorough: All there is; else what shows most, for types that are slow on a CPU.
        """
        model, sequences = self.loaded.model, self.sequences

        def padded(side: computing.Side, position_ids: bool = True) -> Callable[[], Values]:
            return lambda: computing.padded_rows(model, sequences, side, position_ids=position_ids)

        found = [
            Variation(
                "default", "as evalkit run computes", "evalkit", lambda: computing.by_engine(self.engine, sequences)
            )
        ]
        if thorough:
            found += [self._with_budget(budget) for budget in BUDGETS]
            found.append(Variation("not-shared", "sharing off, rows padded on the right", "evalkit", self._not_shared))
        found += [
            Variation("right", f"batches of {computing.ROWS}, padded on the right", "others", padded("right")),
            Variation("left", f"batches of {computing.ROWS}, padded on the left", "others", padded("left")),
        ]
        if thorough:
            found.append(
                Variation("left-bare", "the same without position ids", "others", padded("left", position_ids=False))
            )
            found += [self._with_attention(name) for name in ATTENTION if name != self._attention]
        return found

    @property
    def _attention(self) -> str:
        return str(getattr(self.loaded.model.config, "_attn_implementation", ""))

    def _with_budget(self, budget: int) -> Variation:
        return Variation(
            f"budget-{budget}",
            f"--batch-tokens {budget}",
            "evalkit",
            lambda: computing.by_engine(self.engine, self.sequences, budget),
        )

    def _not_shared(self) -> Values:
        return computing.by_engine(self.new_engine(share_prefixes=False), self.sequences)

    def _with_attention(self, name: str) -> Variation:
        def compute() -> Values:
            model, usual = self.loaded.model, self._attention
            if name.startswith("fl") and model.device.type != "cuda":
                raise NotImplementedError("it needs a CUDA device")
            try:
                model.set_attn_implementation(name)
                return computing.alone(model, self.sequences)
            finally:
                model.set_attn_implementation(usual)

        return Variation(f"attention-{name}", f"attention: {name}", "others", compute)

    def measure(self, variation: Variation) -> Measured:
        """One way of computing against each prompt alone; what goes wrong becomes the reason why it is not measured."""
        return attempt(
            f"{self.dtype}/{variation.name}",
            variation.label,
            self.dtype,
            f"{self.dtype}/alone",
            lambda: compare(self.alone, variation.compute(), self.choices),
            by=variation.by,
        )

    def _of(self, engine: Engine, choices: Sequences[Choice]) -> tuple[dict[int, Values], list[Choice]]:
        """The answers of some questions, by the place of each question's first, and where they stand among these alone."""
        places = [place for one in choices for place in range(one.first, one.first + one.count)]
        values = computing.by_engine(engine, [self.sequences[place] for place in places])
        found, own, first = {}, [], 0
        for one in choices:
            found[one.first] = values[first : first + one.count]
            own.append(Choice(first, one.count, one.golds))
            first += one.count
        return found, own

    def deterministic(self) -> Measured:
        """With `--deterministic`: some questions among others against the same by themselves."""

        def compute() -> Change:
            engine = self.new_engine(deterministic=True)
            crowd = self.choices[::-2]  # fixed sizes are slow: half of the questions are enough
            among, _ = self._of(engine, crowd)
            apart, own = self._of(engine, crowd[::2])
            before = [values for one in crowd[::2] for values in among[one.first]]
            return compare(before, [values for one in crowd[::2] for values in apart[one.first]], own)

        key = f"{self.dtype}/deterministic"
        label = "--deterministic, other neighbours"
        return attempt(key, label, self.dtype, f"{key}, among others", compute)


def attempt(
    key: str,
    label: str,
    dtype: str,
    against: str,
    compute: Callable[[], Change],
    *,
    by: Literal["evalkit", "others"] = "evalkit",
) -> Measured:
    """What `compute` measures, or why it could not."""
    start = time.perf_counter()
    change, reason = None, None
    try:
        change = compute()
    except MemoryError:
        reason = "there is too little memory"
    except EvalkitError as error:
        reason = error.message
    # a library's or a model's own way of saying that it does not support something can be any of these
    except (NotImplementedError, ImportError, ValueError, TypeError, AttributeError, RuntimeError, KeyError) as error:
        reason = "there is too little memory" if memory.is_out_of_memory(error) else _first_line(error)
    return Measured(key, label, dtype, by, against, change, reason, time.perf_counter() - start)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
