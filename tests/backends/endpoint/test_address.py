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


@pytest.mark.parametrize(
    ("spec", "host"),
    [
        ("openai:x@127.0.0.1:1", "127.0.0.1:1"),
        ("openai:org/x@localhost", "localhost"),
        ("openai-chat:x@[::1]:8000/v1", "[::1]:8000"),
        ("openai:x@my-server.lan:8000/v1?api-key=tok-en", "my-server.lan:8000"),
        ("openai:x@user:pass-word@10.0.0.1/v1", "10.0.0.1"),
    ],
)
def test_a_url_without_a_scheme_is_not_sent_to_openai(spec: str, host: str) -> None:
    prefix, model = spec.partition("@")[0].split(":")
    with pytest.raises(UsageError) as error:
        parse(spec, {"OPENAI_API_KEY": "sk-hidden"})
    assert error.value.message == f"`{host}` has no scheme"
    assert error.value.hint == f"write {prefix}:{model}@http://{host}/v1"


@pytest.mark.parametrize("model", ["gpt@v2", "@cf/meta/llama-3", "ft:gpt-4o:org::id", "model@2024-01-01"])
def test_a_models_name_may_have_an_at_sign(model: str) -> None:
    assert parse(f"openai:{model}", {}).model == model


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://localhost.example.com/v1", False),
    ],
)
def test_offline_leaves_servers_on_this_machine(url: str, here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    assert parse(f"openai:x@{url}", {}).is_on_this_machine == here
    for offline, environment, refused in ((True, "", True), (None, "1", True), (None, "", False), (False, "1", False)):
        monkeypatch.setenv("EVALKIT_OFFLINE", environment)
        # a file that is not there ends what goes on
        with pytest.raises(EvalkitError) as error:
            evalkit.run(model=f"openai:x@{url}", tasks="./not_there.yaml", offline=offline)
        assert (error.value.message == f"--offline forbids {url}") == (refused and not here)
