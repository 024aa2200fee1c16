"""HumanEval: the prompts are lm-eval's, and generated code runs only when the user allows it, once, and is told apart."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import evalkit
from evalkit import MockModel
from evalkit.errors import UsageError
from evalkit.registry import registered
from evalkit.requests import Generate
from evalkit.task import DataSource, Task

ROWS = [
    {
        "task_id": f"made-up/{number}",
        "prompt": f'def times_{number}(x):\n    """{number} times x"""\n',
        "canonical_solution": f"    return {number} * x\n",
        "test": f"def check(candidate):\n    assert candidate(3) == {3 * number}\n",
        "entry_point": f"times_{number}",
    }
    for number in range(1, 5)
]


def functions(rows: list[dict[str, str]] = ROWS) -> Task:
    task = registered()["humaneval"]
    assert isinstance(task, Task)
    return replace(task, name="functions", data=DataSource(id="made-up", rows=rows))


def body(request: Generate) -> str:
    """Right for 1 and 2, wrong for 3, and with a further function that the stop text cuts off."""
    number = request.prompt.partition("times_")[2][0]
    return f"    return {2 if number == '3' else number} * x\n\ndef broken("


def test_it_is_refused_without_the_flag_and_before_the_model() -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model was loaded")

    with (
        mock.patch("evalkit.api.Evaluation._backend", load),
        pytest.raises(UsageError, match="task functions runs the code that the model writes") as caught,
    ):
        evalkit.run(model="smollm2", tasks=[functions()])
    assert "--allow-code-execution" in (caught.value.hint or "")


def test_the_command_has_the_flag_and_names_it() -> None:
    command = [sys.executable, "-m", "evalkit", "run", "--model", "smollm2", "--tasks", "humaneval", "--offline"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--allow-code-execution" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_is_refused_as_the_run_would_be() -> None:
    with pytest.raises(UsageError) as caught:
        evalkit.plan(model=MockModel(texts=body), tasks=[functions()])
    assert "--allow-code-execution" in (caught.value.hint or "")
    assert evalkit.plan(model=MockModel(texts=body), tasks=[functions()], allow_code_execution=True).tasks


def test_nothing_runs_before_the_flag_is_given(tmp_path: Path) -> None:
    with mock.patch("evalkit.code_execution.run_program") as run, pytest.raises(UsageError):
        evalkit.run(model=MockModel(texts=body), tasks=[functions()])
    run.assert_not_called()


def test_functions_that_pass_are_right() -> None:
    run = evalkit.run(model=MockModel(texts=body), tasks=[functions()], allow_code_execution=True)
    result = run.tasks["functions"]
    assert list(result.metrics) == ["pass@1"]
    assert result.metrics["pass@1"].value == 0.75
    assert [sample.outcome for sample in result.samples] == ["right", "right", "wrong", "right"]
    assert set(result.settings["code_execution"]) >= {"network", "processes", "limits"}


def test_several_samples_estimate_pass_at_k_and_each_text_runs_once() -> None:
    def bodies(request: Generate) -> list[str]:
        return ["    return 1 * x\n", "    return 0\n", "    return 1 * x\n", "    return 0\n"]

    from evalkit import code_execution

    with mock.patch("evalkit.code_execution.run_program", wraps=code_execution.run_program) as run:
        result = evalkit.run(
            model=MockModel(texts=bodies),
            tasks=[functions(ROWS[:1])],
            allow_code_execution=True,
            samples=4,
            temperature=0.8,
        ).tasks["functions"]
    assert {name: value.value for name, value in result.metrics.items()} == {"pass@1": 0.5, "pass@4": 1.0}
    assert len([call for call in run.call_args_list if "times_1" in call.args[0]]) == 2  # two different texts


def test_prompts_programs_and_settings_are_lm_evals() -> None:
    pytest.importorskip("lm_eval")
    import importlib.util

    import yaml

    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "tasks" / "humaneval"

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    theirs: dict[str, Any] = yaml.load((folder / "humaneval.yaml").read_text(), Loader)
    ours = registered()["humaneval"]
    assert isinstance(ours, Task)
    assert (theirs["dataset_path"], theirs["test_split"]) == (ours.data.id, ours.data.split)
    assert theirs["generation_kwargs"] == {
        "until": list(ours.decoding.stop),
        "max_gen_toks": ours.decoding.max_new_tokens,
        "do_sample": False,
    }
    # its utils.py cannot be imported here (it fetches and runs a metric), so its two one-line templates are filled in
    assert (theirs["doc_to_text"], theirs["doc_to_target"]) == ("{{prompt}}", "{{test}}\ncheck({{entry_point}})")
    assert 'doc["prompt"] + r' in (folder / "utils.py").read_text()
    document: Any = ours.document(ROWS[0])
    assert document.question == document.details["before"] == ROWS[0]["prompt"]
    assert document.details["after"] == f"{ROWS[0]['test']}\ncheck(times_1)"
    assert int(theirs["metadata"]["version"]) == ours.version
