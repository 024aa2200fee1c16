"""Whatever the bytes of a file that somebody gives us, reading it gives a value or an error of evalkit's, in time."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

import evalkit
from evalkit.backends.endpoint.client import Retryable
from evalkit.backends.endpoint.scoring import read_scores
from evalkit.backends.endpoint.wire import completions_of, shows_thought, usage_of
from evalkit.data import DataOptions, load_rows
from evalkit.data.formats import read_file
from evalkit.data.kit import pack, unpack
from evalkit.decoding import Decoding
from evalkit.documents import OpenQuestion
from evalkit.gating.policy_file import PRESET, read_policy
from evalkit.gating.result_json import read_gate, write_gate
from evalkit.models.gguf_reading import check_gguf
from evalkit.ratings.file import read_ratings
from evalkit.reply_json import values_of
from evalkit.requests import Generate, Response
from evalkit.results import Run, read_samples, write_samples
from evalkit.retrieval import Retrieval
from evalkit.runner.journal import Journal
from evalkit.runner.settings import RunSettings
from evalkit.runner.task_run import NativeTaskRun
from evalkit.sft.data.cleaning import CleaningOptions
from evalkit.sft.data.read import read_training_data
from evalkit.task import Task
from evalkit.task_files import load_file
from evalkit.text_file import text_task
from evalkit.verifying.log import read as read_log
from tests.gating.examples import pair, policy
from tests.hostile.damage import bytes_near, dumped, examples, folder, lines_near, survives, values_near
from tests.reports.comparison_examples import choice_task
from tests.result_examples import run, task_result

OFFLINE = DataOptions(offline=True)
ROWS = [{"q": "Who?", "c": ["a", "b"], "a": 0, "g": "x"}, {"q": "Why?", "c": ["b", "c"], "a": 1, "g": "y"}]
CHOICE = (
    b"task: quiz\ndata: quiz.jsonl\nquestion: '{{q}}'\nchoices: c\nanswer: a\nshots: 1\ncluster: g\nmetrics: [acc]\n"
)
GENERATE = (
    b"- task: open\n  kind: generate\n  data: quiz.jsonl\n  question: q\n  answer: g\n  stop: ['\\n']\n"
    b"  extract: {number: '[0-9]+'}\n  metrics: [exact_match, bleu]\n- {group: both, members: [open], metrics: bleu}\n"
)


def place(inner: Path, name: str, content: bytes) -> Path:
    path = inner / name
    path.write_bytes(content)
    return path


# --- tasks


def read_task(inner: Path, content: bytes) -> None:
    place(inner, "quiz.jsonl", b"".join(dumped(row) + b"\n" for row in ROWS))
    for entry in load_file(place(inner, "task.yaml", content)):
        if isinstance(entry, Task):
            NativeTaskRun(entry.name, entry, OFFLINE, RunSettings())


@given(bytes_near(CHOICE, GENERATE))
@examples(60)
def test_task_files(content: bytes) -> None:
    with folder() as inner:
        survives(lambda: read_task(inner, content))


@pytest.mark.parametrize(
    "content",
    [
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 110)),
        b"!!python/object/apply:os.system ['touch pwned']",
        b"task: !!python/name:os.system x\n",
        b"task: quiz\ndata: ../../../../etc/passwd\nquestion: q\nchoices: c\nanswer: a\n",
        CHOICE.replace(b"{{q}}", b"{{ q.__class__.__mro__[1].__subclasses__() }}"),
        b"task: quiz\ndata: quiz.jsonl\nquestion: '{% for x in range(1000000000) %}x{% endfor %}'\nchoices: c\nanswer: a\n",
        b"task: quiz\ndata: quiz.jsonl\nquestion: '{{ q * 1000000000000 }}'\nchoices: c\nanswer: a\n",
        b"task: quiz\ndata: quiz.jsonl\nquestion: '{{ 9 ** 9 ** 9 }}'\nchoices: c\nanswer: a\n",
        b"task: open\nkind: generate\ndata: quiz.jsonl\nquestion: q\nanswer: g\nextract: '(a+)+$'\n",
    ],
)
def test_task_files_that_mean_harm_do_none_and_end_in_time(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with folder() as inner:
        monkeypatch.chdir(inner)
        survives(lambda: read_task(inner, content))
        assert not (inner / "pwned").exists()


# --- data


def table(columns: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def arrow(columns: Mapping[str, Any]) -> bytes:
    made = pyarrow.table(columns)
    stream = io.BytesIO()
    with pyarrow.ipc.new_stream(stream, made.schema) as writer:
        writer.write_table(made)
    return stream.getvalue()


COLUMNS = {"q": ["Who?", None], "a": [1, 2], "c": [["x"], []], "m": [{"k": 1}, {"k": 2}]}
FILES: dict[str, bytes] = {
    "d.jsonl": b"".join(dumped(row) + b"\n" for row in ROWS),
    "d.json": dumped({"data": ROWS}),
    "d.csv": b'q,a,"c"\nWho?,0,"x, ""y"""\nWhy?,1,"two\nlines"\n',
    "d.tsv": b"q\ta\nWho?\t0\n",
    "d.txt": b"one line\nanother\n",
    "d.parquet": table(COLUMNS),
    "d.arrow": arrow(COLUMNS),
    "d.jsonl.gz": gzip.compress(b"".join(dumped(row) + b"\n" for row in ROWS), mtime=0),
}


