"""What an engine is."""

from __future__ import annotations

from typing import Any

import docker
import pytest

from builders import Endpoint, engine_facts
from builders.engine.facts import facts_from, frontend_version


@pytest.mark.parametrize(
    ("release", "frontend"),
    [
        ("19.03.15", (1, 0)),
        ("20.10.24+dfsg1", (1, 2)),
        ("23.0.6", (1, 4)),
        ("24.0.7", (1, 5)),
        ("25.0.3", (1, 6)),
        ("26.1.4", (1, 7)),
        ("27.0.1", (1, 8)),
        ("27.5.1", (1, 9)),
        ("28.2.2", (1, 16)),
        ("29.1.0", (1, 19)),
        ("40.0.0", (1, 19)),
        ("dev", (1, 0)),
        ("", (1, 0)),
    ],
)
def test_the_frontend_of_an_engine(release: str, frontend: tuple[int, int]) -> None:
    assert frontend_version(release) == frontend


def test_later_engines_never_have_an_earlier_frontend() -> None:
    releases = [(major, minor) for major in range(18, 35) for minor in range(0, 12)]
    versions = [frontend_version(f"{major}.{minor}.0") for major, minor in releases]
    assert versions == sorted(versions)


@pytest.mark.parametrize(
    ("release", "reads"),
    [("20.10.24+dfsg1", False), ("22.06.0-beta.0", False), ("23.0.0", True), ("29.1", True), ("", False)],
)
def test_which_engines_read_zstd(release: str, reads: bool) -> None:
    assert facts_from({"Version": release}, {}).reads_zstd is reads


def test_the_containerd_store_is_seen() -> None:
    info: dict[str, Any] = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]], "Driver": "overlayfs"}
    assert facts_from({}, info).containerd_store
    assert not facts_from({}, {"DriverStatus": [["Supports d_type", "true"]]}).containerd_store
    assert not facts_from({}, {}).containerd_store


@pytest.mark.engine
def test_the_engine_of_this_run(endpoint: Endpoint, docker_client: docker.DockerClient) -> None:
    facts = engine_facts(endpoint)
    version, info = docker_client.version(), docker_client.info()
    assert facts.version == version["Version"]
    assert facts.architecture == version["Arch"]
    assert facts.storage_driver == info["Driver"]
    assert facts.root_dir == info["DockerRootDir"]
    assert (facts.cpus, facts.memory) == (info["NCPU"], info["MemTotal"])
