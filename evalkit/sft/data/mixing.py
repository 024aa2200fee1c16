"""Several sources in one stage, and old data beside new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.errors import UsageError
from evalkit.sft.rows import TrainingRow


def mix(
    rows: Mapping[str, Sequence[TrainingRow]], weights: Mapping[str, float], seed: int
) -> tuple[tuple[TrainingRow, ...], dict[str, int]]:
    """As many rows as there are, drawn from the sources by weight.

    A source with fewer rows than its part is repeated whole before any row comes once more; of one with more a seeded
    sample is taken.

    Args:
        rows: Source -> its rows.
        weights: Source -> weight.
        seed: Of the draws and of the order.

    Returns:
        The rows in a drawn order, and how many are of each source.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    total, weight = sum(map(len, rows.values())), sum(weights.values())
    counts = {name: max(1, round(total * weights[name] / weight)) for name in rows}
    drawn = [row for name, count in counts.items() for row in _drawn(rows[name], count, generator)]
    return tuple(drawn[place] for place in generator.permutation(len(drawn))), counts


def replay(
    rows: Sequence[TrainingRow], general: Sequence[TrainingRow], share: float, seed: int
) -> tuple[tuple[TrainingRow, ...], int]:
    """Adds general rows, so that they are `share` of all (experience replay: Robins 1995; Scialom et al. 2022).

    Returns:
        The rows, and how many of them are general.
    """
    import numpy as np

    count = max(1, round(len(rows) * share / (1 - share)))
    return (*rows, *_drawn(general, count, np.random.default_rng(seed))), count


def _drawn(rows: Sequence[TrainingRow], count: int, generator: object) -> list[TrainingRow]:
    import numpy as np

    assert isinstance(generator, np.random.Generator)
    whole, rest = divmod(count, len(rows))
    return [*(list(rows) * whole), *(rows[place] for place in sorted(generator.permutation(len(rows))[:rest]))]


def parse_mix(text: str) -> dict[str, float]:
    """Reads `a.jsonl:2,b.jsonl:1`; a weight that is left out is 1.

    Raises:
        UsageError: A weight is none, or a source is named twice.
    """
    found: dict[str, float] = {}
    for part in (part.strip() for part in text.split(",")):
        name, weight = _weighted(part, 1.0, "--mix")
        if not name or name in found:
            raise UsageError(f"--mix {text!r} names a source twice, or none", hint="as --mix a.jsonl:2,b.jsonl:1")
        if weight <= 0:
            raise UsageError(f"--mix {part!r} has a weight that is not above 0", hint="as --mix a.jsonl:2,b.jsonl:1")
        found[name] = weight
    return found


def parse_replay(text: str) -> tuple[str, float]:
    """Reads `general.jsonl:0.1`; a share that is left out is a tenth.

    Raises:
        UsageError: The share is not between 0 and 1.
    """
    name, share = _weighted(text.strip(), 0.1, "--replay")
    if not name or not 0 < share < 1:
        raise UsageError(f"--replay {text!r} has no share between 0 and 1", hint="as --replay general.jsonl:0.1")
    return name, share


def _weighted(text: str, default: float, option: str) -> tuple[str, float]:
    name, colon, number = text.rpartition(":")
    if not colon:
        return text, default
    try:
        return name, float(number)
    except ValueError:
        if "/" in number or "\\" in number or "." in number or number.isidentifier():
            return text, default  # a colon of the name, as in C:\\data or org/name:config
        raise UsageError(f"{option} {text!r} ends in no number", hint=f"as {option} a.jsonl:2") from None
