"""Is the second model better? Two runs of the same task, compared in Python.

    python examples/compare.py

The models are mocks that answer from a rule, so that this takes a second and needs no weights. With a model of your
own write its name, `evalkit.run(model="./checkpoint", tasks=["arc_easy"])`, and leave the rest as it is. Instead of a run,
`evalkit.compare` also takes a result file, or another harness's log (docs/foreign-logs.md).
"""

import evalkit
from evalkit.requests import Request, Score

SUMS = [{"a": a, "b": b, "wrong": a + b + 1} for a in range(2, 12) for b in range(3, 23)]


def document(row: dict[str, int]) -> evalkit.MultipleChoice:
    """A sum with a right and a wrong result."""
    return evalkit.MultipleChoice(f"{row['a']} + {row['b']} =", [str(row["a"] + row["b"]), str(row["wrong"])], gold=0)


sums = evalkit.Task(
    name="sums",
    data=evalkit.DataSource(id="sums", rows=SUMS),
    document=document,
    metrics=("acc",),
)


def model(name: str, largest: int, forgotten: int | None = None) -> evalkit.MockModel:
    """A model that can add up to `largest`, but not to `forgotten`; elsewhere it takes the wrong result."""

    def log_probability(request: Request) -> float:
        assert isinstance(request, Score)
        a, _, b, *_ = request.context.split()
        total = int(a) + int(b)
        can = total <= largest and total != forgotten
        return -1.0 if (int(request.continuation) == total) == can else -5.0

    return evalkit.MockModel(log_probability, name=name)


def main() -> evalkit.Comparison:
    """Evaluates both, prints what can be said, and returns it."""
    base = evalkit.run(model=model("base", largest=20), tasks=[sums])
    tuned = evalkit.run(model=model("tuned", largest=24, forgotten=12), tasks=[sums])
    comparison = evalkit.compare(base, tuned)

    print(comparison.headline())
    change = comparison.tasks["sums"].change
    low, high = change.interval or (float("nan"), float("nan"))
    print(
        f"accuracy {change.before:.3f} -> {change.after:.3f}, 95 % interval of the difference {low:+.3f} to {high:+.3f}"
    )
    print(f"{change.fixed} documents were fixed, {change.broken} broken; p = {change.p:.2g} ({change.test})")

    for difference in comparison.conditions:
        print(f"also different: {difference.field}, {difference.before} and {difference.after}")

    if change.verdict is evalkit.Verdict.IMPROVED:
        print("the tuned model is better, beyond chance")
    return comparison


if __name__ == "__main__":
    main()
