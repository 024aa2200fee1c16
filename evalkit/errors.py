"""Every error that evalkit raises on purpose.

    EvalkitError                    exit code
    ├── UsageError                  2   an option, a name or a file of the user's is wrong
    │   ├── UnknownTaskError        2   no task of that name; names the nearest
    │   ├── TaskDefinitionError     2   a task file (Python or YAML) cannot be used
    │   └── OutputError             2   the result cannot be written there
    ├── NotComparableError          4   two runs answer different questions
    ├── EvaluationError             5   the evaluation failed
    │   ├── DataError               5   a dataset is missing, empty, or a row breaks the task's schema
    │   ├── ModelError              5   a model is missing, unreadable or refused
    │   ├── OverLengthError         5   a prompt is longer than the model's context
    │   └── NonFiniteError          5   the model returned NaN or infinite logits
    └── InterruptedRunError         130 the user stopped the run; the same command continues it

The command line shows the message and the hint, never a traceback. A traceback therefore means a defect of evalkit.
"""

from __future__ import annotations


class EvalkitError(Exception):
    """The root: one plain sentence in `message`, what to do about it in `hint`, the process's `exit_code`."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EvalkitError):
    """An option, a name or a file that the user gave is wrong."""

    exit_code = 2


class TrainingDataError(UsageError):
    """Training rows are missing, cannot be read, or cannot or must not be trained on."""


class UnknownTaskError(UsageError):
    """No task or group has the name that was asked for."""


class TaskDefinitionError(UsageError):
    """A task file cannot be read, has an unknown key, or lacks a needed one."""


class OutputError(UsageError):
    """The result cannot be written to the place that was asked for."""


class NotComparableError(EvalkitError):
    """Two runs differ in something that makes their scores answers to different questions."""

    exit_code = 4


class EvaluationError(EvalkitError):
    """The evaluation itself failed."""

    exit_code = 5


class DataError(EvaluationError):
    """A dataset is missing or empty, or a row breaks the task's schema."""


class ModelError(EvaluationError):
    """A model or tokenizer is missing, unreadable, refused, or lacks what was asked of it."""


class OverLengthError(EvaluationError):
    """A prompt is longer than the model's context and the policy is to stop."""


class NonFiniteError(EvaluationError):
    """The model returned NaN or infinite logits where a continuation is scored."""


class InterruptedRunError(EvalkitError):
    """The user stopped the run. What was computed is in the journal; the same command continues."""

    exit_code = 130
