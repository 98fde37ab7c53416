"""The resolv.conf of containers, and what the engine is told so that it leaves its own resolver out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from runtime import load_manifests
from runtime.container import ContainerRequest, Identity, ImageFacts
from runtime.creation import NOT_SEEN, Creation
from runtime.discovery.links import Asked, Links
from runtime.discovery.names_file import PLACE, names_file, without_engines
from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.machine import Host
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.model import Deployment
from runtime.parts import Parts
from runtime.pod_group import PodGroups
from runtime.policy import Policy
from runtime.resources import Amounts, Machine
from runtime.secret_files import SecretFiles
from runtime.storage import Storage
from runtime.store import Store
from tests.runtime.stack import manifest

LOCAL = "unix:///run/docker.sock"
LINKS = Links(nameserver="10.1.0.1", search=("default.svc.cluster.local",))
WHO = Identity(instance="i", namespace="default", deployment="hello", replica="hello-1", template_hash="h", revision=1)
TOLD = Asked(
    nameservers=("10.1.0.1",), search=("default.svc.cluster.local",), options=("ndots:5:", "ndots:5")
)  # fmt: skip
PLAIN = replace(TOLD, options=("ndots:5",))
TEXT = "nameserver 10.1.0.1\nsearch default.svc.cluster.local\noptions ndots:5\n"


class Refusing:
    """The engine's part in making a container: remembers what it was asked for, and sees no folder of this host where
    `blind`."""

    def __init__(self, host: str = LOCAL, *, blind: bool = False) -> None:
        self.host = host
        self.asked: list[ContainerRequest] = []
        self._blind = blind

    def create(self, request: ContainerRequest, *, keep: bool) -> str:
        self.asked.append(request)
        if self._blind and any(not mount.is_volume for mount in request.mounts):
            raise EngineError("engine-refused", request.image, f"invalid mount config: {NOT_SEEN}: {request.mounts}")
        return "c1"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path("/dev/shm") / f"imageforge-test-names-{os.getpid()}"
    yield made
    SecretFiles(made, LOCAL).clear()


def created(engine: Refusing, folder: Path, *, extra: str = "", sandbox: str = "") -> tuple[ContainerRequest, ...]:
    """What the engine was asked for."""
    written = manifest("web:1", container=extra, service=False, probe=False)
    if extra:
        written = written.replace(
            "      containers:", "      volumes: [{name: v, configMap: {name: c}}]\n      containers:"
        )
    found = load_manifests(written)[0].object
    assert isinstance(found, Deployment)
    files = SecretFiles(folder, engine.host)
    known = cast(Engine, engine)
    creation = Creation(
        engine=known,
        secret=lambda *_: None,
        config_map=lambda *_: ConfigMap(namespace="default", name="c", data={"k": "nameserver 10.9.9.9\n"}),
        files=files,
        storage=Storage(
            instance="i",
            engine=known,
            files=files,
            store=cast(Store, None),
            claim=lambda *_: None,
            parts=Parts(folder / "parts", LOCAL),
        ),
        groups=PodGroups("i", LOCAL, lambda: Machine(size=Amounts(), labels={})),
        host=cast(Host, SimpleNamespace(address="127.0.0.1", lowest_oom_score_adj=0)),
        policy=Policy(),
        links=lambda *_: LINKS,
    )
    creation.create(found.template, WHO, ImageFacts(image_id="i", user="1"), sandbox=sandbox)
    return tuple(engine.asked)


def test_the_text_and_what_the_engine_is_told() -> None:
    assert names_file(PLAIN) == TEXT
    assert names_file(Asked(nameservers=("1.1.1.1", "8.8.8.8"))) == "nameserver 1.1.1.1\nnameserver 8.8.8.8\n"
    assert without_engines(PLAIN) == TOLD
    # What libc would read of it is what holds anyway.
    assert without_engines(Asked(options=("timeout:1",))).options == ("ndots:1:", "timeout:1")


def test_a_container_sees_a_file_of_ours(folder: Path) -> None:
    (request,) = created(Refusing(), folder)
    (mount,) = request.mounts
    assert (mount.target, mount.read_only, mount.is_volume, request.asks) == (PLACE, True, False, TOLD)
    assert Path(mount.source).read_text() == TEXT
    assert Path(mount.source).stat().st_mode & 0o777 == 0o644
    with Path(mount.source).open() as held:
        created(Refusing(), folder)
        assert held.read() == TEXT
        assert os.fstat(held.fileno()).st_ino != Path(mount.source).stat().st_ino, "who has it keeps it"
    assert [file.name for file in Path(mount.source).parent.iterdir()] == ["resolv.conf"]
    # One that joins the network of another is told nothing by the engine, and would see what that one is told.
    (request,) = created(Refusing(), folder, sandbox="pod")
    assert ([mount.target for mount in request.mounts], request.asks) == ([PLACE], Asked())


def test_others_of_the_pod_find_a_whole_file_while_it_is_written_anew(folder: Path) -> None:
    files = SecretFiles(folder, "unix:///run/docker.sock")
    place = files.make_names("web-1", TEXT)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            files.make_names("web-1", TEXT)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert {place.read_text() for _ in range(5000)} == {TEXT}
    finally:
        done.set()
        writer.join()


def test_where_no_file_can_be_shown_it_asks_by_way_of_the_engine(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = created(Refusing("tcp://10.0.0.1:2376"), folder)
    on_disk = created(Refusing(), tmp_path / "files")
    unseen = created(Refusing(blind=True), folder)
    assert [(request.mounts, request.asks) for request in (*elsewhere, *on_disk, unseen[-1])] == [((), PLAIN)] * 3
    assert [len(request.mounts) for request in unseen] == [1, 0]
    monkeypatch.setattr("runtime.creation.SELINUX", tmp_path)
    (guarded,) = created(Refusing(), folder)
    assert (guarded.mounts, guarded.asks) == ((), PLAIN)


def test_a_file_of_the_manifests_own_is_left_alone(folder: Path) -> None:
    own = f"volumeMounts: [{{name: v, mountPath: {PLACE}, subPath: k}}]"
    (request,) = created(Refusing(), folder, extra=own)
    (mount,) = request.mounts
    assert mount.target == PLACE
    assert Path(mount.source).read_text() == "nameserver 10.9.9.9\n"
