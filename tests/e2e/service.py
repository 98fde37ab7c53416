"""A running imageforge as its users see it over the network: the API, the git remote, a token."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import Forge

APP = """\
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (open("/srv/version.txt").read().strip() + " " + os.environ.get("GREETING", "")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
DOCKERFILE = """\
ARG BASE_IMAGE=imageforge/python:3.11
FROM ${BASE_IMAGE}
COPY main.py version.txt /srv/
EXPOSE 8080
USER 10001
CMD ["python3", "/srv/main.py"]
"""


def write_app(folder: Path, version: str = "one", dockerfile: str = DOCKERFILE) -> None:
    """A small web application that answers with its version."""
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(APP)
    (folder / "version.txt").write_text(version)
    (folder / "Dockerfile").write_text(dockerfile)


class Service:
    """The service side of a forge."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self.token = forge.ok("token", "create", "tests", "--scope", "admin").out.strip()
        self.url = f"http://127.0.0.1:{forge.api_port}"

    def client(self, token: str | None = None) -> httpx.Client:
        """A client with a token; the administrator's where none is given."""
        bearer = self.token if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One call."""
        with self.client() as client:
            return client.request(method, path, **more)

    def build(self, build: int) -> dict[str, Any]:
        """One build."""
        found: dict[str, Any] = self.ask("GET", f"/v1/builds/{build}").json()
        return found

    def upload(self, app: str, folder: Path, **options: Any) -> httpx.Response:
        """Send a folder as a tar archive."""
        archive = subprocess.run(["tar", "-c", "-C", str(folder), "."], check=True, capture_output=True).stdout
        query = {"app": app, "options": json.dumps(options)}
        return self.ask(
            "POST", "/v1/builds", params=query, content=archive, headers={"Content-Type": "application/x-tar"}
        )

    def events(self, build: int, after: int = 0) -> Iterator[dict[str, Any]]:
        """A build's events to its end."""
        with (
            self.client() as client,
            client.stream("GET", f"/v1/builds/{build}/events", params={"format": "ndjson", "after": after}) as response,
        ):
            assert response.status_code == 200
            for line in response.iter_lines():
                yield json.loads(line)

    def ended(self, build: int) -> dict[str, Any]:
        """A build once it has ended."""
        *_, last = self.events(build)
        ended: dict[str, Any] = last["build"]
        return ended

    def until(self, build: int, kind: str, stage: str) -> dict[str, Any]:
        """The first event of a kind in a stage."""
        for event in self.events(build):
            if event["kind"] == kind and event["stage"] == stage:
                return event
        raise AssertionError(f"build {build} ended without {kind} of {stage}: {self.build(build)}")

    def wait(self, build: int, *statuses: str, seconds: float = 60) -> dict[str, Any]:
        """A build once it stands as one of these."""
        deadline = time.monotonic() + seconds
        while (found := self.build(build))["status"] not in statuses:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


class Repository:
    """A developer's git repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """git, with nothing of this machine's configuration."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org",
        }
        return subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environ, capture_output=True, text=True, check=check, timeout=240
        )

    def commit(self, message: str) -> str:
        """Commit everything; the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").stdout.strip()
