from __future__ import annotations

import re
import shutil
import string
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.comparing.ranking import rank
from evalkit.reports.latex import Table, escape, number, render, run_latex
from evalkit.reports.leaderboard import ranking_latex
from tests.comparing.rankings import pattern, side
from tests.result_examples import group, run, task_result, text_result

HOSTILE = string.punctuation + r"\input{/etc/passwd} \\ [3pt] $x$ %comment -- ``q'' <<>>"


def test_every_special_character_is_escaped() -> None:
    assert escape("a_b & 100% #1 $2 {x} ~ ^") == (r"a\_b \& 100\% \#1 \$2 \{x\} \textasciitilde{} \textasciicircum{}")
    assert escape("\\input") == r"\textbackslash{}input"
    assert escape("[0.5]") == "{[}0.5{]}"
    assert escape("a\nb\x1b") == r"a\textbackslash{}nb\textbackslash{}x1b"


def bare(text: str) -> str:
    """What is left of escaped text without the commands that escaping makes."""
    text = re.sub(r"\\text[a-z]+\{\}", "", text)
    text = re.sub(r"\\[{}$&#%_]", "", text)
    return text.replace("{[}", "").replace("{]}", "").replace("{*}", "").replace("{-}", "")


@pytest.mark.parametrize("text", [HOSTILE, *string.punctuation])
def test_nothing_active_is_left_of_hostile_text(text: str) -> None:
    assert not set(bare(escape(text))) & set("\\{}$&#%_^~<>|\"'`[]*-")


def test_numbers() -> None:
    assert number("41.2%") == r"41.2\%"
    assert number("-3.1 to 2.0") == "$-$3.1 to 2.0"
    assert number("38.2–44.1") == "38.2--44.1"
    assert number("1e-05") == "1e-05"


def test_a_run_is_a_booktabs_table() -> None:
    pair = {"arc_easy": task_result([1, 0, 1]), "arc_challenge": task_result([0, 0, 0, 1])}
    text = run_latex(run({**pair, "wikitext": text_result([-3.1, -2.9])}, {"arc": group("arc", pair)}))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") - line.count(r"\&") for line in rows} == {6}
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"\textbf{arc}" in text
    assert r"\quad arc\_easy & 0 & 3 & acc & 66.7\%" in text
    assert r"word\_perplexity $\downarrow$" in text


def test_a_label_cannot_break_out() -> None:
    text = render(Table("l", ["a"], [["b"]], "c", "tab:m}\\x{y"))
    assert r"\label{tab:m-x-y}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_it_compiles(tmp_path: Path) -> None:
    hostile = run({HOSTILE: task_result([1, 0]), "wikitext": text_result([-3.1, -2.9])})
    hostile = replace(hostile, model=replace(hostile.model, name=HOSTILE))
    ranking = rank([side("a_1", {"arc": pattern(5, 9)}), side(HOSTILE, {"arc": pattern(4, 9)})])
    source = tmp_path / "x.tex"
    source.write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\usepackage[T1]{fontenc}\\usepackage{textcomp}\\begin{document}\n"
        + run_latex(hostile)
        + ranking_latex(ranking)
        + "\\end{document}\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "x.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
