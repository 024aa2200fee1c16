"""Answers that were computed before, kept for later runs: one SQLite file for all models and tasks.

Peers' caches go by a model's name or path, so that a base model answers for the one trained from it. Here a scope is a hash
of everything that decides an answer (`evalkit.runner.reuse`), and whatever was trained, renamed or set otherwise is found
or missed by its content.

Nothing depends on the store: it holds nothing that cannot be computed again. A file that cannot be used is left alone or
set aside with a warning, and the run goes on without it. Every answer carries a hash of itself and its place, so that a
damaged page costs work and gives no wrong number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.reply_json import reply_of, values_of
from evalkit.requests import Failure, Reply

logger = logging.getLogger(__name__)

FORMAT = 1
AT_ONCE = 500
"""Answers looked for in one query."""
LARGEST = 4 << 30
"""Bytes that the store may take before those scopes go that were not used for longest."""
WAIT = 10.0
"""Seconds to wait for another process that is writing."""

_TABLES = """
create table if not exists scopes (
    id integer primary key, key text not null unique, about text not null, created real not null, used real not null);
create table if not exists answers (
    scope integer not null, item blob not null, value blob not null, digest blob not null,
    primary key (scope, item)) without rowid;
"""


def cache_home() -> Path:
    """Where evalkit keeps what can be computed again: `EVALKIT_CACHE_DIR`, else evalkit/ in the user's folder of caches."""
    if home := os.environ.get("EVALKIT_CACHE_DIR"):
        return Path(home).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "evalkit"


def store_path() -> Path:
    """The store's file."""
    return cache_home() / "responses.sqlite"


@dataclass(frozen=True, slots=True)
class Scope:
    """What one set of answers depends on.

    Attributes:
        key: Hash (64 hexadecimal digits) of everything that decides the answers besides the items' own.
        about: JSON values for people: which model, which engine.
    """

    key: str
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Holding:
    """What the store has of one scope.

    Attributes:
        key: The scope's.
        about: As `Scope.about`.
        answers: Number of answers.
        size: Bytes of their values.
        created: When the first was written (seconds since 1970).
        used: When one was last read or written.
    """

    key: str
    about: Mapping[str, Any]
    answers: int
    size: int
    created: float
    used: float


