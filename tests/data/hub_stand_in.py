"""A small stand-in for the hub's HTTP API, for the real client library to talk to."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Repository:
    """Commits of one dataset: branch -> commit, commit -> path -> content; `refusal` is (status, error code)."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(repr((branch, sorted(files.items()))).encode()).hexdigest()
        self.branches[branch] = sha
        self.commits[sha] = files
        return sha


@dataclass
class Hub:
    """Data sets by id, and the requests that came, as `METHOD path`."""

    datasets: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        parts = [unquote(part) for part in path.split("?")[0].strip("/").split("/")]
        if parts[0] == "api":
            parts = parts[1:]
        dataset_id = "/".join(parts[1:3])
        repository = self.datasets.get(dataset_id)
        if parts[0] != "datasets" or repository is None:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        if repository.refusal:
            return repository.refusal[0], {"X-Error-Code": repository.refusal[1]}, b""
        rest = parts[3:]
        reference = rest[1] if len(rest) > 1 else "main"
        sha = repository.branches.get(reference, reference)
        files = repository.commits.get(sha)
        if files is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        if rest and rest[0] == "resolve":
            content = files.get("/".join(rest[2:]))
            if content is None:
                return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}, b""
            return 200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": sha}, content
        siblings = [{"rfilename": name} for name in files]
        information = {"id": dataset_id, "sha": sha, "private": False, "tags": [], "siblings": siblings}
        return 200, {"Content-Type": "application/json"}, json.dumps(information).encode()


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serves the hub on a free port of this machine while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
