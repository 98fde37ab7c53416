"""Parts of volumes: what a mount with a subPath shows, where a container has put links and where nothing is."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import docker
import pytest
from _pytest.mark.structures import MarkDecorator

from runtime import ConfigError, clear_secret_files, load_manifests
from runtime.engine import Engine
from runtime.environment import Environment, sub_path
from runtime.kernel import mounts_below
from runtime.manifest.template import template_hash
from runtime.manifest.volume import VolumeMount
from runtime.parts import Part, Parts
from runtime.secret_files import SecretFiles
from runtime.storage import Storage
from runtime.store import Store
from tests.runtime.stack import Stack, make_settings, wait_for

engine: MarkDecorator = pytest.mark.engine
root: MarkDecorator = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")


@pytest.fixture
def place(short_path: Path) -> Iterator[tuple[Parts, Part]]:
    """Parts for an engine whose socket this process has, and a part of a volume that is there."""
    volume = short_path / "volume"
    volume.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_path / "docker.sock"))
        listener.listen()
        made = Parts(short_path / "parts", f"unix://{short_path}/docker.sock")
        yield made, Part(replica="web-1", container="web", number=0, volume="v", folder=volume, path="a/b")
        made.clear()


@root
@pytest.mark.parametrize(
    ("name", "leads", "path", "reason"),
    [
        ("out", "../outside", "out", "a link in it leads out of the volume"),
        ("out", "/etc", "out/passwd", "a link in it leads out of the volume"),
        ("out", "/etc/passwd", "out", "a link in it leads out of the volume"),
        ("nowhere", "missing", "nowhere", "there is a link where none may be"),
        ("nowhere", "missing", "nowhere/below", "there is a link where none may be"),
        ("round", "round", "round", "there is a link where none may be"),
        ("magic", "/proc/self/root", "magic/etc", "a link in it leads out of the volume"),
    ],
)
def test_no_link_leads_out_of_a_volume(
    place: tuple[Parts, Part], name: str, leads: str, path: str, reason: str
) -> None:
    parts, part = place
    outside = part.folder.parent / "outside"
    outside.mkdir()
    (part.folder / name).symlink_to(leads)
    with pytest.raises(ConfigError) as caught:
        parts.show(replace(part, path=path))
    assert (caught.value.code, reason in caught.value.message) == ("part-not-opened", True), caught.value
    assert 'failed to prepare subPath for volumeMount "v" of container "web"' in caught.value.message
    assert list(outside.iterdir()) == []
    assert mounts_below(part.folder.parent) == []


@root
def test_what_is_not_there_is_made_as_the_volume_is(place: tuple[Parts, Part]) -> None:
    parts, part = place
    os.chown(part.folder, 0, 4000)
    part.folder.chmod(0o2770)
    shown = parts.show(part)
    made = (part.folder / "a/b").stat()
    assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid) == (0o2770, 0, 4000)
    assert (shown.stat().st_dev, shown.stat().st_ino) == (made.st_dev, made.st_ino)
    # What is there stays as it is, and a link that stays in the volume is followed.
    (part.folder / "a/b").chmod(0o700)
    (part.folder / "current").symlink_to("a")
    again = parts.show(replace(part, path="current/b"))
    assert (again, stat.S_IMODE(again.stat().st_mode)) == (shown, 0o700)
    (part.folder / "file").write_text("x")
    file = parts.show(replace(part, number=1, path="file"))
    assert file.read_text() == "x"
    with pytest.raises(ConfigError, match="a file is where a folder must be"):
        parts.show(replace(part, path="file/below"))
    # In the files of an image nothing is made.
    with pytest.raises(ConfigError, match="new: it is not there"):
        parts.show(replace(part, path="new", is_made=False))
    assert not (part.folder / "new").exists()


@root
def test_what_was_shown_stays_whatever_is_put_in_its_place(place: tuple[Parts, Part]) -> None:
    """The engine opens the path that it is told a moment later."""
    parts, part = place
    shown = parts.show(part)
    (shown / "kept").write_text("mine")
    (part.folder / "a/b").rename(part.folder / "a/c")
    (part.folder / "a/b").symlink_to("/etc")
    assert [entry.name for entry in shown.iterdir()] == ["kept"]


@root
def test_parts_go_with_their_replica_and_what_they_show_stays(place: tuple[Parts, Part]) -> None:
    parts, part = place
    (part.folder / "file").write_text("kept")
    for replica in ("web-1", "web-2"):
        parts.show(replace(part, replica=replica))
        # Again: a container that is made anew has the same place, and nothing is mounted twice.
        parts.show(replace(part, replica=replica))
        parts.show(replace(part, replica=replica, number=1, path="file"))
        parts.show(replace(part, replica=replica, container="web-1", path="a"))
    (part.folder / "a/b/deep").write_text("kept")
    home = part.folder.parent / "parts"
    assert len(mounts_below(home)) == 6
    parts.remove("web-1")
    assert [entry.name for entry in home.iterdir()] == ["web-2"]
    parts.sweep({"web-2"})
    assert len(mounts_below(home)) == 3
    parts.sweep(())
    assert (list(home.iterdir()), mounts_below(home)) == ([], [])
    assert ((part.folder / "a/b/deep").read_text(), (part.folder / "file").read_text()) == ("kept", "kept")
    parts.remove("web-1")
    parts.clear()
    assert not home.exists()


@root
def test_a_link_on_the_way_to_their_folder_changes_nothing(place: tuple[Parts, Part], short_path: Path) -> None:
    _, part = place
    (short_path / "run").mkdir()
    (short_path / "linked").symlink_to("run")
    parts = Parts(short_path / "linked/parts", f"unix://{short_path}/docker.sock")
    assert parts.show(part) == parts.show(part) == short_path.resolve() / "run/parts/web-1/web-0"
    parts.remove("web-1")
    assert mounts_below(short_path.resolve()) == []
    assert list((short_path / "run/parts").iterdir()) == []
    parts.clear()


@root
def test_secrets_go_also_where_parts_stay(short_path: Path) -> None:
    settings = make_settings(short_path, f"test-{secrets.token_hex(4)}", f"unix://{short_path}/docker.sock", 1)
    SecretFiles(settings.secret_files, settings.engine).make_names("web-1", "")
    (settings.parts / "web-1/strange/below").mkdir(parents=True)
    settings.parts.chmod(0o700)
    try:
        with pytest.raises(ConfigError) as caught:
            clear_secret_files(settings)
        assert caught.value.code == "parts-left"
        assert not settings.secret_files.exists()
    finally:
        shutil.rmtree(settings.parts)


@root
def test_a_part_of_a_volume_in_memory_does_not_hold_it(place: tuple[Parts, Part], short_path: Path) -> None:
    parts, part = place
    folder = Path("/dev/shm") / f"imageforge-test-{secrets.token_hex(4)}"
    engine = SimpleNamespace(host=f"unix://{short_path}/docker.sock")
    files = SecretFiles(folder, engine.host)
    storage = Storage(
        engine=cast(Engine, engine),
        instance="i",
        files=files,
        store=cast(Store, None),
        claim=lambda _namespace, _name: None,
        parts=parts,
    )
    try:
        volume = files.make_empty("web-1", "v", size=1024 * 1024)
        shown = parts.show(replace(part, folder=volume))
        (shown / "large").write_bytes(b"x" * 4096)
        storage.leave_memory("web-1")
        assert not shown.exists(), "it is kept for as long as anything shows it"
        assert not volume.exists()
    finally:
        parts.remove("web-1")
        files.clear()


@root
def test_nothing_is_mounted_for_an_engine_that_would_not_see_it(place: tuple[Parts, Part], tmp_path: Path) -> None:
    _, part = place
    for host, reason in (
        ("tcp://10.0.0.1:2375", "only root, with an engine of this host"),
        (f"unix://{tmp_path}/nobody.sock", "the engine does not see what is mounted here"),
    ):
        parts = Parts(tmp_path / "parts", host)
        with pytest.raises(ConfigError, match=reason):
            parts.show(part)
        assert mounts_below(tmp_path) == []
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="open to others"):
        Parts(tmp_path / "open", host).show(part)


def test_a_path_of_variables_is_told_in_the_kubelets_words() -> None:
    env = Environment(variables={"POD": "web-1", "EMPTY": "", "UP": "..", "ROOT": "/etc", "KEY": "hunter2"})
    env = replace(env, secret=frozenset({"KEY"}))

    def found(said: str) -> str:
        return sub_path(VolumeMount(volume="v", path="/v", sub_path=said, expands=True), env)

    assert (found("$(POD)/log"), found("$$(POD)"), found("./$(POD)//")) == ("web-1/log", "$(POD)", "web-1")
    assert sub_path(VolumeMount(volume="v", path="/v", sub_path="$(POD)"), env) == "$(POD)"
    for said, reason in (
        ("$(NONE)/$(EMPTY)", "missing value for EMPTY, NONE"),
        ("a/$(UP)/b", "must not contain '..'"),
        ("$(ROOT)", "must not be an absolute path"),
        ("$(KEY)", "something of a secret"),
    ):
        with pytest.raises(ConfigError) as caught:
            found(said)
        assert reason in caught.value.message
        assert "hunter2" not in str(caught.value)


PARTS = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared, annotations: {imageforge.io/reclaim: Delete}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: parted}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
    - {name: shared, persistentVolumeClaim: {claimName: shared}}
    - {name: scratch, emptyDir: {mode: 01777}}
    - {name: memory, emptyDir: {medium: Memory, mode: 01777}}
  initContainers:
    - name: first
      image: IMAGE
      command: [sh, -c, "cd /all && mkdir html && echo site > html/index && echo conf > conf"]
      volumeMounts: [{name: shared, mountPath: /all}]
  containers:
    - name: web
      image: IMAGE
      command: [sleep, infinity]
      env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
      volumeMounts:
        - {name: shared, mountPath: /html, subPath: html}
        - {name: shared, mountPath: /etc/conf, subPath: conf, readOnly: true}
        - {name: shared, mountPath: /logs, subPathExpr: logs/$(POD)}
        - {name: scratch, mountPath: /scratch, subPath: new}
        - {name: memory, mountPath: /memory, subPath: new}
"""


