"""What fine-tuning needs beside evalkit's own dependencies: the extra `sft`."""

from __future__ import annotations

import importlib.util

from evalkit.errors import ModelError

PACKAGES = ("trl", "peft", "accelerate", "datasketch", "py3langid", "pydantic")


def require_extra() -> None:
    """Makes sure, before anything is read or computed, that it is installed.

    Raises:
        ModelError: It is not.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed, which fine-tuning needs",
            hint='run: pip install -c constraints.txt -e ".[sft]"',
        )
