"""Requests to the entry port: one by one, or many at a time while something else happens."""

from __future__ import annotations

import http.client
import threading
from collections import Counter


class Session:
    """A keep-alive client of one host name."""

    def __init__(self, port: int, host: str = "hello.localhost") -> None:
        self._host = host
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def request(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body."""
        body = b"{}" if method == "POST" else None
        self._connection.request(method, path, body=body, headers={"Host": self._host})
        response = self._connection.getresponse()
        return response.status, response.read().decode()

    def get(self, path: str) -> str:
        """The body of an answer that must be 200."""
        status, body = self.request(path)
        assert status == 200, (status, body)
        return body

    def status(self, path: str) -> int:
        """The status alone."""
        return self.request(path)[0]


class Load:
    """Several keep-alive clients that ask without pause while the block runs, slow requests and POSTs among them."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self.clients = clients
        self.results: Counter[str] = Counter()
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def total(self) -> int:
        """Requests that were answered or failed."""
        with self._lock:
            return sum(self.results.values())

    @property
    def failures(self) -> dict[str, int]:
        """What was not a 200, and how often."""
        return {result: count for result, count in self.results.items() if result != "200"}

    def _ask(self, number: int) -> None:
        session = Session(self._port)
        path, method = [("/", "GET"), ("/", "POST"), ("/slow", "GET"), ("/", "GET")][number % 4]
        while not self._over.wait(0.01):
            try:
                result = str(session.request(path, method)[0])
            except (OSError, http.client.HTTPException) as error:
                result = repr(error)
                session.__exit__()
                session = Session(self._port)
            with self._lock:
                self.results[result] += 1
        session.__exit__()