COPY = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: copy, annotations: {imageforge.io/reclaim: Delete}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSource: {kind: PersistentVolumeClaim, name: shared}
---
apiVersion: v1
kind: Pod
metadata: {name: copied}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: copy, persistentVolumeClaim: {claimName: copy}}]
  containers: [{name: a, image: IMAGE, command: [sleep, infinity], volumeMounts: [{name: copy, mountPath: /copy}]}]
"""


def test_a_part_is_of_the_template() -> None:
    pod = load_manifests(PARTS)[1].object
    other = load_manifests(PARTS.replace("subPathExpr", "subPath"))[1].object
    assert template_hash(pod.template) != template_hash(other.template)  # type: ignore[union-attr]


@engine
@root
def test_parts_of_volumes_in_real_containers(stack: Stack, app_image: str, docker_client: docker.DockerClient) -> None:
    stack.client.apply(PARTS.replace("IMAGE", app_image))

    def ready() -> bool:
        return any(pod.name == "parted" and pod.ready for pod in stack.client.pods("default"))

    def run(said: str) -> tuple[int, str]:
        (pod,) = [each for each in stack.client.pods("default") if each.name == "parted"]
        (status,) = [each for each in pod.containers if each.name == "web"]
        done = docker_client.containers.get(status.container_id).exec_run(["sh", "-c", said])
        return done.exit_code, done.output.decode()

    wait_for(ready, timeout=60)
    assert run("cat /html/index /etc/conf && ls /html /logs /scratch") == (
        0,
        "site\nconf\n/html:\nindex\n\n/logs:\n\n/scratch:\n",
    )
    assert run("stat -c %a /scratch /memory") == (0, "1777\n1777\n")
    assert run("echo no > /etc/conf")[0] != 0
    assert run("for at in html logs scratch memory; do echo kept > /$at/kept; done; ln -s /etc /html/out") == (0, "")
    stack.stop_controller(kill=True)
    stack.start_controller()
    (before,) = [each.container_id for each in stack.client.pods("default")[0].containers if each.name == "web"]
    stack.kill_container(before)
    wait_for(
        lambda: any(
            each.name == "web" and each.container_id not in ("", before) and each.ready
            for each in stack.client.pods("default")[0].containers
        ),
        timeout=60,
    )
    wait_for(ready, timeout=60)
    assert run("cat /html/kept /logs/kept /scratch/kept /memory/kept") == (0, "kept\n" * 4)
    # A copy of the claim, made once before its first use.
    copied = COPY.replace("IMAGE", app_image)
    stack.client.apply(copied)
    wait_for(lambda: any(pod.name == "copied" and pod.ready for pod in stack.client.pods("default")), timeout=60)
    assert run("echo later > /html/later") == (0, "")
    (other,) = [pod for pod in stack.client.pods("default") if pod.name == "copied"]
    there = docker_client.containers.get(other.containers[0].container_id).exec_run(
        ["sh", "-c", "cat /copy/html/kept /copy/conf && readlink /copy/html/out && ls /copy/html && touch /copy/own"]
    )
    assert there.output.decode().split() == ["kept", "conf", "/etc", "index", "kept", "out"]
    stack.client.delete("default", "Pod", "copied")
    wait_for(lambda: len(stack.client.pods("default")) == 1, timeout=60)
    stack.client.delete("default", "PersistentVolumeClaim", "copy")
    parts = stack.settings.parts
    assert len(mounts_below(parts)) == 5
    stack.client.delete("default", "Pod", "parted")
    wait_for(lambda: not stack.client.pods("default"), timeout=60)
    assert (mounts_below(parts), list(parts.iterdir())) == ([], [])
    stack.client.delete("default", "PersistentVolumeClaim", "shared")
