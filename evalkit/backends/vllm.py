"""vLLM in this process as a backend: `vllm:MODEL`, with engine options as `vllm:MODEL?enforce_eager=true`.

Texts become token ids by the rules of the built-in engine, so that both answer the same question. One-token answers to
the same prompt are one request for the next token's log-probabilities, which may use vLLM's prefix cache; longer ones
need `prompt_logprobs`, for which vLLM does not read that cache.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from evalkit.backends.base import Answer, Prepared
from evalkit.backends.continuation import Continuation
from evalkit.backends.sequences import RequestEncoder
from evalkit.backends.vllm_requests import (
    completion,
    generation_parameters,
    read_scores,
    response,
    score_prompt,
    score_request,
)
from evalkit.chat import ChatFormat
from evalkit.engine.sequences import Sequence as TokenSequence
from evalkit.engine.sequences import TokenArray
from evalkit.errors import ModelError, OverLengthError, UsageError
from evalkit.models.checkpoint import refuse_remote_code, weight_files
from evalkit.models.hashing import WeightsHash, tokenizer_sha256
from evalkit.models.hub import snapshot
from evalkit.models.load import context_length
from evalkit.models.location import ModelLocation, resolve
from evalkit.models.options import ModelOptions, pick_device, pick_dtype
from evalkit.models.tokenizer import prefix_token, tokenizer_in
from evalkit.models.weights import load_config
from evalkit.requests import Generate, Generation, Reply, Request, Response, Score
from evalkit.results import ModelInfo

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

Item = TypeVar("Item")

_PREFIX = "vllm:"
_OWNED = frozenset({"model", "tokenizer", "dtype", "max_model_len", "trust_remote_code", "revision", "load_format"})
"""Engine options that evalkit's own options decide."""
_TENSOR_PARALLEL = "tensor_parallel_size"
_CHUNK = 1024
"""Prompts handed over at a time: what an interruption loses at most, and enough to keep vLLM's batches full."""


def open_vllm(spec: str, options: ModelOptions, stride: int | None = None, *, tensor_parallel: int = 1) -> VllmBackend:
    """Finds the model that `vllm:MODEL` or `vllm:MODEL?option=value&...` means; its weights are loaded when first needed.

    Args:
        spec: What the user typed. MODEL is a directory or a hub id; options are those of `vllm.LLM`.
        options: How to load the model.
        stride: Tokens scored in each perplexity window after the first; None for windows without overlap.
        tensor_parallel: Devices that compute every layer together.

    Raises:
        ModelError: The model is not one that vLLM can load from here.
        UsageError: vLLM is not installed, no model is named, or an engine option cannot be read, is evalkit's own, or is
            given twice.
    """
    model, _, query = spec.removeprefix(_PREFIX).partition("?")
    if not model.strip():
        raise UsageError(f"'{spec}' names no model", hint="write vllm:MODEL, a directory or a hub id")
    engine_options = _engine_options(query)
    if tensor_parallel != 1:
        if _TENSOR_PARALLEL in engine_options:
            raise UsageError(
                f"--tensor-parallel {tensor_parallel} and {_TENSOR_PARALLEL}={engine_options[_TENSOR_PARALLEL]} in "
                f"'{spec}' say the same thing twice",
                hint="give one of the two",
            )
        engine_options[_TENSOR_PARALLEL] = tensor_parallel
    if find_spec("vllm") is None:
        raise UsageError(
            f"'{spec}' needs the package vllm",
            hint='pip install "evalkit[vllm]" in an environment of its own (docs/endpoints.md)',
        )
    location = resolve(model)
    if location.kind not in ("hub", "directory"):
        raise ModelError(
            f"vLLM is given a hub id or a directory of safetensors, and '{model}' is neither",
            hint="save the model with `save_pretrained`, or leave out `vllm:` to use the built-in engine",
        )
    return VllmBackend(spec, location, options, engine_options, stride)


def _engine_options(query: str) -> dict[str, Any]:
    import yaml

    options: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(
                f"the engine option {part!r} is not of the form name=value",
                hint="write vllm:MODEL?tensor_parallel_size=2&gpu_memory_utilization=0.8",
            )
        if name in _OWNED:
            raise UsageError(
                f"the engine option {name} is evalkit's own",
                hint="use --dtype, --max-length or --trust-remote-code, and write the model before the question mark",
            )
        try:
            options[name] = yaml.safe_load(value)
        except (yaml.YAMLError, RecursionError) as error:
            raise UsageError(
                f"the engine option {name} cannot be read", hint="its value is a number, true or false, or a text"
            ) from error
    return options


@dataclass(frozen=True, slots=True)
class VllmPrepared:
    """Requests in token ids.

    Attributes:
        requests: What was asked.
        lengths: Tokens that each needs at once.
        tokens: Tokens of each.
        sequences: What scores each.
        prompts: What each `Generate` continues.
    """

    requests: Sequence[Request]
    lengths: Sequence[int]
    tokens: Sequence[int]
    sequences: Sequence[Sequence[TokenSequence]]
    prompts: Sequence[TokenArray | None]


