import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from unittest import mock

import pytest

from evalkit import registry
from evalkit.documents import MultipleChoice, Text
from evalkit.errors import TaskDefinitionError, UnknownTaskError, UsageError
from evalkit.registry import load_file, registered, select
from evalkit.task import DataSource, Group, Row, Task
from evalkit.task_files import check_metrics

QUIZ = """
from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Group, Task

def document(row):
    return MultipleChoice(row["question"], row["choices"], row["answer"])

def make(name):
    return Task(name=name, data=DataSource(files={"test": "quiz.jsonl"}, shots_split="test"), document=document,
                metrics=("acc",))

first = make("quiz_one")
more = [make("quiz_two"), make("quiz_three")]
"""


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def document(row: Row) -> MultipleChoice:
    return MultipleChoice(row["question"], row["choices"], row["answer"])


def quiz(name: str, **settings: object) -> Task:
    source = DataSource(id="org/quiz", shots_split="train")
    return Task(name=name, data=source, document=document, metrics=("acc",), **settings)  # type: ignore[arg-type]


def test_names_are_unique_and_groups_are_complete() -> None:
    entries = registered()
    assert len(entries) == 186
    for name, entry in entries.items():
        assert entry.name == name
        assert entry.about, name
        select(name)


def test_every_metric_exists() -> None:
    for entry in registered().values():
        if isinstance(entry, Task):
            check_metrics(entry, Path("built-in"))
            assert set(entry.lm_eval_metrics) == (set(entry.metrics) if entry.lm_eval_metrics else set())
            assert entry.columns
            assert entry.citation or "starter" in entry.tags


def test_listing_needs_no_torch_and_is_fast() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); from evalkit.registry import registered; registered();"
        "seconds = time.perf_counter() - start;"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'numpy', 'scipy', 'jinja2'} & set(sys.modules);"
        "print(heavy); sys.exit(bool(heavy) or seconds > 2)"  # 0.1 s on an idle machine
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_selection_keeps_the_order_asked_and_each_task_once() -> None:
    selection = select("piqa,arc,arc_easy,piqa")
    assert list(selection.tasks) == ["piqa", "arc_easy", "arc_challenge"]
    assert list(selection.groups) == ["arc"]
    assert selection.groups["arc"].members == ("arc_easy", "arc_challenge")


def test_lists_and_strings_are_alike() -> None:
    assert select(["piqa", "arc_easy:5shot"]) == select(" piqa , arc_easy:5shot ")


def test_a_modifier_sets_shots_and_key() -> None:
    selection = select("arc_challenge:25shot,arc_challenge")
    assert {key: task.shots for key, task in selection.tasks.items()} == {
        "arc_challenge:25shot": 25,
        "arc_challenge": 0,
    }
    assert selection.tasks["arc_challenge:25shot"].name == "arc_challenge"
    assert list(select("arc_challenge:0shot").tasks) == ["arc_challenge"]


def test_a_group_hands_its_modifier_down() -> None:
    selection = select("mmlu:5shot,mmlu_stem")
    assert len(selection.tasks) == 57 + 19
    assert selection.tasks["mmlu_anatomy:5shot"].shots == 5
    assert list(selection.groups)[-2:] == ["mmlu:5shot", "mmlu_stem"]
    assert selection.groups["mmlu:5shot"].members[0] == "mmlu_stem:5shot"


def test_modifiers_combine_in_any_order() -> None:
    for spec in ("arc:cot:5shot", "arc:5shot:cot"):
        selection = select(spec)
        assert list(selection.tasks) == ["arc_easy:cot:5shot", "arc_challenge:cot:5shot"]
        assert list(selection.groups) == ["arc:cot:5shot"]
    assert list(select("arc:cot", shots=2).groups) == ["arc:cot:2shot"]
    assert list(select("arc_easy:cot,arc_easy").tasks) == ["arc_easy:cot", "arc_easy"]
    assert list(select("gsm8k:8shot,gsm8k:5shot,bbh_cot_fewshot_snarks:0shot").tasks) == [
        "gsm8k:8shot",
        "gsm8k",
        "bbh_cot_fewshot_snarks:0shot",
    ]


def test_a_form_reaches_every_level_and_changes_the_metric() -> None:
    groups = select("leaderboard:cot").groups
    assert list(groups) == ["leaderboard_mmlu:cot", "leaderboard:cot"]
    assert groups["leaderboard:cot"].members[:2] == ("arc_challenge:cot:25shot", "hellaswag:cot:10shot")
    assert {group.group.metrics for group in groups.values()} == {"exact_match@answer"}


def test_a_near_modifier_is_suggested() -> None:
    with pytest.raises(UsageError, match="'cott'") as caught:
        select("mmlu:cott")
    assert "did you mean `mmlu:cot`" in (caught.value.hint or "")


