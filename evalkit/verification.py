"""What verifying a result found: the types behind `evalkit verify` (schema `evalkit.verification/1`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Status = Literal["agrees", "differs", "not checked"]

SHOWN = 5
"""Differences that a check keeps in words; of further ones it says how many."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked of one task, or of the model.

    Attributes:
        subject: Task, group, or `model`.
        what: `scores`, `samples`, `prompts`, `data`, `weights`, `tokenizer` or `answers again`.
        status: What came of it.
        checked: How many values, documents or answers were compared.
        found: How many of them differ.
        said: Sentences: the first differences, or why nothing was checked, or what was measured.
    """

    subject: str
    what: str
    status: Status
    checked: int = 0
    found: int = 0
    said: tuple[str, ...] = ()

    @classmethod
    def of(cls, subject: str, what: str, checked: int, differences: Iterable[str]) -> Check:
        """A check that was made.

        Args:
            subject: See above.
            what: See above.
            checked: See above.
            differences: A sentence each.
        """
        found = list(differences)
        more = [f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
        return cls(subject, what, "differs" if found else "agrees", checked, len(found), (*found[:SHOWN], *more))

    @classmethod
    def skipped(cls, subject: str, what: str, why: str) -> Check:
        """A check that could not be made."""
        return cls(subject, what, "not checked", said=(why,))


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one result.

    Attributes:
        result: Name of the result file.
        model: Name of the model in it.
        checks: The checks, in the order made.
    """

    schema: ClassVar[str] = "evalkit.verification/1"

    result: str
    model: str
    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing that was checked differs."""
        return not any(check.status == "differs" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "schema": self.schema,
            "result": self.result,
            "model": self.model,
            "agrees": self.agrees,
            "checks": [
                {
                    "subject": one.subject,
                    "what": one.what,
                    "status": one.status,
                    "checked": one.checked,
                    "found": one.found,
                    "said": list(one.said),
                }
                for one in self.checks
            ],
        }
