"""wrk (https://github.com/wg/wrk), run and read."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class WrkRun:
    """What wrk printed: requests a second, the 99th percentile in milliseconds, all requests, and those that failed."""

    per_second: float
    p99_ms: float
    requests: int
    failed: int


class Wrk:
    """wrk (https://github.com/wg/wrk) against a host of the balancer; with `pause` milliseconds between the requests
    of a connection it gives a rate, without it as many as there can be."""

    def __init__(self, port: int, host: str, *, connections: int, seconds: int, pause: int = 0) -> None:
        script = Path(__file__).with_name("pause.lua")
        self._process = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "15s", "--latency"]
            + (["-s", str(script)] if pause else [])
            + ["-H", f"Host: {host}", f"http://127.0.0.1:{port}/"]
            + (["--", str(pause)] if pause else []),
            stdout=subprocess.PIPE,
            text=True,
        )

    def result(self) -> WrkRun:
        """Waits for its end."""
        text, _ = self._process.communicate()
        assert self._process.returncode == 0, text
        return parse_wrk(text)

    def stop(self) -> WrkRun:
        """Ends it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        return self.result()


def parse_wrk(text: str) -> WrkRun:
    """Its report. Latencies are `1.23us`, `4.56ms` or `7.89s`."""
    per_second = re.search(r"Requests/sec:\s+([\d.]+)", text)
    total = re.search(r"(\d+) requests in ", text)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert per_second, text
    assert total, text
    assert tail, text
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = sum(map(int, errors.groups())) if errors else 0
    return WrkRun(
        per_second=float(per_second[1]),
        p99_ms=float(tail[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[tail[2]],
        requests=int(total[1]),
        failed=failed + (int(refused[1]) if refused else 0),
    )
