"""`evalkit tasks`: what can be evaluated, the exact prompts, and the start of a task of your own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="List tasks, show the exact prompts of one, or start one of your own. `evalkit tasks` alone lists them.",
    invoke_without_command=True,
)


class Kind(StrEnum):
    """What a new task asks."""

    choice = "choice"
    cloze = "cloze"
    text = "text"
    generate = "generate"


class Format(StrEnum):
    """What a new task is written in."""

    yaml = "yaml"
    py = "py"


All = Annotated[bool, typer.Option("--all", help="Name every member of large groups, such as MMLU's 57 subjects.")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON array, one object a task or group.")]


@app.callback()
def default(context: typer.Context) -> None:
    """Without a subcommand, lists the tasks."""
    if context.invoked_subcommand is None:
        list_tasks()


@app.command("list")
def list_tasks(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORDS]...", help="Only those whose name, topic or language has all these words."),
    ] = None,
    everything: All = False,
    as_json: Json = False,
) -> None:
    """List tasks and groups with their default number of few-shot examples, main metric and language."""
    from evalkit.cli.task_list import print_json, print_list
    from evalkit.registry import registered

    if as_json:
        print_json(registered(), words or [])
    else:
        print_list(registered(), words or [], everything)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A task, group or file, e.g. arc_easy:5shot or ./mine.yaml.")
    ],
    count: Annotated[int, typer.Option("--n", "-n", metavar="N", min=1, help="Number of documents.")] = 3,
    shots: Annotated[
        int | None, typer.Option(metavar="K", min=0, help="Number of few-shot examples.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Also show token ids, as this model's tokenizer gives them.",
            show_default=False,
        ),
    ] = None,
    chat_template: Annotated[
        bool, typer.Option("--chat-template", help="Put the prompts through the model's chat template.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System instruction in front.", show_default=False)
    ] = None,
    every_token: Annotated[
        bool, typer.Option("--all-tokens", help="With --model, print every token of the context, not its ends only.")
    ] = False,
    data_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder of data sets as org/name/, or several joined by the path separator. Default: EVALKIT_DATA_DIR.",
            show_default=False,
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not touch the network.")] = False,
) -> None:
    """Print what a task really asks: prompts with their line breaks, every choice, and the right one."""
    from evalkit.cli.task_show import ShowOptions, show_tasks
    from evalkit.data import DataOptions
    from evalkit.registry import select

    options = ShowOptions(count, model, chat_template, system, every_token)
    show_tasks(select(name, shots), DataOptions.resolve(data_dir, offline or None), options)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the task; the files are called so too.")],
    kind: Annotated[
        Kind,
        typer.Option(
            help="choice: pick an answer. cloze: predict the end exactly. text: perplexity. generate: answer freely."
        ),
    ] = Kind.choice,
    form: Annotated[
        Format, typer.Option("--format", help="Written in YAML, or in Python for full control.")
    ] = Format.yaml,
    folder: Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder to write into.")] = Path("."),
) -> None:
    """Write a task of your own with a few rows of data beside it; it runs as it is."""
    from evalkit.task_template import write_task

    written = write_task(name, kind.value, form.value, folder)
    place = written.task if written.task.is_absolute() else f"./{written.task}"
    typer.echo(f"Wrote {written.task} and {written.data}. Put your own rows into the second, then:", err=True)
    typer.echo(f"evalkit tasks show {place}\nevalkit run --model smollm2 --tasks {place}")
