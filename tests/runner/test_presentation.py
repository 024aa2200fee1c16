"""Which tasks go through the chat template, how, and what becomes of thoughts: whole runs on a mock model."""

from __future__ import annotations

from typing import Any

import pytest

import evalkit
from evalkit import DataSource, MockModel, MultipleChoice, Task, Text
from evalkit.chat import ChatFormat, system_as_user
from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.errors import DataError, UsageError
from evalkit.extraction import Pattern
from evalkit.prompts import Prompt
from evalkit.requests import Generate, Request, Score
from evalkit.runner.rendering import ChatRenderer
from tests.tiny_models import CHAT_TEMPLATE, tiny_tokenizer

ROWS = [{"q": f"{number}+{number}=", "a": str(2 * number)} for number in range(1, 7)]
TEMPLATE = ChatFormat(template=True)
THINKING = ChatFormat(template=True, thinking=("<think>", "</think>"))


def open_task(**changes: Any) -> Task:
    defaults: dict[str, Any] = {
        "name": "sums",
        "data": DataSource(id="own", rows=ROWS, shots_split="test"),
        "document": lambda row: OpenQuestion(row["q"], row["a"]),
        "metrics": ("exact_match",),
        "shots_exclude_self": True,
    }
    return Task(**{**defaults, **changes})


def scored(**changes: Any) -> Task:
    return open_task(document=lambda row: MultipleChoice(row["q"], [row["a"], "x"], 0), metrics=("acc",), **changes)


def chosen(task: Task, chat: ChatFormat, **options: Any) -> tuple[bool, str]:
    (result,) = evalkit.run(model=MockModel(chat=chat), tasks=[task], **options).tasks.values()
    setting = result.settings["chat_template"]
    return setting["used"], setting["why"]


@pytest.mark.parametrize(
    ("task", "chat", "setting", "used", "why"),
    [
        (open_task(), TEMPLATE, "auto", True, "an open question"),
        (open_task(), ChatFormat(), "auto", False, "the model has no chat template"),
        (open_task(lm_eval="gsm8k"), TEMPLATE, "auto", False, "lm-eval's default"),
        (open_task(shots=2), TEMPLATE, "auto", False, "few-shot examples"),
        (open_task(lm_eval="gsm8k", chat=True), TEMPLATE, "auto", True, "the task asks"),
        (open_task(chat=False), TEMPLATE, "auto", False, "the task asks"),
        (scored(), TEMPLATE, "auto", False, "log-likelihoods"),
        (scored(), TEMPLATE, "on", True, "--chat-template on"),
        (open_task(), TEMPLATE, "off", False, "--chat-template off"),
        (open_task(lm_eval="gsm8k"), ChatFormat(template=True, only=True), "auto", True, "takes chat turns only"),
        (
            open_task(document=lambda row: Text(row["q"]), metrics=("bits_per_byte",)),
            TEMPLATE,
            "on",
            False,
            "whole texts",
        ),
    ],
)
def test_what_is_chosen_and_why(task: Task, chat: ChatFormat, setting: str, used: bool, why: str) -> None:
    found = chosen(task, chat, chat_template=setting)
    assert found[0] is used
    assert why in found[1]


def test_a_model_that_takes_turns_only_cannot_be_asked_plainly() -> None:
    with pytest.raises(UsageError, match="takes chat turns only"):
        chosen(open_task(), ChatFormat(only=True), chat_template="off")


def prompts(**options: Any) -> list[str]:
    seen: list[str] = []

    def record(request: Generate) -> str:
        seen.append(request.prompt)
        return "2"

    task = open_task(shots=1, description="Add.\n", shots_sampler="first", chat=True)
    evalkit.run(model=MockModel(texts=record, chat=TEMPLATE), tasks=[task], limit="first:1", **options)
    return seen


def test_examples_as_turns_or_in_one() -> None:
    assert prompts(system="Be brief.") == [
        "<system> Be brief.\n\nAdd.\n\n<user> 2+2=\n<assistant> 4\n<user> 1+1=\n<assistant> "
    ]
    assert prompts(fewshot_as_multiturn=False) == ["<system> Add.\n\n<user> 2+2= 4\n\n1+1=\n<assistant> "]


def test_instructions_in_the_first_user_turn_and_variables() -> None:
    assert prompts(system_as_user=True) == ["<user> Add.\n\n2+2=\n<assistant> 4\n<user> 1+1=\n<assistant> "]
    assert prompts(enable_thinking=False)[0].startswith("<enable_thinking=False>\n<system>")
    assert system_as_user([]) == []
    assert system_as_user([{"role": "user", "content": "x"}]) == [{"role": "user", "content": "x"}]


def test_what_was_done_is_in_the_result() -> None:
    task = open_task(shots=1, chat=True)
    run = evalkit.run(
        model=MockModel(chat=TEMPLATE),
        tasks=[task],
        system_as_user=True,
        fewshot_as_multiturn=False,
        enable_thinking=True,
    )
    assert run.tasks["sums"].settings["chat_template"] == {
        "used": True,
        "available": True,
        "why": "so the task asks for it",
        "fewshot_as_multiturn": False,
        "system_as_user": True,
        "enable_thinking": True,
    }
    assert run.settings["chat_template"] == "auto"
    assert run.settings["enable_thinking"] is True


