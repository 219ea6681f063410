"""A hub in a box: a server on loopback that gives repositories in the Hugging Face hub's own layout.

huggingface_hub's real code talks to it, in a process whose HF_ENDPOINT is `Box.url`. A repository is a folder of files at
one commit; `gated` ones want a token, `cut` files lose their connection once, after so many bytes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "hf_of_somebody_who_accepted"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """Files of one commit. `status`: what a gated one answers without a good token."""

    folder: Path
    commit: str = COMMIT
    gated: int = 0


@dataclass
class Box:
    """The server: its address, its repositories by name, its faults, and what it was asked ("GET /path", Range or None)."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """Plain files by path, for what does not come from a hub."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def fetched(self, name: str) -> list[str | None]:
        """Ranges of the requests for the content of files called `name`."""
        return [wanted for request, wanted in self.asked if request.startswith("GET ") and request.endswith(f"/{name}")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    box: Box

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        self.box.asked.append((f"{self.command} /{path}", self.headers.get("Range")))
        if path in self.box.files:
            self._give(self.box.files[path], {}, body)
        elif path.startswith("api/models/"):
            repo, _, rest = path.removeprefix("api/models/").partition("/revision/")
            if found := self._repository(repo, rest or "main"):
                names = sorted(p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*") if p.is_file())
                self._say(200, {}, {"id": repo, "sha": found.commit, "siblings": [{"rfilename": name} for name in names]})
        else:
            repo, _, rest = path.partition("/resolve/")
            revision, _, name = rest.partition("/")
            if found := self._repository(repo, revision):
                commit = {"X-Repo-Commit": found.commit}
                if (found.folder / name).is_file():
                    self._give(found.folder / name, commit, body)
                else:
                    self._say(404, {**commit, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})

    def _repository(self, repo: str, revision: str) -> Repository | None:
        found = self.box.repositories.get(repo)
        if found is None:
            # The hub does not tell a stranger whether a repository is missing or private.
            self._say(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif found.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            words = "Access to this model is restricted. You must accept its licence."
            self._say(found.gated, {"X-Error-Code": "GatedRepo", "X-Error-Message": words})
        elif revision not in ("main", found.commit):
            self._say(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"})
        else:
            return found
        return None

    def _give(self, path: Path, headers: dict[str, str], body: bool) -> None:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        wanted, changed = self.headers.get("Range"), self.headers.get("If-Range") not in (None, f'"{digest}"')
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted and not changed else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        common = {"ETag": f'"{digest}"', "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content)),
                  "Content-Length": str(len(content) - start), "Accept-Ranges": "bytes"}  # fmt: skip
        for key, value in (common | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            end = self.box.cut.pop(path.name, None)
            self.wfile.write(content[start:end])
            if end is not None:
                self.close_connection = True

    def _say(self, status: int, headers: dict[str, str], value: object = None) -> None:
        body = json.dumps(value).encode() if value is not None and self.command == "GET" else b""
        self.send_response(status)
        for key, said in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, said)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Quiet."""


@contextmanager
def served() -> Iterator[Box]:
    """A box that serves until the block ends."""
    box = Box()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"box": box}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    box.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
