"""A diagnosis from a model's name: loads it in each type, computes in each way, and looks at its chat template."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.backends.endpoint.address import is_endpoint
from evalkit.data import DataOptions
from evalkit.doctor.diagnosis import ChatFindings, Diagnosis, FormPair, FormScore, Measured
from evalkit.doctor.measure import Values, compare
from evalkit.doctor.probe import Probe, make_probe
from evalkit.errors import EvalkitError, EvaluationError, UsageError
from evalkit.runner.progress import Progress, Silent

if TYPE_CHECKING:
    from evalkit.doctor.variations import Bench
    from evalkit.engine.sequences import Sequence as TokenSequence
    from evalkit.models import ModelOptions, OpenedModel

TYPES = ("float32", "bfloat16", "float16")
"""Types that are tried, the reference first."""
SLOW_ON_CPU = "float16"
"""A type that takes a CPU several times as long as the others; there it is only tried where it is asked for."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What to examine: the arguments of `evalkit.diagnose`.

    Attributes:
        model: A hub id, a directory, a .gguf file, `peft:DIR` or `smollm2`.
        tasks: Names of multiple-choice tasks; None for a small default set.
        limit: Questions of each.
        seed: Of that sample.
        dtype: "auto" tries float32, bfloat16 and, but on a CPU, float16; another tries float32 and that one.
        device: As in `evalkit.Evaluation`.
        batch_tokens: As in `evalkit.Evaluation`.
        max_length: As in `evalkit.Evaluation`.
        data_dir: As in `evalkit.Evaluation`.
        offline: As in `evalkit.Evaluation`.
        trust_remote_code: As in `evalkit.Evaluation`.
        allow_pickle: As in `evalkit.Evaluation`.
        progress: Told what happens; silent without it.
    """

    model: str
    tasks: str | None = None
    limit: int | float | str | None = None
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    batch_tokens: int | None = None
    max_length: int | None = None
    data_dir: str | None = None
    offline: bool | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    progress: Progress | None = None

    def run(self) -> Diagnosis:
        """Examines the model.

        Raises:
            UsageError: The model is not computed in this process, or an option is wrong.
            DataError: A task that was named has no data.
            ModelError: The model cannot be loaded.
        """
        _check_model(self.model)
        progress = self.progress or Silent()
        start = time.perf_counter()
        try:
            data = DataOptions.resolve(self.data_dir, self.offline, trust_remote_code=self.trust_remote_code)
            progress.stage("reading questions")
            limit = None if self.limit is None else str(self.limit)
            probe = make_probe(self.tasks, limit, self.seed, data, progress)
            return _Work(self, probe, data.offline, progress).diagnosis(start)
        finally:
            progress.finish()


def diagnose(model: str, **options: Any) -> Diagnosis:
    """Measures how much a model's scores move, on this machine, with things that should not matter.

    The arguments are the attributes of `evalkit.doctor.diagnose.Examination`.

    Raises:
        EvalkitError: See `evalkit.errors`; the message is one plain sentence.
    """
    return Examination(model=model, **options).run()


def _check_model(model: str) -> None:
    if is_endpoint(model) or model.startswith("vllm:"):
        raise UsageError(
            f"the doctor computes with the model's own weights in this process, and {model.partition('@')[0]} is "
            "computed by a server of its own",
            hint="give --model the directory or the hub id of its weights",
        )


class _Work:
    """An examination under way."""

    def __init__(self, asked: Examination, probe: Probe, offline: bool, progress: Progress) -> None:
        self.asked, self.probe, self.offline, self.progress = asked, probe, offline, progress
        self.used = ""
        self.measured: list[Measured] = []
        self.chat: ChatFindings | None = None
        self.forms: tuple[FormScore, ...] = ()
        self.pairs: tuple[FormPair, ...] = ()
        self.reference: tuple[str, Values] | None = None
        self.facts: dict[str, Any] = {}

    def diagnosis(self, start: float) -> Diagnosis:
        """Everything, in order."""
        from evalkit import __version__
        from evalkit.doctor.advice import advise

        opened = self._open("auto")
        if opened.is_encoder_decoder:
            raise UsageError(
                f"{self.asked.model} is an encoder-decoder, and the doctor examines causal models",
                hint="docs/encoder-decoder.md says what evalkit checks of it at load",
            )
        self.used, types = self._types(opened)
        sequences = self._sequences(opened)
        for dtype in types:
            if dtype == SLOW_ON_CPU != self.used and opened.device.type == "cpu" and self.reference is not None:
                self.measured.append(_left_out(dtype, self.reference[0]))
            else:
                self._examine(dtype, sequences, last=dtype == types[-1])
        assert self.chat is not None
        assert self.reference is not None
        return Diagnosis(
            model=self.asked.model,
            dtype=self.used,
            reference_dtype=self.reference[0],
            questions=dict(self.probe.counts),
            measured=tuple(self.measured),
            chat=self.chat,
            forms=self.forms,
            pairs=self.pairs,
            advice=advise(self.measured, self.chat, self.forms, self.pairs, dtype=self.used),
            seconds=time.perf_counter() - start,
            evalkit_version=__version__,
            **self.facts,
        )

    def _options(self, dtype: str) -> ModelOptions:
        from evalkit.models import ModelOptions

        asked = self.asked
        return ModelOptions(
            dtype=dtype,
            device=asked.device,
            trust_remote_code=asked.trust_remote_code,
            allow_pickle=asked.allow_pickle,
            max_length=asked.max_length,
            offline=self.offline,
        )

    def _open(self, dtype: str) -> OpenedModel:
        from evalkit.models import open_model

        return open_model(self.asked.model, self._options(dtype))

    def _types(self, opened: OpenedModel) -> tuple[str, list[str]]:
        """What `evalkit run` would compute in, and the types that are tried."""
        from evalkit.models.options import pick_dtype

        used = str(pick_dtype(self.asked.dtype, opened.device)).removeprefix("torch.")
        wanted = TYPES if self.asked.dtype == "auto" else ("float32", used)
        return used, list(dict.fromkeys(wanted))

    def _sequences(self, opened: OpenedModel) -> list[TokenSequence]:
        from evalkit.backends.sequences import RequestEncoder

        encoded = RequestEncoder(opened.tokenizer, opened.prefix_token).encode(self.probe.requests, opened.max_length)
        if any(not own for own in encoded.sequences):
            raise UsageError(
                f"an answer is longer than the model's context of {opened.max_length} tokens", hint="name other --tasks"
            )
        return [own[0] for own in encoded.sequences]

    def _examine(self, dtype: str, sequences: Sequence[TokenSequence], *, last: bool) -> None:
        """One type: each prompt alone, then every variation against that; the chat template with the first that loads."""
        from evalkit.doctor.variations import Bench

        self.progress.stage(f"loading the model in {dtype}")
        bench: list[Bench] = []

        def load() -> None:
            loaded = self._open(dtype).load()
            bench.append(Bench(loaded, sequences, self.probe.choices, self.asked.batch_tokens))

        found = self._alone(dtype, load, bench)
        if found is not None:
            self.measured.append(found)
        if found is not None and found.change is None:
            if last and self.reference is None:
                raise EvaluationError(f"the model could not be computed in any type: {found.reason}")
            _free(bench)
            return
        self._vary(bench[0])
        _free(bench)

    def _alone(self, dtype: str, load: Callable[[], None], bench: list[Bench]) -> Measured | None:
        """The type against the reference; None where it becomes the reference."""
        from evalkit.doctor.variations import attempt

        def compute() -> Any:
            load()
            self.progress.stage(f"{dtype}: each prompt alone")
            values = bench[0].compute_alone()
            change = compare(self.reference[1] if self.reference else values, values, self.probe.choices)
            if self.reference is None:  # only now that its numbers are known to be finite
                self.reference = (dtype, values)
            return change

        known = self.reference[0] if self.reference else dtype
        found = attempt(f"{dtype}/alone", f"{dtype}, each prompt alone", dtype, f"{known}/alone", compute)
        return None if self.reference is not None and self.reference[0] == dtype else found

    def _vary(self, bench: Bench) -> None:
        first, used = self.chat is None, bench.dtype == self.used
        variations = bench.variations(thorough=first or used or bench.loaded.device.type != "cpu")
        for place, variation in enumerate(variations, start=1):
            self.progress.stage(f"{bench.dtype}, {place} of {len(variations)}: {variation.label}")
            self.measured.append(bench.measure(variation))
        if first or used:
            self.progress.stage(f"{bench.dtype}: --deterministic")
            self.measured.append(bench.deterministic())
        if first:
            self._once(bench)

    def _once(self, bench: Bench) -> None:
        """What is looked at with the first model only: the chat template, and letters against texts."""
        self._look_at_chat(bench)
        self.facts = {
            "parameters": bench.loaded.info.parameters,
            "device": str(bench.loaded.device),
            "path": self._path(bench),
        }

    @staticmethod
    def _path(bench: Bench) -> str | None:
        """How evalkit computes the model; None where it refuses it."""
        try:
            return bench.engine.path.name
        except EvalkitError:
            return None

    def _look_at_chat(self, bench: Bench) -> None:
        from evalkit.doctor.chat import ended_by_itself, examine_template
        from evalkit.doctor.forms import form_pairs, form_scores, score_forms
        from evalkit.engine.tokenization import TextEncoder

        loaded = bench.loaded
        self.chat = examine_template(loaded.tokenizer, TextEncoder(loaded.tokenizer, loaded.prefix_token))
        usable = self.chat.template and self.chat.error is None
        try:
            backend = bench.backend
            if usable:
                self.progress.stage("asking short questions through the chat template")
                asked, ended = ended_by_itself(backend, self.chat)
                self.chat = replace(self.chat, asked=asked, ended=ended)
            questions = self.probe.questions
            if questions:
                self.progress.stage("letters against texts, chat against plain text")
                right = score_forms(backend, questions, chat=usable)
                self.forms, self.pairs = form_scores(right, questions), form_pairs(right)
        except EvalkitError as error:
            self.progress.note(f"the ways to put a question are not compared: {error.message}")


def _left_out(dtype: str, reference: str) -> Measured:
    reason = f"it is slow on a CPU; --dtype {dtype} measures it"
    return Measured(
        f"{dtype}/alone", f"{dtype}, each prompt alone", dtype, "evalkit", f"{reference}/alone", None, reason
    )


def _free(bench: list[Bench]) -> None:
    """Lets go of a model before the next is loaded."""
    import torch

    bench.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
