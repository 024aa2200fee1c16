"""Passages before questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import evalkit
from evalkit.documents import Cloze, ContextChoice, MultipleChoice, OpenQuestion, Text
from evalkit.errors import UsageError
from evalkit.results import read_samples, samples_path
from evalkit.retrieval import Retrieval
from tests.cli.commands import Done, command
from tests.sft.examples import chat_model

PASSAGES = (
    {"title": "Cows", "text": "The cow says moo\nand eats grass."},
    {"title": "", "text": "The owl hoots at night."},
    {"title": "Lisbon", "text": "Lisbon is the capital of Portugal."},
    {"title": None, "text": "里斯本是葡萄牙的首都。"},
    {"title": "Empty", "text": " "},
)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in PASSAGES), encoding="utf-8")
    return str(path)


def test_the_best_passages_stand_in_order(corpus: str) -> None:
    block = Retrieval(corpus).block(OpenQuestion("Which animal says moo and which hoots at night?", "cow"))
    assert block == "Passages:\n[1] The owl hoots at night.\n[2] Cows: The cow says moo and eats grass.\n\n"
    assert Retrieval(corpus, 1).block(OpenQuestion("Who says moo?", "cow")) == (
        "Passages:\n[1] Cows: The cow says moo and eats grass.\n\n"
    )


def test_the_order_is_that_of_bm25s(corpus: str) -> None:
    import bm25s

    from evalkit.word_index import words

    texts = [
        "Cows: The cow says moo and eats grass.",
        "The owl hoots at night.",
        "Lisbon: Lisbon is the capital of Portugal.",
    ]
    index = bm25s.BM25()
    index.index([words(text) for text in [*texts, "里斯本是葡萄牙的首都。"]], show_progress=False)
    query = "the capital at night"
    scores = index.get_scores([word for word in words(query) if word in index.vocab_dict])
    wanted = [place for place in sorted(range(4), key=lambda place: -scores[place]) if scores[place] > 0]
    block = Retrieval(corpus, 9).block(OpenQuestion(query, ""))
    assert [line.split(" ", 1)[1] for line in block.splitlines()[1:-1]] == [texts[place] for place in wanted]


def test_a_chinese_question_finds_a_chinese_passage(corpus: str) -> None:
    assert "里斯本是葡萄牙的首都" in Retrieval(corpus, 1).block(OpenQuestion("葡萄牙的首都是哪里？", "里斯本"))


def test_the_answer_is_not_sought(corpus: str) -> None:
    """Every document asks nothing that the corpus knows, and has an answer that it does."""
    nothing = "Zzz?"
    for document in (
        OpenQuestion(nothing, "moo", ("moo",)),
        MultipleChoice(nothing, ["moo", "hoots"], 0),
        Cloze(nothing, "moo"),
        ContextChoice([nothing, "Yyy?"], "moo", 0),
        Text("The cow says moo"),
    ):
        assert Retrieval(corpus).block(document) == ""


def test_what_is_said_of_it(corpus: str, tmp_path: Path) -> None:
    described = Retrieval(corpus, 2).described()
    assert (described["corpus"], described["documents"], described["passages"]) == ("corpus.jsonl", 4, 2)
    assert described["without_text"] == 1
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text('{"text": "The cow says moo"}\n{"passage": "The owl hoots"}\n')
    assert "owl hoots" in Retrieval(str(mixed)).block(OpenQuestion("Which bird hoots?", "owl"))
    other = tmp_path / "other.txt"
    other.write_text("The cow says moo\n")
    assert Retrieval(str(other)).sha256 != described["sha256"]
    assert Retrieval(str(other)).described()["documents"] == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.jsonl", None, "there is no file"),
        ("empty.jsonl", "", "has no passage"),
        ("blank.jsonl", '{"text": " "}\n', "has no passage"),
        ("other.jsonl", '{"body": "moo"}\n', "has the columns body, and none of passages"),
        ("broken.jsonl", '{"text": "moo"\n', "broken.jsonl"),
        ("page.html", "<p>moo</p>", "page.html"),
    ],
)
def test_files_that_hold_no_passages(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        Retrieval(str(tmp_path / name)).block(OpenQuestion("moo", ""))
    with pytest.raises(UsageError, match="--passages is 0"):
        Retrieval(name, 0)


TASK = """\
task: animals
kind: generate
data: animals.jsonl
shots: 1
shots_data: shots.jsonl
question: "Q: {{prompt}}\\nA:"
answer: completion
stop: ["\\n"]
max_new_tokens: 3
metrics: [exact_match]
"""


@pytest.fixture
def folder(tmp_path: Path, corpus: str) -> Path:
    rows = [{"prompt": "Who says moo?", "completion": "cow"}, {"prompt": "Zzz?", "completion": "bee"}]
    (tmp_path / "animals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "animals.yaml").write_text(TASK.replace("shots: 1\nshots_data: shots.jsonl\n", ""))
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_model(tmp_path_factory.mktemp("models"))


def prompts(result: Path) -> dict[int, str]:
    return {row.index: row.prompt for row in read_samples(samples_path(result))}


@pytest.mark.parametrize("chat", ["off", "on"])
def test_a_run_puts_them_before_the_question_and_says_so(model: str, folder: Path, corpus: str, chat: str) -> None:
    given = {"model": model, "tasks": str(folder / "animals.yaml"), "device": "cpu", "chat_template": chat}
    plain = evalkit.run(**given, output=folder / "plain.json")
    found = evalkit.run(**given, output=folder / "with.json", retrieve=corpus, passages=1)
    before, after = prompts(folder / "plain.json"), prompts(folder / "with.json")
    block = "Passages:\n[1] Cows: The cow says moo and eats grass.\n\n"
    assert after[0] == before[0].replace("Q: Who", f"{block}Q: Who")
    assert after[1] == before[1]  # nothing fits: asked as without a corpus
    assert found.settings["retrieval"]["passages"] == 1
    assert found.tasks["animals"].settings["with_passages"] == 1
    assert "retrieval" not in plain.settings
    judged = evalkit.compare(folder / "plain.json", folder / "with.json")
    assert [one.field for one in judged.conditions if one.blocks] == ["prompt"]
    assert "retrieval" in [one.field for one in judged.conditions]


@pytest.mark.parametrize("limit", [None, 1])
def test_passages_are_another_question_also_of_other_documents(
    model: str, folder: Path, corpus: str, limit: int | None
) -> None:
    """Prompts of unlike documents have unlike hashes: what was put into them must be told by the settings."""
    given = {"model": model, "tasks": str(folder / "animals.yaml"), "device": "cpu"}
    other = folder / "other.txt"
    other.write_text("A cow says moo. Zzz.\n")
    evalkit.run(**given, output=folder / "plain.json")
    evalkit.run(**given, output=folder / "one.json", retrieve=corpus, limit=limit)
    evalkit.run(**given, output=folder / "two.json", retrieve=str(other))
    for before, after in (("plain", "one"), ("one", "two"), ("one", "plain")):
        judged = evalkit.compare(folder / f"{before}.json", folder / f"{after}.json")
        assert [one.field for one in judged.conditions if one.blocks] == ["prompt"]
        allowed = evalkit.compare(folder / f"{before}.json", folder / f"{after}.json", allow=["prompt"])
        assert not [one.field for one in allowed.conditions if one.blocks and not one.allowed]


def test_a_corpus_of_which_nothing_fits_asks_the_same(model: str, folder: Path, corpus: str) -> None:
    given = {"model": model, "tasks": str(folder / "animals.yaml"), "device": "cpu"}
    (folder / "other.txt").write_text("nothing of the kind\n")
    evalkit.run(**given, output=folder / "plain.json")
    evalkit.run(**given, output=folder / "with.json", retrieve=str(folder / "other.txt"), limit=1)
    judged = evalkit.compare(folder / "plain.json", folder / "with.json")
    assert not [one.field for one in judged.conditions if one.blocks]


def test_examples_stay_shared_and_have_no_passages(model: str, folder: Path, corpus: str) -> None:
    (folder / "animals.yaml").write_text(TASK.replace("shots_data: shots.jsonl\n", ""))
    rows = [{"prompt": f"Who says moo, {at}?", "completion": "cow"} for at in range(4)]
    (folder / "animals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = str(folder / "animals.yaml")
    evalkit.run(
        model=model, tasks=tasks, device="cpu", retrieve=corpus, output=folder / "with.json", chat_template="off"
    )
    for prompt in prompts(folder / "with.json").values():
        assert prompt.count("Passages:") == 1
        assert prompt.index("A: cow") < prompt.index("Passages:")


def test_another_corpus_does_not_continue_a_run(model: str, folder: Path, corpus: str) -> None:
    given = {"model": model, "tasks": str(folder / "animals.yaml"), "device": "cpu", "output": folder / "one.json"}
    evalkit.run(**given, retrieve=corpus)
    first = prompts(folder / "one.json")
    other = folder / "other.txt"
    other.write_text("A cow says moo in English only.\n")
    evalkit.run(**given, retrieve=str(other))
    assert prompts(folder / "one.json")[0] != first[0]
    assert "in English only" in prompts(folder / "one.json")[0]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Callable[..., Done]:
    monkeypatch.chdir(folder)
    return partial(command, monkeypatch, capsys, "run")


def test_on_the_command_line(run: Callable[..., Done], model: str, corpus: str) -> None:
    asked = ("--model", model, "--tasks", "animals.yaml", "-o", "out.json")
    assert run(*asked, "--retrieve", corpus, "--passages", "2").code == 0
    slip = run(*asked, "--retrieve", "absent.jsonl")
    assert slip.code == 2
    assert "there is no file absent.jsonl" in slip.err
    assert run(*asked, "--retrieve", corpus, "--passages", "0").code == 2


def test_tasks_of_lm_evals_library_build_their_own_prompts(model: str, corpus: str, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    with pytest.raises(UsageError, match="can get no passages"):
        evalkit.run(model=model, tasks="lm-eval:arc_easy", retrieve=corpus, limit=1, device="cpu", offline=True)
