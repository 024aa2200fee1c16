"""What answers requests: the built-in engine, a mock for tests, and later other engines and endpoints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.environment import Environment
from evalkit.requests import Reply, Request

if TYPE_CHECKING:
    from evalkit.chat import ChatFormat, Turns
    from evalkit.results import ModelInfo
    from evalkit.run_plan import Cost

Answer = tuple[int, Reply]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What answers, by its content: two backends with the same one give the same answers, whatever they are called.

    Attributes:
        content: JSON values: hashes of weights, configuration, tokenizer and engine, dtype, settings, libraries, device.
        alone: Whether an answer depends on nothing but its own request; otherwise on all that is asked together too.
    """

    content: Mapping[str, Any]
    alone: bool


class Prepared(Protocol):
    """Requests in the form in which the backend computes them."""

    @property
    def requests(self) -> Sequence[Request]:
        """What was asked."""
        ...

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens that each request needs the model to see at once; 0 where the backend cuts it up itself."""
        ...

    @property
    def tokens(self) -> Sequence[int]:
        """Tokens of each request, counted whole."""
        ...


class HasDigests(Protocol):
    """`Prepared` of a backend whose answers may depend on their own requests alone (`Fingerprint.alone`)."""

    def digest(self, index: int) -> bytes:
        """Hash of all of a request that decides its answer, as the backend computes it: its tokens and how it goes on."""
        ...


class Backend(Protocol):
    """Anything that answers requests.

    Attributes:
        budget: Tokens in a batch, which decides which requests are computed together. It may shrink while computing
            when memory runs out; a resumed run sets it to what it was.
    """

    budget: int

    @property
    def device(self) -> str | None:
        """Where it computes, as torch names it; None when that is not known."""
        ...

    @property
    def info(self) -> ModelInfo:
        """The model's identity, for the result file and for the journal's key."""
        ...

    @property
    def max_length(self) -> int | None:
        """Tokens the model sees at once; None when unknown."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything of the backend's own that can change an answer, as plain values; part of the journal's key."""
        ...

    @property
    def chat(self) -> ChatFormat:
        """Whether it takes chat turns, or nothing else, and how its model marks thoughts."""
        ...

    def render_chat(self, messages: Turns, **variables: Any) -> str:
        """The model's chat template applied to messages, ending where the assistant's answer begins.

        Args:
            messages: The turns; an assistant's turn at the end begins the answer.
            variables: What else the template is given, as `enable_thinking`.
        """
        ...

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """Tokenises requests, whatever their length."""
        ...

    def compute(
        self, prepared: Prepared, done: Collection[int] = (), left_out: Collection[int] = ()
    ) -> Iterator[list[Answer]]:
        """Answers requests in an order of the backend's choice, a list at a time.

        Args:
            prepared: What is asked.
            done: Requests whose answers are known. They are not answered again, but what is computed together with others
                is computed together with them again, so that a continued run gives the same bits.
            left_out: Requests that are not wanted. Given only where there are any.
        """
        ...

    def cost(self, prepared: Prepared, seconds: float) -> Cost | None:
        """What computing would take, measured with a few of the batches in about so many seconds; None if not known."""
        ...

    def counters(self) -> dict[str, int]:
        """Tokens asked for and tokens computed so far."""
        ...


def fingerprint_of(backend: Backend) -> Fingerprint | None:
    """What answers, by its method `fingerprint`; None where a backend has none, or does not know its own content."""
    told: Callable[[], Fingerprint | None] = getattr(backend, "fingerprint", lambda: None)
    return told()


def environment_of(backend: Backend) -> Environment:
    """What a backend computes with, by its method `environment` where it computes elsewhere; else this process's."""
    told: Callable[[], Environment] | None = getattr(backend, "environment", None)
    return Environment.of(backend.device) if told is None else told()


def price_of(backend: Backend) -> dict[str, Any]:
    """What a backend that costs money adds to a result's `timing`, by its method `account`; empty for all others."""
    account: Callable[[], dict[str, Any]] = getattr(backend, "account", dict)
    return account()
