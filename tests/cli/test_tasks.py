import json
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest
from typer.testing import CliRunner, Result

from evalkit.cli import task_list, task_show
from evalkit.cli.task_show import visible
from evalkit.cli.tasks import app
from evalkit.data import DataOptions
from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.errors import OutputError, UnknownTaskError, UsageError
from evalkit.registry import Selection, registered
from evalkit.runner.rendering import render_plain
from evalkit.runner.settings import ChatTemplate
from evalkit.task import DataSource, Task
from tests.tiny_models import CHAT_TEMPLATE, tiny_tokenizer


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def names(result: Result) -> list[str]:
    return [line.split()[0] for line in result.stdout.splitlines()[1:] if line.strip()]


def test_no_subcommand_lists() -> None:
    assert run().stdout == run("list").stdout


def test_large_families_are_folded() -> None:
    listed = names(run("list"))
    assert {"mmlu", "mmlu_stem", "cmmlu", "arc", "arc_easy", "leaderboard", "piqa"} <= set(listed)
    assert "mmlu_anatomy" not in listed
    assert len(listed) < 40
    assert len(set(listed)) == len(listed)


def test_all_names_every_task_once() -> None:
    assert sorted(names(run("list", "--all"))) == sorted(registered())


def test_words_filter_by_name_topic_and_language() -> None:
    assert set(names(run("list", "anatomy"))) == {"mmlu_anatomy", "cmmlu_anatomy"}
    assert set(names(run("list", "anatomy", "zh"))) == {"cmmlu_anatomy"}
    assert {"piqa", "hellaswag", "winogrande"} <= set(names(run("list", "commonsense")))
    assert "No task has nosuch" in run("list", "nosuch").stderr


def test_members_are_indented_under_their_group() -> None:
    lines = run("list").stdout.splitlines()
    start = lines.index(next(line for line in lines if line.startswith("truthfulqa (2)")))
    assert lines[start + 1].startswith("  truthfulqa_mc1")
    assert lines[start + 2].startswith("  truthfulqa_mc2")


