"""Thoughts that a model writes before its answer, between tags, and how they are taken out.

A thought is never an answer: what is scored is the text outside the tags, and a text that ends within a thought has no
answer at all (outcome `truncated`). The sample log keeps the text as the model wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from evalkit.errors import UsageError
from evalkit.requests import Generate, Generation, Reply, Request

Tags = tuple[str, str]
"""What opens a thought and what closes it."""

KNOWN_TAGS: tuple[Tags, ...] = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
)
"""Tags of released models: Qwen 3, DeepSeek R1, SmolLM 3 and others; Magistral; Command A; Seed-OSS; Sky-T1; fine-tunes."""


def find_tags(template: str, tokens: Iterable[str]) -> Tags | None:
    """The known tags that a chat template writes or looks for, or that are tokens of their own; None without any.

    Args:
        template: Source of the chat template; may be empty.
        tokens: The tokenizer's added tokens.
    """
    added = set(tokens)
    for tags in KNOWN_TAGS:
        if any(tag in template for tag in tags) or added.issuperset(tags):
            return tags
    return None


def parse_tags(text: str) -> Tags:
    """Reads `--thinking OPEN,CLOSE`.

    Raises:
        UsageError: It is not two different texts with a comma between them.
    """
    opening, comma, closing = (part.strip() for part in text.partition(","))
    if not (opening and comma and closing) or opening == closing:
        raise UsageError(
            f"--thinking {text!r} is neither auto nor off nor two tags",
            hint='give both with a comma between them, as --thinking "<think>,</think>"',
        )
    return opening, closing


def without_thoughts(text: str, tags: Tags, *, opened: bool = False) -> str | None:
    """The text outside its thoughts; None where it ends within one, so that there is no answer.

    Thoughts may follow one another and lie within each other. An opening tag right after another, with nothing but white
    space between them, repeats it. A closing tag without an opening one closes a thought that began before the text: all
    that stands before it is dropped. Where anything was taken out, the rest loses its leading white space; a text
    without tags is returned as it is.

    Args:
        text: What the model wrote.
        tags: What opens and closes a thought.
        opened: The prompt ends within a thought.
    """
    opening, closing = tags
    pieces = re.split(f"({re.escape(opening)}|{re.escape(closing)})", text)
    depth = int(opened)
    fresh = opened  # nothing but white space since the last opening tag
    kept: list[str] = []
    for piece in pieces:
        if piece == opening:
            depth += not fresh
            fresh = True
        elif piece == closing:
            kept = kept if depth else []
            depth = max(0, depth - 1)
            fresh = False
        elif depth == 0:
            kept.append(piece)
        elif piece.strip():
            fresh = False
    if depth:
        return None
    return "".join(kept).lstrip() if len(pieces) > 1 else text


def opens_thought(prompt: str, tags: Tags) -> bool:
    """Whether a prompt ends right after an opening tag: some chat templates begin the thought themselves."""
    return prompt.rstrip().endswith(tags[0])


def answer(request: Request, reply: Reply) -> Reply:
    """The reply as it is scored: without the thoughts between the tags of the request's decoding.

    A completion that ends within a thought is `answered=False`.
    """
    if not isinstance(request, Generate) or not isinstance(reply, Generation) or request.decoding.thinking is None:
        return reply
    tags = request.decoding.thinking
    opened = opens_thought(request.prompt, tags)
    completions = []
    for one in reply.completions:
        text = without_thoughts(one.text, tags, opened=opened)
        completions.append(replace(one, text=text or "", answered=text is not None))
    return replace(reply, completions=tuple(completions))
