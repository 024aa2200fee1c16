"""Imports point down only, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = {
    *("errors", "requests", "decoding", "documents", "extraction", "task", "files", "run_plan", "chat", "thinking"),
    *("environment", "word_index", "retrieval", "reply_json", "yaml_text"),
}
# package -> what of evalkit it may import besides itself
MAY_IMPORT: dict[str, set[str]] = {
    "evalkit/engine": {"errors", "decoding", "thinking"},
    "evalkit/stats": {"errors"},
    "evalkit/code_execution": {"errors"},
    "evalkit/data": CORE,
    "evalkit/models": CORE | {"data", "results"},
    "evalkit/backends": CORE | {"engine", "models", "results", ""},
    "evalkit/shots": CORE | {"data", "prompts"},
    "evalkit/runner": CORE
    | {
        "aggregate",
        "backends",
        "code_execution",
        "data",
        "metrics",
        "prompts",
        "registry",
        "response_store",
        "results",
        "shots",
        "stats",
        "summaries",
        "",
    },
    "evalkit/doctor": CORE | {"backends", "data", "engine", "models", "registry", "results", "runner", "stats", ""},
    "tasks": {"task", "documents", "decoding", "extraction", "metrics", "tasks", "worked_examples", ""},
    "evalkit/ratings": {"errors", "files", "json_node", "results", "stats", "thinking", ""},
    "evalkit/comparing": {
        *(
            "errors",
            "files",
            "json_node",
            "results",
            "comparison",
            "ranking",
            "stats",
            "metrics",
            "summaries",
            "aggregate",
            "",
        ),
        *("data", "task", "reports", "registry", "modifiers"),
    },
    "evalkit/gating": {
        *(
            "errors",
            "yaml_text",
            "files",
            "json_node",
            "data",
            "results",
            "comparison",
            "ranking",
            "comparing",
            "stats",
            "reports",
            "summaries",
            "",
        ),
    },
    "evalkit/verifying": {
        *CORE,
        *(
            "aggregate",
            "api",
            "backends",
            "data",
            "imitation",
            "metrics",
            "registry",
            "results",
            "runner",
            "sample_log",
        ),
        *("summaries", "verification"),
    },
    "evalkit/sft": {
        *CORE,
        *(
            "api",
            "backends",
            "comparing",
            "comparison",
            "data",
            "engine",
            "fine_tuning",
            "training_data",
            "gating",
            "json_node",
            "languages",
            "metrics",
            "models",
            "registry",
            "reports",
            "results",
            "runner",
            "sample_log",
            "shots",
            "stats",
            "summaries",
            "text_file",
            "yaml_file",
            "lm_eval_bridge",
            "",
        ),
    },
    "reports": {
        *(
            "doctor",
            "fine_tuning",
            "training_data",
            "reports",
            "files",
            "ratings",
            "results",
            "run_plan",
            "comparison",
            "ranking",
            "comparing",
            "gating",
            "stats",
            "task",
            "verification",
            "",
        ),
    },
}
HEAVY = {"torch", "transformers", "datasets", "pyarrow", "scipy", "trl", "ray", "peft", "lm_eval", "numpy", "sacrebleu"}


def imports(path: Path) -> set[str]:
    """Full names of the modules a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_down(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        for module in imports(file):
            parts = module.split(".")
            if parts[0] != "evalkit":
                continue
            part = parts[1] if len(parts) > 1 else ""
            assert part in MAY_IMPORT[package] | {Path(package).name}, f"{file.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("evalkit/stats", {"numpy", "scipy"}),
        ("tasks", set()),
        ("reports", {"rich", "jinja2", "markupsafe", "vl_convert"}),
    ],
)
def test_third_party_imports_are_few(package: str, allowed: set[str]) -> None:
    for file in (ROOT / package).rglob("*.py"):
        others = {module.split(".")[0] for module in imports(file)} - set(sys.stdlib_module_names) - {"evalkit"}
        assert others <= allowed, file


@pytest.mark.parametrize("module", ["evalkit", "evalkit.cli.main", "evalkit.registry"])
def test_heavy_libraries_wait_until_they_are_needed(module: str) -> None:
    code = f"import sys, json, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert not HEAVY & set(loaded)


def test_every_public_name_resolves() -> None:
    import evalkit

    for name in evalkit.__all__:
        assert getattr(evalkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evalkit.nothing
