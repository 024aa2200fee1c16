r"""Tasks written in YAML: a benchmark from a local file or a hub dataset in a few lines.

    task: my_quiz
    data: quiz.csv
    question: "Question: {{question}}\nAnswer:"
    choices: [a, b, c, d]
    answer: answer

A field is a column's name or a Jinja2 template over columns. `choices` is a list of columns (or of fixed texts), a
column that holds a list, or one `{{ expression }}` that gives a list. `answer` is an index, a number, a letter or the
text of the choice; which of them is found from all rows, or said by `gold_is`. Tasks whose answer is generated are
described in `evalkit.yaml_generate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import yaml_generate
from evalkit.documents import Cloze, MultipleChoice, Text
from evalkit.errors import TaskDefinitionError
from evalkit.gold import FORMS, Answer, GoldForm, infer_form, read_gold
from evalkit.task import DataSource, Group, Registered, Row, Task
from evalkit.templates import Field, compile_field, is_template
from evalkit.text_file import PERPLEXITIES
from evalkit.yaml_file import Entry, read_entries

KINDS = ("choice", "cloze", "text", "generate")
DEFAULT_METRICS = {
    "choice": ("acc", "acc_norm"),
    "cloze": ("acc", "perplexity"),
    "text": PERPLEXITIES,
    "generate": yaml_generate.DEFAULT_METRICS,
}

_TEXT_FORMATS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_VALUE = (str, int, float, bool, list, dict)


def load_yaml(path: Path) -> list[Registered]:
    """Reads all tasks and groups of a YAML file.

    Raises:
        TaskDefinitionError: The file or an entry cannot be used; the message names file and line.
        DataError: A task's local data file cannot be read.
    """
    return [_group(entry) if entry.is_group else _task(entry) for entry in read_entries(path)]


@dataclass(frozen=True, slots=True)
class ChoiceDocument:
    """Turns a row into a question with choices."""

    question: Field
    choices: Field | tuple[Field, ...]
    answer: Field
    form: GoldForm

    def __call__(self, row: Row) -> MultipleChoice:
        """The document of a row."""
        choices = read_choices(self.choices, row)
        return MultipleChoice(
            self.question.text(row), choices, read_gold(self.form, Answer(self.answer.value(row), choices))
        )


@dataclass(frozen=True, slots=True)
class ClozeDocument:
    """Turns a row into a question with one expected continuation."""

    question: Field
    answer: Field

    def __call__(self, row: Row) -> Cloze:
        """The document of a row."""
        return Cloze(self.question.text(row), self.answer.text(row))


@dataclass(frozen=True, slots=True)
class TextDocument:
    """Turns a row into a text to score."""

    text: Field

    def __call__(self, row: Row) -> Text:
        """The document of a row."""
        return Text(self.text.text(row))


def read_choices(choices: Field | tuple[Field, ...], row: Row) -> list[str]:
    """The texts of a row's choices.

    Raises:
        ValueError: They are no list, fewer than two, or only some of the names are columns.
    """
    if isinstance(choices, Field):
        value = choices.value(row)
        if not isinstance(value, list | tuple):
            raise ValueError(f"the choices {choices.source!r} give {type(value).__name__}, expected a list")
        texts = [one if isinstance(one, str) else str(one) for one in value]
    else:
        missing = [one.source for one in choices if one.column and one.source not in row]
        named = [one.source for one in choices if one.column]
        if missing and (len(missing) < len(named) or len(named) < len(choices)):
            raise ValueError(f"there is no column {missing[0]!r} for a choice (there are {', '.join(row)})")
        # none of the names is a column: the choices are these very texts, the same for every row
        texts = [one.source for one in choices] if missing else [one.text(row) for one in choices]
    if len(texts) < 2:
        raise ValueError(f"there are {len(texts)} choices, expected two or more")
    return texts


def _task(entry: Entry) -> Task:
    name = entry.required("task", "is the name that users type")
    kind = _kind(entry)
    data = _data(entry)
    fields = _fields(entry, kind)
    columns = _columns(entry, fields)
    metrics = entry.values.get("metrics", DEFAULT_METRICS[kind])
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    generation: dict[str, Any] = {}
    if kind == "generate":
        extractors = yaml_generate.extractors(entry)
        generation = {"decoding": yaml_generate.decoding(entry), "extractors": extractors}
        generation["own_metrics"] = yaml_generate.own_metrics(entry, names, bool(extractors))
        names = yaml_generate.metric_names(names, extractors)
    optional = ("description", "target_delimiter", "shots_delimiter", "version", "about", "citation", "language")
    cluster = fields.get("cluster")
    return Task(
        name=name,
        data=data,
        document=_document(entry, kind, fields, data, columns),
        metrics=names,
        columns=columns,
        shots=entry.values.get("shots", 0),
        shots_fixed=kind == "text",
        shots_exclude_self=data.shots_split == data.split,
        cluster=cluster.text if isinstance(cluster, Field) else None,
        tags=tuple(entry.values.get("tags", ())),
        **generation,
        **{key: entry.values[key] for key in optional if key in entry.values},
    )


def _kind(entry: Entry) -> str:
    kind: str = entry.values.get("kind", "text" if "text" in entry.values else "choice")
    if kind not in KINDS:
        raise TaskDefinitionError(
            f"{entry.place('kind')}: there is no kind {kind!r}", hint=f"kinds are {', '.join(KINDS)}"
        )
    if kind != "generate" and (stray := next((key for key in yaml_generate.KEYS if key in entry.values), None)):
        raise TaskDefinitionError(
            f"{entry.place(stray)}: `{stray}` belongs to tasks of `kind: generate`",
            hint="set the kind, or remove the key",
        )
    if kind == "text" and entry.values.get("shots"):
        raise TaskDefinitionError(f"{entry.place('shots')}: a text takes no few-shot examples", hint="remove `shots`")
    return kind


def _data(entry: Entry) -> DataSource:
    values = entry.values
    if ("data" in values) == ("dataset" in values):
        raise TaskDefinitionError(
            f"{entry.place('data')}: give either `data` or `dataset`",
            hint="`data: quiz.csv` is a file beside this one, `dataset: org/name` one of the hub's data sets",
        )
    split = values.get("split", "test")
    if "dataset" in values:
        return DataSource(
            id=values["dataset"],
            config=values.get("config"),
            split=split,
            shots_split=values.get("shots_split"),
            revision=values.get("revision"),
        )
    files = {split: values["data"]}
    if "shots_data" in values:
        files["shots"] = values["shots_data"]
    # without examples of their own, those of a document are drawn from the other documents
    return DataSource(
        files=files,
        split=split,
        shots_split="shots" if "shots_data" in values else split,
        base=str(entry.path.resolve().parent),
    )


def _fields(entry: Entry, kind: str) -> Mapping[str, Field | tuple[Field, ...]]:
    needed = {
        "choice": {
            "question": "is what is asked",
            "choices": "are the possible answers",
            "answer": "says which is right",
        },
        "cloze": {"question": "is what is shown", "answer": "is what must follow"},
        "text": {"text": "is what is scored"},
        "generate": yaml_generate.fields_needed(entry),
    }[kind]
    fields: dict[str, Field | tuple[Field, ...]] = {}
    for key, why in needed.items():
        source = entry.required(key, why)
        place = entry.place(key)
        if isinstance(source, list):
            fields[key] = tuple(compile_field(one, key, place) for one in source)
        else:
            fields[key] = compile_field(source, key, place)
    if "cluster" in entry.values:
        fields["cluster"] = compile_field(entry.values["cluster"], "cluster", entry.place("cluster"))
    return fields


def _columns(entry: Entry, fields: Mapping[str, Field | tuple[Field, ...]]) -> dict[str, Any]:
    """The schema: columns that are named, and for CSV, whose columns have no type, all as text as it is written."""
    as_text = str(entry.values.get("data", "")).lower().endswith(_TEXT_FORMATS)
    columns: dict[str, Any] = {}
    for key, value in fields.items():
        for one in (value,) if isinstance(value, Field) else value:
            if as_text:
                columns |= dict.fromkeys(one.columns, str)
            elif one.column and not (key == "choices" and isinstance(value, tuple)):
                columns[one.source] = _VALUE
    if as_text and isinstance(entry.values.get("choices"), list):
        columns = _without_fixed_choices(entry, columns)
    return columns


def _without_fixed_choices(entry: Entry, columns: dict[str, Any]) -> dict[str, Any]:
    """Choices that are fixed texts rather than columns are no part of the schema."""
    choices = {choice for choice in entry.values["choices"] if not is_template(choice)}
    present = set(_rows(_data(entry), {})[0])
    if choices & present:
        return columns
    return {name: kind for name, kind in columns.items() if name not in choices}


def _document(entry: Entry, kind: str, fields: Mapping[str, Any], data: DataSource, columns: Mapping[str, Any]) -> Any:
    if kind == "text":
        return TextDocument(fields["text"])
    if kind == "generate":
        return yaml_generate.OpenDocument(fields["question"], fields.get("answer"), fields.get("references"))
    if kind == "cloze":
        return ClozeDocument(fields["question"], fields["answer"])
    form = _gold_form(entry, fields, data, columns)
    return ChoiceDocument(fields["question"], fields["choices"], fields["answer"], form)


def _gold_form(entry: Entry, fields: Mapping[str, Any], data: DataSource, columns: Mapping[str, Any]) -> GoldForm:
    wanted = entry.values.get("gold_is")
    if wanted is not None:
        matching = [form for form in FORMS if form == wanted]
        if not matching:
            raise TaskDefinitionError(
                f"{entry.place('gold_is')}: there is no answer form {wanted!r}", hint=f"forms are {', '.join(FORMS)}"
            )
        return matching[0]
    if not data.files:
        raise TaskDefinitionError(
            f"{entry.place('answer')}: the form of the answers is not known before the data set is loaded",
            hint=f"add `gold_is:` with one of {', '.join(FORMS)}",
        )
    answers = []
    for number, row in enumerate(_rows(data, columns)):
        try:
            answers.append(Answer(fields["answer"].value(row), read_choices(fields["choices"], row)))
        except ValueError as error:
            raise TaskDefinitionError(
                f"{entry.place('choices')}: row {number} of {entry.values['data']}: {error}",
                hint="rows are counted from 0; correct the row, or `choices` and `answer`",
            ) from error
    return infer_form(answers, f"{entry.path}, task {entry.values['task']}")


def _rows(data: DataSource, columns: Mapping[str, Any]) -> Sequence[Row]:
    from evalkit.data import DataOptions, load_rows

    return load_rows(data, data.split, columns, DataOptions(offline=True))


def _group(entry: Entry) -> Group:
    values = dict(entry.values)
    name = values.pop("group")
    members = tuple(entry.required("members", "are the tasks in the group"))
    values.pop("members")
    if values.get("weighting", "tasks") not in ("items", "tasks"):
        raise TaskDefinitionError(
            f"{entry.place('weighting')}: there is no weighting {values['weighting']!r}",
            hint="there are items and tasks",
        )
    return Group(name=name, members=members, **values)
