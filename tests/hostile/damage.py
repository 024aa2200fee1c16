"""Files that are nearly right: what a disk, an editor or an attacker makes of a valid one."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from evalkit.errors import EvalkitError

COUNT = int(os.environ.get("EVALKIT_FUZZ", "0"))
"""Examples of each test: the same few every time, unless more are asked for, which are then drawn anew."""


def examples(few: int) -> Any:
    """How many examples a test tries."""
    return settings(
        max_examples=COUNT or few,
        derandomize=not COUNT,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )


NASTY = (
    *(
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"\n\n",
        b'"',
        b"'",
        b"{",
        b"[",
        b"]",
        b"}",
        b":",
        b",",
        b"-",
    ),
    *(
        b"NaN",
        b"Infinity",
        b"1e999",
        b"-0",
        b"9" * 400,
        b"null",
        b"true",
        b"../../",
        b"/etc/passwd",
        b"\x1b[2J",
        b"\xe2\x80\xae",
    ),
    *(
        b"&a ",
        b"*a",
        b"!!python/object:os.system ",
        b"!!binary ",
        b"<<: *a",
        b"? ",
        b"| ",
        b"%TAG ! x",
        b"---\n",
        b"\t",
        b"#",
    ),
    *(b"{{", b"}}", b"{% for x in range(10**9) %}", b"{{ ''.__class__.__mro__ }}", b"[" * 2000, b'{"a":' * 2000),
)
"""Pieces that readers stumble over."""

VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            -1,
            1,
            2**63,
            2**64,
            -(10**30),
            1.5,
            -0.0,
            1e308,
            "",
            " ",
            "nan",
            "a",
            "../x",
            "/dev/null",
        ),
        *("\x1b[2J", "\ud800", "\u202e", "\x00", "<script>", "a" * 3000),
        *([], {}, [[]], [None], {"": None}, ["a", 1], {"a": {"b": []}}),
    ]
)


def bytes_near(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Any bytes, or a valid file with a few changes."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        content = bytearray(draw(st.sampled_from(valid)))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(content)))
            kind = draw(st.integers(0, 5))
            if kind == 0:
                del content[at : at + draw(st.integers(1, 40))]
            elif kind == 1:
                content[at:at] = draw(st.sampled_from(NASTY))
            elif kind == 2 and at < len(content):
                content[at] ^= 1 << draw(st.integers(0, 7))
            elif kind == 3:
                del content[at:]
            elif kind == 4:
                start = draw(st.integers(0, len(content)))
                content[at:at] = content[start : start + draw(st.integers(1, 60))]
            else:
                content[at : at + draw(st.integers(1, 8))] = draw(st.binary(max_size=8))
        return bytes(content)

    return st.one_of(st.binary(max_size=60), changed(), changed(), changed())


def values_near(valid: Any) -> st.SearchStrategy[Any]:
    """A JSON document with one to three values replaced, removed or added, anywhere in it."""

    @st.composite
    def changed(draw: st.DrawFn) -> Any:
        document = copy.deepcopy(valid)
        for _ in range(draw(st.integers(1, 3))):
            holder = document
            while isinstance(holder, dict | list) and holder:
                keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
                key = draw(st.sampled_from(keys))
                inner = holder[key]
                if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
                    holder = inner
                    continue
                kind = draw(st.integers(0, 3))
                if kind == 0:
                    del holder[key]
                elif kind == 1 and isinstance(holder, dict):
                    holder[draw(st.sampled_from(["", "a", "__class__", "id", "0", *map(str, keys)]))] = copy.deepcopy(
                        draw(VALUES)
                    )
                else:
                    holder[key] = copy.deepcopy(draw(VALUES))
                break
        return document

    return changed()


def lines_near(*rows: Any) -> st.SearchStrategy[bytes]:
    """JSON lines, one of them changed."""
    return values_near(list(rows)).map(
        lambda changed: b"".join(dumped(one) + b"\n" for one in (changed if isinstance(changed, list) else [changed]))
    )


def dumped(value: Any) -> bytes:
    """JSON, or what passes for it: NaN and halves of surrogates included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def survives(read: Callable[[], Any]) -> Any:
    """What the reader gives; None where it says in a sentence what is wrong. Any other exception is a defect."""
    said = ""
    try:
        return read()
    except EvalkitError as error:
        said = error.message
    assert said.strip()
    assert "Traceback" not in said
    return None


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, and proof that nothing was written beside it."""
    with TemporaryDirectory() as made:
        outer = Path(made)
        inner = outer / "inner"
        inner.mkdir()
        yield inner
        assert [one.name for one in outer.iterdir()] == ["inner"], "something was written outside"