def test_a_member_may_be_asked_in_another_form() -> None:
    pair = Group(name="pair", members=("one", "one:cot"), metrics={"one": "acc", "one:cot": "exact_match@answer"})
    selection = select((), extra=[quiz("one"), pair])
    assert selection.groups["pair"].group.metrics == {"one": "acc", "one:cot": "exact_match@answer"}


def test_inner_groups_come_before_outer_ones() -> None:
    seen: set[str] = set()
    for name, group in select("leaderboard,mmlu").groups.items():
        assert all(member in seen or not member.startswith(("mmlu_stem", "leaderboard_")) for member in group.members)
        seen.add(name)


def test_the_option_applies_to_all_but_fixed_tasks_and_own_modifiers() -> None:
    selection = select("piqa,truthfulqa_mc1,arc_easy:2shot,wikitext", shots=5)
    assert list(selection.tasks) == ["piqa:5shot", "truthfulqa_mc1", "arc_easy:2shot", "wikitext"]


def test_the_leaderboard_has_the_shots_and_metrics_of_2023() -> None:
    selection = select("leaderboard")
    shots = {task.name: task.shots for task in selection.tasks.values()}
    assert len(shots) == 60
    assert (shots["arc_challenge"], shots["hellaswag"], shots["truthfulqa_mc2"]) == (25, 10, 0)
    assert {number for name, number in shots.items() if name.startswith("mmlu")} == {5}
    top = selection.groups["leaderboard"]
    assert set(top.group.metrics) == set(top.members)
    assert selection.groups["leaderboard_mmlu"].group.weighting == "tasks"
    assert list(select("leaderboard", shots=3).groups) == ["leaderboard_mmlu", "leaderboard"]


def test_a_group_without_metric_is_only_a_name() -> None:
    selection = select("truthfulqa")
    assert list(selection.tasks) == ["truthfulqa_mc1", "truthfulqa_mc2"]
    assert selection.groups == {}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("truthfulqa_mc1:5shot", "truthfulqa_mc1 has a fixed number"),
        ("truthfulqa:5shot", "every task of group truthfulqa"),
        ("", "no task was named"),
        (" , ", "no task was named"),
        ("perplexity:book.txt:5shot", "takes no few-shot"),
        ("arc_easy:5shot:cot:3shot", "asks for 5 and for 3"),
        ("arc_easy:foo", "arc_easy takes no modifier 'foo'"),
        ("mmlu:5shot:chain", "mmlu:5shot takes no modifier 'chain'"),
        ("gsm8k_cot_zeroshot:5shot", "fixed number"),
    ],
)
def test_impossible_requests_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select(spec)


def test_negative_shots_are_refused() -> None:
    with pytest.raises(UsageError, match="-1"):
        select("piqa", shots=-1)


@pytest.mark.parametrize(
    ("name", "near"),
    [("mmul", "mmlu"), ("anatomy", "mmlu_anatomy"), ("Hellaswag", "hellaswag"), ("arc-easy", "arc_easy")],
)
def test_an_unknown_name_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownTaskError, match=name) as caught:
        select(name)
    assert near in (caught.value.hint or "")


def test_a_forgotten_ending_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, QUIZ)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownTaskError) as caught:
        select("mine")
    assert "mine.py" in (caught.value.hint or "")


def test_a_python_file_gives_all_its_tasks(tmp_path: Path) -> None:
    path = write(tmp_path, QUIZ)
    assert [entry.name for entry in load_file(path)] == ["quiz_one", "quiz_two", "quiz_three"]
    assert list(select(f"{path}:2shot").tasks) == ["quiz_one:2shot", "quiz_two:2shot", "quiz_three:2shot"]


def test_data_is_found_beside_the_task_file(tmp_path: Path) -> None:
    (task,) = [task for task in select(str(write(tmp_path, QUIZ))).tasks.values() if task.name == "quiz_one"]
    assert Path(task.data.base) == tmp_path


def test_a_group_of_ones_own_may_name_built_in_tasks(tmp_path: Path) -> None:
    path = write(tmp_path, QUIZ + '\nboth = Group(name="both", members=("quiz_one", "arc_easy:3shot"))')
    selection = select(str(path))
    assert selection.groups["both"].members == ("quiz_one", "arc_easy:3shot")


