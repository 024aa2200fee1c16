from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from evalkit.comparing.compare import compare, compare_all
from evalkit.comparison import Comparison
from evalkit.reports.comparison import render, render_all
from evalkit.reports.comparison_latex import comparison_latex
from evalkit.reports.comparison_markdown import markdown, markdown_all
from tests.comparing.examples import generated, group, model_run, paired, text_result


def printed(found: Comparison, width: int = 80, encoding: str = "utf-8", **options: object) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    render(found, Console(file=stream, width=width), **options)  # type: ignore[arg-type]
    stream.flush()
    return raw.getvalue().decode(encoding)


def everything(**changed: object) -> Comparison:
    """Every verdict, a large group, a perplexity, unreadable answers, unpaired documents and a blocked task."""
    subjects = {f"mmlu_subject_{place:02d}": paired(10, place % 4, 1, 10) for place in range(12)}
    both = {
        "arc_challenge": paired(400, 60, 20, 520),
        "hellaswag": paired(400, 20, 60, 520),
        "piqa": paired(900, 20, 20, 4060),
        "boolq": paired(50, 6, 6, 38),
        "gsm8k": (
            generated(["right"] * 40 + ["wrong"] * 20),
            generated(["right"] * 20 + ["truncated"] * 15 + ["wrong"] * 25),
        ),
        "wikitext": (text_result([-2.0, -2.5, -3.0]), text_result([-2.1, -2.4, -3.2])),
        "blocked": paired(5, 1, 1, 3),
        **subjects,
    }
    runs = []
    for place, label in enumerate(("SmolLM2-135M", "tuned")):
        tasks = {name: pair[place] for name, pair in both.items()}
        tasks["mmlu"] = tasks.pop("mmlu") if "mmlu" in tasks else tasks["boolq"]
        del tasks["mmlu"]
        if place:
            tasks["blocked"] = replace(tasks["blocked"], prompt_sha256="1" * 64)
            tasks["extra\x1b[31m"] = paired(1, 1, 1, 1)[0]
        members = {name: tasks[name] for name in subjects}
        runs.append(model_run(label, tasks, {"mmlu": group("mmlu", members, "items")}))
    return compare(runs[0], runs[1], **changed)  # type: ignore[arg-type]


def test_a_gain_that_the_correction_leaves_open_is_called_no_loss() -> None:
    runs = []
    for place, label in enumerate(("base", "tuned")):
        open_gain = {f"a{number}": paired(4, 6, 0, 4)[place] for number in range(4)}
        runs.append(model_run(label, {**open_gain, "same": paired(900, 20, 20, 4060)[place]}))
    found = compare(*runs)
    rows = [line.split() for line in printed(found, 140).splitlines()]
    assert [row[-2:] for row in rows if row[:2] == ["a0", "14"]] == [["no", "loss"]]
    assert [row[-2:] for row in rows if row[:2] == ["same", "5,000"]] == [["within", "margin"]]
    assert "a0 acc: no loss: no loss of 1.0 point or more" in printed(found, 140)
    assert found.headline().startswith("tuned is within the margin of base on 5 of 5 tasks")
    assert "| no loss |" in markdown(found)
    assert "no loss" in comparison_latex(found)


def test_the_terminal() -> None:
    text = printed(everything())
    lines = text.splitlines()
    assert (
        lines[0]
        == ("tuned is better than SmolLM2-135M on 1 of 8 tasks, worse on 2, within the margin on 1, ")[: len(lines[0])]
    )
    assert lines[0].startswith("tuned is better than SmolLM2-135M on 1 of 8 tasks, worse on 2")
    rows = {line.split()[0]: line.split() for line in reversed(lines[: lines.index("", 4)]) if line}
    assert rows["arc_challenge"][1:] == [
        *("1,000", "42.0%", "46.0%", "+4.0", "+2.3", "to", "+5.8", "60/20", "improved"),
    ]
    assert rows["piqa"][-2:] == ["within", "margin"]
    assert rows["blocked"][1:] == ["10", "60.0%", "60.0%", "+0.0", "1/1", "not", "comparable"]
    assert "mmlu (12 tasks)" in text
    assert "mmlu_subject_03" not in text
    assert "wikitext ↓" in text
    joined = re.sub(r"\s+", " ", text)
    assert (
        "note: gsm8k: -33.3 points, of which -25.0 by unreadable answers (truncated -25.0) and -8.3 by knowledge"
        in joined
    )
    assert "prompt differs (blocked): sha256 eeeeeeeeeeee; sha256 111111111111 [not compared; --allow" in joined
    assert r"note: only tuned has extra\x1b[31m" in joined
    assert "10 of " in joined
    assert "\x1b[31m" not in text
    # losses first
    assert joined.index("hellaswag acc: regressed") < joined.index("arc_challenge acc: improved")


def test_wide_it_shows_more() -> None:
    text = printed(everything(), width=130)
    row = next(line for line in text.splitlines() if line.startswith("gsm8k"))
    assert "<0.001" in row
    assert row.index("●") < row.index("│")
    gain = next(line for line in text.splitlines() if line.startswith("arc_challenge"))
    assert gain.index("┼") < gain.index("●")
    assert "mmlu_subject_03" in printed(everything(), width=130, expand=True)


@pytest.mark.parametrize("width", [80, 100, 118, 160])
def test_no_line_is_wider_than_the_console(width: int) -> None:
    text = printed(everything(), width, expand=True)
    assert max(map(cell_len, text.splitlines())) <= width


def test_ascii_output() -> None:
    text = printed(everything(), width=130, encoding="ascii")
    assert text.isascii()
    assert "-> tuned" in text


def test_flips_are_as_many_as_asked_for() -> None:
    assert "that changed" not in printed(everything(), flips=0)
    text = printed(everything(), flips=3)
    assert "3 of " in text
    assert len(re.findall(r"^\S+ +[0-9a-f]{16} ", text, re.MULTILINE)) == 3


def test_unpaired_documents_are_listed() -> None:
    before, after = paired(4, 1, 1, 0)
    found = compare(
        model_run("base", {"arc": before}),
        model_run(
            "tuned",
            {
                "arc": replace(
                    after,
                    n=5,
                    samples=after.samples[:5],
                    outcomes={"right": 5, "wrong": 0},
                    metrics={"acc": replace(after.metrics["acc"], value=1.0)},
                )
            },
            limit="5",
        ),
    )
    text = printed(found, list_unpaired=True)
    assert f"arc {before.samples[5].id} only in the first" in text
    assert f"- arc {before.samples[5].id} only in the first" in markdown(found, list_unpaired=True)


def test_markdown() -> None:
    text = everything().to_markdown()
    assert text.startswith("**tuned is better than SmolLM2-135M on 1 of 8 tasks")
    assert (
        "| arc\\_challenge | acc | 1,000 | 42.0% | 46.0% | +4.0 | +2.3 to +5.8 | 60 / 20 | \\< 0.001"
        in text.replace("\\<0.001", "\\< 0.001")
    )
    assert "<details><summary>10 of " in text
    table = [line for line in text.splitlines() if line.startswith("| ")][:10]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_several_runs() -> None:
    one, two = paired(400, 60, 20, 520)
    runs = [model_run(name, {"arc": task}) for name, task in (("a", one), ("b", two), ("c", one))]
    found = compare_all(runs)
    raw = io.StringIO()
    render_all(found, Console(file=raw, width=80))
    text = raw.getvalue()
    assert re.search(r"^a +b +arc +\+4\.0", text, re.MULTILINE)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "b" in markdown_all(found)
