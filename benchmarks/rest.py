"""What the stack takes while nothing happens: a hundred replicas, without and with probes by HTTP."""

from __future__ import annotations

import re
import time
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.fleet import Fleet, manifest
from benchmarks.processor import processor_seconds, tree

REPLICAS, SECONDS = 100, 30
PROBES = """readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
          livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}"""


def rest_figures(fleet: Fleet) -> list[Figure]:
    """A hundred at rest, then a hundred that are asked twice a second each."""
    figures = []
    for name, probes in (("quiet", ""), ("probed", PROBES)):
        fleet.apply(manifest(name, fleet.answers, REPLICAS, probes=probes))
        fleet.until(name, lambda status: status.ready == status.current == REPLICAS)
        time.sleep(5)
        what = f", {2 * REPLICAS} HTTP probes a second" if probes else ""
        figures += _measure(fleet, f"{REPLICAS} replicas{what}")
        fleet.delete(name)
    return figures


def _measure(fleet: Fleet, what: str) -> list[Figure]:
    groups = {"controller": tree(fleet.pid_of("controller")), "HAProxy": tree(fleet.pid_of("balancer"))}
    before = {name: processor_seconds(group) for name, group in groups.items()}
    began = time.monotonic()
    time.sleep(SECONDS)
    seconds = time.monotonic() - began
    shares = {name: (processor_seconds(group) - before[name]) / seconds for name, group in groups.items()}
    return [
        Figure(
            name=f"{what}: {name}",
            value=f"{shares[name] * 100:.2f} % of a core, {_memory(group):.0f} MB",
            of=f"{seconds:.0f} s; proportional share of memory",
        )
        for name, group in groups.items()
    ]


def _memory(group: list[int]) -> float:
    """Megabytes, each page shared among those that have it."""
    total = 0
    for pid in group:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total * 1024 / 1e6
