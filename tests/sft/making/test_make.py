"""Rows made by a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evalkit.api import Evaluation
from evalkit.backends.mock import MockModel
from evalkit.chat import ChatFormat
from evalkit.data import DataOptions
from evalkit.errors import EvalkitError, InterruptedRunError, TrainingDataError, UsageError
from evalkit.requests import Generate, Request
from evalkit.sft.data import CleaningOptions, read_training_data
from evalkit.sft.making import MakingRequest, make_training_data
from evalkit.training_data import Making
from tests.cli.commands import Done, command
from tests.sft.examples import chat_model

SEEDS = [
    ("Name three animals of the sea.", "Whales, sharks and seals."),
    ("What is the capital of Portugal?", "Lisbon."),
    ("Which month comes after August?", "September."),
    ("Give one reason to drink water.", "It keeps you cool."),
    ("Write a short birthday greeting.", "Happy birthday!"),
]


@pytest.fixture
def seeds(tmp_path: Path) -> str:
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt, "completion": answer}) + "\n" for prompt, answer in SEEDS))
    return str(path)


def digest(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def speak(request: Generate) -> str | list[str]:
    """Every third new prompt is a seed once more, every fifth answer a refusal; other texts are all different."""
    number = digest(f"{request.prompt} {request.decoding.seed}")
    if request.prompt.startswith("Write one new task"):
        if number % 3 == 0:
            return f" {SEEDS[number % 5][0]}\nTask 6: more"
        letters = hashlib.sha256(str(number).encode()).hexdigest()
        return f" Task 5: Tell me of {letters[:9]} and {letters[9:20]} or {letters[20:33]}\nTask 6: more"
    asked = digest(request.prompt)
    if request.decoding.samples > 1:
        return [
            f"It is {asked % 100}" if place % 2 or asked % 2 else "No idea" for place in range(request.decoding.samples)
        ]
    return "I'm sorry, I can't." if asked % 5 == 0 else f"It is {asked % 100}"


def likely(request: Request) -> float:
    """Log-probability: one text in seven goes round in circles."""
    text = getattr(request, "text", "")
    return -0.1 if digest(text) % 7 == 0 else -3.0 * max(1, len(text.split()))


def request(seeds: str, output: Path, model: MockModel | None = None, **changes: Any) -> MakingRequest:
    mock = model or MockModel(likely, texts=speak, chat=ChatFormat(template=True))
    return MakingRequest(
        **{
            "evaluation": Evaluation(model=mock, tasks=""),
            "seeds": seeds,
            "output": output,
            "count": 40,
            "round_size": 16,
            **changes,
        }
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_have_provenance_and_the_counts_add_up(seeds: str, tmp_path: Path) -> None:
    made = make_training_data(request(seeds, tmp_path / "rows.jsonl"))
    rows, rejected = lines(tmp_path / "rows.jsonl"), lines(tmp_path / "rows.rejected.jsonl")
    assert (made.kept, made.is_complete, len(rows)) == (40, True, 40)
    assert made.grown == made.kept + made.surplus + len(rejected) == 16 * made.rounds
    assert sum(made.rejected.values()) == len(rejected)
    assert set(made.rejected) == {"near-duplicate", "refusal", "perplexity"}
    known = {row["provenance"]["model"] for row in rows}
    assert known == {"mock"}
    seed_ids = {
        row.id
        for row in read_training_data([seeds], {}, DataOptions.resolve(None, True), CleaningOptions()).rows[seeds]
    }
    for row in rows:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert len(row["provenance"]["examples"]) == 4
        assert len(set(row["provenance"]["examples"]) & seed_ids) >= 3
        assert 2 <= row["provenance"]["perplexity"] <= 200
        assert not row["messages"][0]["content"].startswith("Task")
        assert "\n" not in row["messages"][0]["content"]
    report = json.loads((tmp_path / "rows.report.json").read_text())
    assert report["kept"] == 40
    assert report["rejected"] == dict(made.rejected)
    assert report["configuration"]["seeds_sha256"] == rows[0]["provenance"]["seeds_sha256"]
    assert not (tmp_path / "rows.jsonl.journal").exists()


def test_the_rows_can_be_trained_on(seeds: str, tmp_path: Path) -> None:
    make_training_data(request(seeds, tmp_path / "rows.jsonl"))
    data = read_training_data([str(tmp_path / "rows.jsonl")], {}, DataOptions.resolve(None, True), CleaningOptions())
    assert data.report.sources[0].format == "messages"
    assert data.report.kept == 40


def test_the_same_command_makes_the_same_rows_and_another_seed_others(seeds: str, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        make_training_data(request(seeds, tmp_path / f"{name}.jsonl", seed=seed))
    one, same, other = ((tmp_path / f"{name}.jsonl").read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


@pytest.mark.parametrize("calls", [1, 3, 5])
def test_cut_off_anywhere_it_goes_on_to_the_same_rows(seeds: str, tmp_path: Path, calls: int) -> None:
    make_training_data(request(seeds, tmp_path / "whole.jsonl"))

    class Killed(MockModel):
        """Is interrupted at its n-th computation."""

        left = calls

        def compute(self, *given: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().compute(*given, **named)

    killed = Killed(likely, texts=speak, chat=ChatFormat(template=True))
    with pytest.raises(InterruptedRunError):
        make_training_data(request(seeds, tmp_path / "cut.jsonl", killed))
    with open(tmp_path / "cut.jsonl.journal", "ab") as stream:
        stream.write(b'{"kept": [')  # as a process killed while writing leaves it
    made = make_training_data(request(seeds, tmp_path / "cut.jsonl"))
    assert made.kept == 40
    for name in ("jsonl", "rejected.jsonl"):
        assert (tmp_path / f"cut.{name}").read_bytes() == (tmp_path / f"whole.{name}").read_bytes()


def test_other_settings_do_not_continue_a_making(seeds: str, tmp_path: Path) -> None:
    class Killed(MockModel):
        """Is interrupted at once."""

        def compute(self, *given: Any, **named: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        make_training_data(request(seeds, tmp_path / "rows.jsonl", Killed(texts=speak)))
    with open(tmp_path / "rows.jsonl.journal", "ab") as stream:
        stream.write(b'{"kept": [], "rejected": [], "grown": 16}\n')
    with pytest.raises(UsageError, match="a making with another temperature"):
        make_training_data(request(seeds, tmp_path / "rows.jsonl", Killed(texts=speak), temperature=1.5))


def test_what_is_there_is_not_overwritten(seeds: str, tmp_path: Path) -> None:
    make_training_data(request(seeds, tmp_path / "rows.jsonl"))
    before = (tmp_path / "rows.jsonl").read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        make_training_data(request(seeds, tmp_path / "rows.jsonl", seed=1))
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    make_training_data(request(seeds, tmp_path / "rows.jsonl", seed=1, fresh=True))
    assert (tmp_path / "rows.jsonl").read_bytes() != before


def test_a_model_that_has_no_more_to_give_ends_it(seeds: str, tmp_path: Path) -> None:
    def copies(request: Generate) -> str:
        return f" {SEEDS[digest(request.prompt) % 5][0]}"

    made = make_training_data(request(seeds, tmp_path / "rows.jsonl", MockModel(texts=copies)))
    assert not made.is_complete
    assert (made.kept, made.rounds) == (0, 10)
    assert made.rejected == {"near-duplicate": 160}
    assert (tmp_path / "rows.jsonl").read_bytes() == b""


def test_answers_that_do_not_agree_or_are_wrong_are_rejected(seeds: str, tmp_path: Path) -> None:
    def even(prompt: str, answer: str) -> bool:
        return int(answer.split()[-1]) % 2 == 0

    made = make_training_data(request(seeds, tmp_path / "rows.jsonl", count=10, agree=4, verify=even))
    rows = lines(tmp_path / "rows.jsonl")
    assert all(row["provenance"]["agreement"] >= 0.5 for row in rows)
    assert all(even("", row["messages"][1]["content"]) for row in rows)
    assert made.rejected["not-verified"] > 0


def test_without_a_template_seeds_show_how_answers_look(seeds: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def remember(one: Generate) -> str | list[str]:
        asked.append(one.prompt)
        return speak(one)

    make_training_data(request(seeds, tmp_path / "rows.jsonl", MockModel(likely, texts=remember), count=4))
    answering = [prompt for prompt in asked if prompt.endswith("\nAnswer:")]
    assert answering
    assert all(prompt.count("Task: ") == 5 and prompt.count("Answer: ") == 4 for prompt in answering)


@pytest.mark.parametrize(("seed", "grown"), [("One line?", "New task"), ("Two\n\nparagraphs?", "New task\n\nand more")])
def test_a_prompt_ends_with_its_paragraph_where_those_of_the_seeds_do(tmp_path: Path, seed: str, grown: str) -> None:
    from evalkit.sft.making.writing import Writer

    writer = Writer(MockModel(texts=lambda _: " New task\n\nand more\nTask 3: no"), 50, 50)
    assert [one.text for one in writer.grow([[seed, "Other?"]], 0.8, 1.0, 0)] == [grown]


def test_a_model_that_takes_turns_only_is_asked_in_turns_and_without_perplexity(seeds: str, tmp_path: Path) -> None:
    def chat(one: Generate) -> str | list[str]:
        assert one.messages
        prompt = one.messages[0]["content"]
        return speak(Generate(prompt, one.decoding))

    mock = MockModel(texts=chat, chat=ChatFormat(template=True, only=True))
    made = make_training_data(request(seeds, tmp_path / "rows.jsonl", mock))
    assert "perplexity" not in made.rejected
    assert "perplexity" not in lines(tmp_path / "rows.jsonl")[0]["provenance"]


def test_prompts_longer_than_the_context_are_errored_and_no_more(seeds: str, tmp_path: Path) -> None:
    mock = MockModel(likely, texts=speak, chat=ChatFormat(template=True), max_length=3)
    made = make_training_data(request(seeds, tmp_path / "rows.jsonl", mock))
    assert made.kept == 0
    assert set(made.rejected) == {"errored"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "-n is 0"),
        ({"examples": 0}, "--examples is 0"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"output": Path("rows.csv")}, r"does not end in \.jsonl"),
        ({"seeds": "absent.jsonl"}, "there is no file"),
    ],
)
def test_slips(seeds: str, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvalkitError, match=message):
        make_training_data(request(**{"seeds": seeds, "output": tmp_path / "rows.jsonl", **changes}))


def test_too_few_seeds(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"prompt": "One?", "completion": "1"}\n')
    with pytest.raises(TrainingDataError, match="has 1 rows of one question and one answer, and 3 are needed"):
        make_training_data(request(str(tmp_path / "seeds.jsonl"), tmp_path / "rows.jsonl"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Done]:
    monkeypatch.chdir(tmp_path)
    return partial(command, monkeypatch, capsys, "sft-data")


def test_on_the_command_line_with_a_real_engine(run: Callable[..., Done], seeds: str, tmp_path: Path) -> None:
    model = chat_model(tmp_path / "models")
    asked = ("--model", model, "--seeds", seeds, "-n", "2", "--prompt-tokens", "12", "--answer-tokens", "4")
    loose = ("--perplexity", "off", "--prompt-length", "1:")
    done = run(*asked, *loose, "-o", "rows.jsonl")
    assert done.code in (0, 5), done.err  # a random model may never end an answer
    assert "rows from 5 seeds" in done.out
    assert "Traceback" not in done.err
    assert (tmp_path / "rows.rejected.jsonl").exists()
    assert (done.code == 5) == ("the model gave" in done.err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--perplexity", "lots"), "is no range"),
        (("--verify", "absent.py:check"), "names no file"),
        (("--verify", "empty.py:check"), "has no function check"),
        (("--verify", "broken.py:check"), "cannot be run: SyntaxError"),
    ],
)
def test_slips_on_the_command_line(
    run: Callable[..., Done], seeds: str, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "broken.py").write_text("def check(:\n")
    done = run("--model", "smollm2", "--seeds", seeds, "-o", "rows.jsonl", *arguments)
    assert done.code == 2
    assert message in done.err


def test_the_report_adds_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from rich.console import Console

    from evalkit.reports.making import render

    made = Making(
        output=tmp_path / "rows.jsonl",
        wanted=10,
        kept=10,
        grown=40,
        rejected={"near-duplicate": 20, "refusal": 8},
        surplus=2,
        rounds=2,
        seconds=61.0,
        seeds=5,
        first=(("Say \x1b[31mmoo", "moo"),),
        files={"rows": tmp_path / "rows.jsonl"},
    )
    render(made, Console(width=80))
    text = capsys.readouterr().out
    assert "10 of 10 rows from 5 seeds" in text
    assert "near-duplicate      20 50.0%" in text
    assert "\x1b" not in text
