"""Which tokens are trained on: written out, and against TRL's own masks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import TrainingDataError, UsageError
from evalkit.sft.rows import Message, TrainingRow
from evalkit.sft.spec import TrainingSpec
from evalkit.sft.training.tokens import IGNORED, Example, tokenize
from tests.sft.examples import CHAT, conversation
from tests.tiny_models import tiny_tokenizer

CHAT_TOKENIZER = tiny_tokenizer(chat_template=CHAT)
PLAIN_TOKENIZER = tiny_tokenizer()
SPEC = TrainingSpec()


def one(row: TrainingRow, spec: TrainingSpec = SPEC, tokenizer: object = CHAT_TOKENIZER) -> Example:
    return tokenize([row], tokenizer, spec, 512).examples[0]  # type: ignore[arg-type]


def trained(example: Example, tokenizer: object = CHAT_TOKENIZER) -> str:
    """The text that the loss is taken over."""
    return str(tokenizer.decode([label for label in example.labels if label != IGNORED]))  # type: ignore[attr-defined]


def whole(example: Example, tokenizer: object = CHAT_TOKENIZER) -> str:
    return str(tokenizer.decode(example.input_ids))  # type: ignore[attr-defined]


def test_of_a_chat_the_answer_and_the_end_of_its_turn_are_trained_on() -> None:
    example = one(conversation("What does the cow say?", "It says moo."))
    assert whole(example) == "<|user|>\nWhat does the cow say?<eos>\n<|assistant|>\nIt says moo.<eos>\n"
    assert trained(example) == "It says moo.<eos>\n"


def test_every_answer_of_several_turns_is_trained_on() -> None:
    turns = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"), ("assistant", "See you")]
    row = TrainingRow("train", 0, tuple(Message(role, text) for role, text in turns))  # type: ignore[arg-type]
    assert trained(one(row)) == "Hello<eos>\nSee you<eos>\n"


def test_a_plain_text_is_trained_on_whole() -> None:
    row = TrainingRow("train", 0, text="All of it.")
    assert trained(one(row)) == "All of it.<eos>"
    assert one(row).labels == one(row).input_ids


@pytest.mark.parametrize(
    ("prompt", "answer", "shown"),
    [
        ("Question: 2 + 2?\nAnswer:", "4", "Question: 2 + 2?\nAnswer: 4<eos>"),
        ("Translate: cow", "Kuh", "Translate: cow\nKuh<eos>"),
        ("Ends with a break\n", "4", "Ends with a break\n4<eos>"),
        ("Answer:", " 4", "Answer: 4<eos>"),
    ],
)
def test_without_a_template_prompt_and_answer_are_joined_as_tasks_do(prompt: str, answer: str, shown: str) -> None:
    example = one(conversation(prompt, answer), tokenizer=PLAIN_TOKENIZER)
    assert whole(example, PLAIN_TOKENIZER) == shown
    assert trained(example, PLAIN_TOKENIZER).strip() == f"{answer.strip()}<eos>"


def test_a_token_over_the_border_of_prompt_and_answer_is_trained_on_whole() -> None:
    tokenizer = PLAIN_TOKENIZER
    for text in ("The quick brown fox", "Question: What is the capital of France?"):
        for border in range(1, len(text)):
            prompt, answer = text[:border], text[border:]
            if prompt[-1].isspace() or answer[0].isspace():
                example = one(conversation(prompt, answer), tokenizer=tokenizer)
                assert answer.strip() in trained(example, tokenizer)


def test_a_template_can_be_left_out() -> None:
    assert "<|user|>" not in whole(one(conversation("Hi", "Hello"), TrainingSpec(template="plain")))


def test_a_pair_has_its_prompt_and_both_answers() -> None:
    row = TrainingRow("pairs", 0, (Message("user", "Hi"), Message("assistant", "Hello")), rejected="Go away")
    example = one(row, TrainingSpec(objective="dpo"))
    decode = CHAT_TOKENIZER.decode
    assert decode(example.input_ids) == "<|user|>\nHi<eos>\n<|assistant|>\n"
    assert decode(example.chosen) == "Hello<eos>\n"
    assert decode(example.rejected) == "Go away<eos>\n"
    reward = one(row, TrainingSpec(objective="reward"))
    assert reward.input_ids == []
    assert decode(reward.chosen) == "<|user|>\nHi<eos>\n<|assistant|>\nHello<eos>\n"


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_labels_are_the_ids_or_ignored(prompt: str, answer: str) -> None:
    for tokenizer in (CHAT_TOKENIZER, PLAIN_TOKENIZER):
        example = one(conversation(prompt, answer), tokenizer=tokenizer)
        assert len(example.labels) == len(example.input_ids)
        assert all(label in (IGNORED, token) for label, token in zip(example.labels, example.input_ids, strict=True))
        kept = [label != IGNORED for label in example.labels]
        assert kept == sorted(kept)  # prompt, then answer
        assert trained(example, tokenizer).endswith("<eos>\n" if tokenizer is CHAT_TOKENIZER else "<eos>")


def test_rows_that_are_cut_are_counted_and_above_the_limit_refused() -> None:
    rows = [conversation("Hi", "Hello", index=at) for at in range(99)] + [conversation("Hi", "Hello " * 60)]
    cut = tokenize(rows, CHAT_TOKENIZER, SPEC, 512)
    assert (cut.truncated, cut.lost_end) == (1, 1)
    assert cut.max_length == sorted(cut.lengths)[-2]
    assert all(len(example.input_ids) <= cut.max_length for example in cut.examples)
    with pytest.raises(TrainingDataError, match="5 of 100 rows are longer") as caught:
        tokenize(rows[:95] + [rows[-1]] * 5, CHAT_TOKENIZER, TrainingSpec(max_length=cut.max_length), 512)
    assert caught.value.hint is not None
    assert str(max(cut.lengths)) in caught.value.hint
    allowed = TrainingSpec(max_length=cut.max_length, truncation_limit=0.05)
    assert tokenize(rows[:95] + [rows[-1]] * 5, CHAT_TOKENIZER, allowed, 512).truncated == 5


def test_rows_whose_prompt_fills_the_context_have_nothing_to_train_on() -> None:
    long = conversation("Hi " * 200, "Hello")
    spec = TrainingSpec(truncation_limit=1.0, max_length=100)
    found = tokenize([conversation("Hi", "Hello"), long], CHAT_TOKENIZER, spec, 512)
    assert found.without_labels == 1
    with pytest.raises(TrainingDataError, match="none has a token to train on"):
        tokenize([long], CHAT_TOKENIZER, spec, 512)


def test_a_template_without_the_answer_is_refused() -> None:
    tokenizer = tiny_tokenizer(
        chat_template="{% for message in messages %}{% if message['role'] == 'user' %}{{ message['content'] }}{% endif %}"
        "{% endfor %}"
    )
    with pytest.raises(TrainingDataError, match="does not put the answer after the question"):
        one(conversation("Hi", "Hello"), tokenizer=tokenizer)


def test_a_template_that_refuses_a_row_is_told_with_its_reason() -> None:
    tokenizer = tiny_tokenizer(chat_template="{{ raise_exception('System role not supported') }}")
    with pytest.raises(TrainingDataError, match="System role not supported"):
        one(conversation("Hi", "Hello"), tokenizer=tokenizer)


def test_a_template_must_be_there_where_it_is_asked_for() -> None:
    with pytest.raises(UsageError, match="no chat template"):
        one(conversation("Hi", "Hello"), TrainingSpec(template="chat"), PLAIN_TOKENIZER)
