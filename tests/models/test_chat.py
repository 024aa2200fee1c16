import pytest

from evalkit.errors import ModelError
from evalkit.models import render_chat
from tests.tiny_models import CHAT_TEMPLATE, tiny_tokenizer

NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_renders_up_to_where_the_answer_begins() -> None:
    tokenizer = tiny_tokenizer(chat_template=CHAT_TEMPLATE)
    assert render_chat(tokenizer, [SYSTEM, USER]) == "<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\n"


def test_no_template() -> None:
    with pytest.raises(ModelError, match="has no chat template") as caught:
        render_chat(tiny_tokenizer(), [USER])
    assert "--chat-template" in (caught.value.hint or "")


def test_template_without_a_system_role() -> None:
    tokenizer = tiny_tokenizer(chat_template=NO_SYSTEM + CHAT_TEMPLATE)
    assert render_chat(tokenizer, [USER]).endswith("<|assistant|>\n")
    with pytest.raises(ModelError, match=r"refuses a system message: System role not supported"):
        render_chat(tokenizer, [SYSTEM, USER])


def test_broken_template() -> None:
    with pytest.raises(ModelError, match="cannot render these messages"):
        render_chat(tiny_tokenizer(chat_template="{{ messages[7].content }}{{ nothing.here }}"), [USER])
