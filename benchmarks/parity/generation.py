"""Generated texts of both programs side by side: the table, what differs and why, and sacrebleu's command as a third."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parity.cases import Case
from benchmarks.parity.ties import Parting, common

SCORE_RELATIVE_BOUND = 1e-9
"""Same texts have the same scores, but for the order in which a mean's terms are added."""

Explain = Callable[[str, Sequence[int], Sequence[int]], Parting]

HEADER = [
    "| task | shots | n | metric | lm-eval | evalkit | texts that differ | of them near ties | documents with another value "
    "| lm-eval s | evalkit s |",
    "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|",
]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One case.

    Attributes:
        partings: Index of the document -> where its two texts part.
        unequal: Documents whose text is the same and whose metrics are not.
        prompts: Documents whose prompts differ.
    """

    partings: dict[int, Parting]
    unequal: list[int]
    prompts: list[int]


def compare(theirs: list[dict[str, Any]], ours: list[dict[str, Any]], explain: Explain) -> Comparison:
    """Joins the documents of both programs.

    Texts are the same when they are equal and evalkit's tokens are those with which lm-eval's begin: lm-eval goes on
    after the end of a text until all texts of its batch have ended.

    Args:
        theirs: lm-eval's.
        ours: evalkit's.
        explain: Prompt, lm-eval's tokens, evalkit's tokens -> where they part.
    """
    others = {sample["index"]: sample for sample in theirs}
    if set(others) != {sample["index"] for sample in ours}:
        raise SystemExit("the two programs evaluated different documents")
    partings, unequal, prompts = {}, [], []
    for sample in ours:
        other, index = others[sample["index"]], sample["index"]
        if sample["prompt"] != other["prompt"]:
            prompts.append(index)
        elif sample["text"] != other["text"] or common(other["tokens"], sample["tokens"]) < len(sample["tokens"]):
            partings[index] = explain(sample["prompt"], other["tokens"], sample["tokens"])
        elif any(
            not _same(value, other["metrics"][name])
            for name, value in sample["metrics"].items()
            if name in other["metrics"]
        ):
            unequal.append(index)
    return Comparison(partings, unequal, prompts)


def table(
    cases: Sequence[Case], theirs: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]], explain: Explain
) -> tuple[list[str], list[str], list[str]]:
    """The Markdown table, where texts part, and a line for each thing that should be equal and is not."""
    lines, notes, broken = list(HEADER), [], []
    for case, their, our in zip(cases, theirs, ours, strict=True):
        found = compare(their["samples"], our["samples"], explain)
        name = case.name
        notes += [f"{name}, document {index}: {parting}" for index, parting in found.partings.items()]
        broken += [f"{name}, document {index}: {one}" for index, one in found.partings.items() if not one.tie]
        broken += [f"{name}, document {index}: the prompts differ" for index in found.prompts]
        broken += [f"{name}, document {index}: same text, other metrics" for index in found.unequal]
        ties = sum(parting.tie for parting in found.partings.values())
        for metric, value in our["scores"].items():
            expected = their["scores"].get(metric)
            if expected is None:
                continue
            if not _same(value, expected) and not found.partings:
                broken.append(f"{name} {metric}: {value!r} against {expected!r}")
            lines.append(
                f"| {name} | {case.shots} | {len(our['samples'])} | {metric} | {expected:.6f} | {value:.6f} "
                f"| {len(found.partings)} | {ties} | {len(found.unequal)} | {their['seconds']:.1f} | {our['seconds']:.1f} |"
            )
    return lines, notes, broken


def sacrebleu_lines(case: Case, ours: dict[str, Any]) -> tuple[list[str], list[str]]:
    """evalkit's scores of a translation case beside those of the `sacrebleu` command on the same two files.

    Returns:
        Lines to print, and a line for each score that is not equal.
    """
    with tempfile.TemporaryDirectory() as folder:
        hypotheses, references = Path(folder) / "hypotheses.txt", Path(folder) / "references.txt"
        for path, column in ((hypotheses, "text"), (references, "target")):
            texts = [sample[column] for sample in ours["samples"]]
            if any("\n" in text or "\r" in text for text in texts):
                raise SystemExit(f"{case.name}: a text has several lines, which the command would count as several")
            path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        command = [sys.executable, "-m", "sacrebleu", str(references), "-i", str(hypotheses)]
        command += ["-m", "bleu", "chrf", "ter", "--chrf-word-order", "2", "-w", "12"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines, broken = [], []
    for entry in json.loads(printed):
        metric = {"chrF2++": "chrf++"}.get(entry["name"], entry["name"].lower())
        value = ours["scores"][metric]
        lines.append(f"sacrebleu's command, {entry['name']}: {entry['score']:.9f}; evalkit: {value:.9f}")
        if not math.isclose(value, entry["score"], abs_tol=1e-9):
            broken.append(f"{case.name} {metric}: {value!r} against {entry['score']!r} of the sacrebleu command")
    return lines, broken


def _same(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=SCORE_RELATIVE_BOUND, abs_tol=SCORE_RELATIVE_BOUND)
