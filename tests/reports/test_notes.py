from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalkit.reports.csv import run_csv
from evalkit.reports.markdown import markdown
from evalkit.reports.notes import notes
from evalkit.results import MetricValue, Run, Spread, TaskResult
from tests.reports.test_terminal import printed
from tests.result_examples import group, run, task_result

CHAT = {"used": True, "available": True, "why": "an open question"}
PLAIN = {"used": False, "available": True, "why": "plain text is lm-eval's default for this task"}


def result(outcomes: dict[str, int] | None = None, **settings: Any) -> TaskResult:
    one = task_result([1, 0, 1])
    return replace(one, settings=settings, **({"outcomes": outcomes} if outcomes else {}))


def seeded() -> Run:
    one = task_result([1, 0, 1])
    value = MetricValue(0.5, 0.05, (0.4, 0.6), True, 0.25, Spread((1234, 1235, 1236), (0.48, 0.5, 0.52)))
    return run({"quiz": replace(one, metrics={"acc": value}), "other": task_result([1, 0])})


def test_documents_without_a_readable_answer_are_never_silent() -> None:
    outcomes = {
        "right": 3,
        "wrong": 2,
        "mixed": 1,
        "unparsed": 12,
        "truncated": 3,
        "empty": 1,
        "errored": 2,
        "refused": 0,
    }
    counted = replace(result(outcomes, decoding={"max_new_tokens": 256}), n=24)
    unparsed = "12 of 24 unparsed (see `continuation` in the sample log)"
    cut = "3 of 24 cut at 256 new tokens (--max-new-tokens)"
    assert notes(run({"gsm8k": counted})) == [f"gsm8k: {unparsed}, {cut}, 1 of 24 empty, 2 of 24 errored"]


def test_a_note_says_what_unreadable_answers_leave_open() -> None:
    value = MetricValue(0.5, 0.05, (0.4, 0.6), True, None, bounds=(0.0, 1.0), unreadable=(0.5, 0.625))
    task = replace(result({"right": 4, "wrong": 3, "empty": 1}), n=8, metrics={"acc": value})
    open_range = "acc is 50.0% to 62.5%, were those all wrong, or all right"
    assert notes(run({"quiz": task})) == [f"quiz: 1 of 8 empty; {open_range}"]
    assert "unreadable_low,unreadable_high" in run_csv(run({"quiz": task}))
    assert "0.5,0.625" in run_csv(run({"quiz": task}))


def test_a_cut_thought_is_told_from_a_cut_answer() -> None:
    settings = {"decoding": {"max_new_tokens": 1024}, "thinking": ["<think>", "</think>"]}
    said = ["gsm8k: 3 of 3 cut at 1,024 new tokens or in a thought (--max-new-tokens), 2 skipped"]
    assert notes(run({"gsm8k": result({"truncated": 3, "skipped": 2}, **settings)})) == said


@pytest.mark.parametrize(("members", "lines"), [(9, 1), (8, 8)])
def test_the_tasks_of_a_large_group_share_their_notes(members: int, lines: int) -> None:
    one = result({"wrong": 1, "truncated": 2}, decoding={"max_new_tokens": 256})
    cut = replace(one, samples=tuple(replace(sample, fields={"truncated_tokens": 1}) for sample in one.samples))
    subjects = {f"mmlu_{number}": cut for number in range(members)}
    found = notes(run({**subjects, "quiz": result({"empty": 1})}, {"mmlu:cot": group("mmlu:cot", subjects)}))
    assert len(found) == 2 * lines + 1
    assert found[lines] == "quiz: 1 of 3 empty"
    if lines == 1:
        assert found[0] == "mmlu:cot: 18 of 27 cut at 256 new tokens (--max-new-tokens)"
        assert found[2] == "mmlu:cot: 27 of 27 prompts cut on the left to fit the model's context"


def test_what_went_through_the_chat_template_and_what_did_not() -> None:
    tasks = {
        "sums": result(chat_template=CHAT),
        "gsm8k": result(chat_template=PLAIN, decoding={"samples": 1}),
        "arc_easy": result(chat_template=PLAIN),  # log-likelihoods are plain by custom: no news
        "base": result(chat_template={**PLAIN, "available": False}, decoding={}),
    }
    assert notes(run(tasks)) == [
        "sums: asked through the chat template (an open question)",
        "gsm8k: asked in plain text, not through the model's chat template (plain text is lm-eval's default for this task)",
    ]


