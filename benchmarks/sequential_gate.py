"""How many documents a sequential gate asks, and how often it is wrong, on candidates whose true loss is known.

    python -m benchmarks.sequential_gate                      # five minutes on one core
    python -m benchmarks.sequential_gate --repeats 0.1        # a quick look

Simulated: pairs of answers, right or wrong. 12 % of them differ without a loss, about what a light fine-tuning does, and
more where a loss needs it. Every candidate goes through the gate's own classes: order, looks, bets, and the test at the
end of the data. Real: the candidates of `examples/gate`, evaluated while they are gated.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalkit.comparing.means import proportions
from evalkit.comparing.verdict import decide
from evalkit.comparison import Change, Verdict
from evalkit.gating.evidence import Document, TaskEvidence
from evalkit.gating.hypotheses import BEYOND, WITHIN, hypotheses
from evalkit.gating.sequential import FIRST_LOOK, GROWTH
from evalkit.gating.watched import SEQUENTIAL_SHARE

ALPHA, MARGIN, DISCORDANCE = 0.05, 0.01, 0.12
LOSSES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.10, 0.20)
SIZES = {1_172: 600, 14_042: 100}
"""Documents (ARC-Challenge, MMLU) -> candidates a loss."""


class Outcome(NamedTuple):
    """One candidate: share of the documents asked, verdict, and whether a look brought it."""

    asked: float
    verdict: Verdict
    early: bool
    usual: Verdict


def differences(n: int, loss: float, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Candidate minus baseline, a document."""
    changed = max(DISCORDANCE, 1.4 * loss)
    draw = rng.random(n)
    return np.where(draw < (changed - loss) / 2, 1.0, np.where(draw < changed, -1.0, 0.0))


def fixed_verdict(values: np.ndarray[tuple[int], np.dtype[np.float64]], alpha: float) -> Verdict:
    """The gate's verdict over finished runs."""
    up, down, n = int((values > 0).sum()), int((values < 0).sum()), len(values)
    stderr, limits, p, test = proportions(up, down, n)
    change = Change(
        *("acc", True, n, n, 0.7, 0.7 + values.mean(), float(values.mean()), stderr),
        *(limits(1 - alpha), limits(1 - 2 * alpha), p, p, test, up, down, None, MARGIN, Verdict.UNDECIDED, ""),
        bounds=(0.0, 1.0),
        alpha=alpha,
    )
    return decide(change).verdict


def simulate(n: int, loss: float, rng: np.random.Generator) -> Outcome:
    """One candidate through the gate."""
    values = differences(n, loss, rng)
    # the baseline's value does not matter to a difference: 1 where something can be lost
    documents = [Document(("quiz", str(place)), None, 1.0, float(value < 0)) for place, value in enumerate(values)]
    after = {one.key: one.before + value for one, value in zip(documents, values, strict=True)}
    tested = hypotheses(MARGIN, None, None, higher_is_better=True)
    evidence = TaskEvidence(documents, (0.0, 1.0), True, tested, seed=0)
    usual = fixed_verdict(values, ALPHA)
    enough = 1 / (ALPHA * SEQUENTIAL_SHARE)
    while not evidence.finished:
        asked = evidence.asked
        keys = evidence.next(max(10, math.ceil(asked * (GROWTH - 1))) if asked else FIRST_LOOK)
        evidence.add({key: after[key] for key in keys})
        if evidence.against(WITHIN) >= enough:
            return Outcome(evidence.asked / n, Verdict.REGRESSED, True, usual)
        if evidence.against(BEYOND) >= enough:
            return Outcome(evidence.asked / n, Verdict.WITHIN_MARGIN, True, usual)
    return Outcome(1.0, fixed_verdict(values, ALPHA * (1 - SEQUENTIAL_SHARE)), False, usual)


def rows(repeats: float) -> Iterator[str]:
    """The table, a line a size and loss."""
    yield (
        "| documents | true loss, points | candidates | asked, median | asked, mean | failed at a look | failed | passed | "
        "undecided | failed, whole run | passed, whole run |"
    )
    yield f"|{'---:|' * 11}"
    for n, count in SIZES.items():
        for loss in LOSSES:
            rng = np.random.default_rng([n, round(1000 * loss)])
            found = [simulate(n, loss, rng) for _ in range(max(10, round(count * repeats)))]
            asked = [one.asked for one in found]
            verdicts, usual = Counter(one.verdict for one in found), Counter(one.usual for one in found)
            early = sum(one.early and one.verdict is Verdict.REGRESSED for one in found)
            counts = [early, verdicts[Verdict.REGRESSED], _passed(verdicts), verdicts[Verdict.UNDECIDED]]
            counts += [usual[Verdict.REGRESSED], _passed(usual)]
            shares = " | ".join(f"{100 * one / len(found):.1f}%" for one in counts)
            yield (
                f"| {n:,} | {100 * loss:g} | {len(found):,} | {100 * np.median(asked):.1f}% | "
                f"{100 * np.mean(asked):.1f}% | {shares} |"
            )


def _passed(verdicts: Counter[Verdict]) -> int:
    return verdicts[Verdict.WITHIN_MARGIN] + verdicts[Verdict.IMPROVED]


def real(folder: Path) -> Iterator[str]:
    """The example's candidates, evaluated by a mock model while they are gated."""
    import evalkit
    from evalkit.sequential_gate import gate_while_evaluating

    sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "gate"))
    import make_runs

    folder.mkdir(parents=True, exist_ok=True)
    base = make_runs.CANDIDATES["base"]
    evalkit.run(model=evalkit.MockModel(base, name="base"), tasks=[make_runs.SUMS], output=folder / "base.json")
    for name in ("regressed", "harmless"):
        model = evalkit.MockModel(make_runs.CANDIDATES[name], name=name)
        found = gate_while_evaluating(folder / "base.json", model, tasks=[make_runs.SUMS])
        assert found.looks is not None
        yield (
            f"{name}: exit code {found.exit_code}, {found.looks.asked:,} of {found.looks.total:,} documents, "
            f"{model.requests_answered:,} of {4 * found.looks.total:,} requests"
        )


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=float, default=1.0, help="part of the candidates that are simulated")
    parser.add_argument("--folder", type=Path, default=Path("build/sequential_gate"), help="for the example's results")
    options = parser.parse_args()
    for line in rows(options.repeats):
        print(line, flush=True)
    print()
    for line in real(options.folder):
        print(line, flush=True)


if __name__ == "__main__":
    main()
