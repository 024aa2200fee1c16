"""The built-in engine as a backend, with the model in this process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.backends.base import Answer, Prepared
from evalkit.backends.engine_backend import (
    Checks,
    EngineBackend,
    LocalOptions,
    NonFiniteRequestError,
    TokenizedRequests,
    own,
)
from evalkit.backends.local_cost import cost
from evalkit.backends.local_generation import TokenizedPrompt
from evalkit.engine import sequences as token_sequences
from evalkit.engine.encoder_decoder import EncoderDecoderModel
from evalkit.engine.engine import Engine
from evalkit.engine.engine import Score as SequenceScore
from evalkit.engine.generation.loop import NonFinitePromptError
from evalkit.engine.generation.prompt import Prompt
from evalkit.engine.sequences import TokenArray
from evalkit.models.background import Background
from evalkit.models.load import LoadedModel
from evalkit.run_plan import Cost

if TYPE_CHECKING:
    from evalkit.models import OpenedModel
    from evalkit.results import ModelInfo

__all__ = ["LocalBackend", "LocalOptions", "NonFiniteRequestError", "TokenizedRequests"]


class LocalBackend(EngineBackend):
    """Answers requests with a model loaded in this process.

    Args:
        model: The model with its tokenizer. One that is only opened is loaded, and the engine made ready, in the
            background; what goes wrong there is raised where its result is first needed.
        options: How to compute.
    """

    def __init__(self, model: LoadedModel | OpenedModel, options: LocalOptions | None = None) -> None:
        super().__init__(model, options)
        self._ready = Background(self._make_ready)
        if isinstance(model, LoadedModel):
            self._ready.result()  # whoever loaded it may use it at any time, and the self-check must not meet that

    def _make_ready(self) -> tuple[LoadedModel, Engine]:
        loaded = self._model.load()
        engine = Engine(
            loaded.model,
            loaded.max_length,
            token_budget=self.options.token_budget,
            share_prefixes=self.options.share_prefixes,
            upcast=not self.options.compat_lm_eval,
            deterministic=self.options.deterministic,
        )
        return loaded, engine

    @property
    def loaded(self) -> LoadedModel:
        """The model, once it is loaded."""
        return self._ready.result()[0]

    @property
    def engine(self) -> Engine:
        """The engine, once the model is loaded and checked."""
        return self._ready.result()[1]

    @property
    def info(self) -> ModelInfo:
        """The model's identity."""
        return self.loaded.info

    @property
    def device(self) -> str:
        """The torch device."""
        return str(self.engine.split.core.device)

    @property
    def budget(self) -> int:
        """Distinct tokens in a batch."""
        return self.engine.token_budget

    @budget.setter
    def budget(self, tokens: int) -> None:
        if not self.options.deterministic:
            self.engine.token_budget = tokens

    def _checks(self) -> Checks:
        return Checks(self.engine.check, self.engine.generator.check)

    def is_known_code(self) -> bool:
        """As `EngineBackend.is_known_code`."""
        return not isinstance(self._model, LoadedModel) and type(self.loaded.model).__module__.startswith(
            "transformers."
        )

    def _decoder_start(self, targets: TokenArray) -> TokenArray:
        split = self.engine.split
        assert isinstance(split, EncoderDecoderModel)
        return split.start_before_labels(targets) if self.options.compat_lm_eval else split.start

    def check_generation(self) -> None:
        """Chooses how texts are written, which the first text would do."""
        _ = self.engine.generator.path

    def compute(
        self, prepared: Prepared, done: Collection[int] = (), left_out: Collection[int] = ()
    ) -> Iterator[list[Answer]]:
        """As `EngineBackend.compute`.

        Raises:
            ModelError: The files of the model were changed meanwhile.
        """
        files = self.loaded.files
        for answers in super().compute(prepared, done, left_out):
            if files is not None:
                files.check(replaced=False)
            yield answers

    def _scores(
        self, sequences: Sequence[token_sequences.Sequence], done: Collection[int]
    ) -> Iterator[list[SequenceScore]]:
        return self.engine.score(sequences, done)

    def _texts(
        self, tokenized: TokenizedRequests, prompts: Mapping[int, TokenizedPrompt], finished: Collection[int]
    ) -> Iterator[list[Answer]]:
        own_prompts = self._prompts(tokenized, prompts)
        try:
            yield from self.generation.answers(self.engine.generator, own_prompts, tokenized.prompts, finished)
        except NonFinitePromptError as error:
            raise NonFiniteRequestError(error, list(own_prompts)[error.prompt], error.token) from error

    def _prompts(
        self, tokenized: TokenizedRequests, prompts: Mapping[int, TokenizedPrompt] | None = None
    ) -> dict[int, Prompt]:
        return self.generation.prompts(
            tokenized.requests, tokenized.prompts if prompts is None else prompts, self.loaded.model
        )

    def cost(self, prepared: Prepared, seconds: float) -> Cost:
        """What `compute` would take, measured with some of its batches; every text as long as it may become."""
        tokenized = own(prepared)
        return cost(self.engine, tokenized.sequences, list(self._prompts(tokenized).values()), seconds)

    def counters(self) -> dict[str, int]:
        """Tokens asked for (every request whole), tokens computed, and tokens generated."""
        counts = self.engine.generator.counts
        return {
            "tokens_asked": self._asked,
            "tokens_computed": self.engine.tokens_computed + counts.computed,
            "tokens_generated": counts.generated,
        }
