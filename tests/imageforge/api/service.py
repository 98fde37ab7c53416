"""The API as it is served, with a real Redis beside it: no engine, no controller, and no worker, so builds wait."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from imageforge.api.__main__ import OPTIONS
from imageforge.api.app import create_app
from imageforge.api.site import Site
from imageforge.config import Home, Settings
from imageforge.stack.catalog import program
from imageforge.stack.probes import redis_ok
from imageforge.store import Build, Builds, Scope, Tokens


def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait for what other processes and threads do."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def archive(size: int) -> bytes:
    """What begins as an archive does, so that it is taken."""
    return tarfile.TarInfo("Dockerfile").tobuf() + b"x" * (size - tarfile.BLOCKSIZE)


class Redis:
    """A Redis of a home, which can be killed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it as the stack does, and wait until it answers."""
        options = ["--port", "0", "--unixsocket", str(self._home.redis_socket), "--unixsocketperm", "600"]
        options += ["--dir", str(self._home.run), "--save", "", "--daemonize", "no"]
        with (self._home.log / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([program("redis-server", "valkey-server"), *options], stdout=log)
        until(lambda: redis_ok(self._home.redis_socket) is None)

    def kill(self) -> None:
        """End it at once; nothing that it held survives."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Api:
    """One running API."""

    def __init__(self, home: Home, settings: Settings, listener: socket.socket, redis: Redis) -> None:
        self.home = home
        self.settings = settings
        self.redis = redis
        self.app = create_app(home, settings)
        self.site: Site = self.app.state.site
        _, self.token = Tokens(self.site.database).create("tests", Scope.ADMIN)
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(uvicorn.Config(self.app, **OPTIONS))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, name="api")
        self._thread.start()
        until(lambda: self._server.started)

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.should_exit = True
        self._thread.join()

    def client(self, token: str | None = None, **more: Any) -> httpx.Client:
        """A client with a token; the administrator's where none is given."""
        bearer = self.token if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **more)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One call."""
        with self.client() as client:
            return client.request(method, path, **more)

    def raw(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """One call whose path is sent as it stands; its status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, {"Authorization": f"Bearer {self.token}", **given})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    @contextmanager
    def upload(self, head: str, app: str = "shop") -> Iterator[socket.socket]:
        """A connection on which the head of an upload was sent; `head` says how long it will be."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            lines = (
                f"POST /v1/builds?app={app} HTTP/1.1",
                f"Host: 127.0.0.1:{self.port}",
                f"Authorization: Bearer {self.token}",
                "Content-Type: application/x-tar",
                head,
            )
            connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
            yield connection

    def files(self) -> set[str]:
        """What lies among the uploaded contexts, drafts among it."""
        return {file.name for file in self.home.contexts.glob("*")}

    def builds(self) -> tuple[Build, ...]:
        """Every build, newest first."""
        return Builds(self.site.database).latest(limit=1_000_000)


@contextmanager
def running_api(**settings: Any) -> Iterator[Api]:
    """An API in a home of its own, in a folder where nothing else is."""
    folder = Path(tempfile.mkdtemp(prefix="ifg-api-", dir="/var/tmp"))
    home = Home(folder / "home")
    home.prepare()
    redis = Redis(home)
    try:
        redis.start()
        # asyncio turns Nagle's algorithm off, which adds 40 ms to an answer, only where the protocol is named.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            api = Api(home, Settings(api_port=listener.getsockname()[1], **settings), listener, redis)
            try:
                yield api
            finally:
                api.close()
    finally:
        redis.kill()
        shutil.rmtree(folder)
