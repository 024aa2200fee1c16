"""What the golden prompts do not show: detokenisation on any text, the starter set, clusters."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evalkit.tasks
from evalkit.documents import MultipleChoice
from evalkit.registry import registered, select
from evalkit.task import Task
from evalkit.tasks.starter import multiple_choice
from evalkit.tasks.wikitext import detokenize

STARTER = Path(evalkit.tasks.__path__[0]) / "starter"
PIECES = [*" \n'\"()[]{}=°N/05", "s '", " @-@ ", " @,@ ", " @.@ ", " . ", " ! ", " : ", " 's", "' 5/", "= = =", "word"]


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None)  # the first example imports lm-eval
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_detokenised_text_is_lm_evals(page: str) -> None:
    oracle = pytest.importorskip("lm_eval.tasks.wikitext.preprocess_wikitext")
    assert detokenize(page) == oracle.wikitext_detokenizer({"page": page})


@given(st.text(max_size=60))
def test_detokenising_never_fails(page: str) -> None:
    assert isinstance(detokenize(page), str)


@pytest.mark.skipif(not (STARTER / "truthful.jsonl").is_file(), reason="the starter data is not there")
def test_the_starter_set_runs_without_a_network() -> None:
    from evalkit.data import DataOptions, load_rows

    for task in select("starter").tasks.values():
        rows = load_rows(task.data, task.data.split, task.columns, DataOptions(offline=True))
        assert len(rows) >= 60
        documents = [task.document(row) for row in rows]
        if task.name == "starter_truthful_mc1":
            positions = [document.golds[0] for document in documents if isinstance(document, MultipleChoice)]
            assert len(set(positions)) > 1


def test_a_model_without_an_opinion_does_not_score_full_marks() -> None:
    document = multiple_choice("Is it?", ["yes"], ["maybe", "no"])
    assert (list(document.choices), document.golds) == (["maybe", "no", "yes"], (2,))


def test_documents_about_one_passage_share_a_cluster() -> None:
    boolq, hellaswag = (task for name in ("boolq", "hellaswag") for task in select(name).tasks.values())
    assert boolq.cluster is not None
    assert hellaswag.cluster is not None
    assert (
        boolq.cluster({"passage": "p"})
        == boolq.cluster({"passage": "p", "question": "q"})
        != boolq.cluster({"passage": "x"})
    )
    assert hellaswag.cluster({"source_id": "video"}) == "video"


def test_built_in_tasks_have_lm_evals_name_or_say_starter() -> None:
    for entry in registered().values():
        if isinstance(entry, Task):
            assert entry.lm_eval == entry.name or "starter" in entry.tags


def test_rows_of_the_starter_set_have_no_repeated_answers() -> None:
    path = STARTER / "truthful.jsonl"
    if not path.is_file():
        pytest.skip("the starter data is not there")
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answers = [*row["correct"], *row["incorrect"]]
        assert len(set(answers)) == len(answers), row["question"]
