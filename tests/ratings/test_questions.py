from __future__ import annotations

from evalkit.ratings.questions import last_questions


def test_lines_that_all_prompts_share_are_left_out() -> None:
    prompts = [f"Answer in one word.\n\nQuestion: {text}\nAnswer:" for text in ("Why is it so?", "Why not?")]
    assert last_questions(prompts, shots=0) == ["Question: Why is it so?", "Question: Why not?"]


def test_with_examples_only_the_last_block_is_shown() -> None:
    prompts = [f"Q: {n}?\nA: yes\n\nQ: {n + 1}?\nA: no\n\nQ: {n + 2}?\nA:" for n in (3, 7)]
    assert last_questions(prompts, shots=2) == ["Q: 5?", "Q: 9?"]


def test_without_examples_a_question_of_several_paragraphs_stays_whole() -> None:
    prompts = ["A passage.\n\nWhat of it?", "Another one.\n\nAnd this?"]
    assert last_questions(prompts, shots=0) == prompts


def test_the_last_turn_of_a_chat() -> None:
    turns = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    prompts = [turns.format("Hi") + "Hello<|im_end|>\n" + turns.format(text) for text in ("One?\n\nTwo?", "三？")]
    assert last_questions(prompts, shots=1) == ["One?\n\nTwo?", "三？"]


def test_a_prompt_is_never_shown_as_nothing() -> None:
    assert last_questions(["same", "same"], shots=0) == ["same", "same"]
    assert last_questions(["x\n", "x\ny"], shots=0) == ["x\n", "y"]
    assert last_questions(["only one\nAnswer:"], shots=0) == ["only one\nAnswer:"]
    assert last_questions([], shots=0) == []
