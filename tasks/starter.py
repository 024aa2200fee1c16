"""The starter set: small data that comes with evalkit, so that everything runs without a network.

Written for evalkit, in its own words: questions about common misconceptions and short passages in several languages. It
serves first runs, demonstrations and tests; it is no benchmark, and its scores compare with nobody else's. Licence:
Apache-2.0, as evalkit. See starter/README.md.
"""

from pathlib import Path

from evalkit.documents import MultipleChoice, Text
from evalkit.task import DataSource, Group, Row, Task

FOLDER = str(Path(__file__).parent)
ANSWERS = {"question": str, "correct": [str], "incorrect": [str]}


def multiple_choice(question: str, true: list[str], false: list[str]) -> MultipleChoice:
    """The answers in alphabetical order; with the true ones first, a model that finds all alike would be right."""
    choices = sorted(true + false)
    return MultipleChoice(f"Q: {question}\nA:", choices, [choices.index(answer) for answer in true])


def one_true(row: Row) -> MultipleChoice:
    """A question with the first of its true answers."""
    return multiple_choice(row["question"], row["correct"][:1], row["incorrect"])


def several_true(row: Row) -> MultipleChoice:
    """A question with all its true answers."""
    return multiple_choice(row["question"], row["correct"], row["incorrect"])


def text(row: Row) -> Text:
    """A passage."""
    return Text(row["text"])


tasks = [
    Task(
        name="starter_truthful_mc1",
        data=DataSource(files={"test": "starter/truthful.jsonl"}, base=FOLDER),
        columns=ANSWERS,
        document=one_true,
        metrics=("acc", "acc_norm"),
        shots_fixed=True,
        about="misconceptions: pick the true answer (small, comes with evalkit)",
        tags=("starter", "truthfulness"),
    ),
    Task(
        name="starter_truthful_mc2",
        data=DataSource(files={"test": "starter/truthful.jsonl"}, base=FOLDER),
        columns=ANSWERS,
        document=several_true,
        metrics=("mc2",),
        shots_fixed=True,
        about="misconceptions: probability of the true answers (small, comes with evalkit)",
        tags=("starter", "truthfulness"),
    ),
    Task(
        name="starter_text",
        data=DataSource(files={"test": "starter/text.jsonl"}, base=FOLDER),
        columns={"title": str, "text": str, "language": str},
        document=text,
        metrics=("bits_per_byte", "byte_perplexity", "token_perplexity", "bits_per_character"),
        shots_fixed=True,
        about="perplexity of short passages (small, comes with evalkit)",
        language="mul",
        tags=("starter", "perplexity"),
    ),
    Group(
        name="starter",
        members=("starter_truthful_mc1", "starter_truthful_mc2", "starter_text"),
        metrics={},
        about="all that comes with evalkit; for first runs and demonstrations",
    ),
]