class ResponseStore:
    """The store's file, open.

    Args:
        path: It; made where it is missing.

    Raises:
        OSError: The folder cannot be made.
        sqlite3.Error: The file cannot be used. `opened` turns both into a warning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
        try:
            # readers and a writer side by side; a crash loses the last answers at most, which the journal has
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            (found,) = self._connection.execute("pragma user_version").fetchone()
            if found not in (0, FORMAT):
                raise sqlite3.DatabaseError(f"its format is {found}, and this version of evalkit writes {FORMAT}")
            if not found:
                with self._transaction():
                    for statement in filter(str.strip, _TABLES.split(";")):
                        self._connection.execute(statement)
                    self._connection.execute(f"pragma user_version = {FORMAT}")
        except sqlite3.Error:
            self._connection.close()
            raise

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def get(self, scope: Scope, items: Sequence[bytes]) -> dict[bytes, Reply]:
        """The answers that are there.

        Args:
            scope: What they depend on.
            items: Which, distinct.

        Returns:
            Item -> answer; what is missing, or is not what was written, is left out.
        """
        row = self._connection.execute("select id from scopes where key = ?", (scope.key,)).fetchone()
        if row is None:
            return {}
        found: dict[bytes, Reply] = {}
        for start in range(0, len(items), AT_ONCE):
            some = items[start : start + AT_ONCE]
            query = f"select item, value, digest from answers where scope = ? and item in ({','.join('?' * len(some))})"
            for item, value, digest in self._connection.execute(query, (row[0], *some)):
                if digest == _digest(scope.key, item, value):
                    found[item] = reply_of(json.loads(value))
        if found:
            self._connection.execute("update scopes set used = ? where id = ?", (time.time(), row[0]))
        return found

    def put(self, scope: Scope, answers: Iterable[tuple[bytes, Reply]]) -> None:
        """Writes answers, all or none; failures are left out."""
        values = [
            (item, json.dumps(values_of(reply), separators=(",", ":")).encode())
            for item, reply in answers
            if not isinstance(reply, Failure)
        ]
        if not values:
            return
        now = time.time()
        with self._transaction():
            self._connection.execute(
                "insert into scopes (key, about, created, used) values (?, ?, ?, ?) "
                "on conflict (key) do update set used = excluded.used",
                (scope.key, json.dumps(scope.about), now, now),
            )
            (place,) = self._connection.execute("select id from scopes where key = ?", (scope.key,)).fetchone()
            self._connection.executemany(
                "insert or replace into answers values (?, ?, ?, ?)",
                [(place, item, value, _digest(scope.key, item, value)) for item, value in values],
            )

    def size(self) -> int:
        """Bytes that the file takes, what is not yet moved into it included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def holdings(self) -> list[Holding]:
        """What is there, the last used first."""
        rows = self._connection.execute(
            "select key, about, count(item), coalesce(sum(length(value)), 0), created, used "
            "from scopes left join answers on answers.scope = scopes.id group by scopes.id order by used desc, key"
        )
        return [Holding(key, json.loads(about), *rest) for key, about, *rest in rows]

    def prune(self, *, largest: int | None = None, unused_since: float | None = None) -> list[Holding]:
        """Removes whole scopes, those first that were not used for longest, and gives their space back.

        Args:
            largest: Bytes of values that may stay.
            unused_since: Scopes that were last used before this (seconds since 1970) go in any case.

        Returns:
            What was removed.
        """
        kept, gone = 0, []
        for holding in self.holdings():
            kept += holding.size
            too_old = unused_since is not None and holding.used < unused_since
            if too_old or (largest is not None and kept > largest):
                kept -= holding.size
                gone.append(holding)
        with self._transaction():
            for holding in gone:
                self._connection.execute(
                    "delete from answers where scope in (select id from scopes where key = ?)", (holding.key,)
                )
                self._connection.execute("delete from scopes where key = ?", (holding.key,))
        if gone:
            self._connection.execute("vacuum")
            self._connection.execute("pragma wal_checkpoint(truncate)")
        return gone

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _digest(scope: str, item: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(b"%d %s " % (len(item), item) + value, digest_size=16, key=scope.encode()).digest()


class Shelf:
    """The store as one run uses it: what goes wrong with it is a warning, and never the end of the run.

    Args:
        scope: What the run's answers depend on.
        path: The store's file; None takes `store_path`.
    """

    def __init__(self, scope: Scope, path: Path | None = None) -> None:
        self._scope = scope
        self._path = path or store_path()
        self._store: ResponseStore | None = None
        with self._tolerant():
            self._store = ResponseStore(self._path)

    def get(self, items: Sequence[bytes]) -> dict[bytes, Reply]:
        """As `ResponseStore.get`."""
        found: dict[bytes, Reply] = {}
        with self._tolerant():
            if self._store is not None:
                found = self._store.get(self._scope, items)
        return found

    def put(self, answers: Iterable[tuple[bytes, Reply]]) -> None:
        """As `ResponseStore.put`."""
        with self._tolerant():
            if self._store is not None:
                self._store.put(self._scope, answers)

    def close(self) -> None:
        """Closes the file, and lets go of old answers where it has grown too large."""
        with self._tolerant():
            if self._store is not None:
                if self._store.size() > LARGEST:
                    self._store.prune(largest=LARGEST // 2)
                self._store.close()
        self._store = None

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            self._store = None
            aside = _set_aside(self._path) if _is_damaged(error) else None
            logger.warning(
                "the response store %s cannot be used (%s); %s",
                self._path,
                error,
                f"it was moved to {aside.name}" if aside else "the run goes on without it",
            )


def _is_damaged(error: Exception) -> bool:
    """Whether the file itself is broken, rather than busy, full or not allowed."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _set_aside(path: Path) -> Path | None:
    """Makes way for a new file; what is damaged is kept, in place of what was damaged before."""
    aside = path.with_name(path.name + ".damaged")
    try:
        os.replace(path, aside)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    except OSError:
        return None
    return aside
