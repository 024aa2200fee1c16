"""The Python interface: what the command line calls."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from evalkit.backends.endpoint.address import is_endpoint, parse
from evalkit.data import DataOptions
from evalkit.data.options import switched_on
from evalkit.errors import UsageError
from evalkit.metrics import METRICS
from evalkit.prompts import SHOTS_SEED
from evalkit.registry import Selection, select
from evalkit.results import Run
from evalkit.retrieval import Retrieval
from evalkit.runner.evaluate import evaluate
from evalkit.runner.limit import Limit
from evalkit.runner.progress import Progress
from evalkit.runner.settings import ChatTemplate, OverLength, RunSettings, ShotsSampler
from evalkit.task import Group, Registered, Task
from evalkit.thinking import parse_tags

if TYPE_CHECKING:
    from evalkit.backends.base import Backend
    from evalkit.models import ModelOptions
    from evalkit.models.placement import DeviceMap
    from evalkit.run_plan import RunPlan

Compat = Literal["lm-eval"]

DECODING_OPTIONS = ("max_new_tokens", "temperature", "top_p", "top_k", "samples", "beams")
"""Fields of `Evaluation` that change how every task generates."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What to evaluate, and how: the arguments of `evalkit.run` and `evalkit.plan`.

    Attributes:
        model: A hub id, a directory, a .gguf file, `peft:DIR`, `smollm2`, `vllm:MODEL`, `openai:MODEL@URL` (any
            OpenAI-compatible server), or a backend of your own.
        tasks: Names with modifiers ("mmlu,arc_challenge:25shot"), files, or `Task` and `Group` objects.
        shots: Number of few-shot examples for every task that leaves it open.
        limit: Documents of each task: a number or a share (a seeded sample, the same for every model), or "first:N".
        seed: Of that sample.
        dtype: "auto" is float32 on CPU and bfloat16 on an accelerator.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        device_map: For a model larger than one device: "auto", "balanced" or "sequential" spread its layers over all
            devices; so does a mapping of modules to devices. Only for the built-in engine.
        tensor_parallel: For `vllm:MODEL`: devices that compute every layer together.
        batch_tokens: Distinct tokens a batch may hold; None chooses for the device.
        deterministic: Compute every batch with the same sizes, so that a score depends on nothing but its prompt
            (docs/architecture.md; on CPU). `batch_tokens` then has no effect.
        chat_template: "on" puts all prompts through the model's chat template, "off" none; "auto" those of open questions
            that neither lm-eval nor few-shot examples have as plain text (docs/few-shot-and-chat.md).
        system: System instruction before each task's description.
        system_as_user: In a chat, put instructions into the first user turn: for templates without a system role.
        fewshot_as_multiturn: In a chat, make every few-shot example a user and an assistant turn; False puts them all into
            the question's turn.
        enable_thinking: Given to the chat template under this name; None leaves it to the template.
        thinking: "auto" takes thoughts out of generated texts where the model is known to mark them, "off" does not;
            "<think>,</think>" names the tags.
        shots_sampler: How few-shot examples are drawn: "lm-eval" as lm-eval does; "fixed" one set for all documents;
            "random" anew for each document; "nearest" those most like the question; "balanced" one set with equally many
            of each label.
        shots_seed: Seed of these draws.
        shots_seeds: Evaluate tasks with drawn examples with so many seeds, and report mean and spread.
        max_length: Context length, where the model's own is not wanted.
        over_length: What to do with prompts longer than that: "error" (the default), "drop-shots", "truncate" (the
            default with `compat`), "skip".
        max_new_tokens: Tokens generated at most, for every task that generates; None takes the task's own. So with the
            next five.
        temperature: 0 takes the most probable token each time.
        top_p: Draw from the smallest set of tokens whose probability reaches this.
        top_k: Draw from this many most probable tokens; 0 for all.
        samples: Completions a prompt, each drawn with a seed of its own; scores then also have maj@K and pass@K. Tasks of
            lm-eval's library have a number of their own, and no other is allowed.
        beams: Hypotheses kept by beam search.
        sampling_seed: Seed of what is drawn at a temperature above 0, for every task that generates.
        stride: Tokens scored in each perplexity window after the first; None for windows without overlap.
        share_prefixes: False computes every request whole, for comparison.
        workers: Processes that compute, each with the model: a number, or "auto" for one on each accelerator of this machine
            (docs/scale.md). The scores are those of one process. With `cluster`: on the cluster.
        cluster: Compute on a Ray cluster: "auto" for the one that this machine belongs to, or "ray://HOST:PORT".
        cache: Take answers that the same model gave before with the same settings, and keep new ones
            (docs/reliability.md); only for models that the built-in engine loads. EVALKIT_NO_CACHE=1 switches it off too.
        tokenizer: For endpoints: the model whose tokenizer counts tokens, gives ids and renders conversations.
        concurrency: For endpoints: requests under way at once, at most.
        request_timeout: For endpoints: seconds that one try of a request may take.
        price_prompt: For endpoints: price of a million tokens of prompts, for the account in the result.
        price_completion: For endpoints: price of a million generated tokens.
        compat: "lm-eval" reproduces lm-eval's number also where lm-eval is wrong.
        retrieve: A file of passages; those that share most with a question (BM25) are put before it
            (`evalkit.retrieval`).
        passages: Passages a prompt at most.
        data_dir: Folders of datasets laid out as on the hub, joined by the path separator.
        offline: Touch no network but a model server on this machine.
        trust_remote_code: Allow Python code that comes with a model, or from the hub with a metric (`evaluate:NAME`).
        allow_pickle: Allow pickled weights.
        allow_code_execution: Allow tasks such as `humaneval` to run what the model writes, in a sandbox.
        output: Result file (.json); nothing is written without it.
        progress: Told what happens; silent without it.
    """

    model: str | Backend = "smollm2"
    tasks: str | Sequence[str | Registered]
    shots: int | None = None
    limit: int | float | str | None = None
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    device_map: DeviceMap | None = None
    tensor_parallel: int = 1
    batch_tokens: int | None = None
    deterministic: bool = False
    chat_template: ChatTemplate = "auto"
    system: str | None = None
    system_as_user: bool = False
    fewshot_as_multiturn: bool = True
    enable_thinking: bool | None = None
    thinking: str = "auto"
    shots_sampler: ShotsSampler = "lm-eval"
    shots_seed: int = SHOTS_SEED
    shots_seeds: int = 1
    max_length: int | None = None
    over_length: OverLength | None = None
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    samples: int | None = None
    beams: int | None = None
    sampling_seed: int = 0
    stride: int | None = None
    share_prefixes: bool = True
    workers: int | Literal["auto"] | None = None
    cluster: str | None = None
    cache: bool = True
    tokenizer: str | None = None
    concurrency: int = 64
    request_timeout: float = 600.0
    price_prompt: float | None = None
    price_completion: float | None = None
    compat: Compat | None = None
    retrieve: str | None = None
    passages: int = 3
    data_dir: str | None = None
    offline: bool | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    allow_code_execution: bool = False
    output: str | Path | None = None
    progress: Progress | None = None

    def run(self) -> Run:
        """Evaluates the model.

        Returns:
            The run, also written to `output`.

        Raises:
            EvalkitError: See `evalkit.errors`; the message is one plain sentence.
        """
        output = None if self.output is None else Path(self.output)
        reuse = self.cache and not switched_on("EVALKIT_NO_CACHE")
        return evaluate(*self.parts(), output=output, progress=self.progress, reuse=reuse)

    def plan(self, baselines: Sequence[Run] = ()) -> RunPlan:
        """What `run` would take, and what comparing two such runs could see.

        Tokens, minutes and memory come from the prompts and a few batches computed as a probe.

        Args:
            baselines: One or two earlier results of the same tasks: their outcomes, and how often they disagree, then
                decide the smallest visible differences; without them unrelated answers are assumed.

        Raises:
            EvalkitError: As `run`.
        """
        from evalkit.runner.planning import plan

        if self.output is not None:
            raise UsageError("a plan writes no file", hint="leave output out; the plan is what is returned")
        return plan(*self.parts(), baselines=baselines, progress=self.progress)

    def parts(self) -> tuple[Selection, Callable[[], Backend], DataOptions, RunSettings]:
        """What the runner takes: tasks, what loads the model, where data may come from, and the settings.

        Raises:
            UsageError: An option is wrong, or a task is not known.
        """
        if self.compat not in (None, "lm-eval"):
            raise UsageError(f"--compat {self.compat!r} is not known", hint="the only one is: --compat lm-eval")
        if self.thinking not in ("auto", "off"):
            parse_tags(self.thinking)  # a slip is told before anything is loaded
        self._check_devices()
        self._check_endpoint()
        settings = RunSettings(
            limit=Limit.parse(self.limit),
            seed=self.seed,
            chat_template=self.chat_template,
            system=self.system,
            system_as_user=self.system_as_user,
            fewshot_as_multiturn=self.fewshot_as_multiturn,
            enable_thinking=self.enable_thinking,
            thinking="off" if self.compat and self.thinking == "auto" else self.thinking,
            shots_sampler=self.shots_sampler,
            shots_seed=self.shots_seed,
            shots_seeds=self.shots_seeds,
            over_length=self.over_length or ("truncate" if self.compat else "error"),
            decoding=self._decoding(),
            sampling_seed=self.sampling_seed,
            allow_code_execution=self.allow_code_execution,
            retrieval=None if self.retrieve is None else Retrieval(self.retrieve, self.passages),
        )
        data = DataOptions.resolve(self.data_dir, self.offline, trust_remote_code=self.trust_remote_code)
        selection = _select(self.tasks, self.shots)
        for task in selection.tasks.values():
            # a slip in what changes a task's own decoding is told before any data is read
            if isinstance(task, Task) and task.metrics[0] not in METRICS:
                task.decoding.changed(settings.decoding_changes())
        return selection, lambda: self._backend(data.offline), data, settings

    def backend(self) -> Backend:
        """What answers, loaded: for those who ask it something else than tasks.

        Raises:
            UsageError: An option is wrong.
            ModelError: The model cannot be loaded.
        """
        self._check_devices()
        self._check_endpoint()
        data = DataOptions.resolve(self.data_dir, self.offline, trust_remote_code=self.trust_remote_code)
        return self._backend(data.offline)

    def _check_devices(self) -> None:
        """Stops at ways to use several devices that the model's engine does not have.

        Raises:
            UsageError: It does not have one.
        """
        from evalkit.models.placement import check_device_map

        vllm = isinstance(self.model, str) and self.model.startswith("vllm:")
        built_in = isinstance(self.model, str) and not vllm and not is_endpoint(self.model)
        if self.tensor_parallel < 1:
            raise UsageError(f"--tensor-parallel {self.tensor_parallel} is no number of devices", hint="give 1 or more")
        if self.tensor_parallel != 1 and not vllm:
            raise UsageError(
                "--tensor-parallel is for vLLM in this process, and this model is not loaded by it",
                hint="write --model vllm:MODEL; the built-in engine has --device-map, and a server its own options",
            )
        if self.device_map is not None and not built_in:
            raise UsageError(
                "--device-map is for models that the built-in engine loads",
                hint="vLLM has --tensor-parallel, and a server its own options" if vllm else "leave it out",
            )
        check_device_map(self.device_map, self.device)

    def _check_endpoint(self) -> None:
        """Stops what would be sent over the network though the user forbids it (of HF_HUB_OFFLINE only the hub is meant).

        Raises:
            UsageError: The endpoint is not on this machine, or its address cannot be meant.
        """
        if not isinstance(self.model, str) or not is_endpoint(self.model):
            return
        address = parse(self.model)
        offline = switched_on("EVALKIT_OFFLINE") if self.offline is None else self.offline
        if offline and not address.is_on_this_machine:
            raise UsageError(f"--offline forbids {address.url}", hint="leave it out, or use a server on this machine")

    def _decoding(self) -> dict[str, Any]:
        """What the user changed of how text is generated."""
        given = {name: getattr(self, name) for name in DECODING_OPTIONS}
        return {name: value for name, value in given.items() if value is not None}

    def _backend(self, offline: bool) -> Backend:
        if not isinstance(self.model, str):
            return self.model
        from evalkit.models import ModelOptions

        options = ModelOptions(
            dtype=self.dtype,
            device=self.device,
            device_map=self.device_map,
            trust_remote_code=self.trust_remote_code,
            allow_pickle=self.allow_pickle,
            max_length=self.max_length,
            offline=offline,
        )
        if is_endpoint(self.model):
            self._check_alone("a server takes many requests at once: use --concurrency")
            return self._endpoint(self.model, options)
        if self.model.startswith("vllm:"):
            self._check_alone("vLLM has workers of its own: use --tensor-parallel")
            from evalkit.backends.vllm import open_vllm

            return open_vllm(self.model, options, self.stride, tensor_parallel=self.tensor_parallel)
        return self._local(self.model, options)

    def _check_alone(self, hint: str) -> None:
        if self.workers not in (None, 1) or self.cluster is not None:
            raise UsageError("--workers and --cluster are for models that the built-in engine loads", hint=hint)

    def _local(self, model: str, options: ModelOptions) -> Backend:
        from evalkit.backends.local import LocalBackend, LocalOptions
        from evalkit.models import open_model

        local_options = LocalOptions(
            token_budget=self.batch_tokens,
            deterministic=self.deterministic,
            share_prefixes=self.share_prefixes,
            compat_lm_eval=self.compat == "lm-eval",
            stride=self.stride,
        )
        if self.device_map is not None and (self.cluster is not None or self.workers not in (None, 1)):
            raise UsageError(
                "--device-map spreads one model over all devices, and workers have a device each", hint="leave one out"
            )
        if self.cluster is not None:
            from evalkit.backends.workers.opening import open_cluster

            return open_cluster(model, options, local_options, self.cluster, self.workers or "auto")
        if self.workers not in (None, 1):
            from evalkit.backends.workers.opening import device_count, open_processes

            workers = device_count(self.device) if self.workers == "auto" else self.workers
            if workers > 1:
                return open_processes(model, options, local_options, workers)
        return LocalBackend(open_model(model, options), local_options)

    def _endpoint(self, model: str, options: ModelOptions) -> Backend:
        from evalkit.backends.endpoint.backend import EndpointOptions
        from evalkit.backends.endpoint.client import RetryPolicy
        from evalkit.backends.endpoint.opening import open_endpoint

        endpoint_options = EndpointOptions(
            concurrency=self.concurrency,
            policy=RetryPolicy(timeout=self.request_timeout),
            max_length=self.max_length,
            stride=self.stride,
            price_prompt=self.price_prompt,
            price_completion=self.price_completion,
        )
        return open_endpoint(model, endpoint_options, self.tokenizer, options)


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _function(
    arguments: Callable[Arguments, Evaluation], method: Callable[[Evaluation], Result], description: str
) -> Callable[Arguments, Result]:
    """A method of `Evaluation` as a function that takes its fields, so that they are named and explained once."""

    def function(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return method(arguments(*args, **kwargs))

    function.__name__ = function.__qualname__ = method.__name__
    function.__doc__ = f"{description}\n\nThe arguments are the attributes of `evalkit.Evaluation`.\n\n{method.__doc__}"
    returned = inspect.signature(method).return_annotation
    function.__signature__ = inspect.signature(arguments).replace(return_annotation=returned)  # type: ignore[attr-defined]
    return function


run = _function(Evaluation, Evaluation.run, "Evaluates a model on tasks.")
plan = _function(Evaluation, Evaluation.plan, "What an evaluation would take, before it runs.")


def _select(tasks: str | Sequence[str | Registered], shots: int | None) -> Selection:
    if isinstance(tasks, str):
        return select(tasks, shots)
    names = [task for task in tasks if isinstance(task, str)]
    given = [task for task in tasks if isinstance(task, Task | Group)]
    if not given:
        return select(names, shots)
    return select(names, shots, extra=given)


def default_output(model: str, tasks: str) -> Path:
    """Where a result goes when the user does not say: the same command always names the same file."""
    if is_endpoint(model):  # its URL may hold secrets, and its path says little
        address = parse(model)
        model = f"{Path(address.model).name}-{urlsplit(address.url).netloc}"
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in (Path(model).name or model, tasks)]
    return Path("runs") / f"{words[0]}_{words[1][:80].rstrip('-.')}.json"
