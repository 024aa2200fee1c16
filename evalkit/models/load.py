"""Loads a language model with its tokenizer, whole and checked, and says what exactly was loaded."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.models.adapter import apply_adapter, require_peft
from evalkit.models.causality import check_causal, is_encoder_decoder
from evalkit.models.checkpoint import adapter_files, refuse_remote_code, weight_files
from evalkit.models.gguf_reading import check_gguf, shared_gguf_reader
from evalkit.models.hashing import WatchedFiles, WeightsHash, combine, config_sha256, tokenizer_sha256
from evalkit.models.hub import snapshot
from evalkit.models.location import ModelLocation, resolve
from evalkit.models.options import ModelOptions, pick_device, pick_dtype
from evalkit.models.placement import check_device_map, check_placed, device_map_of, refuse_spreading
from evalkit.models.quiet import quiet_libraries
from evalkit.models.tokenizer import prefix_token, tokenizer_at
from evalkit.models.weights import load_config, load_weights
from evalkit.results import ModelInfo

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_MAX_LENGTH = 2048
"""Context length in tokens where neither the model nor its tokenizer says one, as in lm-eval."""


@dataclass(slots=True)
class LoadedModel:
    """A model ready to score.

    Attributes:
        model: In evaluation mode, on `device`, without gradients.
        tokenizer: Its tokenizer.
        info: Its identity, for the result file.
        max_length: Context length in tokens; of an encoder-decoder that of its encoder and that of its decoder.
        prefix_token: Id of the token before a text without context.
        device: Where it computes; of a model spread over several devices, where its inputs go.
        dtype: Type of its weights.
        is_encoder_decoder: Whether it reads with an encoder and writes with a decoder.
        files: What its weights are mapped from, as pickled ones are on a CPU, or read from, as those that fit no
            device; None where they are in memory.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    info: ModelInfo
    max_length: int
    prefix_token: int
    device: torch.device
    dtype: torch.dtype
    is_encoder_decoder: bool = False
    files: WatchedFiles | None = None

    def load(self) -> LoadedModel:
        """Itself: as `OpenedModel.load`, with nothing left to do."""
        return self


@dataclass(frozen=True, slots=True)
class _Source:
    """Files of a base model, found and checked."""

    directory: Path
    files: list[Path]
    gguf_file: str | None
    revision: str | None


class OpenedModel:
    """A model whose tokenizer and configuration are loaded; its weights are found and checked, but not loaded.

    Args:
        location: What the user means.
        options: How to load it.
        weights: Whether they will be loaded soon; their hash is then computed meanwhile.

    Attributes:
        tokenizer: Its tokenizer.
        max_length: Context length in tokens; of an encoder-decoder that of its encoder and that of its decoder.
        prefix_token: Id of the token before a text without context.
        device: Where it will compute; of a model spread over several devices, on the first.
        is_encoder_decoder: Whether it reads with an encoder and writes with a decoder.

    Raises:
        ModelError: It is missing, incomplete, refused, or its configuration is not a language model's.
        UsageError: An option has no meaning on this machine.
    """

    def __init__(self, location: ModelLocation, options: ModelOptions, *, weights: bool = True) -> None:
        check_device_map(options.device_map, options.device)
        self.device = pick_device(options.device)
        self._dtype = pick_dtype(options.dtype, self.device)
        self._location, self._options = location, options
        base = location.base or location
        self._own_files: list[Path] = []
        if location.base is not None:
            require_peft()
            assert location.path is not None
            self._own_files = adapter_files(location.path, options)
        self._source = _find(base, options)
        self._watched = WatchedFiles([*self._source.files, *self._own_files], location.spec)
        self._hash = self._start_hash() if weights else None
        with shared_gguf_reader() if self._source.gguf_file else nullcontext():
            self.tokenizer = tokenizer_at(location, options)
            self._config = load_config(self._source.directory, base.spec, options, self._source.gguf_file)
        self.max_length = context_length(self._config, self.tokenizer, options)
        self.prefix_token = prefix_token(self.tokenizer)
        self.is_encoder_decoder = is_encoder_decoder(self._config)
        if options.device_map is not None:
            refuse_spreading(is_gguf=self._source.gguf_file is not None, is_encoder_decoder=self.is_encoder_decoder)

    def _start_hash(self) -> WeightsHash:
        return WeightsHash(self._source.files, self._source.directory)

    def load(self) -> LoadedModel:
        """Loads the weights.

        Raises:
            ModelError: They are incomplete, corrupt, or not those of a language model.
        """
        location, source = self._location, self._source
        base = location.base or location
        model = load_weights(
            source.directory, base.spec, self._options, self._config, self._dtype, self.device, source.gguf_file
        )
        check_placed(model, location.spec, has_adapter=location.base is not None)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        weights_sha256, adapter = (self._hash or self._start_hash()).hexdigest(), None
        if self._own_files:
            model, weights_sha256, adapter = _adapt(
                model, location, self._own_files, weights_sha256, len(self.tokenizer)
            )
        with quiet_libraries():
            check_causal(model, location.spec)
        self._watched.check()
        info = ModelInfo(
            name=location.spec,
            source=location.kind,
            revision=source.revision,
            parameters=parameters,
            dtype=str(model.dtype).removeprefix("torch."),
            weights_sha256=weights_sha256,
            tokenizer_sha256=tokenizer_sha256(self.tokenizer),
            adapter=adapter,
            extra=_extra(model, self.tokenizer, location),
        )
        return LoadedModel(
            model,
            self.tokenizer,
            info,
            self.max_length,
            self.prefix_token,
            self.device if self._options.device_map is None else model.device,
            model.dtype,
            self.is_encoder_decoder,
            self._mapped(model),
        )

    def _mapped(self, model: PreTrainedModel) -> WatchedFiles | None:
        """The files, where weights of the loaded model are mapped or read from them."""
        places = set(device_map_of(model).values())
        self._watched.read_again = "disk" in places
        if self._options.device_map is None:
            mapped = self.device.type == "cpu" and _pickled(self._source.files)
        else:
            mapped = self.device.type == "cpu" or not places.isdisjoint({"cpu", "disk"})
        return self._watched if mapped else None


