"""Brings a model from the Hugging Face hub, or finds it in the hub's cache on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from evalkit.errors import ModelError
from evalkit.models.location import ModelLocation
from evalkit.models.options import ModelOptions

_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
_OTHER_FORMATS = ("original/*", "consolidated*", "onnx/*", "openvino/*", "*.gguf", "*.msgpack", "*.h5")


def snapshot(location: ModelLocation, options: ModelOptions, *, weights: bool = True) -> tuple[Path, str | None]:
    """Downloads a repository unless it is in the cache.

    Args:
        location: Where, of kind `hub`.
        options: Whether the network, pickled weights and remote code are allowed.
        weights: Whether the weights are wanted, or the tokenizer only.

    Returns:
        The directory in the cache, and its commit where that is known.

    Raises:
        ModelError: The repository or revision does not exist, is closed to this user, or cannot be reached.
    """
    patterns = [*_SMALL_FILES, *(["model*.safetensors"] if weights else [])]
    if options.trust_remote_code:
        patterns.append("*.py")
    directory = _download(location, options, patterns)
    if weights and options.allow_pickle and not any(directory.glob("model*.safetensors")):
        directory = _download(location, options, [*patterns, "pytorch_model*.bin"])
    commit = directory.name if directory.parent.name == "snapshots" else None
    return directory, commit


def _download(location: ModelLocation, options: ModelOptions, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    offline = options.offline or os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "True", "yes", "on", "ON", "YES")
    where = f"the model '{location.repository}'"
    try:
        return Path(
            snapshot_download(
                location.repository,
                revision=location.revision,
                allow_patterns=patterns,
                ignore_patterns=list(_OTHER_FORMATS),
                local_files_only=offline,
            )
        )
    except GatedRepoError as error:
        raise ModelError(
            f"{where} is on the hub, but closed to you", hint="Accept its licence there and run `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{where} has no revision '{location.revision}' on the hub", hint="Check the name after `@`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"{where} is neither a directory here nor a model on the hub (or it is private)",
            hint="Check the name; for a private model run `hf auth login`.",
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        reason = "evalkit is offline" if offline else "the hub cannot be reached"
        raise ModelError(
            f"{where} is not on this machine, and {reason}",
            hint=f"Where there is a network, run `hf download {location.repository}`, or give a local directory.",
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"{where} could not be fetched from the hub: {str(error).splitlines()[0]}",
            hint="Try again, or give a local directory.",
        ) from error
