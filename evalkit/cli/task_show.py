"""Prints what a task asks: the very requests of a run, with white space and, given a model, tokens made visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import typer

from evalkit.data import DataOptions
from evalkit.errors import UsageError
from evalkit.prompts import Prompt
from evalkit.registry import Selection
from evalkit.requests import Generate, Request, Roll, Score

if TYPE_CHECKING:
    from evalkit.engine.tokenization import TextEncoder
    from evalkit.runner.items import Item
    from evalkit.runner.rendering import Rendered
    from evalkit.runner.task_run import TaskRun

ENDS = 12
"""Tokens shown at either end of a long context."""


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What to show.

    Attributes:
        count: Number of documents.
        model: Whose tokenizer shows tokens; None shows none.
        chat_template: Put prompts through the model's chat template.
        system: System instruction in front of every prompt.
        every_token: Show all tokens of a context instead of its ends.
    """

    count: int
    model: str | None
    chat_template: bool
    system: str | None
    every_token: bool


def show_tasks(selection: Selection, data: DataOptions, options: ShowOptions) -> None:
    """Prints the first documents of the first task selected; of further ones the names.

    Raises:
        UsageError: A chat template is asked for without a model.
        EvalkitError: The data or the tokenizer cannot be loaded.
    """
    from evalkit.runner.limit import Limit
    from evalkit.runner.settings import RunSettings
    from evalkit.runner.task_run import NativeTaskRun
    from evalkit.task import Task

    if options.chat_template and options.model is None:
        raise UsageError("--chat-template needs a model whose template it is", hint="add --model MODEL")
    # in a chat the system instruction goes into a turn of its own, in plain text in front
    system = None if options.chat_template else options.system
    settings = RunSettings(limit=Limit(count=options.count, first=True), system=system)
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
    printer = _Printer(options)
    for item in run.items:
        printer.document(run, item)
    typer.echo(f"\n{_LEGEND}", err=True)
    if others:
        typer.echo(f"Further tasks: {', '.join(name for name, _ in others)}", err=True)


_LEGEND = "Text stands between │ and │, a line break is shown as ⏎, and * marks the right answer."


class _Printer:
    """Prints documents with one model's tokenizer, or none."""

    def __init__(self, options: ShowOptions) -> None:
        self.options = options
        self.tokenizer: Any = None
        self.encoder: TextEncoder | None = None
        if options.model is not None:
            from evalkit.engine.tokenization import TextEncoder
            from evalkit.models import load_tokenizer

            self.tokenizer = load_tokenizer(options.model)
            prefix = self.tokenizer.bos_token_id
            self.encoder = TextEncoder(self.tokenizer, self.tokenizer.eos_token_id if prefix is None else prefix)

    def document(self, run: TaskRun, item: Item) -> None:
        """Prints one document's requests."""
        requests = run.requests(item, self._render)
        golds = _golds(item)
        typer.echo(f"\ndocument {item.index} (id {item.id})")
        for request in requests:
            if isinstance(request, Generate):
                self._prompt(request, item)
        if any(isinstance(request, Generate) for request in requests):
            return
        numbered = list(enumerate(requests))
        for context, group in groupby(
            numbered, key=lambda pair: pair[1].context if isinstance(pair[1], Score) else None
        ):
            members = list(group)
            if context is None:
                self._text(members[0][1])
                continue
            self._context(context, members[0][1])
            for number, request in members:
                self._continuation(number, request, number in golds)

    def _render(self, prompt: Prompt) -> Rendered:
        from evalkit.runner.rendering import Rendered, render_plain

        if not self.options.chat_template:
            return render_plain(prompt)
        from evalkit.models import render_chat

        # the template's own text parts question and answer, so no delimiter, as in lm-eval
        return Rendered(render_chat(self.tokenizer, prompt.messages(self.options.system)), 0, "")

    def _text(self, request: Request) -> None:
        assert isinstance(request, Roll)
        typer.echo(f"  text, {len(request.text)} characters\n{visible(request.text)}")
        if self.encoder is not None:
            (tokens,) = self.encoder.encode([request.text], special_tokens=False)
            self._tokens([self.encoder.prefix_token, *tokens.tolist()])

    def _prompt(self, request: Generate, item: Item) -> None:
        """What the model continues, where it stops, and what its answer is compared with."""
        typer.echo(f"  prompt, {len(request.prompt)} characters\n{visible(request.prompt)}")
        if self.encoder is not None:
            (tokens,) = self.encoder.encode([request.prompt], special_tokens=True)
            self._tokens(tokens.tolist())
        stops = ", ".join(f"│{_escaped(stop)}│" for stop in request.decoding.stop) or "no text"
        typer.echo(f"  answer of at most {request.decoding.max_new_tokens} tokens, ended by {stops}")
        for number, reference in enumerate(getattr(getattr(item.content, "document", None), "references", ())):
            typer.echo(f"  reference {number}\n{visible(reference)}")

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
        if context and not self.options.every_token and len(shown) > 2 * ENDS:
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