def test_notes_name_a_few_tasks_and_count_the_rest() -> None:
    many = {f"t{number}": result(chat_template=CHAT) for number in range(9)}
    assert notes(run(many)) == ["all tasks: asked through the chat template (an open question)"]
    assert notes(run({**many, "plain": result()}))[0].startswith("t0, t1, t2 and 6 more: asked through")


def test_settings_that_are_not_the_default() -> None:
    changed = {
        "decoding": {"temperature": 0.7, "samples": 5},
        "sampling_seed": 3,
        "shots_sampler": "nearest",
        "shots_seed": 1234,
        "shots_seeds": 3,
    }
    assert notes(run({"quiz": result()}, chat_template="auto", thinking="off", **changed)) == [
        "not the default: thinking: off, shots sampler: nearest, shots seeds: 3, sampling seed: 3, temperature: 0.7, "
        "samples: 5"
    ]
    assert notes(run({"quiz": result()}, decoding={"max_new_tokens": 9})) == ["not the default: max new tokens: 9"]


def test_signatures_are_said_once() -> None:
    signatures = {"bleu": "nrefs:1|case:mixed|tok:13a|version:2.5.1"}
    tasks = {"en-de": result(signatures=signatures), "de-en": result(signatures=signatures), "quiz": result()}
    assert notes(run(tasks)) == ["en-de, de-en: bleu: nrefs:1|case:mixed|tok:13a|version:2.5.1"]


def test_metrics_of_one_signature_share_a_line_after_the_outcomes() -> None:
    named = [f"{kind}_{way}" for kind in ("rouge1", "bleu", "rouge2") for way in ("acc", "max", "diff")]
    of = {"bleu": "nrefs:1|tok:intl", "rouge1": "rouge1|f-measure", "rouge2": "rouge2|f-measure"}
    signatures = {name: of[name.partition("_")[0]] for name in sorted(named)}  # as a result file has them
    value = MetricValue(0.5, 0.05, (0.4, 0.6), True, None)
    answered = replace(
        result({"scored": 2, "empty": 1}, signatures=signatures, chat_template=CHAT),
        metrics=dict.fromkeys(named, value),
    )
    assert notes(run({"truthfulqa_gen": answered, "quiz": result({"right": 2, "unparsed": 1})})) == [
        "truthfulqa_gen: 1 of 3 empty",
        "quiz: 1 of 3 unparsed (see `continuation` in the sample log)",
        "truthfulqa_gen: asked through the chat template (an open question)",
        "truthfulqa_gen: rouge1_acc, rouge1_max, rouge1_diff: rouge1|f-measure",
        "truthfulqa_gen: bleu_acc, bleu_max, bleu_diff: nrefs:1|tok:intl",
        "truthfulqa_gen: rouge2_acc, rouge2_max, rouge2_diff: rouge2|f-measure",
    ]


def test_the_spread_over_seeds_is_in_the_tables_and_the_notes() -> None:
    text = printed(seeded(), 80)
    line = next(line for line in text.splitlines() if line.startswith("quiz"))
    assert line.split()[-4:] == ["50.0%", "40.0–60.0", "±2.0", "25.0%"]
    assert "seeds" in text.splitlines()[2]
    assert max(map(len, text.splitlines())) <= 80
    spread = "is 48.0% to 52.0% (standard deviation 2.0)"
    assert notes(seeded()) == [f"quiz: with 3 few-shot seeds acc {spread}"]
    quiz = seeded().tasks["quiz"]
    both = replace(quiz, metrics={"acc": quiz.metrics["acc"], "acc_norm": quiz.metrics["acc"]})
    assert notes(run({"quiz": both})) == [f"quiz: with 3 few-shot seeds acc {spread}, acc_norm {spread}"]
    lines = markdown(seeded()).splitlines()
    assert "| sd of seeds |" in lines[2]
    assert "| ±2.0 |" in next(line for line in lines if line.startswith("| quiz"))
    assert "+-2.0" in printed(seeded(), 80, encoding="ascii")


def test_without_seeds_there_is_no_such_column() -> None:
    single = run({"other": task_result([1, 0])})
    assert "seeds" not in printed(single, 80)
    assert "seeds" not in markdown(single)
