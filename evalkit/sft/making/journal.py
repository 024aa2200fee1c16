"""The journal of a making: a line a round, so that the same command goes on where it was killed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from evalkit.errors import OutputError, UsageError


class Journal:
    """Rounds that are done.

    Args:
        path: The file.
        configuration: What the rounds depend on.
        fresh: Forget what is there.

    Raises:
        UsageError: The file is of another making.
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, configuration: dict[str, Any], *, fresh: bool) -> None:
        self.path = path
        self._head = json.loads(json.dumps({"configuration": configuration}))
        if fresh:
            self.remove()
        self.rounds = self._read()
        if not self.rounds:
            self._write(self._head, "w")

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")
        found = []
        for line in lines[:-1]:  # what a killed process was writing has no line end
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        if found and found[0] != self._head:
            known = found[0].get("configuration", {})
            wanted = self._head["configuration"]
            changed = [name for name in {**known, **wanted} if known.get(name) != wanted.get(name)]
            raise UsageError(
                f"{self.path} is of a making with another {', '.join(changed)}",
                hint="give another -o, or --fresh to start anew",
            )
        whole = b"".join(json.dumps(one, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n" for one in found)
        self.path.write_bytes(whole)
        return found[1:]

    def add(self, done: dict[str, Any]) -> None:
        """Writes a round and waits until it is on the disk.

        Raises:
            OutputError: The place cannot be written.
        """
        self._write(done, "a")
        self.rounds.append(done)

    def _write(self, document: dict[str, Any], mode: str) -> None:
        try:
            with open(self.path, f"{mode}b") as stream:
                stream.write(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror}", hint="make room; the same command goes on"
            ) from error

    def remove(self) -> None:
        """Takes the file away."""
        self.path.unlink(missing_ok=True)
