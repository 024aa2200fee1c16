import pytest

from evalkit.chat import ChatFormat, system_as_user
from evalkit.engine.tokenization import TextEncoder
from evalkit.errors import ModelError, UsageError
from evalkit.models import chat_format, render_chat
from tests.tiny_models import CHAT_TEMPLATE, tiny_tokenizer

NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_renders_up_to_where_the_answer_begins() -> None:
    tokenizer = tiny_tokenizer(chat_template=CHAT_TEMPLATE)
    assert render_chat(tokenizer, [SYSTEM, USER]) == "<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\n"


def test_no_template() -> None:
    with pytest.raises(UsageError, match="has no chat template") as caught:
        render_chat(tiny_tokenizer(), [USER])
    assert "--chat-template" in (caught.value.hint or "")


def test_template_without_a_system_role() -> None:
    tokenizer = tiny_tokenizer(chat_template=NO_SYSTEM + CHAT_TEMPLATE)
    assert render_chat(tokenizer, [USER]).endswith("<|assistant|>\n")
    with pytest.raises(ModelError, match=r"refuses a system message: System role not supported") as caught:
        render_chat(tokenizer, [SYSTEM, USER])
    assert "--system-as-user" in (caught.value.hint or "")
    assert "Be brief.\n\nHi" in render_chat(tokenizer, system_as_user([SYSTEM, USER]))


def test_an_answer_that_is_begun_is_left_open() -> None:
    tokenizer = tiny_tokenizer(chat_template=CHAT_TEMPLATE)
    begun = render_chat(tokenizer, [USER, {"role": "assistant", "content": "The answer is"}])
    assert begun == "<|user|>\nHi\n<|assistant|>\nThe answer is"


def test_the_template_is_given_variables() -> None:
    tokenizer = tiny_tokenizer(chat_template="{{ enable_thinking }}" + CHAT_TEMPLATE)
    assert render_chat(tokenizer, [USER], enable_thinking=False).startswith("False<|user|>")


def test_what_a_tokenizer_knows_of_conversations() -> None:
    assert chat_format(tiny_tokenizer()) == ChatFormat()
    assert chat_format(tiny_tokenizer(chat_template=CHAT_TEMPLATE)) == ChatFormat(template=True)
    thinking = tiny_tokenizer(chat_template=CHAT_TEMPLATE + "{# <think> #}")
    assert chat_format(thinking) == ChatFormat(template=True, thinking=("<think>", "</think>"))
    vocabulary = tiny_tokenizer()
    vocabulary.add_tokens(["[THINK]", "[/THINK]"])
    assert chat_format(vocabulary) == ChatFormat(thinking=("[THINK]", "[/THINK]"))


@pytest.mark.parametrize("add_bos", [True, False])
def test_a_template_that_writes_bos_gets_no_second_one(add_bos: bool) -> None:
    """Whether the tokenizer adds one or the template writes it, every prompt begins with one BOS, as transformers' own."""
    tokenizer = tiny_tokenizer(add_bos, chat_template="{{ bos_token }}" + CHAT_TEMPLATE)
    text = render_chat(tokenizer, [SYSTEM, USER])
    expected = tokenizer.apply_chat_template([SYSTEM, USER], add_generation_prompt=True)["input_ids"]
    assert expected[:2] != [0, 0]
    encoder = TextEncoder(tokenizer, 0)
    (generated,) = encoder.encode([text], special_tokens=True)
    assert generated.tolist() == expected
    ((context, _),) = encoder.encode_pairs([(text.rstrip(), " x")], [len("<bos><|system|>\nBe brief.")])
    assert context.tolist() == tokenizer(text.rstrip(), add_special_tokens=False)["input_ids"]


def test_broken_template() -> None:
    with pytest.raises(ModelError, match="cannot render these messages"):
        render_chat(tiny_tokenizer(chat_template="{{ messages[7].content }}{{ nothing.here }}"), [USER])
