"""Trials on a real engine: the six example images, and both examples of the page of every rule that a run settles."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from linters import TrialError, TrialLimits, TrialReport, TrialRequest, Verdict, remove_trials, rules, try_image
from linters.trial.model import Result

pytestmark = [pytest.mark.engine, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[3] / "examples" / "06-trials"
RUN_ONLY = [rule for rule in rules() if rule.check is None and rule.image is None]
BASE = "imageforge/debian:bookworm"
LIMITS = TrialLimits(seconds=60.0, settle=1.5, patience=20.0)
"""Long for what must happen, since the machine is shared, and short for what need not."""
CAUGHT = {
    "all-right": [],
    "writes-to-its-root": [("IF501", "error"), ("IF502", "warning")],
    "two-services": [("IF503", "error")],
    "ignores-sigterm": [("IF504", "error")],
    "undeclared-port": [("IF505", "error")],
    "root-user": [("IF402", "error")],
}


def examples() -> dict[str, str]:
    """The Dockerfiles of the pages by their names, such as ``IF501-bad``."""
    found = {}
    for rule in RUN_ONLY:
        for part in ("Bad", "Good"):
            page = re.search(rf"^## {part}\n(.*?)^## ", rule.page, re.MULTILINE | re.DOTALL)
            assert page, f"{rule.id} has no part {part}"
            (text,) = re.findall(r"```dockerfile\n(.*?)```", page[1], re.DOTALL)
            found[f"{rule.id}-{part.lower()}"] = text.replace("FROM debian:bookworm", f"FROM {BASE}")
    return found


class Bench:
    """Builds images and tries them, some at a time; whatever it made is gone with it."""

    def __init__(self, host: str, cli: str) -> None:
        self.host = host
        self._cli = cli
        self._environ = {**os.environ, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "1"}
        self.label = f"io.imageforge.instance=trials-{os.getpid()}"
        self.labels = dict([self.label.split("=")])
        self._tags: list[str] = []

    def build(self, name: str, source: Path | str) -> str:
        """The tag of an image of a folder, or of a Dockerfile's text."""
        tag = f"imageforge-test/trial-{name.lower()}:{os.getpid()}"
        argv = [self._cli, "build", "-q", "-t", tag, str(source) if isinstance(source, Path) else "-"]
        text = source if isinstance(source, str) else None
        done = subprocess.run(argv, env=self._environ, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self._tags.append(tag)
        return tag

    def tried(self, name: str, source: Path | str) -> TrialReport:
        """What a trial of it comes to."""
        request = TrialRequest(image=self.build(name, source), name=name, labels=self.labels, limits=LIMITS)
        return try_image(request, host=self.host)

    def close(self) -> None:
        for tag in self._tags:
            subprocess.run([self._cli, "rmi", "-f", tag], env=self._environ, capture_output=True, check=True)


@pytest.fixture(scope="module")
def bench(engine_host: str, buildkit_cli: str) -> Iterator[Bench]:
    bench = Bench(engine_host, buildkit_cli)
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def reports(bench: Bench) -> dict[str, TrialReport]:
    """All trials, six at a time: most of a trial is waiting."""
    sources: dict[str, Path | str] = {name: EXAMPLES / name for name in CAUGHT}
    pages = examples()
    alike = {text: name for name, text in pages.items()}  # some rules have the same good example
    sources |= {name: text for text, name in alike.items()}
    with ThreadPoolExecutor(max_workers=6) as threads:
        found = dict(zip(sources, threads.map(bench.tried, sources, sources.values()), strict=True))
    return found | {name: found[alike[text]] for name, text in pages.items()}


@pytest.mark.parametrize("name", CAUGHT)
def test_an_example_is_caught_by_its_one_property(name: str, reports: dict[str, TrialReport]) -> None:
    report = reports[name]
    assert [(one.rule, one.severity.value) for one in report.findings] == CAUGHT[name], report
    assert report.verdict is (Verdict.REFUSED if CAUGHT[name] else Verdict.PASSED)
    assert len(report.measures) == 7
    assert Result.UNMEASURED not in {one.result for one in report.measures}
    assert report.command == ("python3", "/srv/server.py")


@pytest.mark.parametrize("rule", [rule.id for rule in RUN_ONLY])
def test_the_examples_of_a_page(rule: str, reports: dict[str, TrialReport]) -> None:
    bad, good = reports[f"{rule}-bad"], reports[f"{rule}-good"]
    if rule == "IF500":
        assert (bad.verdict, bad.last_words) == (Verdict.UNMADE, ("no database at db:5432",))
    else:
        assert rule in [one.rule for one in bad.findings], bad
    assert (good.verdict, [one.rule for one in good.findings]) == (Verdict.PASSED, []), good


def test_nothing_is_left_of_them(
    reports: dict[str, TrialReport], bench: Bench, docker_client: docker.DockerClient
) -> None:
    assert reports
    assert docker_client.containers.list(all=True, filters={"label": bench.label}) == []
    dangling = docker_client.volumes.list(filters={"dangling": True})
    assert not [one for one in dangling if "anonymous" in str(one.attrs.get("Labels"))]


def under_way(client: docker.DockerClient, bench: Bench, said: bytes) -> list[Container]:
    """The two containers of a trial, once both have written something."""
    deadline = time.monotonic() + 60
    while True:
        found = client.containers.list(filters={"label": bench.label})
        if len(found) == 2 and all(said in one.logs() for one in found):
            return found
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_trial_that_is_cancelled_leaves_nothing_and_gave_nothing_away(
    bench: Bench, docker_client: docker.DockerClient
) -> None:
    """Its containers while they run, as the engine has them and as they see themselves; and that they are gone."""
    cancelled = threading.Event()
    look = "cat /proc/self/status; ls /sys/class/net; env; sleep 300"
    request = TrialRequest(
        image=BASE, name="looker", command=("sh", "-c", look), labels=bench.labels,
        environment={"MODE": "a"}, limits=TrialLimits(seconds=120.0, settle=100.0),
    )  # fmt: skip
    with ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(try_image, request, host=bench.host, cancelled=cancelled)
        for one in under_way(docker_client, bench, b"MODE=a"):
            text = one.logs().decode()
            assert re.search(r"^CapEff:\s0+$", text, re.MULTILINE)
            assert re.search(r"^CapBnd:\s0+$", text, re.MULTILINE)
            assert re.search(r"^NoNewPrivs:\s1$", text, re.MULTILINE)
            assert re.search(r"^lo$", text, re.MULTILINE)
            assert "eth0" not in text
            host = one.attrs["HostConfig"]
            assert (host["NetworkMode"], host["Privileged"], host["Binds"]) == ("none", False, None)
            assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (512 << 20, 512 << 20, 256)
            assert {path for path in host["Tmpfs"]} >= {"/tmp", "/run"}
        cancelled.set()
        error = running.exception()
    assert isinstance(error, TrialError)
    assert error.code == "trial-cancelled"
    assert docker_client.containers.list(all=True, filters={"label": bench.label}) == []


def test_what_a_killed_trial_left_is_removed_and_one_under_way_is_not(
    bench: Bench, docker_client: docker.DockerClient
) -> None:
    for owner in ("dead", "alive"):
        docker_client.containers.create(BASE, "true", labels={**bench.labels, "owner": owner})
    assert remove_trials(bench.host, [bench.label, "owner"], keep=lambda said: said["owner"] == "alive") == 1
    (left,) = docker_client.containers.list(all=True, filters={"label": bench.label})
    assert left.labels["owner"] == "alive"
    left.remove()


def test_what_cannot_be_started_says_why(bench: Bench) -> None:
    request = TrialRequest(image=BASE, name="odd", command=("/no/such",), labels=bench.labels, limits=LIMITS)
    report = try_image(request, host=bench.host)
    assert (report.verdict, "the engine cannot start it: " in report.reason) == (Verdict.UNMADE, True), report


def test_an_engine_or_an_image_that_is_not_there(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(TrialError) as missing:
        try_image(TrialRequest(image="no/such:image", name="x", labels=bench.labels), host=bench.host)
    assert (missing.value.code, missing.value.kind) == ("image-missing", "environment")
    with pytest.raises(TrialError) as unreachable:
        try_image(TrialRequest(image=BASE, name="x"), host=f"unix://{tmp_path}/none.sock")
    assert unreachable.value.code == "engine-unreachable"
