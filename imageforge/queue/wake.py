"""Waking workers through RQ. The only module that imports rq and redis; a Redis that is away delays, and loses
nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker
from rq.serializers import JSONSerializer

log = logging.getLogger(__name__)

QUEUE = "builds"
JOB = "imageforge.queue.job.work"
CHANNEL = "imageforge:events"
KEPT_SECONDS = 60


class Waker:
    """Tells workers that there is something to claim, and readers that there is something to read."""

    def __init__(self, socket: Path) -> None:
        # Once more at once, for a connection that a restart of Redis has cut. The library's own ten tries would hold up
        # each answer for seconds while Redis is away, and forges give a webhook five.
        self._redis = _connect(socket, Retry(NoBackoff(), 1))
        self._queue = Queue(QUEUE, connection=self._redis, serializer=JSONSerializer)

    def wake(self, build_id: int) -> bool:
        """Wake a worker; False where Redis is away, and the sweeper will do it. Nobody is woken where a wake-up waits
        already: who takes it claims what is stored by then, and wakes the next if there is more."""
        try:
            if self._queue.count:
                return True
            # It lives until it is taken: one that was forgotten in the queue would keep others out and wake nobody.
            self._queue.enqueue_call(JOB, args=(build_id,), timeout=-1, result_ttl=0, failure_ttl=KEPT_SECONDS)
        except RedisError as error:
            log.warning("redis is away, build %d waits for the sweeper: %s", build_id, error)
            return False
        return True

    def pending(self) -> int | None:
        """How many wake-ups no worker has taken yet; None where Redis is away."""
        try:
            return int(self._queue.count)
        except RedisError:
            return None

    def tell(self, build_id: int) -> None:
        """Tell the readers of a build's events that there are more."""
        with contextlib.suppress(RedisError):
            self._redis.publish(CHANNEL, str(build_id))

    def heard(self, stopping: Callable[[], bool]) -> Iterator[int]:
        """The builds that are told of, as they are; ends when Redis goes away or `stopping` says so."""
        opened = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        with contextlib.suppress(RedisError), opened as subscription:
            subscription.subscribe(CHANNEL)
            while not stopping():
                message: dict[str, Any] | None = subscription.get_message(timeout=0.5)
                if message and message.get("type") == "message":
                    yield int(message["data"])

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()


class BuildWorker(Worker):
    """RQ's worker, that asks the build it runs to hand itself back when it is told to stop: what takes minutes need
    not hold up `down`, and nothing is lost by it."""

    sign: Path | None = None

    def register_birth(self) -> None:
        """Known to Redis, and so to whoever waits for us."""
        super().register_birth()  # type: ignore[no-untyped-call]
        if self.sign:
            self.sign.write_text(str(os.getpid()))

    def request_stop(self, signum: Any, frame: Any) -> None:
        """A signal handler: SIGTERM and Ctrl-C."""
        if self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def serve(socket: Path, sign: Path) -> None:
    """Be a worker until SIGTERM; `sign` gets our pid once we wait for builds."""
    connection = _connect(socket)
    queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    worker = BuildWorker([queue], connection=connection, serializer=JSONSerializer, default_result_ttl=0)
    worker.sign = sign
    worker.work(logging_level="WARNING")


def _connect(socket: Path, retry: Retry | None = None) -> Redis:
    # No time limit on reading: a worker waits for work in a read.
    # A Redis that hangs must not hold up an answer, though.
    more: dict[str, Any] = {} if retry is None else {"retry": retry, "socket_timeout": 1.0}
    return Redis(unix_socket_path=str(socket), socket_connect_timeout=2.0, **more)
