"""Which rule judges which task, and how a policy is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.gating.amount import Amount
from evalkit.gating.policy import OnUndecided, Policy, Rule
from evalkit.gating.policy_file import PRESET, parse_policy, read_policy
from tests.gating.examples import policy

ROOTS, INNER = ["mmlu", "arc_easy", "arc_challenge", "wikitext"], ["mmlu_law", "mmlu_math"]


def judged(text: str) -> dict[str, tuple[str, bool]]:
    return {one.task: (one.pattern, one.decides) for one in policy(text).judged(ROOTS, INNER)}


def test_without_a_policy_every_root_decides() -> None:
    found = Policy().judged(ROOTS, INNER)
    assert [(one.task, one.pattern, one.decides) for one in found] == [(name, "defaults", True) for name in ROOTS]


def test_an_exact_name_wins_then_the_glob_with_the_most_letters() -> None:
    text = 'tasks: {"*": {margin: 1pt}, "arc_*": {margin: 2pt}, "arc_c*": {margin: 3pt}, arc_easy: {margin: 4pt}}'
    found = {name: pattern for name, (pattern, _) in judged(text).items()}
    assert found == {"mmlu": "*", "arc_easy": "arc_easy", "arc_challenge": "arc_c*", "wikitext": "*"}


def test_a_glob_means_what_is_within_groups_only_where_no_root_fits() -> None:
    assert set(judged('tasks: {"*": {}}')) == set(ROOTS)
    assert judged('tasks: {"mmlu_*": {margin: 5pt}}')["mmlu_law"] == ("mmlu_*", True)


def test_primary_tasks_alone_decide() -> None:
    found = judged("tasks: {mmlu: {primary: true}, wikitext: {informational: true}}")
    assert [name for name, (_, decides) in found.items() if decides] == ["mmlu"]
    found = judged("tasks: {wikitext: {informational: true}}")
    assert [name for name, (_, decides) in found.items() if decides] == ROOTS[:3]


def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="`arc_esy`") as caught:
        judged("tasks: {arc_esy: {}}")
    assert caught.value.hint == "did you mean `arc_easy`?"


def test_defaults_are_inherited_and_overridden() -> None:
    found = policy("defaults: {margin: 2pt, alpha: 0.01, on_undecided: warn}\ntasks: {mmlu: {margin: 3pt}, arc_easy: }")
    assert found.rules["mmlu"] == Rule(margin=Amount(3, "pt"), alpha=0.01, on_undecided=OnUndecided.WARN)
    assert found.rules["arc_easy"] == found.defaults


def test_the_preset_means_the_same_as_no_policy() -> None:
    found = parse_policy(PRESET, "")
    assert found == Policy(Rule(margin=Amount(1, "pt"), alpha=0.05, min_overlap=0.95))
    uncommented = "\n".join(
        line.replace("# ", "", 1) if line.lstrip().startswith(("# ", "#   ")) else line
        for line in PRESET.splitlines()[3:]
    )
    assert set(parse_policy(uncommented, "").rules) == {"gsm8k", "mmlu*", "wikitext"}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("defaults:\n  margn: 1pt", "line 2: `margn` is not a key", "did you mean `margin`?"),
        ("defalts: {}", "line 1: `defalts` is not a key of a policy", "did you mean `defaults`?"),
        ("margin: 1pt", "line 1: `margin` is not a key of a policy", "it belongs under `defaults` or a task"),
        ("defaults: {margin: two}", "`margin` is 'two', expected a size", "examples: 2pt"),
        ("defaults: {margin: -1pt}", "`margin` is '-1pt'", "less than 0"),
        ("defaults: {margin: }", "`margin` is empty", None),
        ("defaults: {margin: true}", "`margin` is True", None),
        ("defaults: {margin: 2026-01-02}", "`margin` is 2026-01-02, expected a size", None),
        ("defaults: {margin: [2026-01-02]}", "`margin` is a list, expected a size", None),
        ("defaults: {alpha: 5}", "`alpha` is 5, expected a number between 0 and 0.5", "0.05"),
        ("defaults: {min_items: 0}", "`min_items` is 0, expected a whole number from 1 on", None),
        ("defaults: {on_undecided: maybe}", "expected fail, warn or pass", None),
        ("defaults: {on_undecided: [fail]}", "expected fail, warn or pass", None),
        ("defaults: {max_unreadable_rate: 120%}", "expected a share", None),
        ("defaults: {primary: true}", "`primary` is not a key of `defaults`", None),
        ("tasks: {a: {primary: yes, informational: yes}}", "`a` is both primary and informational", None),
        ("tasks: {a: {primary: 1}}", "expected true or false", None),
        ("tasks: {a: {margin: 1pt, margin: 2pt}}", "`margin` is there twice", None),
        ("tasks: [a]", "`tasks` is a mapping", None),
        ("- a", "a policy is a mapping", None),
        ("tasks: {a: 1pt}", "a task is a mapping", None),
        ("tasks:\n  mmlu*: {margin: 1pt}\n  *: {}", "line 3: this is not YAML", "a glob needs quotes"),
        ("allow: 3", "`allow` is a list of settings", None),
        ("defaults: &a {margin: 1pt}\ntasks: {x: *b}", "this is not YAML", None),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        policy(text)
    assert message in caught.value.message
    assert caught.value.message.startswith("gate.yaml, line ")
    assert hint is None or hint in str(caught.value.hint)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_policy(tmp_path / "gate.yaml")
    assert "--print-policy" in str(caught.value.hint)
    (tmp_path / "latin.yaml").write_bytes(b"defaults: {metric: caf\xe9}")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_policy(tmp_path / "latin.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_policy(tmp_path / "empty.yaml").rules == {}


def test_options_change_every_rule() -> None:
    found = policy("tasks: {mmlu: {margin: 3pt}}").changed(margin=Amount(5, "pt"))
    assert found.defaults.margin == found.rules["mmlu"].margin == Amount(5, "pt")