def test_a_scored_answer_follows_the_template_without_a_delimiter() -> None:
    seen: list[tuple[str, str]] = []

    def record(request: Request) -> float:
        assert isinstance(request, Score)
        seen.append((request.context, request.continuation))
        return -1.0

    evalkit.run(model=MockModel(record), tasks=[scored()], chat_template="on", limit="first:1")
    assert seen == [("<user> 1+1=\n<assistant> ", "2"), ("<user> 1+1=\n<assistant> ", "x")]


@pytest.mark.parametrize("trim", ["", " | trim"])
def test_what_conversations_share_is_found(trim: str) -> None:
    from evalkit.documents import Candidate
    from evalkit.models import render_chat

    template = CHAT_TEMPLATE.replace("message['content']", f"message['content']{trim}")
    tokenizer = tiny_tokenizer(chat_template=template)
    render = ChatRenderer(lambda messages, **variables: render_chat(tokenizer, messages, **variables))
    prompt = Prompt("Add.\n", (Candidate("1+1=", "2"),), " 3+3=", " ", "\n\n")
    rendered = render(prompt)
    assert rendered.context == render_chat(tokenizer, prompt.messages())
    assert rendered.context[rendered.shared :].lstrip() == "3+3=\n<|assistant|>\n"
    assert render(Prompt("", (), "3+3=", " ", "\n\n")).shared == 0


def think(texts: list[str], **options: Any) -> evalkit.TaskResult:
    answers = dict(zip([f"<user> {row['q']}\n<assistant> " for row in ROWS], texts, strict=False))
    task = open_task(
        **{"extractors": {"number": Pattern(r"(\d+)")}, "metrics": ("exact_match@number",), **options.pop("task", {})}
    )
    model = MockModel(texts=answers, chat=THINKING)
    run = evalkit.run(model=model, tasks=[task], limit=f"first:{len(texts)}", **options)
    return run.tasks["sums"]


TEXTS = [
    "<think>1 and 1</think>\n2",
    "<think>it is 4",
    "<think>3+3</think>7",
    "6 or 7?</think>8",
    "<think>x</think>",
    "12",
]


def test_thoughts_are_no_answers() -> None:
    result = think(TEXTS)
    outcomes = [sample.outcome for sample in result.samples]
    assert outcomes == ["right", "truncated", "wrong", "right", "empty", "right"]
    assert [sample.fields["answers"] for sample in result.samples] == [["2"], [None], ["7"], ["8"], [None], ["12"]]
    assert result.settings["thinking"] == ["<think>", "</think>"]


def test_thoughts_are_taken_out_only_where_they_are_known_or_named() -> None:
    assert think(TEXTS, thinking="off").samples[3].outcome == "wrong"
    assert "thinking" not in think(TEXTS, thinking="off").settings
    assert "thinking" not in think(TEXTS, compat="lm-eval").settings
    named = think(["[a 5 a]2"], thinking="[a,a]")
    assert (named.samples[0].outcome, named.settings["thinking"]) == ("right", ["[a", "a]"])


def test_wrong_tags_are_told_before_anything_is_loaded() -> None:
    with pytest.raises(UsageError, match="neither auto nor off"):
        evalkit.run(model="nowhere", tasks="nothing", thinking="<think>")


def test_whole_texts_are_scored_without_thoughts() -> None:
    plain = {"extractors": {}, "metrics": ("exact_match",)}
    outcomes = [sample.outcome for sample in think(TEXTS, task=plain).samples]
    assert outcomes == ["right", "truncated", "wrong", "right", "empty", "right"]


def test_the_sample_log_keeps_what_the_model_wrote(tmp_path: Any) -> None:
    from pyarrow import parquet

    think(TEXTS, output=tmp_path / "r.json")
    rows = parquet.read_table(tmp_path / "r.samples.parquet").to_pylist()
    assert [row["continuation"] for row in rows] == TEXTS
    assert [row["answer"] for row in rows] == ["2", None, "7", "8", None, "12"]


def test_a_tasks_own_tags_stay() -> None:
    task = open_task(decoding=Decoding(thinking=("[", "]")))
    model = MockModel(texts=lambda request: "[1]" + str(request.decoding.thinking), chat=THINKING)
    run = evalkit.run(model=model, tasks=[task], limit="first:1")
    assert run.tasks["sums"].samples[0].outcome == "wrong"
    assert run.tasks["sums"].settings["decoding"]["thinking"] == ["[", "]"]


def test_samples_at_temperature_0_are_refused_before_data_is_read() -> None:
    missing = open_task(data=DataSource(files={"test": "not-there.jsonl"}), metrics=("exact_match",))
    with pytest.raises(UsageError, match="3 samples a prompt would all be the same"):
        evalkit.run(model=MockModel(), tasks=[missing], samples=3)


def test_missing_examples_can_be_done_without() -> None:
    task = open_task(data=DataSource(id="own", rows=ROWS), shots_data=DataSource(files={"test": "no.jsonl"}), shots=2)
    with pytest.raises(DataError, match="the few-shot examples of task sums") as error:
        evalkit.run(model=MockModel(), tasks=[task])
    assert str(error.value.hint).startswith("without examples: sums:0shot")