@pytest.mark.parametrize("name", FILES)
def test_data_files(name: str) -> None:
    @given(bytes_near(FILES[name]))
    @examples(15)
    def check(content: bytes) -> None:
        with folder() as inner:
            survives(lambda: read_file(place(inner, name, content)))

    check()


@given(
    st.one_of(bytes_near(FILES["d.jsonl"]), lines_near(*ROWS)), st.sampled_from(["p.jsonl", "p.json", "p.csv", "p.txt"])
)
@examples(25)
def test_corpora_and_texts(content: bytes, name: str) -> None:
    with folder() as inner:
        path = place(inner, name, content)
        survives(lambda: Retrieval(str(path), 2).block(OpenQuestion("Who is x?", "x")))
        survives(lambda: load_rows(text_task(path).data, "test", {}, OFFLINE)[0])


TRAINING = [
    [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}],
    [{"prompt": "1 + 1 =", "completion": "2"}],
    [{"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}],
    [{"instruction": "Say", "input": "", "output": "so"}],
    [{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}],
]


@pytest.mark.parametrize("rows", TRAINING)
def test_training_rows(rows: Any) -> None:
    valid = b"".join(dumped(row) + b"\n" for row in rows)

    @given(st.one_of(bytes_near(valid), lines_near(*rows, *rows)))
    @examples(8)
    def check(content: bytes) -> None:
        with folder() as inner:
            path = place(inner, "train.jsonl", content)
            survives(lambda: read_training_data([str(path)], {}, OFFLINE, CleaningOptions()))

    check()


def archive() -> bytes:
    with folder() as inner:
        (inner / "org/name").mkdir(parents=True)
        place(inner, "org/name/test.jsonl", FILES["d.jsonl"])
        pack(inner / "kit.tar.gz", ["org/name"], DataOptions((inner,), offline=True))
        return (inner / "kit.tar.gz").read_bytes()


ARCHIVE = archive()
UNPACKED = gzip.decompress(ARCHIVE)


@given(st.one_of(bytes_near(ARCHIVE), bytes_near(UNPACKED).map(lambda content: gzip.compress(content, 1, mtime=0))))
@examples(30)
def test_archives(content: bytes) -> None:
    with folder() as inner:
        survives(lambda: unpack(place(inner, "kit.tar.gz", content), inner / "target"))


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../outside.jsonl", tarfile.REGTYPE, ""),
        ("/tmp/outside.jsonl", tarfile.REGTYPE, ""),
        ("org/name/../../../outside", tarfile.REGTYPE, ""),
        ("org/name/link", tarfile.SYMTYPE, "/etc/passwd"),
        ("org/name/hard", tarfile.LNKTYPE, "org/name/test.jsonl"),
        ("org/name/device", tarfile.CHRTYPE, ""),
        ("org/name/pipe", tarfile.FIFOTYPE, ""),
        ("org/name", tarfile.DIRTYPE, ""),
    ],
)
def test_archives_cannot_write_elsewhere(name: str, kind: bytes, link: str) -> None:
    with folder() as inner:
        stream = io.BytesIO(UNPACKED)
        with tarfile.open(fileobj=stream) as known:
            members = [(one, known.extractfile(one)) for one in known.getmembers()]
            contents = [(one, source.read() if source else b"") for one, source in members]
        made = inner / "kit.tar.gz"
        with tarfile.open(made, "w:gz") as tar:
            first, content = contents[0]
            tar.addfile(first, io.BytesIO(content))
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member, io.BytesIO(b""))
            for one, content in contents[1:]:
                tar.addfile(one, io.BytesIO(content))
        assert survives(lambda: unpack(made, inner / "target")) is None
        assert list((inner / "target").iterdir()) == []


def test_an_archive_that_swells_is_refused_before_it_fills_the_disk() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    swollen = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    assert len(swollen) < 1 << 20
    with folder() as inner:
        assert survives(lambda: unpack(place(inner, "kit.tar.gz", swollen), inner / "target")) is None
        assert list((inner / "target").iterdir()) == []


# --- what evalkit wrote itself


def written(write: Callable[[Path], object], name: str) -> bytes:
    with folder() as inner:
        write(inner / name)
        return (inner / name).read_bytes()


TASK, LOG = choice_task("quiz", 6, 0.5, 1)
RESULT = run({"quiz": TASK, "other": task_result([1, 0, 1])})
BASE = written(RESULT.save, "base.json")
SAMPLES = written(lambda path: write_samples(path, LOG), "base.samples.parquet")
GATE = written(
    lambda path: write_gate(evalkit.gate(*pair(60, 10, 200), policy("defaults: {floor: 10pt}")), path), "gate.json"
)


@given(st.one_of(bytes_near(BASE), values_near(json.loads(BASE)).map(dumped)))
@examples(40)
def test_results(content: bytes) -> None:
    with folder() as inner:
        survives(lambda: Run.load(place(inner, "base.json", content)))


