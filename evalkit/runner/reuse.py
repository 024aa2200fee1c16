"""What a run may take from the response store, and what it leaves there.

An answer is the same, to the bit, only where everything is the same that decides it. With `--deterministic` that is the
model, the engine and the request; then any run finds what any other has computed. Without it the requests that are computed
together have a part in the last digits; then a run finds the answers of the very same run, whatever file it wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import evalkit
from evalkit.backends.base import Backend, Fingerprint, HasDigests, Prepared, environment_of, fingerprint_of
from evalkit.requests import Reply
from evalkit.response_store import Scope, Shelf

_CODE = ("engine", "models", "backends", "requests.py", "decoding.py", "thinking.py")
"""What of evalkit has a part in an answer."""


class Reuse:
    """The store's answers to one run's requests.

    Args:
        backend: What answers.
        prepared: The requests.
        run_key: Hash of what answers and of all requests.
    """

    def __init__(self, backend: Backend, prepared: Prepared, run_key: str) -> None:
        self._backend, self._prepared = backend, prepared
        self._budget = backend.budget
        fingerprint = fingerprint_of(backend)
        self._alone = fingerprint is not None and fingerprint.alone
        self._shelf = None if fingerprint is None else Shelf(_scope(fingerprint, backend, run_key))

    def known(self, wanted: Collection[int]) -> dict[int, Reply]:
        """Request -> answer, of those wanted ones that are in the store."""
        if self._shelf is None:
            return {}
        places: dict[bytes, list[int]] = {}
        for index in sorted(wanted):  # neighbours are prepared together
            places.setdefault(self._item(index), []).append(index)
        found = self._shelf.get(list(places))
        return {index: reply for item, reply in found.items() for index in places[item]}

    def keep(self, answers: Iterable[tuple[int, Reply]]) -> None:
        """Puts new answers into the store.

        After memory ran out batches are smaller, and answers those of no run that starts anew.
        """
        if self._shelf is not None and (self._alone or self._backend.budget == self._budget):
            self._shelf.put((self._item(index), reply) for index, reply in answers)

    def close(self) -> None:
        """Closes the store."""
        if self._shelf is not None:
            self._shelf.close()

    def _item(self, index: int) -> bytes:
        return cast(HasDigests, self._prepared).digest(index) if self._alone else index.to_bytes(4, "big")


def _scope(fingerprint: Fingerprint, backend: Backend, run_key: str) -> Scope:
    decides: dict[str, Any] = {
        "content": fingerprint.content,
        "code": _code_sha256(),
        "environment": environment_of(backend).computing,
    }
    if not fingerprint.alone:
        decides |= {"run": run_key, "budget": backend.budget}
    return Scope(_sha256(decides), {"model": backend.info.name, "alone": fingerprint.alone, **_about(fingerprint)})


def _about(fingerprint: Fingerprint) -> dict[str, Any]:
    model = fingerprint.content.get("model", {})
    return {name: model[name] for name in ("dtype", "weights_sha256") if name in model}


def _sha256(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


@cache
def _code_sha256() -> str:
    """Of the engine's source: a corrected engine does not find the answers of the one that was wrong."""
    root = Path(evalkit.__file__).parent
    digest = hashlib.sha256()
    for name in _CODE:
        place = root / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
