"""The way to a Docker Engine, and the end of its SDK's errors."""

from __future__ import annotations

import http
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import docker.errors
import requests.exceptions
import urllib3.exceptions

from runtime.errors import EngineError

NAME_TAKEN = "name-taken"
TIMEOUT = 60
"""Seconds that an answer may take."""
CONNECTION_LOST = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    OSError,
)


class Connection:
    """To one engine, for many threads. Connects with the first call, and again after it was lost."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def ping(self) -> None:
        """Raise EngineError where the engine does not answer."""
        with self.translated("ping") as api:
            api.ping()

    @contextmanager
    def translated(self, subject: str) -> Iterator[docker.APIClient]:
        """The SDK client, its exceptions turned into ours; ``not-found`` is for the caller to judge."""
        try:
            yield self._connect()
        except docker.errors.NotFound as error:
            raise EngineError("not-found", subject, str(error.explanation or error)) from error
        except docker.errors.APIError as error:
            said = str(error.explanation or error)
            taken = error.status_code == http.HTTPStatus.CONFLICT and "is already in use by container" in said
            raise EngineError(NAME_TAKEN if taken else "engine-refused", subject, said) from error
        except (docker.errors.DockerException, *CONNECTION_LOST) as error:
            raise self.lost(subject, error) from error

    def _connect(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                self._client = docker.APIClient(base_url=self.host, timeout=TIMEOUT, max_pool_size=64)
            return self._client

    def lost(self, subject: str, error: Exception) -> EngineError:
        lost = EngineError(
            "engine-unreachable",
            self.host,
            f"the engine does not answer ({subject}): {error}",
            hint="imageforge doctor",
        )
        lost.retryable = True
        return lost


class UnlessGone:
    """Passes over what was asked of an object that is gone."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return isinstance(error, EngineError) and error.code == "not-found"
