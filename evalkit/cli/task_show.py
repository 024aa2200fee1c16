"""Prints what a task asks: the very requests of a run, with white space and, given a model, tokens made visible."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import typer

from evalkit.chat import ChatFormat, Turns
from evalkit.data import DataOptions
from evalkit.decoding import Decoding
from evalkit.errors import UsageError
from evalkit.registry import Selection
from evalkit.requests import Generate, Request, Roll, Score

if TYPE_CHECKING:
    from evalkit.engine.tokenization import TextEncoder
    from evalkit.runner.items import Item
    from evalkit.runner.rendering import Renderer
    from evalkit.runner.settings import ChatTemplate, RunSettings
    from evalkit.runner.task_run import TaskRun

ENDS = 12
"""Tokens shown at either end of a long context."""


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What to show.

    Attributes:
        count: Number of documents.
        model: Whose tokenizer shows tokens; None shows none.
        chat_template: "auto", "on" or "off", as in a run.
        system: System instruction in front of every prompt.
        every_token: Show all tokens of a context instead of its ends.
    """

    count: int
    model: str | None
    chat_template: ChatTemplate
    system: str | None
    every_token: bool


def show_tasks(selection: Selection, data: DataOptions, options: ShowOptions) -> None:
    """Prints the first documents of the first task selected; of further ones the names.

    Raises:
        UsageError: A chat template is asked for without a model.
        EvalkitError: The data or the tokenizer cannot be loaded.
    """
    from evalkit.runner.limit import Limit
    from evalkit.runner.presentation import present
    from evalkit.runner.settings import RunSettings
    from evalkit.runner.task_run import NativeTaskRun
    from evalkit.task import Task

    if options.chat_template == "on" and options.model is None:
        raise UsageError("--chat-template on needs a model whose template it is", hint="add --model MODEL")
    settings = RunSettings(
        limit=Limit(count=options.count, first=True), system=options.system, chat_template=options.chat_template
    )
    for group in selection.groups.values():
        typer.echo(f"group {group.name}: {', '.join(group.members)}\n")
    (key, task), *others = selection.tasks.items()
    run: TaskRun = (
        NativeTaskRun(key, task, data, settings) if isinstance(task, Task) else task.bind(key, data, settings)
    )
    info = run.dataset
    config = f" {info.config}" if info.config else ""
    typer.echo(f"task {key}, version {run.version}, {run.shots}-shot")
    typer.echo(f"data {info.id}{config}, split {info.split} (from: {info.source}, sha256 {info.sha256[:16]})")
    reader = _Reader(options.model)
    presentation = present(run, reader, settings)
    why = _NO_MODEL if options.model is None and _would_chat(run, settings) else presentation.why
    typer.echo(f"prompt {'chat' if presentation.render.chat else 'plain text'} ({why})")
    printer = _Printer(reader, presentation.render, options.every_token)
    for item in run.items:
        printer.document(run, item)
    typer.echo(f"\n{_LEGEND}", err=True)
    if others:
        typer.echo(f"Further tasks: {', '.join(name for name, _ in others)}", err=True)


_LEGEND = "Text stands between │ and │, a line break is shown as ⏎, and * marks the right answer."


_NO_MODEL = "no --model given; with a chat model this task goes through its template"


def _would_chat(run: TaskRun, settings: RunSettings) -> bool:
    """Whether the prompts would go through the template of a model that has one."""
    return settings.chat_template == "auto" and run.chat_default().wanted


class _Reader:
    """One model's tokenizer, or none: what it makes of conversations and texts."""

    def __init__(self, model: str | None) -> None:
        self.tokenizer: Any = None
        self.encoder: TextEncoder | None = None
        self.chat = ChatFormat()
        if model is not None:
            from evalkit.engine.tokenization import TextEncoder
            from evalkit.models import chat_format, load_tokenizer

            self.tokenizer = load_tokenizer(model)
            prefix = self.tokenizer.bos_token_id
            self.encoder = TextEncoder(self.tokenizer, self.tokenizer.eos_token_id if prefix is None else prefix)
            self.chat = chat_format(self.tokenizer)

    def render_chat(self, messages: Turns, **variables: Any) -> str:
        """The tokenizer's chat template applied to messages."""
        from evalkit.models import render_chat

        return render_chat(self.tokenizer, messages, **variables)


