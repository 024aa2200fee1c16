"""How a verification is told: differences first, many tasks as one."""

from __future__ import annotations

from evalkit.reports.verification import details, headline, lines
from evalkit.verification import Check, Verification


def test_many_tasks_are_one_line_and_differences_stand_first() -> None:
    names = [f"task {number}" for number in range(5)]
    agreeing = Verification("a.json", "m", tuple(Check.of(name, "samples", 10, []) for name in names))
    assert list(lines(agreeing)) == [("samples follow from the log", "agrees", "all: 50 documents")]
    assert headline(agreeing) == "a.json: everything that was checked agrees"
    wrong = Check.of("task 0", "samples", 10, ["acc is 1; its answers give 0"])
    open_ = Check.skipped("task 9", "samples", "no data")
    found = Verification("a.json", "m", (*agreeing.checks[1:], open_, wrong))
    assert [line[1:] for line in lines(found)] == [
        ("differs", "task 0: 10 documents, 1 difference"),
        ("not checked", "task 9"),
        ("agrees", "task 1, task 2, task 3 and 1 more: 40 documents"),
    ]
    assert headline(found) == "a.json: 1 of 6 checks differ"
    assert list(details(found)) == [
        ("task 0", "acc is 1; its answers give 0"),
        ("task 9", "samples follow from the log: no data"),
    ]


def test_what_is_said_of_many_tasks_is_said_once() -> None:
    checks = tuple(Check.skipped(f"task {number}", "data", "no folder") for number in range(5))
    ((subjects, said),) = details(Verification("a.json", "m", checks))
    assert (subjects, said) == ("task 0, task 1, task 2 and 2 more", "data and tasks are those here: no folder")
