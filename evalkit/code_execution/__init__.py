"""Running programs that a model wrote, kept apart from everything else as far as the system allows."""

from __future__ import annotations

from evalkit.code_execution.sandbox import Execution, Limits, protections, run_program

__all__ = ["Execution", "Limits", "protections", "run_program"]