def open_model(spec: str, options: ModelOptions | None = None, *, weights: bool = True) -> OpenedModel:
    """Finds the model that `spec` means and loads its tokenizer; the weights are left to `OpenedModel.load`.

    Args:
        spec: A directory, a `.gguf` file, `peft:DIR`, `smollm2`, or a hub id `org/name` or `org/name@revision`.
        options: How.
        weights: Whether they will be loaded soon.

    Raises:
        ModelError: It is missing, incomplete, refused, or its configuration is not a language model's.
        UsageError: An option has no meaning on this machine.
    """
    return OpenedModel(resolve(spec), options or ModelOptions(), weights=weights)


def load_model(spec: str, options: ModelOptions | None = None) -> LoadedModel:
    """Loads the model that `spec` means, weights and all; see `open_model`.

    Raises:
        ModelError: It is missing, incomplete, corrupt, refused, or not a language model.
        UsageError: An option has no meaning on this machine.
    """
    return open_model(spec, options).load()


def _find(location: ModelLocation, options: ModelOptions) -> _Source:
    """Brings a base model's files to this machine and checks what can be checked before loading."""
    if location.kind in ("gguf", "embedded"):
        assert location.path is not None
        check_gguf(location.path)
        return _Source(location.path.parent, [location.path], location.path.name, None)
    directory, revision = snapshot(location, options) if location.kind == "hub" else (location.path, None)
    assert directory is not None
    refuse_remote_code(directory, options)
    return _Source(directory, weight_files(directory, options), None, revision)


def _adapt(
    model: PreTrainedModel, location: ModelLocation, files: list[Path], base_sha256: str, tokens: int
) -> tuple[PreTrainedModel, str, str]:
    assert location.path is not None
    adapter_sha256 = WeightsHash(files, location.path).hexdigest()
    model = apply_adapter(model, location.path, tokens)
    # the scaling of the matrices stands in the configuration, and moves every score
    own = combine(adapter_sha256, (location.path / "adapter_config.json").read_text(encoding="utf-8"))
    return model, combine(base_sha256, own), f"{location.path.resolve().name}@{own}"


def _extra(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, location: ModelLocation) -> dict[str, Any]:
    extra = {"architecture": type(model).__name__, "config_sha256": config_sha256(model, tokenizer)}
    if location.base is not None:
        extra |= {"base": location.base.spec, "base_source": location.base.kind}
    quantization = getattr(model.config, "quantization_config", None)
    if quantization is not None:
        fields = quantization if isinstance(quantization, dict) else quantization.to_dict()
        method = fields.get("quant_method")
        extra["quantization"] = str(getattr(method, "value", method))
    return extra


def _pickled(files: list[Path]) -> bool:
    return any(file.suffix == ".bin" for file in files)


def context_length(config: Any, tokenizer: PreTrainedTokenizerBase, options: ModelOptions) -> int:
    """Context length in tokens by lm-eval's rule (0.4.13, `resolve_max_length`).

    The option wins; then `n_positions`, `max_position_embeddings` or `n_ctx` of the (text) configuration; then the
    tokenizer's `model_max_length` where it is set; then 2048.
    """
    if options.max_length is not None:
        return options.max_length
    text_config = getattr(config, "text_config", None) or config
    for field in ("n_positions", "max_position_embeddings", "n_ctx"):
        value = getattr(text_config, field, None)
        if value is not None:
            return int(value)
    # an unset limit is stored as 1e30
    if tokenizer.model_max_length is not None and tokenizer.model_max_length < 1e9:
        return int(tokenizer.model_max_length)
    return DEFAULT_MAX_LENGTH