def test_importing_a_built_in_task_is_no_clash(tmp_path: Path) -> None:
    path = write(tmp_path, QUIZ + "\nfrom evalkit.tasks.piqa import piqa")
    assert "piqa" in select(str(path)).tasks


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, QUIZ.replace("quiz_one", "arc_easy"))
    with pytest.raises(TaskDefinitionError, match="arc_easy, a name that"):
        select(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n\nraise ValueError('oh')", "mine.py, line 3: ValueError: oh"),
        ("def f(:\n", "mine.py, line 1"),
        ("import sys\nsys.exit(3)", "mine.py, line 2: SystemExit: 3"),
        ("x = 1", "defines no task"),
        (QUIZ.replace("quiz_one", "quiz one"), "'quiz one'"),
        (QUIZ.replace('("acc",)', '("accuracy",)'), "no metric named 'accuracy'"),
        (QUIZ.replace('("acc",)', "()"), "has no metric"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TaskDefinitionError) as caught:
        select(str(write(tmp_path, text)))
    assert message in caught.value.message


def test_a_missing_file_is_named() -> None:
    with pytest.raises(TaskDefinitionError, match=r"nowhere\.yaml does not exist"):
        select("nowhere.yaml")


def test_groups_that_contain_themselves_are_refused() -> None:
    loop = [Group(name="a", members=("b",)), Group(name="b", members=("a",))]
    with pytest.raises(TaskDefinitionError, match="a -> b -> a"):
        select((), extra=loop)


def test_an_unknown_member_names_its_group() -> None:
    with pytest.raises(UnknownTaskError, match="'nosuch', which group a names"):
        select((), extra=[Group(name="a", members=("nosuch",))])


def test_tasks_of_the_caller_are_selected_after_the_named_ones() -> None:
    own = quiz("own")
    assert list(select("piqa", shots=1, extra=[own]).tasks) == ["piqa:1shot", "own:1shot"]


def test_a_task_without_a_pool_takes_no_shots() -> None:
    own = Task(name="own", data=DataSource(id="org/quiz"), document=document, metrics=("acc",))
    with pytest.raises(UsageError, match="own has no split"):
        select((), shots=2, extra=[own])


def test_metrics_of_a_group_are_keyed_by_the_resolved_members() -> None:
    pair = Group(name="pair", members=("one", "two"), metrics={"one": "acc", "two": "acc_norm"})
    selection = select("pair:4shot", extra=[quiz("one"), quiz("two"), pair])
    assert selection.groups["pair:4shot"].group.metrics == {"one:4shot": "acc", "two:4shot": "acc_norm"}


def test_a_text_file_becomes_one_document(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes("\ufeffZoë said:\r\nno.\n".encode())
    (task,) = select(f"perplexity:{path}").tasks.values()
    (row,) = task.data.rows
    document = task.document(row)
    assert document == Text("Zoë said:\r\nno.\n")
    assert task.metrics[0] == "token_perplexity"


@pytest.mark.parametrize(
    ("content", "message"), [(b"a\nb\xff", "line 2"), (b" \n", "is empty"), (None, "cannot be read")]
)
def test_a_bad_text_file_is_a_usage_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "book.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        select(f"perplexity:{path}")


def test_a_new_prefix_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(rest: str, shots: int | None) -> list[Task]:
        asked.append((rest, shots))
        return [quiz(f"mine:{rest}", shots=shots or 0)]

    monkeypatch.setitem(registry.prefixes, "mine:", load)
    assert list(select("mine:x:7shot,mine:y", shots=2).tasks) == ["mine:x", "mine:y"]
    assert asked == [("x", 7), ("y", 2)]
    (task,) = select("mine:a:b:cot:3shot").tasks.items()
    assert (task[0], task[1].shots, asked[-1]) == ("mine:a:b:cot", 3, ("a:b", 3))


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[mock.Mock]]:
    points: list[mock.Mock] = []
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    registry._registered.cache_clear()
    yield points
    registry._registered.cache_clear()


def point(package: str, loaded: object) -> mock.Mock:
    entry = mock.Mock()
    entry.dist.name = package
    entry.name = "tasks"
    entry.load.side_effect = loaded if isinstance(loaded, Exception) else None
    entry.load.return_value = loaded
    return entry


def test_packages_add_tasks(packages: list[mock.Mock]) -> None:
    packages += [point("one", quiz("theirs")), point("two", [quiz("more"), Group(name="group", members=("more",))])]
    assert {"theirs", "more", "group"} <= set(registered())


def test_a_broken_package_is_named_and_breaks_nothing(
    packages: list[mock.Mock], caplog: pytest.LogCaptureFixture
) -> None:
    packages += [point("broken", ImportError("no such module")), point("empty", 3), point("thief", [quiz("piqa")])]
    assert len(registered()) == 186
    text = caplog.text
    assert "package broken" in text
    assert "no such module" in text
    assert "package empty" in text
    assert "package thief: its task piqa is left out" in text


@pytest.mark.parametrize("name", ["wmt22:en-de", "wmt20:km-en", "facebook/flores:eng_Latn-deu_Latn"])
def test_a_pair_of_languages_lacks_its_prefix(name: str) -> None:
    with pytest.raises(UnknownTaskError) as caught:
        select(name)
    assert f"did you mean translation:{name}?" in (caught.value.hint or "")
