"""Which path is right for this model: decided by numbers at load, never by a list of names.

A few sequences with a common prefix are scored on each path and by plain forward passes of one sequence each. The
prefix is longer than the model's sliding window where that is cheap, so that a path which ignores the window is caught.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from collections.abc import Sequence as Sequences
from dataclasses import dataclass

import numpy as np
import torch

from evalkit.engine import memory, plan
from evalkit.engine.attention import PackedAttentionError
from evalkit.engine.forward import SplitModel
from evalkit.engine.paths import PackedPath, PaddedPath, Path
from evalkit.engine.sequences import Sequence
from evalkit.errors import ModelError

# Nats a token. Reordered sums move float32 log-probabilities by about 1e-5; a path that drops context moves them by 0.01
# and more. Half precision is noisy by itself: a few times the model's own noise, within bounds.
TOLERANCE_FLOAT32 = 5e-4
TOLERANCE_HALF = 0.1
LARGEST_TOLERANCE_HALF = 0.5
SHORT_PREFIX = 24
MORE_TOKENS = 15
LONGEST_PREFIX_ON_CPU = 1100
LONGEST_PREFIX = 8200
STRANGERS = 12

Plain = Callable[[int], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What the check measured.

    Attributes:
        path: The path chosen: `packed`, `padded` or `encoder-decoder`.
        packed_difference: Largest |difference| of a log-probability (nats) from the plain forward pass; None when the
            model could not be run so.
        padded_difference: The same for the padded path; None where the packed path made it needless.
        tolerance: Largest difference accepted (nats).
        prefix_tokens: Length of the common prefix that was used.
        deterministic: How scores are kept from depending on each other: `fixed sizes`, `one at a time`, None when they
            are not.
    """

    path: str
    packed_difference: float | None
    padded_difference: float | None
    tolerance: float
    prefix_tokens: int
    deterministic: str | None = None


def choose_path(
    split: SplitModel,
    max_length: int,
    *,
    allow_packed: bool = True,
    upcast: bool = True,
    deterministic: bool = False,
) -> tuple[Path, SelfCheck]:
    """The fastest path that agrees with plain forward passes, and with itself bit for bit where that is asked for.

    Raises:
        ModelError: No path does; the message shows the differences.
    """
    fixed = memory.fixed_size(split) if deterministic else None
    sequences, prefix = probe_sequences(split, max_length, fixed)
    expected, tolerance = expected_values(split, sequences, more=room(sequences, max_length))
    padded_path, padded = PaddedPath(split, alone=deterministic), None
    if not allow_packed:
        padded = _difference(padded_path, sequences, expected)
    packed, exact = None, False
    if allow_packed:
        packed_path = PackedPath(split, carry_limit=memory.carry_limit(split, max_length), fixed_size=fixed)
        try:
            packed = _difference(packed_path, sequences, expected)
            exact = not deterministic or _alone_is_the_same(packed_path, sequences)
        except (PackedAttentionError, AttributeError, TypeError, ValueError, RuntimeError, IndexError) as error:
            _reraise_out_of_memory(error)
        if packed is not None and packed <= tolerance and exact:
            packed_path.upcast = upcast
            how = "fixed sizes" if deterministic else None
            return packed_path, SelfCheck("packed", packed, padded, tolerance, prefix, how)
    if padded is None:
        padded = _difference(padded_path, sequences, expected)
    if padded is None or padded > tolerance:
        raise ModelError(
            f"the model does not agree with itself: scored in a batch its log-probabilities differ from single forward "
            f"passes by {_show(padded)} nats (padded) and {_show(packed)} nats (packed), more than {tolerance:g}",
            hint="the model may depend on padding or not be causal; try --dtype float32, or report the model",
        )
    padded_path.upcast = upcast
    how = "one at a time" if deterministic else None
    return padded_path, SelfCheck("padded", packed, padded, tolerance, prefix, how)


def room(sequences: Sequences[Sequence], max_length: int) -> int:
    """Tokens that may stand behind each sequence: a model with a table of positions has none beyond its context."""
    return min(MORE_TOKENS, max_length - max(len(sequence.inputs) for sequence in sequences))


def expected_values(
    split: SplitModel, sequences: Sequences[Sequence], plain: Plain | None = None, *, more: int = MORE_TOKENS
) -> tuple[list[np.ndarray], float]:
    """Log-probabilities (nats) by plain forward passes, and by how much a path may differ from them.

    Args:
        split: The model.
        sequences: What to compute.
        plain: Computes them, each in so many rows, by the model as it was loaded; None for a causal model.
        more: Tokens for which a causal model has room behind each of them.
    """
    causal = plain is None
    plain = plain or (lambda copies: _plain(split, sequences, copies))
    expected = plain(1)
    if split.core.dtype == torch.float32:
        return expected, TOLERANCE_FLOAT32
    noise = 4 * (largest_difference(plain(3), expected) or 0.0)
    if causal and more > 0:
        noise = max(noise, 2 * _noise_of_length(split, sequences, expected, more))
    return expected, min(max(TOLERANCE_HALF, noise), LARGEST_TOLERANCE_HALF)


def _noise_of_length(split: SplitModel, sequences: Sequences[Sequence], expected: list[np.ndarray], more: int) -> float:
    """By how much rows of another length move log-probabilities: on some processors several rows give the bits of one.

    What follows is two times something else: a model that does not look ahead gives the same either way. Of one that does
    nothing is known.
    """
    one, other = (_plain(split, sequences, more=more, place=place) for place in (-1, 0))
    if largest_difference(one, other) != 0.0:
        return 0.0
    return largest_difference(one, expected) or 0.0


