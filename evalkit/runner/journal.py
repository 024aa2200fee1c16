"""What has been answered so far, on disk: the only state of a run.

One file beside the result. Its first line names the run by a hash of everything that decides an answer: the model's
content, the tokenizer, the engine's settings and every request. Then a line for each batch of answers, written and synced
before the next batch starts. The same command finds its journal and goes on.

Every line carries a hash of its content and of the run: one that a dying disk or a crash damaged is left out, and what it
held is computed again; the lines after it stay good. The journal of another run, which stands in the way, is set aside
under a name of its own, so that the command it belongs to can still go on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from evalkit.errors import OutputError
from evalkit.files import exclusive
from evalkit.reply_json import reply_of, values_of
from evalkit.requests import Failure, Generate, Reply, Request, Score

SCHEMA = "evalkit.journal/2"


def journal_path(output: Path) -> Path:
    """`base.json.journal` beside `base.json`."""
    return output.with_name(output.name + ".journal")


def run_key(identity: Mapping[str, Any], requests: Sequence[Request]) -> str:
    """Hash (64 hexadecimal digits) of a run: what answers and all that is asked."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode())
    previous = None
    for request in requests:
        if isinstance(request, Score):
            # what is asked about one context stands together: the context goes into the hash once
            digest.update(b"same " if request.context == previous else _framed("context", request.context))
            digest.update(_framed("continuation", request.continuation))
            previous = request.context
        elif isinstance(request, Generate):
            digest.update(_framed("prompt", request.prompt))
            settings = {"decoding": request.decoding.described(), "messages": [dict(one) for one in request.messages]}
            digest.update(_framed("how", json.dumps(settings, sort_keys=True)))
        else:
            digest.update(_framed("text", request.text))
    return digest.hexdigest()


def _framed(kind: str, text: str) -> bytes:
    """Bytes from which kind and text could be read back, so that no two lists of requests are hashed alike."""
    encoded = text.encode("utf-8", "backslashreplace")
    return b"%s %d " % (kind.encode(), len(encoded)) + encoded


class Journal:
    """Answers of one run, appended as they come.

    While it is open no other process can open it, and so none writes the same result.

    Args:
        path: The journal's file; None keeps answers in memory only.
        key: The run's hash.
        budget: Token budget of a new run's batches.

    Attributes:
        answers: Request index -> reply, of all that is known; failures are not kept, so that they are tried again.
        budget: Token budget that the run was last computed with.
        resumed: Number of answers found at the start.
        environments: What the processes said of themselves that wrote to it before this one, each kind once.
        damaged: Number of lines that are left out because they are not what was written.
        set_aside: Where the journal of another run went; None where there was none.

    Raises:
        OutputError: Another process has it open, or the place cannot be written.
    """

    def __init__(self, path: Path | None, key: str, budget: int) -> None:
        self.path = path
        self.answers: dict[int, Reply] = {}
        self.budget = budget
        self.environments: list[dict[str, Any]] = []
        self.damaged = 0
        self.set_aside: Path | None = None
        self._key = key
        self._size = 0
        self._file: BinaryIO | None = None
        self._held = ExitStack()
        if path is not None:
            with _explained(path, "choose another place with -o"):
                self._open(path)
        self.resumed = len(self.answers)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: Path) -> None:
        while True:
            with ExitStack() as held:
                busy = f"another process is writing {path.name.removesuffix('.journal')}"
                file = held.enter_context(exclusive(path, busy))
                content = file.read()
                known = list(self._known(content))
                own = _aside(path, self._key)
                if not known and content.count(b"\n") > 1:
                    key = _key_of(content)
                    # of a journal of this very run not one line is whole: it must not be found here again
                    self.set_aside = _aside(path, key if key != self._key else hashlib.sha256(content).hexdigest())
                    os.replace(path, self.set_aside)  # the file is opened again, empty
                elif not known and own.is_file():
                    os.replace(own, path)
                else:
                    self._held, self._file = held.pop_all(), file
                    break
        self._take(known)
        self._size = content.rfind(b"\n") + 1 if known else 0  # what follows the last line break was torn off
        self.damaged = content[: self._size].count(b"\n") - len(known)
        file.truncate(self._size)
        file.seek(self._size)
        if not known:
            self._append({"schema": SCHEMA, "key": self._key})

    def _known(self, content: bytes) -> Iterator[dict[str, Any]]:
        """The whole lines that this run has written."""
        for line in content.split(b"\n")[:-1]:
            digest, _, text = line.partition(b" ")
            if digest == self._digest(text):
                yield json.loads(text)

    def _digest(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, digest_size=8, key=self._key.encode()).hexdigest().encode()

    def _take(self, records: Iterable[dict[str, Any]]) -> None:
        for record in records:
            if "environment" in record and record["environment"] not in self.environments:
                self.environments.append(record["environment"])
            if "answers" in record:
                self.answers.update((index, reply_of(values)) for index, *values in record["answers"])
                self.budget = record["budget"]

    def begin(self, environment: Mapping[str, Any]) -> None:
        """Writes what this process is, so that a result can name all that had a part in it.

        Args:
            environment: JSON values.
        """
        known = json.loads(json.dumps(environment))
        if known not in self.environments:
            self._append({"environment": known})
        else:
            self.environments.remove(known)  # nothing that is not known of the result anyway

    def add(self, answers: Iterable[tuple[int, Reply]], budget: int) -> None:
        """Writes answers and syncs them to the disk; failures are left out.

        Raises:
            OutputError: The place cannot be written; what was written before stays.
        """
        new = [(index, reply) for index, reply in answers if not isinstance(reply, Failure)]
        self._append({"budget": budget, "answers": [[index, *values_of(reply)] for index, reply in new]})
        self.answers.update(new)
        self.budget = budget

    def _append(self, record: dict[str, Any]) -> None:
        if self._file is None:
            return
        assert self.path is not None
        text = json.dumps(record, separators=(",", ":")).encode()
        line = memoryview(self._digest(text) + b" " + text + b"\n")
        with _explained(self.path, "make room; the same command then continues from the last complete batch"):
            try:
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
                os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):
                    self._file.truncate(self._size)
                raise
        self._size += len(line)

    def close(self) -> None:
        """Closes the file; what it holds stays for the next run."""
        self._held.close()
        self._file = None

    def remove(self) -> None:
        """Deletes the file, once the result is written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self.close()


@contextmanager
def _explained(path: Path, hint: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write the journal {path}: {error.strerror}", hint=hint) from error


def _aside(path: Path, key: str) -> Path:
    """Where the journal of a run waits while another run writes the same result."""
    return path.with_name(f"{path.stem}.{key[:12]}{path.suffix}")


def _key_of(content: bytes) -> str:
    """The key in the first line of any run's journal; a hash of the line where it cannot be read."""
    line = content.split(b"\n", 1)[0]
    try:
        key = json.loads(line.partition(b" ")[2])["key"]
    except (ValueError, KeyError, TypeError):
        key = None
    return key if isinstance(key, str) and key.isalnum() else hashlib.sha256(line).hexdigest()
