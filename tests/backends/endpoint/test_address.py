"""What users type, and that nothing secret is shown."""

from __future__ import annotations

import pytest

import evalkit
from evalkit.api import default_output
from evalkit.backends.endpoint.address import is_endpoint, parse
from evalkit.errors import EvalkitError, UsageError

SECRETS = ("sk-hidden", "pass-word", "tok-en")
SPEC = "openai:org/model@https://user:pass-word@host:8000/v1/?api-key=tok-en"


@pytest.mark.parametrize(
    ("spec", "model", "url", "style"),
    [
        ("openai:gpt@https://host/v1", "gpt", "https://host/v1", "auto"),
        ("openai-chat:org/gpt@http://127.0.0.1:8000/v1/", "org/gpt", "http://127.0.0.1:8000/v1", "chat"),
        ("openai-completions:@cf/meta/l@https://h/a/v1", "@cf/meta/l", "https://h/a/v1", "completions"),
        ("openai:gpt@https://host/v1/chat/completions", "gpt", "https://host/v1", "auto"),
        ("openai:gpt@http://[::1]:80/v1", "gpt", "http://[::1]:80/v1", "auto"),
        ("openai:gpt", "gpt", "https://api.openai.com/v1", "auto"),
    ],
)
def test_model_url_and_style(spec: str, model: str, url: str, style: str) -> None:
    address = parse(spec, {})
    assert (address.model, address.url, address.style, address.key) == (model, url, style, None)
    assert is_endpoint(spec)


def test_the_environment_gives_url_and_key() -> None:
    variables = {"OPENAI_API_KEY": "a", "EVALKIT_API_KEY": "b", "OPENAI_BASE_URL": "http://there/v1"}
    address = parse("openai:gpt", variables)
    assert (address.url, address.key) == ("http://there/v1", "b")
    assert parse("openai:gpt", {"OPENAI_API_KEY": "a"}).key == "a"


@pytest.mark.parametrize("spec", ["openai:", "openai:@https://host/v1", "openai:gpt@ftp://host", "openai:gpt@https://"])
def test_what_cannot_be_an_address(spec: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(spec, {})
    assert error.value.hint


def test_a_bad_url_is_not_repeated() -> None:
    with pytest.raises(UsageError) as error:
        parse("openai:gpt@https://user:pass-word@host:port/v1?x=tok-en", {})
    assert not any(secret in error.value.message + str(error.value.hint) for secret in SECRETS)


def test_nothing_secret_is_shown() -> None:
    address = parse(SPEC, {"OPENAI_API_KEY": "sk-hidden"})
    assert address.name == "openai:org/model@https://host:8000/v1?api-key=***"
    assert address.credentials == ("user", "pass-word")
    assert dict(address.query) == {"api-key": "tok-en"}
    shown = [address.name, repr(address), address.redacted("a sk-hidden b pass-word c tok-en"), address.url]
    assert not any(secret in text for text in shown for secret in SECRETS)
    assert str(default_output(SPEC, "arc")) == "runs/model-host-8000_arc.json"


def test_other_models_are_no_endpoints() -> None:
    assert not any(map(is_endpoint, ["smollm2", "openai/gpt-oss-20b", "vllm:org/model", "peft:dir"]))


def test_an_address_that_cannot_be_used_is_one_sentence() -> None:
    with pytest.raises(EvalkitError, match="no name"):
        evalkit.run(model="openai:", tasks="arc_easy", offline=True)
