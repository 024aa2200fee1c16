"""Result files with generated texts, made by running mock models on small tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import evalkit
from evalkit.documents import OpenQuestion
from evalkit.task import DataSource, Task

QUESTIONS = {
    "Why is the sky blue?": "Air scatters blue light more than red.",
    "Name a fruit.": "An apple.",
    "What is 6 times 7?": "42",
    "Wie heißt die Hauptstadt von Österreich?": "Wien",
    "水在标准大气压下的沸点是多少？": "100 摄氏度",
}


def question_task(name: str = "questions", questions: Mapping[str, str] = QUESTIONS) -> Task:
    rows = [{"question": question, "answer": answer} for question, answer in questions.items()]
    return Task(
        name=name,
        data=DataSource(id=name, rows=rows),
        document=lambda row: OpenQuestion(f"Question: {row['question']}\nAnswer:", row["answer"]),
        metrics=("exact_match",),
    )


def write_run(
    path: Path,
    name: str,
    answers: Mapping[str, str] | None = None,
    tasks: Sequence[Task] | None = None,
    **options: object,
) -> Path:
    """A result file of a mock model; what `answers` lacks is answered with the model's mark and the question."""

    def text(request: object) -> str:
        prompt = str(request.prompt)  # type: ignore[attr-defined]
        question = prompt.rsplit("Question: ", 1)[-1].removesuffix("\nAnswer:")
        return (answers or {}).get(question, f"{len(name)}: about {question}")

    model = evalkit.MockModel(texts=text, name=name)
    evalkit.run(model=model, tasks=list(tasks or [question_task()]), output=path, **options)  # type: ignore[arg-type]
    return path


def write_pair(
    folder: Path, base: Mapping[str, str] | None = None, tuned: Mapping[str, str] | None = None
) -> list[Path]:
    """Two result files, secret-alpha's and secret-omega-2's."""
    return [
        write_run(folder / "base.json", "secret-alpha", base),
        write_run(folder / "tuned.json", "secret-omega-2", tuned),
    ]