def test_json_has_every_task_and_nothing_else_on_stdout() -> None:
    entries = json.loads(run("list", "--json").stdout)
    assert len(entries) == len(registered())
    (arc,) = (entry for entry in entries if entry["name"] == "arc_easy")
    assert (arc["dataset"], arc["config"], arc["split"], arc["metrics"]) == (
        *("allenai/ai2_arc", "ARC-Easy", "test"),
        ["acc_norm", "acc"],
    )


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    task_list.print_list(registered(), [], everything=False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert any("arc_easy" in line for line in lines)
    assert max(map(len, lines)) <= 80


def quiz(folder: Path) -> Path:
    (folder / "quiz.jsonl").write_text(
        '{"q": "One\\n two ", "c": ["x", "y "], "a": 1}\n{"q": "\\u001b[31mThree", "c": ["x", "y"], "a": 0}\n'
    )
    path = folder / "quiz.yaml"
    path.write_text('task: quiz\ndata: quiz.jsonl\nquestion: "Q: {{q}}"\nchoices: c\nanswer: a\n')
    return path


def test_show_prints_what_is_asked(tmp_path: Path) -> None:
    result = run("show", str(quiz(tmp_path)), "--n", "1")
    assert "task quiz, version 1, 0-shot" in result.stdout
    assert "    │Q: One⏎\n    │ two │\n" in result.stdout
    assert "continuation 0\n    │ x│\n  continuation 1 *\n    │ y │\n" in result.stdout
    assert "Three" not in result.stdout


def test_show_takes_shots(tmp_path: Path) -> None:
    shown = run("show", str(quiz(tmp_path)), "--n", "1", "--shots", "1").stdout
    assert "task quiz:1shot, version 1, 1-shot" in shown
    assert "│Q: \\x1b[31mThree x⏎\n    │⏎\n    │Q: One⏎\n" in shown


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    assert "\x1b" not in run("show", str(quiz(tmp_path))).stdout


def test_show_with_a_model_prints_tokens(tmp_path: Path) -> None:

    tokenizer = tiny_tokenizer(add_bos=True)
    with mock.patch("evalkit.models.load_tokenizer", return_value=tokenizer):
        shown = run("show", str(quiz(tmp_path)), "--n", "1", "--model", "tiny", "--all-tokens").stdout
    ids = tokenizer("Q: One\n two")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert f"BOS ({ids[0]} {tokenizer.decode([ids[0]])!r}) at the start" in shown
    line = next(line for line in shown.splitlines() if "at the start" in line)
    assert [int(token.split()[0]) for token in line.split(": ", 1)[1].split(" | ")] == ids


def test_a_doubled_bos_is_shouted(tmp_path: Path) -> None:
    printer = task_show._Printer(task_show._Reader(None), render_plain, every_token=False)
    printer.tokenizer = mock.Mock(bos_token_id=1, decode=lambda ids: "<bos>")
    assert printer._beginning([1, 1, 5]) == "BOS (1 '<bos>') at the start 2 TIMES"
    assert printer._beginning([5]) == "no BOS (1 '<bos>') at the start"


def show_sums(capsys: pytest.CaptureFixture[str], model: str | None, chat_template: ChatTemplate = "auto") -> str:
    task = Task(
        name="sums",
        data=DataSource(id="own", rows=[{"q": "1+1=", "a": "2"}]),
        document=lambda row: OpenQuestion(row["q"], row["a"]),
        metrics=("exact_match",),
        decoding=Decoding(max_new_tokens=7, stop=("\n\n", "Q:"), temperature=0.5),
    )
    options = task_show.ShowOptions(1, model, chat_template, None, False)
    task_show.show_tasks(Selection({"sums": task}, {}), DataOptions(), options)
    return capsys.readouterr().out


def test_show_of_a_task_that_generates(capsys: pytest.CaptureFixture[str]) -> None:
    lines = show_sums(capsys, None).splitlines()
    said = "no --model given; with a chat model this task goes through its template"
    assert f"prompt plain text ({said})" in lines
    with mock.patch("evalkit.models.load_tokenizer", return_value=tiny_tokenizer(add_bos=True)):
        assert "prompt plain text (the model has no chat template)" in show_sums(capsys, "tiny")
    shown = lines[lines.index("  prompt, 4 characters") :]
    assert shown == [
        "  prompt, 4 characters",
        "    │1+1=│",
        "  then at most 7 tokens, temperature 0.5",
        '  until "\\n\\n" or "Q:"',
        "  expected *",
        "    │2│",
    ]


def test_show_puts_an_open_question_through_the_models_template_as_a_run_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokenizer = tiny_tokenizer(add_bos=True, chat_template="{{ bos_token }}" + CHAT_TEMPLATE)
    with mock.patch("evalkit.models.load_tokenizer", return_value=tokenizer):
        shown = show_sums(capsys, "tiny")
        plain = show_sums(capsys, "tiny", "off")
    assert "prompt chat (an open question, and the model has a chat template)" in shown
    assert "    │<bos><|user|>⏎\n    │1+1=⏎\n    │<|assistant|>⏎\n    ││" in shown
    # the template's own BOS is the only one
    assert "BOS (0 '<bos>') at the start:" in shown
    assert "BOS (0 '<bos>') at the start:" in plain
    assert "    │1+1=│" in plain


def test_a_chat_template_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a model"):
        run("show", str(quiz(tmp_path)), "--chat-template", "on")


def test_show_of_an_unknown_task() -> None:
    with pytest.raises(UnknownTaskError):
        run("show", "nosuch")


@pytest.mark.parametrize("kind", ["choice", "cloze", "text", "generate"])
@pytest.mark.parametrize("form", ["yaml", "py"])
def test_a_new_task_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    commands = run("new", "fresh", "--kind", kind, "--format", form).stdout.splitlines()
    assert shlex.split(commands[1])[-2:] == ["--tasks", f"./fresh.{form}"]
    shown = run(*shlex.split(commands[0])[2:]).stdout
    assert "task fresh, version 1" in shown
    assert shown.count("\ndocument ") == 3
    if kind != "text":
        assert "task fresh:2shot" in run("show", f"./fresh.{form}:2shot", "--n", "1").stdout


def test_new_never_overwrites(tmp_path: Path) -> None:
    run("new", "fresh", "--into", str(tmp_path))
    with pytest.raises(OutputError, match="is there already"):
        run("new", "fresh", "--into", str(tmp_path), "--format", "py")


@pytest.mark.parametrize("name", ["a b", "../a", "piqa", ""])
def test_new_refuses_bad_and_taken_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        run("new", name, "--into", str(tmp_path))


def test_new_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        run("new", "fresh", "--into", str(tmp_path / "no"))


def test_white_space_is_visible() -> None:
    assert visible(" a \n\nb", "") == "│ a ⏎\n│⏎\n│b│"