class VllmBackend:
    """Answers requests with `vllm.LLM`.

    Args:
        spec: What the user typed.
        location: The model.
        options: How to load it.
        engine_options: Further arguments of `vllm.LLM`.
        stride: Tokens scored in each perplexity window after the first.

    Raises:
        ModelError: The model is missing, incomplete or refused.
    """

    budget = 1

    def __init__(
        self,
        spec: str,
        location: ModelLocation,
        options: ModelOptions,
        engine_options: Mapping[str, Any],
        stride: int | None = None,
    ) -> None:
        directory, revision = snapshot(location, options) if location.kind == "hub" else (location.path, None)
        assert directory is not None
        self._revision: str | None = revision
        refuse_remote_code(directory, options)
        self._hash = WeightsHash(weight_files(directory, options), directory)
        self._spec, self._source, self._directory = spec, location.kind, directory
        self._options, self._engine_options = options, dict(engine_options)
        self._tokenizer = tokenizer_in(directory, options)
        device = pick_device(options.device)
        self._dtype = str(pick_dtype(options.dtype, device)).removeprefix("torch.")
        self.device = str(device)
        own = context_length(load_config(directory, location.spec, options, None), self._tokenizer, options)
        # a prompt to be scored holds one token more than the inputs, and vLLM always generates one
        self.max_length = own if options.max_length is not None else own - 2
        self._encoder = RequestEncoder(self._tokenizer, prefix_token(self._tokenizer), stride)
        self._continuation = Continuation(self._tokenizer)
        self._asked = self._prompted = self._computed = self._generated = 0

    @cached_property
    def llm(self) -> LLM:
        """VLLM's engine with the weights loaded.

        Raises:
            ModelError: vLLM cannot load the model.
        """
        from vllm import LLM

        try:
            llm = LLM(
                model=str(self._directory),
                tokenizer=str(self._directory),
                dtype=self._dtype,
                max_model_len=self.max_length + 2,
                trust_remote_code=self._options.trust_remote_code,
                load_format="auto" if self._options.allow_pickle else "safetensors",
                **{"enable_prefix_caching": True, "seed": 0, **self._engine_options},
            )
        except (ValueError, TypeError, RuntimeError, OSError, ImportError, NotImplementedError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(
                f"vLLM cannot load '{self._spec}': {said[0]}",
                hint="vLLM's own messages above say more; the built-in engine takes the model without `vllm:`",
            ) from error
        # vLLM stops its processes when it is collected; Python may wait for them before that, for ever, when it exits
        atexit.register(weakref.finalize(self, _stop, llm.llm_engine))
        return llm

    @cached_property
    def info(self) -> ModelInfo:
        """The model's identity."""
        return ModelInfo(
            name=self._spec,
            source=self._source,
            revision=self._revision,
            parameters=None,
            dtype=self._dtype,
            weights_sha256=self._hash.hexdigest(),
            tokenizer_sha256=tokenizer_sha256(self._tokenizer),
            adapter=None,
            extra={"engine": "vllm"},
        )

    def settings(self) -> dict[str, Any]:
        """The engine, its version and options, once the weights are loaded."""
        from importlib.metadata import PackageNotFoundError, version

        _ = self.llm  # here the runner waits for the weights, so that loading is not timed as scoring
        try:
            installed = version("vllm")
        except PackageNotFoundError:  # built from source under another name
            installed = "unknown"
        return {
            "engine": "vllm",
            "vllm": installed,
            "engine_options": self._engine_options,
            "max_length": self.max_length,
            "stride": self._encoder.stride,
        }

    @cached_property
    def chat(self) -> ChatFormat:
        """What the tokenizer knows of conversations."""
        from evalkit.models.chat import chat_format

        return chat_format(self._tokenizer)

    def render_chat(self, messages: Sequence[Mapping[str, str]], **variables: Any) -> str:
        """The tokenizer's chat template applied to messages."""
        from evalkit.models.chat import render_chat

        return render_chat(self._tokenizer, [dict(message) for message in messages], **variables)

    def prepare(self, requests: Sequence[Request]) -> VllmPrepared:
        """Tokenises the requests by the built-in engine's rules."""
        if any(isinstance(request, Generate) and request.decoding.beams > 1 for request in requests):
            raise ModelError("vLLM has no beam search here", hint="leave --beams out, or use the built-in engine")
        encoded = self._encoder.encode(requests, self.max_length)
        return VllmPrepared(requests, encoded.lengths, encoded.tokens, encoded.sequences, encoded.prompts)

    def compute(
        self, prepared: Prepared, done: Collection[int] = (), left_out: Collection[int] = ()
    ) -> Iterator[list[Answer]]:
        """Answers requests by the thousand: first those that are scored, then those that generate.

        Raises:
            OverLengthError: An answer is longer than the model's context.
        """
        if not isinstance(prepared, VllmPrepared):
            raise TypeError("these requests were prepared by another backend")
        finished = {*done, *left_out}
        open_requests = [index for index in range(len(prepared.requests)) if index not in finished]
        self._asked += sum(prepared.tokens[index] for index in open_requests)
        scored = [index for index in open_requests if prepared.prompts[index] is None]
        yield from self._score_all(prepared, scored)
        for indices in _chunks(i for i in open_requests if prepared.prompts[i] is not None):
            yield self._generate(prepared, indices)

    def cost(self, prepared: Prepared, seconds: float) -> None:
        """VLLM plans for itself."""

    def counters(self) -> dict[str, int]:
        """Tokens asked for; tokens of prompts without those in vLLM's prefix cache, and tokens generated."""
        return {
            "tokens_asked": self._asked,
            "tokens_computed": self._computed + self._generated,
            "prompt_tokens": self._prompted,
            "completion_tokens": self._generated,
        }

    def _score_all(self, prepared: VllmPrepared, indices: Sequence[int]) -> Iterator[list[Answer]]:
        """Answers requests whose sequences are scored; equal prompts, and one-token answers to one prompt, are one."""
        groups: dict[tuple[bool, bytes], list[tuple[int, int]]] = {}
        parts: dict[int, list[tuple[np.ndarray, bool] | None]] = {}
        empty: list[Answer] = []
        for index in indices:
            sequences = prepared.sequences[index]
            if not sequences:
                empty.append((index, _without_tokens(prepared, index)))
            parts[index] = [None] * len(sequences)
            for place, sequence in enumerate(sequences):
                prompt = np.array(score_prompt(sequence), dtype=np.int32).tobytes()
                groups.setdefault((len(sequence.targets) == 1, prompt), []).append((index, place))
        if empty:
            yield empty
        for members in _chunks(groups.values()):
            together = [[prepared.sequences[index][place] for index, place in group] for group in members]
            outputs = self._run([score_request(sequences) for sequences in together])
            answers: list[Answer] = []
            for group, sequences, output in zip(members, together, outputs, strict=True):
                for (index, place), sequence in zip(group, sequences, strict=True):
                    parts[index][place] = read_scores(output, sequence)
                    found = [part for part in parts[index] if part is not None]
                    if len(found) == len(parts[index]):
                        answers.append((index, response(prepared.sequences[index], found)))
            yield answers

    def _generate(self, prepared: VllmPrepared, indices: Sequence[int]) -> list[Answer]:
        asked, cuts = [], []
        for index in indices:
            request, prompt = prepared.requests[index], prepared.prompts[index]
            assert isinstance(request, Generate)
            assert prompt is not None
            room = self.max_length - request.decoding.max_new_tokens
            if room < 1:
                raise OverLengthError(
                    f"{request.decoding.max_new_tokens} new tokens leave no room for a prompt in the model's context of "
                    f"{self.max_length}",
                    hint="give a smaller --max-new-tokens, or use a model with a longer context",
                )
            cuts.append(max(0, len(prompt) - room))
            asked.append((prompt[cuts[-1] :].tolist(), generation_parameters(request, self._continuation)))
        answers: list[Answer] = []
        for index, cut, output in zip(indices, cuts, self._run(asked), strict=True):
            request = prepared.requests[index]
            assert isinstance(request, Generate)
            completions = tuple(completion(one, request, self._continuation) for one in output.outputs)
            self._generated += sum(one.tokens for one in completions)
            answers.append((index, Generation(completions, len(output.prompt_token_ids or ()), cut)))
        return answers

    def _run(self, asked: Sequence[tuple[list[int], SamplingParams]]) -> list[RequestOutput]:
        from vllm import TokensPrompt

        prompts = [TokensPrompt(prompt_token_ids=tokens) for tokens, _ in asked]
        outputs = self.llm.generate(prompts, [parameters for _, parameters in asked], use_tqdm=False)
        for output in outputs:
            self._prompted += len(output.prompt_token_ids or ())
            self._computed += len(output.prompt_token_ids or ()) - (output.num_cached_tokens or 0)
        return list(outputs)


def _stop(engine: Any) -> None:
    """Stops the processes that compute."""
    shutdown = getattr(getattr(engine, "engine_core", None), "shutdown", None)
    if shutdown is not None:
        shutdown()


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _without_tokens(prepared: VllmPrepared, index: int) -> Reply:
    """The answer to a text without tokens.

    Raises:
        OverLengthError: It is no such text, but an answer too long for the model's context.
    """
    if isinstance(prepared.requests[index], Score):
        raise OverLengthError(
            f"an answer of {prepared.lengths[index]} tokens with its context is longer than the model's context",
            hint="leave the document out with --over-length skip, or use a model with a longer context",
        )
    return Response(0.0, True, (), 1)