class _Printer:
    """Prints documents with one model's tokenizer, or none."""

    def __init__(self, reader: _Reader, render: Renderer, every_token: bool) -> None:
        self.tokenizer = reader.tokenizer
        self.encoder = reader.encoder
        self.render = render
        self.every_token = every_token

    def document(self, run: TaskRun, item: Item) -> None:
        """Prints one document's requests."""
        requests = run.requests(item, self.render)
        golds = _golds(item)
        typer.echo(f"\ndocument {item.index} (id {item.id})")
        numbered = list(enumerate(requests))
        for context, group in groupby(
            numbered, key=lambda pair: pair[1].context if isinstance(pair[1], Score) else None
        ):
            members = list(group)
            if context is None:
                for _, request in members:
                    self._text(request)
                continue
            self._context(context, members[0][1])
            for number, request in members:
                self._continuation(number, request, number in golds)
        if references := getattr(getattr(item.content, "document", None), "references", ()):
            typer.echo("  expected *\n" + "\n".join(map(visible, references)))

    def _text(self, request: Request) -> None:
        if isinstance(request, Generate):
            self._prompt(request)
            return
        assert isinstance(request, Roll)
        typer.echo(f"  text, {len(request.text)} characters\n{visible(request.text)}")
        if self.encoder is not None:
            (tokens,) = self.encoder.encode([request.text], special_tokens=False)
            self._tokens([self.encoder.prefix_token, *tokens.tolist()])

    def _prompt(self, request: Generate) -> None:
        """What the model continues, and where it stops."""
        typer.echo(f"  prompt, {len(request.prompt)} characters\n{visible(request.prompt)}")
        if self.encoder is not None:
            (tokens,) = self.encoder.encode([request.prompt], special_tokens=True)
            self._tokens(tokens.tolist())
        decoding = request.decoding
        changed = [
            f"{name} {value}"
            for name, value in asdict(decoding).items()
            if name not in ("stop", "max_new_tokens") and value != getattr(Decoding(), name)
        ]
        ways = ["greedy"] if decoding.is_greedy and decoding.beams == 1 else []
        typer.echo(f"  then at most {decoding.max_new_tokens} tokens, {', '.join([*ways, *changed])}")
        if decoding.stop:
            # as JSON, which shows the line breaks that many stop texts are made of
            typer.echo("  until " + " or ".join(json.dumps(text, ensure_ascii=False) for text in decoding.stop))

    def _context(self, context: str, request: Request) -> None:
        typer.echo(f"  context, {len(context)} characters\n{visible(context)}")
        if self.encoder is not None and isinstance(request, Score):
            ((tokens, _),) = self.encoder.encode_pairs([(request.context, request.continuation)])
            self._tokens(tokens.tolist())

    def _continuation(self, number: int, request: Request, right: bool) -> None:
        assert isinstance(request, Score)
        typer.echo(f"  continuation {number}{' *' if right else ''}\n{visible(request.continuation)}")
        if self.encoder is not None:
            ((_, tokens),) = self.encoder.encode_pairs([(request.context, request.continuation)])
            self._tokens(tokens.tolist(), context=False)

    def _tokens(self, tokens: Sequence[int], context: bool = True) -> None:
        shown = [f"{token} {self._token_text(token)}" for token in tokens]
        if context and not self.every_token and len(shown) > 2 * ENDS:
            shown = [*shown[:ENDS], f"... {len(tokens) - 2 * ENDS} more ...", *shown[-ENDS:]]
        start = f", {self._beginning(tokens)}" if context else ""
        typer.echo(f"    {len(tokens)} tokens{start}: {' | '.join(shown)}")

    def _beginning(self, tokens: Sequence[int]) -> str:
        beginning = self.tokenizer.bos_token_id
        if beginning is None:
            return "the tokenizer has no BOS token"
        count = next((index for index, token in enumerate(tokens) if token != beginning), len(tokens))
        name = f"BOS ({beginning} {self._token_text(beginning)})"
        return (
            f"no {name} at the start"
            if count == 0
            else f"{name} at the start" + (f" {count} TIMES" if count > 1 else "")
        )

    def _token_text(self, token: int) -> str:
        text: str = self.tokenizer.decode([token])
        return repr(text)


def visible(text: str, indent: str = "    ") -> str:
    """The text, every line between bars and its line breaks shown, so that white space at either end can be seen."""
    lines = text.split("\n")
    return "\n".join(
        f"{indent}│{_escaped(line)}{'⏎' if number < len(lines) - 1 else '│'}" for number, line in enumerate(lines)
    )


def _escaped(line: str) -> str:
    # control characters of a dataset must not reach the terminal
    return "".join(one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode() for one in line)


def _golds(item: Item) -> Sequence[int]:
    document = getattr(item.content, "document", None)
    return tuple(getattr(document, "golds", ()))
