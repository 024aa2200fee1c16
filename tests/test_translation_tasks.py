from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
import yaml

import evalkit
from evalkit.backends.mock import MockModel
from evalkit.documents import OpenQuestion
from evalkit.errors import DataError, UsageError
from evalkit.languages import language_name, short_code
from evalkit.registry import select
from evalkit.requests import Generate
from evalkit.results import Run
from evalkit.task import Task
from tests.lm_eval_files import lm_eval_folder

HUB = Path(__file__).parents[1].parent / "shared" / "data" / "hub"
hub_data = pytest.mark.skipif(not HUB.is_dir(), reason="the real benchmark data is not beside the checkout")
SOURCES = ["The house is small.", "I like cats.", "Good night!"]
REFERENCES = ["Das Haus ist klein.", "Ich mag Katzen.", "Gute Nacht!"]
ANSWERS = [" Das Haus ist klein und alt.\nGerman phrase: x", " Ich mag Hunde.", " Gute Nacht!"]


def parallel(folder: Path) -> str:
    (folder / "s.en").write_text("\n".join(SOURCES) + "\n", encoding="utf-8")
    (folder / "r.de").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(REFERENCES).encode())
    return f"translation:{folder}/s.en+{folder}/r.de:en-de"


def only(spec: str) -> Task:
    (task,) = select(spec).tasks.values()
    return task


def test_the_prompt_is_that_of_lm_evals_wmt_tasks() -> None:
    folder = lm_eval_folder() / "translation"
    theirs = yaml.safe_load((folder / "wmt16_en-de.yaml").read_text())
    common = yaml.safe_load((folder / "wmt_common_yaml").read_text())
    task = only("translation:wmt/wmt16/de-en:en-de:test+validation")
    row = {"translation": {"en": "Hello.", "de": "Hallo."}}
    document = task.document(row)
    assert isinstance(document, OpenQuestion)
    assert document.question == jinja2.Template(theirs["doc_to_text"]).render(**row)
    # lm-eval's target begins with a blank of its own, so that its examples have two
    assert "  " + document.answer == " " + jinja2.Template(theirs["doc_to_target"]).render(**row)
    assert task.decoding.stop == tuple(common["generation_kwargs"]["until"])
    assert (task.data.id, task.data.config, task.data.split, task.data.shots_split) == (
        "wmt/wmt16",
        theirs["dataset_name"],
        common["test_split"],
        common["fewshot_split"],
    )


def test_parallel_files_from_prompt_to_sacrebleus_command(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: Generate) -> str:
        asked.append(request.prompt)
        return ANSWERS[SOURCES.index(request.prompt.split("phrase: ")[1].split("\n")[0])]

    run = evalkit.run(model=MockModel(texts=answer), tasks=parallel(tmp_path), output=tmp_path / "run.json")
    (key,) = run.tasks
    assert key == "translation:s.en+r.de:en-de"
    assert asked[0] == "English phrase: The house is small.\nGerman phrase:"
    (tmp_path / "out").write_text("".join(text.split("\n")[0] + "\n" for text in ANSWERS), encoding="utf-8")
    (tmp_path / "ref").write_text("".join(f"{line}\n" for line in REFERENCES), encoding="utf-8")
    result = Run.load(tmp_path / "run.json").tasks[key]
    assert list(result.metrics) == ["bleu", "chrf++", "ter"]
    for name, options in (("bleu", ["bleu"]), ("chrf++", ["chrf", "--chrf-word-order", "2"]), ("ter", ["ter"])):
        command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "out", "-w", "10", "-m", *options]
        done = subprocess.run([*command, "-b"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert f"{result.metrics[name].value:.10f}" == done.stdout.strip()
    assert result.settings["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|")
    assert result.dataset.id == "s.en+r.de"


def test_examples_are_the_other_sentences(tmp_path: Path) -> None:
    spec = parallel(tmp_path) + ":2shot"
    prompts: list[str] = []
    evalkit.run(model=MockModel(texts=lambda request: prompts.append(request.prompt) or "x"), tasks=spec)
    for source, reference, prompt in zip(SOURCES, REFERENCES, prompts, strict=True):
        assert prompt.endswith(f"English phrase: {source}\nGerman phrase:")
        assert reference not in prompt
        assert prompt.count("German phrase: ") == 2


@hub_data
@pytest.mark.hub_data
@pytest.mark.parametrize("spec", ["translation:haoranxu/WMT22-Test:zh-en", "translation:wmt22:zh-en"])
def test_real_rows_of_the_hub(spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sacrebleu.dataset import DATASETS

    monkeypatch.setattr(DATASETS["wmt22"], "_rawdir", str(tmp_path))
    run = evalkit.run(
        model=MockModel(texts=lambda _: " It is a test."), tasks=spec, data_dir=str(HUB), offline=True, limit=20
    )
    (result,) = run.tasks.values()
    assert result.dataset.id == "haoranxu/WMT22-Test"
    assert result.outcomes == {"scored": 20}
    assert 0 < result.metrics["chrf++"].value < 20


def test_rows_may_have_several_forms() -> None:
    task = only("translation:org/name:eng_Latn-deu_Latn")
    for row in (
        {"eng_Latn-deu_Latn": {"eng_Latn": "a", "deu_Latn": "b"}},
        {"sentence_eng_Latn": "a", "sentence_deu_Latn": "b"},
        {"source": "a", "references": ["b", "c"]},
        {"src": "a", "tgt": "b"},
    ):
        document = task.document(row)
        assert isinstance(document, OpenQuestion)
        assert document.question == "English phrase: a\nGerman phrase:"
        assert document.references[0] == "b"
    with pytest.raises(ValueError, match="none of the columns"):
        task.document({"x": "a"})
    with pytest.raises(ValueError, match="is no text"):
        task.document({"src": "a", "tgt": [None]})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("wmt22", "names no languages"),
        ("wmt22:german", "names no languages"),
        ("wmt22:en-xx", "no language with the code 'xx'"),
        ("wmt22:en-fr", "has no en-fr"),
        ("wmt2022:en-de", "no test set 'wmt2022'"),
        ("wmt22:en-de:dev", "without splits"),
        ("a.txt+b.txt:en-de", "cannot be read"),
        ("a.txt+b.txt:en-de:dev", "no splits"),
    ],
)
def test_what_cannot_be_is_told(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        select(f"translation:{spec}")
    assert caught.value.hint


def test_files_must_be_parallel(tmp_path: Path) -> None:
    spec = parallel(tmp_path)
    (tmp_path / "r.de").write_text("Eine Zeile\n")
    with pytest.raises(UsageError, match=r"s\.en 3, r\.de 1"):
        select(spec)
    (tmp_path / "r.de").write_bytes(b"\xff\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        select(spec)
    (tmp_path / "r.de").write_bytes(b" \n")
    with pytest.raises(UsageError, match="is empty"):
        select(spec)


def test_a_dataset_that_is_not_here_says_so() -> None:
    with pytest.raises(DataError, match="org/name"):
        evalkit.run(model=MockModel(), tasks="translation:org/name:en-de", offline=True)


def test_languages() -> None:
    assert [language_name(code) for code in ("de", "deu", "deu_Latn", "zh", "zho_Hans", "sah")] == [
        *["German"] * 3,
        *["Chinese"] * 2,
        "Yakut",
    ]
    assert [short_code(code) for code in ("jpn", "ja", "cmn_Hant")] == ["ja", "ja", "zh"]
    with pytest.raises(UsageError) as caught:
        language_name("gr")
    assert caught.value.hint
