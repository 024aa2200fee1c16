"""The task that `evalkit tasks new` writes: a description in Python or YAML, and a few rows of data beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit.errors import OutputError, UsageError
from evalkit.task_files import NAME

Kind = Literal["choice", "cloze", "text", "generate"]
Format = Literal["yaml", "py"]


@dataclass(frozen=True, slots=True)
class Written:
    """The two files of a new task."""

    task: Path
    data: Path


def write_task(name: str, kind: Kind, form: Format, folder: Path) -> Written:
    """Writes NAME.yaml (or NAME.py) and NAME.jsonl into a folder; they run as they are.

    Raises:
        UsageError: The name cannot be a task's, or is a registered task's.
        OutputError: A file of that name is there, or the folder cannot be written to.
    """
    from evalkit.registry import registered

    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a task", hint="use letters, digits, `_`, `-` and `.`")
    if name in registered():
        raise UsageError(f"there is a task called {name} already", hint="choose another name")
    written = Written(folder / f"{name}.{form}", folder / f"{name}.jsonl")
    for path in (written.task, written.data):
        if path.exists():
            raise OutputError(f"{path} is there already", hint="choose another name, or move the file away")
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _ROWS[kind])
    try:
        written.data.write_text(rows, encoding="utf-8")
        written.task.write_text(_TASKS[form, kind].replace("NAME", name), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{error.filename} cannot be written: {error.strerror}", hint="choose another folder"
        ) from error
    return written


_ROWS: dict[Kind, list[dict[str, Any]]] = {
    "choice": [
        {"question": "How many legs does a spider have?", "choices": ["six", "eight", "ten"], "answer": 1},
        {"question": "Which planet is closest to the Sun?", "choices": ["Mercury", "Venus", "Mars"], "answer": 0},
        {"question": "What does a thermometer measure?", "choices": ["pressure", "speed", "temperature"], "answer": 2},
        {"question": "At sea level, water boils at", "choices": ["50 °C", "100 °C", "150 °C"], "answer": 1},
    ],
    "cloze": [
        {"question": "The capital of France is", "answer": "Paris"},
        {"question": "The opposite of hot is", "answer": "cold"},
        {"question": "Monday, Tuesday, Wednesday,", "answer": "Thursday"},
        {"question": "One, two, three, four,", "answer": "five"},
    ],
    "text": [
        {"text": "The river rises in the hills above the town and reaches the sea after some forty miles."},
        {"text": "Bread needs flour, water, salt and time; the last is the one that cannot be hurried."},
        {"text": "A lighthouse keeper once had to climb the stairs twice a night to wind the clockwork."},
    ],
    "generate": [
        {"question": "What is the capital of France?", "answers": ["Paris"]},
        {"question": "Who wrote Hamlet?", "answers": ["William Shakespeare", "Shakespeare"]},
        {"question": "What gas do plants take in?", "answers": ["carbon dioxide", "CO2"]},
        {"question": "How many minutes has an hour?", "answers": ["60", "sixty"]},
    ],
}

_CHOICE_YAML = r"""# A multiple-choice task; `evalkit tasks show ./NAME.yaml` prints its prompts.
task: NAME
data: NAME.jsonl                               # .jsonl, .json, .csv, .tsv, .parquet; or `dataset: org/name` of the hub
question: "Question: {{question}}\nAnswer:"    # a template over the columns of a row
choices: choices                               # a column with a list, or several columns: [a, b, c, d]
answer: answer                                 # an index from 0, a letter from A, or the text of the choice
metrics: [acc, acc_norm]
"""

_CLOZE_YAML = """# A text whose end is to be predicted exactly; `evalkit tasks show ./NAME.yaml` prints its prompts.
task: NAME
kind: cloze
data: NAME.jsonl        # .jsonl, .json, .csv, .tsv, .parquet; or `dataset: org/name` of the hub
question: question      # a column, or a template over the columns of a row: "{{question}}"
answer: answer
metrics: [acc, perplexity]
"""

_TEXT_YAML = """# Perplexity of texts; `evalkit tasks show ./NAME.yaml` prints them.
task: NAME
kind: text
data: NAME.jsonl        # .jsonl, .json, .csv, .tsv, .parquet; or `dataset: org/name` of the hub
text: text              # a column, or a template over the columns of a row: "{{title}}: {{text}}"
metrics: [bits_per_byte, word_perplexity]
"""

_GENERATE_YAML = r"""# Questions answered freely; `evalkit tasks show ./NAME.yaml` prints their prompts.
task: NAME
kind: generate
data: NAME.jsonl                               # .jsonl, .json, .csv, .tsv, .parquet; or `dataset: org/name` of the hub
question: "Question: {{question}}\nAnswer:"    # a template over the columns of a row
references: answers                            # a column with one right answer or a list of them, or several columns
stop: ["\n"]                                   # texts that end the answer
max_new_tokens: 32
metrics: [quasi_exact_match, token_f1, contains]
"""

_CHOICE_PY = r'''"""NAME: what it measures, and where the questions come from."""

from evalkit.documents import MultipleChoice
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> MultipleChoice:
    """One row becomes a question, its choices and the index of the right one."""
    return MultipleChoice(f"Question: {row['question']}\nAnswer:", row["choices"], row["answer"])


task = Task(
    name="NAME",
    data=DataSource(files={"test": "NAME.jsonl"}, shots_split="test"),
    columns={"question": str, "choices": [str], "answer": int},
    document=document,
    metrics=("acc", "acc_norm"),
    shots_exclude_self=True,  # few-shot examples come from the same file
    about="what it measures",
)
'''

_CLOZE_PY = '''"""NAME: what it measures, and where the texts come from."""

from evalkit.documents import Cloze
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> Cloze:
    """One row becomes a text and the end that must be predicted exactly."""
    return Cloze(row["question"], row["answer"])


task = Task(
    name="NAME",
    data=DataSource(files={"test": "NAME.jsonl"}, shots_split="test"),
    columns={"question": str, "answer": str},
    document=document,
    metrics=("acc", "perplexity"),
    shots_exclude_self=True,  # few-shot examples come from the same file
    about="what it measures",
)
'''

_TEXT_PY = '''"""NAME: perplexity of what, and where the texts come from."""

from evalkit.documents import Text
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> Text:
    """One row becomes a text, every token of which is scored."""
    return Text(row["text"])


task = Task(
    name="NAME",
    data=DataSource(files={"test": "NAME.jsonl"}),
    columns={"text": str},
    document=document,
    metrics=("bits_per_byte", "word_perplexity"),
    shots_fixed=True,  # a text takes no few-shot examples
    about="perplexity of what",
)
'''

_GENERATE_PY = r'''"""NAME: what it measures, and where the questions come from."""

from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.task import DataSource, Row, Task


def document(row: Row) -> OpenQuestion:
    """One row becomes a question, the answer that examples show, and all right answers."""
    return OpenQuestion(f"Question: {row['question']}\nAnswer:", row["answers"][0], tuple(row["answers"]))


task = Task(
    name="NAME",
    data=DataSource(files={"test": "NAME.jsonl"}, shots_split="test"),
    columns={"question": str, "answers": [str]},
    document=document,
    metrics=("quasi_exact_match", "token_f1", "contains"),
    decoding=Decoding(max_new_tokens=32, stop=("\n",)),
    shots_exclude_self=True,  # few-shot examples come from the same file
    about="what it measures",
)
'''

_TASKS: dict[tuple[Format, Kind], str] = {
    ("yaml", "choice"): _CHOICE_YAML,
    ("yaml", "cloze"): _CLOZE_YAML,
    ("yaml", "text"): _TEXT_YAML,
    ("yaml", "generate"): _GENERATE_YAML,
    ("py", "choice"): _CHOICE_PY,
    ("py", "cloze"): _CLOZE_PY,
    ("py", "text"): _TEXT_PY,
    ("py", "generate"): _GENERATE_PY,
}
