"""Two runs with their sample logs, as `evalkit run` leaves them: questions with choices, and written answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from evalkit.aggregate import aggregate_group
from evalkit.comparing.compare import compare
from evalkit.comparison import Change, Comparison, Verdict
from evalkit.metrics import estimate, metric
from evalkit.ranking import Ranking, Standing
from evalkit.results import Sample, SampleRow, TaskResult, samples_path, write_samples
from evalkit.task import Group
from tests.result_examples import DATASET, run

HOSTILE = (
    "</script><script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"
    "</pre><style>body{display:none}</style>\x1b[31mred\x1b[0m \u202edesrever\u202c {{ 7 * 7 }} \x00 <!-- \ud800 "
)
WORDS = ("the", "cell", "of", "a", "river", "moves", "through", "light", "until", "gravity", "bends", "every", "number")


def choice_task(name: str, n: int, skill: float, seed: int) -> tuple[TaskResult, list[SampleRow]]:
    """Questions with four choices, of which a share of about `skill` is answered rightly."""
    documents, answers = random.Random(name), random.Random(f"{name} {seed}")
    samples, rows = [], []
    for index in range(n):
        question = " ".join(documents.choices(WORDS, k=24))
        choices = [" ".join(documents.choices(WORDS, k=3)) for _ in range(4)]
        gold = documents.randrange(4)
        logs = [answers.gauss(-6, 1.5) + (2 * skill if place == gold else 0) for place in range(4)]
        picked = logs.index(max(logs))
        margin = logs[gold] - max(log for place, log in enumerate(logs) if place != gold)
        right = picked == gold
        fields = {"picked": picked, "gold": gold, "choices": 4, "margin": margin}
        identifier = f"{documents.getrandbits(64):016x}"
        samples.append(Sample(identifier, index, None, "right" if right else "wrong", {"acc": float(right)}, fields))
        prompt = f"Answer the question.\n\nQuestion {index}: {question}?\nAnswer:"
        rows += [
            row(name, samples[-1], place, prompt, f" {choices[place]}", logs[place], choices[gold], choices[picked])
            for place in range(4)
        ]
    return _task(samples, "acc"), rows


def row(
    task: str, sample: Sample, place: int, prompt: str, text: str, log: float | None, target: str, answer: str | None
) -> SampleRow:
    """A row of the log; a written answer where there is no log-probability."""
    kind, finish = ("generate", "stop") if log is None else ("score", "")
    return SampleRow(
        task=task,
        id=sample.id,
        index=sample.index,
        request=place,
        kind=kind,
        completion=0,
        prompt=prompt,
        continuation=text,
        context_tokens=40,
        tokens=max(1, len(text) // 4),
        log_probability=log,
        token_log_probabilities=[] if log is None else [log],
        greedy=False,
        finish=finish,
        score=None,
        truncated=0,
        target=target,
        answer=answer,
    )


def written_task(name: str, texts: Sequence[tuple[str, str | None]]) -> tuple[TaskResult, list[SampleRow]]:
    """Questions with written answers: (text, what was made out in it); the right answer is the question's number."""
    samples, rows = [], []
    for index, (text, answer) in enumerate(texts):
        outcome = "unparsed" if answer is None else "right" if answer == str(index) else "wrong"
        samples.append(Sample(f"{index + 1:016x}", index, None, outcome, {"acc": float(outcome == "right")}, {}))
        rows.append(row(name, samples[-1], 0, f"Which number is {index}?", text, None, str(index), answer))
    return _task(samples, "acc"), rows


def _task(samples: Sequence[Sample], name: str) -> TaskResult:
    scores = {name: replace(estimate(metric(name), samples), bounds=(0.0, 1.0))}
    outcomes = dict(Counter(sample.outcome for sample in samples))
    return TaskResult(1, DATASET, 0, "e" * 64, len(samples), scores, outcomes, tuple(samples))


def write(
    path: Path, model: str, parts: Mapping[str, tuple[TaskResult, list[SampleRow]]], groups: Sequence[Group] = ()
) -> Path:
    """Writes a run and its log; groups come after the groups that they hold."""
    tasks = {name: result for name, (result, _) in parts.items()}
    found = {}
    for group in groups:
        found[group.name] = aggregate_group(group, {name: tasks[name] for name in group.members if name in tasks})
    one = run(tasks, found, limit="0.02")
    one = replace(one, model=replace(one.model, name=model, weights_sha256=f"{hash_of(model):064x}"))
    one.save(path)
    write_samples(samples_path(path), all_rows(parts))
    return path


