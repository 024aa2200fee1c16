"""From `openai:MODEL@URL` to where requests go, with everything secret kept apart from what may be shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from evalkit.errors import UsageError

Style = Literal["auto", "chat", "completions"]

_PREFIXES: dict[str, Style] = {"openai:": "auto", "openai-chat:": "chat", "openai-completions:": "completions"}
_DEFAULT_URL = "https://api.openai.com/v1"
_KEY_VARIABLES = ("EVALKIT_API_KEY", "OPENAI_API_KEY")
_SHOWN = "***"

_BARE_URL = re.compile(
    r"(?P<model>[^@]+)@([^@/]*@)?(?P<host>(localhost|\d+(\.\d+){3}|\[[0-9a-f:.]+\])(:\d+)?|[\w.-]+:\d+)([/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
"""A URL without a scheme after a model's name: localhost, an IP address, or any host with a port."""


@dataclass(frozen=True, slots=True)
class Address:
    """A model at an endpoint.

    Attributes:
        model: Its name there.
        url: The API's base, without credentials, query and trailing slash.
        style: Which API to use; `auto` asks the server what it has.
        query: Sent with every request; its values may be secret.
        credentials: User and password of the URL; secret.
        key: The API key; secret.
    """

    model: str
    url: str
    style: Style = "auto"
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """As the user typed it, without anything secret."""
        prefix = next(prefix for prefix, style in _PREFIXES.items() if style == self.style)
        query = "&".join(f"{name}={_SHOWN}" for name in self.query)
        return f"{prefix}{self.model}@{self.url}" + (f"?{query}" if query else "")

    @property
    def is_on_this_machine(self) -> bool:
        """Whether requests stay on this machine: the host is `localhost` or a loopback address."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:  # a name
            return host == "localhost" or host.endswith(".localhost")

    def redacted(self, text: str) -> str:
        """A text of the server's or of a library's, without the secrets."""
        for secret in self._secrets():
            text = text.replace(secret, _SHOWN)
        return text

    def _secrets(self) -> Iterable[str]:
        user, password = self.credentials or ("", "")
        values = {self.key or "", password, user if not password else "", *self.query.values()}
        # longest first, so that no secret that contains another leaves its rest behind
        return sorted(filter(None, values), key=len, reverse=True)


def is_endpoint(spec: str) -> bool:
    """Whether a model's name means an endpoint."""
    return spec.startswith(tuple(_PREFIXES))


def parse(spec: str, environment: Mapping[str, str] | None = None) -> Address:
    """Reads `openai:MODEL@URL`, `openai-chat:MODEL@URL` or `openai-completions:MODEL@URL`.

    Without a URL it is that of OPENAI_BASE_URL, or OpenAI's own. The key is EVALKIT_API_KEY's, or OPENAI_API_KEY's.

    Args:
        spec: What the user typed.
        environment: Environment variables; None takes the process's.

    Raises:
        UsageError: There is no model's name, or the URL cannot be one. The message shows no secret.
    """
    variables = os.environ if environment is None else environment
    prefix = next(prefix for prefix in _PREFIXES if spec.startswith(prefix))
    found = re.match(r"(?P<model>.*?)@(?P<url>https?://.*)", spec.removeprefix(prefix), re.DOTALL)
    if found is None and "://" in spec:
        raise UsageError(
            "an endpoint's URL begins with http:// or https://, after the model's name and an @",
            hint=f"write {prefix}MODEL@https://host/v1",
        )
    bare = None if found else _BARE_URL.fullmatch(spec.removeprefix(prefix))
    if bare:  # else the whole would be the name of a model of OpenAI's, and sent there with the key
        raise UsageError(
            f"`{bare['host']}` has no scheme", hint=f"write {prefix}{bare['model']}@http://{bare['host']}/v1"
        )
    model = found["model"] if found else spec.removeprefix(prefix)
    if not model.strip():
        raise UsageError("the endpoint's model has no name", hint=f"write {prefix}MODEL@https://host/v1")
    url = found["url"] if found else variables.get("OPENAI_BASE_URL") or _DEFAULT_URL
    key = next((variables[name] for name in _KEY_VARIABLES if variables.get(name)), None)
    return _address(model, url, _PREFIXES[prefix], key)


def _address(model: str, url: str, style: Style, key: str | None) -> Address:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise UsageError(
            "the endpoint's URL has no host, or a port that is no number", hint="write https://host:8000/v1"
        )
    shown = f"[{host}]" if ":" in host else host
    base = f"{parts.scheme}://{shown}" + (f":{port}" if port else "") + parts.path.rstrip("/")
    for path in ("/chat/completions", "/completions"):  # the whole address of one API, as other tools want it
        base = base.removesuffix(path)
    credentials = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Address(model, base, style, dict(parse_qsl(parts.query, keep_blank_values=True)), credentials, key)
