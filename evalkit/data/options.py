"""Where data is looked for, and where evalkit keeps its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import UsageError

_TRUE = frozenset({"1", "true", "yes", "on"})


def data_home() -> Path:
    """Where evalkit keeps data: `EVALKIT_HOME`, else `$XDG_DATA_HOME/evalkit`, else ~/.local/share/evalkit."""
    if home := os.environ.get("EVALKIT_HOME"):
        return Path(home).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".local" / "share") / "evalkit"


def pulled_folder() -> Path:
    """The folder of data sets that `evalkit data pull` and `evalkit data unpack` have put there."""
    return data_home() / "hub"


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Where to look for data sets.

    Attributes:
        directories: Folders of `org/name/` directories laid out as on the Hugging Face hub, searched in this order.
        offline: Never touch the network; the hub's local cache is still read.
        trust_remote_code: Python code that the hub sends (metrics of the `evaluate` library) may run.
    """

    directories: tuple[Path, ...] = ()
    offline: bool = False
    trust_remote_code: bool = False

    @classmethod
    def resolve(
        cls, data_dir: str | None = None, offline: bool | None = None, *, trust_remote_code: bool = False
    ) -> DataOptions:
        """Fills what the user left open from the environment.

        Args:
            data_dir: Folders joined by `os.pathsep`; None takes `EVALKIT_DATA_DIR`.
            offline: None takes `EVALKIT_OFFLINE` or `HF_HUB_OFFLINE`. `False` cannot switch `HF_HUB_OFFLINE` off, since
                the hub's own library obeys it too.
            trust_remote_code: Passed on.

        Raises:
            UsageError: A folder does not exist.
        """
        given = data_dir if data_dir is not None else os.environ.get("EVALKIT_DATA_DIR", "")
        directories = tuple(Path(part).expanduser() for part in given.split(os.pathsep) if part.strip())
        for directory in directories:
            if not directory.is_dir():
                origin = "--data-dir" if data_dir is not None else "EVALKIT_DATA_DIR"
                raise UsageError(
                    f"the data directory {directory} does not exist",
                    hint=f"Correct {origin}: it takes folders that hold data sets as org/name/, "
                    f"several of them joined by {os.pathsep!r}.",
                )
        hub_offline = switched_on("HF_HUB_OFFLINE")
        if offline is None:
            offline = switched_on("EVALKIT_OFFLINE")
        return cls(directories, offline or hub_offline, trust_remote_code)


def switched_on(variable: str) -> bool:
    """Whether an environment variable is set to a word for yes."""
    return os.environ.get(variable, "").strip().lower() in _TRUE
