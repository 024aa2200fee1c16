"""What has been answered so far, on disk: the only state of a run.

One file beside the result. Its first line names the run by a hash of everything that decides an answer: the model's
weights, the tokenizer, the engine's settings and every request. Then a line for each batch of answers, written and synced
before the next batch starts. The same command finds its journal and goes on; any other command starts anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from evalkit.errors import OutputError
from evalkit.requests import Completion, Failure, Generate, Generation, Reply, Request, Response, Score

SCHEMA = "evalkit.journal/1"


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

    Args:
        path: The journal's file; None keeps answers in memory only.
        key: The run's hash.
        budget: Token budget of a new run's batches.

    Attributes:
        answers: Request index -> reply, of all that is known; failures are not kept, so that they are tried again.
        budget: Token budget that the run was last computed with.
        resumed: Number of answers found at the start.
    """

    def __init__(self, path: Path | None, key: str, budget: int) -> None:
        self.path = path
        self.answers: dict[int, Reply] = {}
        self.budget = budget
        self._good_bytes = 0
        self._file: IO[bytes] | None = None
        if path is not None:
            self._open(path, key)
        self.resumed = len(self.answers)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: Path, key: str) -> None:
        known = self._read(path, key)
        try:
            self._file = path.open("r+b" if known else "wb")
            self._file.truncate(self._good_bytes)
            self._file.seek(self._good_bytes)
        except OSError as error:
            raise OutputError(
                f"cannot write the journal {path}: {error.strerror}", hint="choose another place with -o"
            ) from error
        if not known:
            self._append({"schema": SCHEMA, "key": key})

    def _read(self, path: Path, key: str) -> bool:
        """Reads a journal of this very run; a torn last line is dropped, another run's journal ignored."""
        try:
            content = path.read_bytes()
        except OSError:
            return False
        lines = content.split(b"\n")[:-1]  # what follows the last line break was torn off
        try:
            header = json.loads(lines[0]) if lines else {}
        except ValueError:
            return False
        if not isinstance(header, dict) or (header.get("schema"), header.get("key")) != (SCHEMA, key):
            return False
        self._good_bytes = len(lines[0]) + 1
        for line in lines[1:]:
            try:
                record = json.loads(line)
                answers = {int(index): _reply(values) for index, *values in record["answers"]}
                budget = int(record["budget"])
            except (ValueError, KeyError, TypeError):
                break  # a damaged line ends what can be trusted; the rest is computed again
            self.answers.update(answers)
            self.budget = budget
            self._good_bytes += len(line) + 1
        return True

    def add(self, answers: Iterable[tuple[int, Reply]], budget: int) -> None:
        """Writes answers and syncs them to the disk; failures are left out."""
        new = [(index, reply) for index, reply in answers if not isinstance(reply, Failure)]
        self.answers.update(new)
        self.budget = budget
        self._append({"budget": budget, "answers": [[index, *_values(reply)] for index, reply in new]})

    def _append(self, record: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(
                f"cannot write the journal {self.path}: {error.strerror}",
                hint="make room; the same command then continues from the last complete batch",
            ) from error

    def close(self) -> None:
        """Closes the file; what it holds stays for the next run."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Deletes the file, once the result is written."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _values(reply: Reply) -> list[Any]:
    if isinstance(reply, Generation):
        completions = [
            [one.text, one.finish, one.tokens, list(one.token_ids), one.log_probability, one.score]
            for one in reply.completions
        ]
        return [completions, reply.context_tokens, reply.truncated]
    assert isinstance(reply, Response)
    response = reply
    return [
        response.log_probability,
        int(response.greedy),
        list(response.token_log_probabilities),
        response.context_tokens,
        response.truncated,
    ]


def _reply(values: Sequence[Any]) -> Reply:
    if values and isinstance(values[0], list):
        texts, context_tokens, truncated = values
        completions = tuple(
            Completion(str(text), finish, int(tokens), tuple(map(int, ids)), log_probability, score)
            for text, finish, tokens, ids, log_probability, score in texts
        )
        return Generation(completions, int(context_tokens), int(truncated))
    total, greedy, tokens, context_tokens, truncated = values
    return Response(float(total), bool(greedy), tuple(float(t) for t in tokens), int(context_tokens), int(truncated))
