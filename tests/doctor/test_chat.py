"""What a chat template does, found without knowing the template."""

from __future__ import annotations

import pytest

from evalkit.doctor.chat import examine_template
from evalkit.doctor.diagnosis import ChatFindings
from evalkit.engine.tokenization import TextEncoder
from tests.tiny_models import CHAT_TEMPLATE, tiny_tokenizer

MERGING = (
    "{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}<{{ m['role'] }}>{{ first if loop.first else '' }}{{ m['content'] }}</>{% endfor %}<assistant>"
)
DEFAULT = "{% if messages[0]['role'] != 'system' %}<|system|>\nYou are kind.\n{% endif %}" + CHAT_TEMPLATE
REFUSING = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT_TEMPLATE
IGNORING = "{% for m in messages if m['role'] != 'system' %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"


def examine(template: str | None, *, add_bos: bool = False) -> ChatFindings:
    tokenizer = tiny_tokenizer(add_bos, chat_template=template)
    return examine_template(tokenizer, TextEncoder(tokenizer, 0))


def test_no_template() -> None:
    found = examine(None)
    assert not found.template
    assert found.usual is None


def test_two_bos_tokens_are_seen_and_evalkit_leaves_one_out() -> None:
    found = examine("{{ bos_token }}" + CHAT_TEMPLATE, add_bos=True)
    assert found.usual is not None
    assert found.evalkit is not None
    assert found.usual.double_bos
    assert found.usual.ids[:2] == (0, 0)
    assert found.usual.texts[0] == "<bos>"
    assert not found.evalkit.double_bos


@pytest.mark.parametrize(("template", "add_bos"), [(CHAT_TEMPLATE, True), ("{{ bos_token }}" + CHAT_TEMPLATE, False)])
def test_one_bos_token_is_right(template: str, add_bos: bool) -> None:
    found = examine(template, add_bos=add_bos)
    assert found.usual is not None
    assert not found.usual.double_bos
    assert found.usual.ids[0] == 0


@pytest.mark.parametrize(
    ("template", "system", "default"),
    [
        (CHAT_TEMPLATE, "own turn", None),
        (DEFAULT, "own turn", "You are kind."),
        (MERGING, "in the user turn", None),
        (REFUSING, "refused", None),
        (IGNORING, "ignored", None),
    ],
)
def test_what_becomes_of_a_system_message(template: str, system: str, default: str | None) -> None:
    found = examine(template)
    assert (found.system, found.default_system) == (system, default)


def test_a_template_that_cannot_render_says_so() -> None:
    found = examine("{{ raise_exception('never') }}")
    assert found.template
    assert found.error is not None
    assert "never" in found.error


def test_the_thinking_switch_is_known() -> None:
    assert examine("{% if enable_thinking %}<think>{% endif %}" + CHAT_TEMPLATE).thinking_switch
    assert not examine(CHAT_TEMPLATE).thinking_switch
