"""How each task's prompts are put to the model: plain or through its chat template, and between which tags it thinks.

`--chat-template auto` keeps the prompts that published numbers come from: plain text for log-likelihoods, for tasks with
a namesake in lm-eval, and for tasks whose few-shot examples are plain text. What is left, open questions of our own and
whatever a task claims with `Task.chat`, goes through the chat template of a model that has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from evalkit.chat import ChatFormat, Turns
from evalkit.errors import UsageError
from evalkit.runner.rendering import ChatRenderer, Renderer, render_plain
from evalkit.runner.settings import RunSettings
from evalkit.thinking import Tags, parse_tags

if TYPE_CHECKING:
    from evalkit.runner.task_run import TaskRun


class ChatDefault(NamedTuple):
    """What `--chat-template auto` means for a task.

    Attributes:
        wanted: Its prompts are meant for a chat, where the model has a template.
        why: In words that follow "plain text: " or "chat: ".
        fixed: It is so whatever the user says: there is no prompt to render.
    """

    wanted: bool
    why: str
    fixed: bool = False


class Speaker(Protocol):
    """The part of a backend, or a tokenizer, that knows of conversations."""

    @property
    def chat(self) -> ChatFormat:
        """Whether it takes chat turns, or nothing else, and how its model marks thoughts."""
        ...

    def render_chat(self, messages: Turns, **variables: Any) -> str:
        """The model's chat template applied to messages."""
        ...


@dataclass(frozen=True, slots=True)
class Presentation:
    """How one task is put to the model.

    Attributes:
        render: Prompt -> text.
        why: Why so.
        available: The model has a chat template.
        system_in_user: The instruction stands in the first user turn.
        variables: What the template was given besides the turns.
        thinking: Tags around the model's thoughts, which are taken out of generated texts; None leaves texts alone.
        thinks: The model is known to think: the user or its tokenizer names the tags.
    """

    render: Renderer
    why: str
    available: bool
    system_in_user: bool
    variables: Mapping[str, Any]
    thinking: Tags | None
    thinks: bool = False

    def described(self, *, shots: int, generates: bool) -> dict[str, Any]:
        """As JSON values, for `TaskResult.settings`."""
        chat: dict[str, Any] = {"used": self.render.chat, "available": self.available, "why": self.why}
        if self.render.chat:
            chat |= {"fewshot_as_multiturn": self.render.multiturn} if shots else {}
            chat |= {"system_as_user": True} if self.system_in_user else {}
            chat |= dict(self.variables)
        thinking = {"thinking": list(self.thinking)} if generates and self.thinking else {}
        return {"chat_template": chat, **thinking}


def present(run: TaskRun, speaker: Speaker, settings: RunSettings) -> Presentation:
    """How a task is put to a model.

    Raises:
        UsageError: The model takes chat turns only, and the user wants plain text.
    """
    used, why = _choose(run.chat_default(), speaker.chat, settings)
    variables = {} if settings.enable_thinking is None else {"enable_thinking": settings.enable_thinking}
    render: Renderer = render_plain
    if used:
        render = ChatRenderer(
            speaker.render_chat,
            multiturn=settings.fewshot_as_multiturn,
            system_in_user=settings.system_as_user,
            variables=variables,
        )
    return Presentation(
        render=render,
        why=why,
        available=speaker.chat.template,
        system_in_user=settings.system_as_user,
        variables=variables,
        thinking=_thinking(speaker.chat, settings),
        thinks=_thinking(speaker.chat, settings) is not None
        and not (settings.thinking == "auto" and speaker.chat.assumed),
    )


def present_all(runs: Sequence[TaskRun], speaker: Speaker, settings: RunSettings) -> dict[str, Presentation]:
    """`present` for each task, by its key."""
    return {run.key: present(run, speaker, settings) for run in runs}


def _choose(default: ChatDefault, chat: ChatFormat, settings: RunSettings) -> tuple[bool, str]:
    if default.fixed:
        return default.wanted, default.why
    if chat.only:
        if settings.chat_template == "off":
            raise UsageError("this model takes chat turns only", hint="leave out `--chat-template off`")
        return True, "the model takes chat turns only"
    if settings.chat_template != "auto":
        return settings.chat_template == "on", f"--chat-template {settings.chat_template}"
    if default.wanted and not chat.template:
        return False, "the model has no chat template"
    return default.wanted, default.why


def _thinking(chat: ChatFormat, settings: RunSettings) -> Tags | None:
    if settings.thinking == "off":
        return None
    return chat.thinking if settings.thinking == "auto" else parse_tags(settings.thinking)