@given(bytes_near(SAMPLES))
@examples(25)
def test_logs_of_samples(content: bytes) -> None:
    with folder() as inner:
        path = place(inner, "base.samples.parquet", content)
        survives(lambda: list(read_samples(path)))
        survives(lambda: read_log(path, RESULT))


@pytest.mark.parametrize(
    "columns",
    [
        {"task": [1]},
        {name: [None] for name in ("task", "id", "index", "request", "kind", "completion", "prompt", "continuation")},
    ],
)
def test_logs_with_other_columns(columns: dict[str, list[Any]]) -> None:
    with folder() as inner:
        path = inner / "base.samples.parquet"
        known = parquet.read_table(io.BytesIO(SAMPLES))
        for name in known.column_names:
            columns.setdefault(name, [None])
        parquet.write_table(pyarrow.table(columns), path)
        survives(lambda: list(read_samples(path)))
        survives(lambda: read_log(path, RESULT))


@given(st.one_of(bytes_near(GATE), values_near(json.loads(GATE)).map(dumped)))
@examples(30)
def test_gates(content: bytes) -> None:
    with folder() as inner:
        survives(lambda: read_gate(place(inner, "gate.json", content)))


@given(bytes_near(PRESET.replace("# ", "").encode(), PRESET.encode(), b"margin: 1pt\ntasks: {mmlu: {margin: 2%}}\n"))
@examples(60)
def test_policies(content: bytes) -> None:
    with folder() as inner:
        survives(lambda: read_policy(place(inner, "gate.yaml", content)))


KEY = "ab" * 32
ANSWERS = {index: Response(-1.5 - index, True, (-1.0, -0.5 - index), 3) for index in range(6)}


def journal() -> bytes:
    def write(path: Path) -> None:
        with Journal(path, KEY, 64) as made:
            made.begin({"processor": "x"})
            for index, answer in ANSWERS.items():
                made.add([(index, answer)], 64)

    return written(write, "base.json.journal")


@given(bytes_near(journal()))
@examples(40)
def test_journals_give_right_answers_or_none(content: bytes) -> None:
    with folder() as inner:
        path = place(inner, "base.json.journal", content)
        with Journal(path, KEY, 64) as found:
            assert all(values_of(ANSWERS[index]) == values_of(reply) for index, reply in found.answers.items())
            found.add([(9, ANSWERS[0])], 64)
        with Journal(path, KEY, 64) as again:
            assert again.answers[9] == ANSWERS[0]


RATINGS = (
    b'{"schema":"evalkit.ratings/1","base":{"label":"a","model":"m","weights_sha256":"0"},"tuned":null}\n'
    b'{"task":"t","id":"x","rater":"bob","choice":"base"}\n'
)


@given(bytes_near(RATINGS))
@examples(30)
def test_ratings(content: bytes) -> None:
    with folder() as inner:
        survives(lambda: read_ratings(place(inner, "r.jsonl", content)))


# --- models and servers


def gguf() -> bytes:
    def text(value: str) -> bytes:
        return len(value).to_bytes(8, "little") + value.encode()

    fields = text("general.architecture") + (8).to_bytes(4, "little") + text("llama")
    return b"GGUF" + (3).to_bytes(4, "little") + (0).to_bytes(8, "little") + (1).to_bytes(8, "little") + fields


@given(bytes_near(gguf()))
@examples(30)
def test_gguf_headers(content: bytes) -> None:
    with folder() as inner:
        survives(lambda: check_gguf(place(inner, "m.gguf", content)))


REPLY = {
    "choices": [
        {
            "index": 0,
            "text": " 4",
            "message": {"role": "assistant", "content": " 4", "reasoning_content": None},
            "finish_reason": "stop",
            "logprobs": {"tokens": ["a", " 4"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {" 4": -0.5}]},
            "prompt_logprobs": [None, {"7": {"logprob": -0.5, "rank": 1, "decoded_token": " 4"}}],
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}},
}


@given(values_near(REPLY))
@examples(120)
def test_replies_of_servers(reply: Any) -> None:
    if not isinstance(reply, dict):
        return  # the client has refused it
    request = Generate("2 + 2 =", Decoding(max_new_tokens=4))
    readers: list[Callable[[], Any]] = [
        lambda: completions_of(reply, "completions", request, 1),
        lambda: completions_of(reply, "chat", request, 1),
        lambda: shows_thought(reply, "chat"),
        lambda: usage_of(reply),
        lambda: read_scores(reply, "echo"),
        lambda: read_scores(reply, "prompt_logprobs"),
    ]
    for read in readers:
        with suppress(Retryable):
            read()


def test_numbers_with_thousands_of_digits_are_no_way_to_stop_a_reader() -> None:
    assert sys.get_int_max_str_digits() > 0
    with folder() as inner:
        for name in ("d.json", "d.jsonl"):
            survives(lambda name=name: read_file(place(inner, name, b'[{"a": ' + b"9" * 100_000 + b"}]")))  # type: ignore[misc]
