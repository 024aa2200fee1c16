"""What answers requests: the built-in engine, a mock for tests, and later other engines and endpoints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.requests import Reply, Request

if TYPE_CHECKING:
    from evalkit.chat import ChatFormat, Turns
    from evalkit.results import ModelInfo
    from evalkit.run_plan import Cost

Answer = tuple[int, Reply]


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

    def compute(self, prepared: Prepared, done: Collection[int] = ()) -> Iterator[list[Answer]]:
        """Answers requests in an order of the backend's choice, a list at a time; those in `done` may be left out."""
        ...

    def cost(self, prepared: Prepared, seconds: float) -> Cost | None:
        """What computing would take, measured with a few of the batches in about so many seconds; None if not known."""
        ...

    def counters(self) -> dict[str, int]:
        """Tokens asked for and tokens computed so far."""
        ...


def price_of(backend: Backend) -> dict[str, Any]:
    """What a backend that costs money adds to a result's `timing`, by its method `account`; empty for all others."""
    account: Callable[[], dict[str, Any]] = getattr(backend, "account", dict)
    return account()