def _alone_is_the_same(path: Path, sequences: list[Sequence]) -> bool:
    """Whether sequences have, to the bit, the same scores alone as together with the others, and with many strangers.

    Strangers matter to mixtures of experts: how many tokens go to an expert decides which product of matrices computes it.
    """
    generator = np.random.default_rng(1)
    known = np.concatenate([sequence.inputs for sequence in sequences])
    # every other one goes on from what the sequences share, so that some stand in the same batch however small it is
    strangers = [
        generator.choice(known, 61)
        if place % 2
        else np.concatenate([sequences[-1].inputs, generator.choice(known, 13)])
        for place in range(STRANGERS)
    ]
    crowd = [*sequences, *(Sequence(tokens[:-1], tokens[-1:]) for tokens in strangers)]
    together, crowded = (_values(path, many, plan.depth_first(many), 0) for many in (sequences, crowd))
    for index in (0, 2, 4):
        apart = _values(path, sequences, plan.depth_first(sequences, [index]), 0)
        if not apart[index].tobytes() == together[index].tobytes() == crowded[index].tobytes():
            return False
    return True


def _show(difference: float | None) -> str:
    return "not computable" if difference is None else f"{difference:.2g}"


def _reraise_out_of_memory(error: Exception) -> None:
    if memory.is_out_of_memory(error):
        raise error


def probe_sequences(split: SplitModel, max_length: int, fixed: int | None) -> tuple[list[Sequence], int]:
    """Sequences with a common prefix, and its length: beyond the sliding window, and beyond a batch of fixed size.

    The last has nothing in common with the others.
    """
    config = split.core.config.get_text_config()
    window = getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None) or 0
    longest = LONGEST_PREFIX_ON_CPU if split.core.device.type == "cpu" else LONGEST_PREFIX
    beyond = max(window if window <= longest - 9 else 0, fixed or 0)
    prefix = min(beyond + 9 if beyond else SHORT_PREFIX, max(1, max_length - 14 - MORE_TOKENS))
    generator = np.random.default_rng(0)
    vocabulary = split.vocabulary or int(config.vocab_size)
    # special tokens sit at the ends of most vocabularies; embeddings of unused ids may be anything
    low, high = (vocabulary // 10, vocabulary - vocabulary // 10) if vocabulary > 50 else (0, vocabulary)
    tokens = generator.integers(low, high, size=(5, prefix + 14)).astype(np.int32)
    tokens[1:, :prefix] = tokens[0, :prefix]
    tokens[2, : prefix + 3] = tokens[1, : prefix + 3]
    sequences = []
    for row, (length, scored) in enumerate([(12, 6), (9, 9), (9, 3), (5, 1), (0, 2)]):
        whole = tokens[row, : max(prefix + length, scored) + 1]
        sequences.append(Sequence(whole[:-1], whole[-scored:]))
    return sequences, prefix


def _plain(
    split: SplitModel, sequences: Sequences[Sequence], copies: int = 1, more: int = 0, place: int = -1
) -> list[np.ndarray]:
    """Log-probabilities from one whole forward pass for each sequence, by the model as it was loaded.

    With `copies` the sequence stands in so many rows, with `more` so many tokens follow it (that at `place`, repeated),
    which a causal model does not see: what then differs is the noise of products of other sizes.
    """
    values = []
    selects = "logits_to_keep" in inspect.signature(split.core.forward).parameters
    for sequence in sequences:
        count = len(sequence.targets)
        row = np.concatenate([sequence.inputs, np.full(more, sequence.inputs[place])]).astype(np.int64)
        tokens = torch.from_numpy(row)[None].repeat(copies, 1).to(split.core.device)
        with torch.inference_mode():
            # all logits of a long prefix would take longer than the rest of the check
            options = {"logits_to_keep": count + more} if selects else {}
            kept = split.model(input_ids=tokens, use_cache=False, **options).logits[0, -count - more :]
            logits = kept[:count].float()
        targets = torch.from_numpy(sequence.targets.astype(np.int64)).to(logits.device)
        chosen = logits.gather(1, targets[:, None])[:, 0]
        values.append((chosen - torch.logsumexp(logits, dim=-1)).cpu().numpy())
    return values


def _difference(path: Path, sequences: list[Sequence], expected: list[np.ndarray]) -> float | None:
    """Largest difference in one batch, and in batches so small that they have to carry the prefix along."""
    order = plan.depth_first(sequences)
    whole = sum(len(sequence.inputs) for sequence in sequences)
    carries = isinstance(path, PackedPath) and not path.fixed_size
    budgets = [2 * whole, len(sequences[0].inputs)] if carries else [2 * whole]
    differences = []
    for budget in budgets:
        values = _values(path, sequences, order, budget)
        differences.append(largest_difference([values[index] for index in range(len(sequences))], expected))
    return None if None in differences else max(one for one in differences if one is not None)


def largest_difference(values: list[np.ndarray], expected: list[np.ndarray]) -> float | None:
    """Largest absolute difference (nats); None where a value is not finite."""
    differences = np.abs(np.concatenate(values) - np.concatenate(expected))
    return float(differences.max()) if np.isfinite(differences).all() else None


def _values(path: Path, sequences: list[Sequence], order: plan.Order, budget: int) -> dict[int, np.ndarray]:
    parts = [
        part for batch in path.planner.plan(sequences, order, budget) for part in path.launch(sequences, batch).parts()
    ]
    return {
        index: np.concatenate([part.log_probabilities for part in parts if part.sequence == index])
        for index in order.indices.tolist()
    }