def hash_of(text: str) -> int:
    """A number that is the same on every run."""
    return random.Random(text).getrandbits(256)


def all_rows(parts: Mapping[str, tuple[TaskResult, list[SampleRow]]]) -> Iterator[SampleRow]:
    """The rows of all tasks."""
    for _, rows in parts.values():
        yield from rows


SUBJECTS = tuple(f"exam_{letter}" for letter in "abcdefghi")
EXAM = Group(name="exam", members=SUBJECTS, metrics="acc", weighting="items")


def two_runs(folder: Path, *, n: int = 40, hostile: str = HOSTILE) -> tuple[Path, Path]:
    """base.json and tuned.json: nine subjects in a group, a task that got better, and written answers, some hostile."""
    return _write(folder / "base.json", "smol-base", 0.3, n, hostile, 0), _write(
        folder / "tuned.json", "smol-tuned", 1.2, n, hostile, 1
    )


def _write(path: Path, model: str, skill: float, n: int, hostile: str, seed: int) -> Path:
    parts = {name: choice_task(name, max(3, n // 4), 0.5, seed) for name in SUBJECTS}
    parts["quiz"] = choice_task("quiz", 5 * n, skill, seed)
    said = "I count {} apples on the table, so the answer is {}." if seed else "There are {} apples. Answer: {}"
    texts: list[tuple[str, str | None]] = [(said.format(number, number), str(number)) for number in range(n)]
    texts[0] = (hostile, None) if seed else ("The answer is 0.", "0")
    texts[1] = (hostile + " but different", None)
    texts[2] = ("x" * 1_048_576 + "END", None) if seed else ("2", "2")
    parts["count"] = written_task("count", texts)
    return write(path, model, parts, [EXAM])


def example_comparison(folder: Path, *, n: int = 40, hostile: str = HOSTILE) -> Comparison:
    """The two runs compared."""
    return compare(*two_runs(folder, n=n, hostile=hostile))


def example_ranking() -> Ranking:
    """Four runs: one ahead, two that cannot be told apart, one behind and tied with the third."""
    from evalkit.comparison import Side

    task, _ = choice_task("quiz", 20, 1.0, 0)
    labels = ("large", "medium", "small <b>", "tiny")
    ties = {"medium": ("small <b>",), "small <b>": ("medium", "tiny"), "tiny": ("small <b>",)}
    standings = tuple(
        Standing(
            side=Side(label, run({"quiz": task, "exam": task})),
            score=0.8 - 0.1 * place,
            interval=(0.75 - 0.1 * place, 0.85 - 0.1 * place),
            scores={"quiz": 0.82 - 0.1 * place, "exam": 0.78 - 0.1 * place},
            normalized={"quiz": 0.7 - 0.12 * place, "exam": 0.65 - 0.12 * place},
            rank=(1, 2, 2, 3)[place],
            ties=ties.get(label, ()),
            normalized_score=0.675 - 0.12 * place,
        )
        for place, label in enumerate(labels)
    )
    pairs = {
        (better, worse): _pair_change(0.1 * (labels.index(worse) - labels.index(better)), worse in ties.get(better, ()))
        for better, worse in combinations(labels, 2)
    }
    groups = (("large",), ("medium", "small <b>"), ("small <b>", "tiny"))
    return Ranking(standings, pairs, ("quiz", "exam"), 0.05, groups, {"tiny": ("hellaswag",)})


def _pair_change(difference: float, tied: bool) -> Change:
    half = 2 * difference if tied else difference / 2
    return Change(
        metric="mean",
        higher_is_better=True,
        n=40,
        clusters=40,
        before=0.5,
        after=0.5 + difference,
        difference=difference,
        stderr=half / 2,
        interval=(difference - half, difference + half),
        margin_interval=None,
        p=0.4 if tied else 0.001,
        p_adjusted=0.8 if tied else 0.006,
        test="paired",
        fixed=8,
        broken=2,
        detectable=0.1,
        margin=0.0,
        verdict=Verdict.UNDECIDED if tied else Verdict.IMPROVED,
        reason="",
        bounds=(0.0, 1.0),
    )
