"""Archives that no honest program writes, and a git server that can be told to misbehave."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

import pytest

from imageforge.sources import GitPolicy, GitUrl, parse_git_url

LOCAL = GitPolicy(allow_http=True, allow_networks=(ip_network("127.0.0.0/8"),))
_GIT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2024-03-01T12:00:00+02:00",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_COMMITTER_DATE": "2024-03-01T12:00:00+02:00",
}


def git(folder: Path, *arguments: str, data: bytes | None = None) -> str:
    """Run git on a repository of the test's own."""
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=_GIT,
        input=data,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def commit(folder: Path, message: str) -> str:
    """Commit all there is; the commit's name."""
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@dataclass
class GitServer:
    """`git http-backend` for the bare repositories in `root`, and what it is to do instead of answering.

    `token` is wanted in the password; `redirect` is the Location of a 301; `hold` keeps every request until it is
    set (`reached` says that one has come); `version0` hides protocol v2, whose servers give any commit.
    """

    root: Path
    port: int = 0
    token: str | None = None
    redirect: str | None = None
    hold: threading.Event | None = None
    version0: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)

    def url(self, name: str, host: str = "127.0.0.1") -> GitUrl:
        return parse_git_url(f"http://{host}:{self.port}/{name}", LOCAL)

    def publish(self, work: Path, name: str = "app.git") -> GitUrl:
        """Serve a bare clone of the repository in `work`."""
        git(self.root, "clone", "--quiet", "--bare", "--no-local", str(work), name)
        return self.url(name)


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - three methods of a class
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            server.requests.append(self.path)
            server.reached.set()
            if server.hold:
                server.hold.wait(60)
                return
            if server.redirect:
                self.send_response(301)
                self.send_header("Location", server.redirect)
                self.end_headers()
                return
            if server.token and not self._authorized(server.token):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            self._backend()

        do_POST = do_GET

        def _authorized(self, token: str) -> bool:
            said = self.headers.get("Authorization", "")
            server.authorizations.append(said)
            return said.startswith("Basic ") and base64.b64decode(said[6:]).decode().partition(":")[2] == token

        def _backend(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self._chunks()
            environ = _GIT | {
                "GIT_PROJECT_ROOT": str(server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REMOTE_ADDR": "127.0.0.1",
            }
            if not server.version0:
                environ["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
            out = subprocess.run(
                ["git", "http-backend"], input=body, env=environ, capture_output=True, check=False
            ).stdout
            head, _, rest = out.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(fields.pop("Status", "200 OK").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(rest)

        def _chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

    return Handler


class _QuietServer(ThreadingHTTPServer):
    """git is killed in the middle of requests here, and that is no failure of the server's."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[GitServer]:
    """A server on 127.0.0.1 without repositories."""
    server = GitServer(tmp_path / "served")
    server.root.mkdir()
    with _QuietServer(("127.0.0.1", 0), _handler(server)) as listening:
        server.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        yield server
        if server.hold:
            server.hold.set()
        listening.shutdown()
        thread.join()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A repository with two commits on main, a branch, and tags of both kinds."""
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "sub").mkdir()
    (folder / "sub/link").symlink_to("../Dockerfile")
    commit(folder, "First")
    git(folder, "tag", "v1")
    git(folder, "tag", "-a", "v1-signed", "-m", "annotated")
    git(folder, "branch", "feature/x")
    (folder / "new.txt").write_text("two\n")
    commit(folder, "Second\n\nwith a body")
    return folder


Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", **fields: object) -> Entry:
    """A tar entry; `fields` are those of TarInfo, and its size may lie."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def raw_tar(*entries: Entry, end: bool = True) -> bytes:
    """A tar of exactly these entries, duplicates and lies included."""
    out = io.BytesIO()
    for info, data in entries:
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        out.write(data + bytes(-len(data) % 512))
    return out.getvalue() + (bytes(1024) if end else b"")


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[bytes], Path]:
    """Puts bytes into a file in a folder of its own, so that what is left over can be seen."""

    def make(data: bytes) -> Path:
        file = tmp_path / "in" / "context.tar"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        return file

    return make
