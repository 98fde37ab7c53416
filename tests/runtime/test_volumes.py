"""Volumes without an engine: what is refused, which files there are, and how they change under a reader's eyes."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import cast

import pytest

from runtime import ConfigError, EngineError, ManifestError, atomic_folder, load_manifests
from runtime.container import Identity, pod_of
from runtime.creation import Creation
from runtime.engine import Engine
from runtime.host_path import host_place
from runtime.machine import Host
from runtime.manifest.claim import Claim
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.model import Deployment, PodTemplate
from runtime.manifest.template import template_hash
from runtime.manifest.volume import (
    ClaimVolume,
    ConfigVolume,
    EmptyVolume,
    HostVolume,
    SecretVolume,
    VolumeMount,
)
from runtime.objects import Objects
from runtime.parts import Parts
from runtime.pod_group import PodGroups
from runtime.policy import Policy
from runtime.resources import Amounts, Machine
from runtime.seal import Seal
from runtime.secret_files import LONGEST_MESSAGE, SecretFiles, opened_mode
from runtime.sources import Sources
from runtime.storage import Storage
from runtime.store import Store
from runtime.volumes import File, folders
from tests.runtime.stack import manifest

CONTAINER = "volumeMounts: [{name: v, mountPath: /conf, readOnly: true}]"
PROJECTED = """projected:
            defaultMode: 288
            sources:
              - secret: {name: keys, items: [{key: a, path: keys/a}]}
              - configMap: {name: conf}
              - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}"""


def text(source: str, container: str = CONTAINER) -> str:
    written = manifest("web:1", container=container, service=False)
    return written.replace(
        "      containers:", f"      volumes:\n        - name: v\n          {source}\n      containers:"
    )


def template(source: str, container: str = CONTAINER) -> PodTemplate:
    parsed = load_manifests(text(source, container))[0].object
    assert isinstance(parsed, Deployment)
    return parsed.template


CONFIG_MAP = "configMap: {name: conf}"
REFUSED = [
    ("configMap: {}", "missing-field", "configMap.name is missing"),
    ("configMap: {secretName: conf}", "misplaced-field", "configMap.secretName"),
    ("configMap: {name: conf, items: [{key: a, path: ../a}]}", "invalid-value", "without .."),
    ("configMap: {name: conf, items: [{key: a, path: a}, {key: b, path: a/b}]}", "invalid-value", "in the way"),
    ("configMap: {name: conf}\n          secret: {secretName: a}", "invalid-value", "one source"),
    ("nfs: {server: a, path: /}", "unsupported-field", "nfs"),
    ("nfs: {}", "unsupported-field", "nfs"),
    ("downwardAPI: {items: [{path: a}]}", "missing-field", "fieldRef is missing"),
    ("downwardAPI: {items: [{path: a, fieldRef: {fieldPath: status.podIP}}]}", "invalid-value", "in variables alone"),
    ("downwardAPI: {items: [{path: a, fieldRef: {fieldPath: spec.nodeName}}]}", "invalid-value", "in variables alone"),
    ("downwardAPI: {items: [{path: a, resourceFieldRef: {resource: x}}]}", "invalid-value", "resourceFieldRef"),
    (
        "downwardAPI: {items: [{path: a, resourceFieldRef: {resource: limits.cpu}}]}",
        "missing-field",
        "containerName is missing",
    ),
    (
        "downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}, "
        "resourceFieldRef: {resource: limits.cpu, containerName: web}}]}",
        "invalid-value",
        "only one of them",
    ),
    ("projected: {sources: [{}]}", "invalid-value", "needs one of secret, configMap and downwardAPI"),
    ("projected: {sources: [{serviceAccountToken: {path: t}}]}", "unsupported-field", "serviceAccountToken"),
    (
        "projected: {sources: [{secret: {name: a, items: [{key: x, path: p}]}}, "
        "{configMap: {name: b, items: [{key: x, path: p}]}}]}",
        "invalid-value",
        "in the way",
    ),
]


@pytest.mark.parametrize(("source", "code", "message"), REFUSED)
def test_a_volume_is_refused_by_name(source: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifests(text(source))
    assert caught.value.code == code, caught.value
    assert message in caught.value.message


CONFIG = {"conf": ConfigMap(namespace="shop", name="conf", data={"x.conf": "1"}, binary={"logo": b"\xff"})}
WHO = Identity(instance="abc", namespace="shop", deployment="web", replica="web-x-1", template_hash="h", revision=4)


def sources(made: PodTemplate) -> Sources:
    return Sources(
        namespace="shop",
        secret={"keys": {"a": b"hidden"}}.get,
        config_map=CONFIG.get,
        pod=pod_of(made, WHO, lambda: ""),
    )


def test_the_files_of_each_kind() -> None:
    made = template(CONFIG_MAP)
    assert folders(made, sources(made)) == {
        "v": {"x.conf": File(content=b"1", mode=0o644), "logo": File(content=b"\xff", mode=0o644)}
    }
    made = template(PROJECTED)
    labels = b'app="hello"\napp.kubernetes.io/name="hello"\npod-template-hash="h"'
    assert folders(made, sources(made)) == {
        "v": {
            "keys/a": File(content=b"hidden", mode=0o440),
            "x.conf": File(content=b"1", mode=0o440),
            "logo": File(content=b"\xff", mode=0o440),
            "labels": File(content=labels, mode=0o440),
        }
    }
    assert (made.secrets, made.config_maps) == ({"keys"}, {"conf"})


def test_what_is_missing_is_told_in_the_kubelets_words() -> None:
    made = template("configMap: {name: none}")
    with pytest.raises(ConfigError, match=r'MountVolume.SetUp failed for volume "v" : configmap "none" not found'):
        folders(made, sources(made))
    made = template("configMap: {name: conf, items: [{key: z, path: z}]}")
    with pytest.raises(ConfigError, match="references non-existent config key: z"):
        folders(made, sources(made))
    made = template("configMap: {name: none, optional: true}")
    assert folders(made, sources(made)) == {"v": {}}


def test_volumes_that_differ_in_their_kind_alone_have_different_hashes() -> None:
    hashes = {template_hash(template(source)) for source in ("configMap: {name: a}", "secret: {secretName: a}")}
    assert len(hashes) == 2
    # What was said before has the hash it had, readOnly or not.
    old = template("secret: {secretName: a}")
    assert old.volumes == (SecretVolume(name="v", secret="a"),)
    assert old.container.mounts == (VolumeMount(volume="v", path="/conf"),)
    assert template_hash(old) == template_hash(template("secret: {secretName: a}", CONTAINER.replace("true", "false")))
    assert template(CONFIG_MAP).volumes == (ConfigVolume(name="v", config_map="conf"),)


def files(**said: str) -> dict[str, File]:
    return {name.replace("_", "/"): File(content=value.encode(), mode=0o644) for name, value in said.items()}


def shown(folder: Path) -> dict[str, str]:
    """As a program sees it that looks past the names with two dots."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for top in folder.iterdir()
        if not top.name.startswith("..")
        for path in ([top] if top.is_file() else top.iterdir())
    }


def test_a_folder_changes_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    assert atomic_folder.put(folder, files(a="1", d_b="2", gone="3"))
    assert shown(folder) == {"a": "1", "d/b": "2", "gone": "3"}
    assert not atomic_folder.put(folder, files(a="1", d_b="2", gone="3"))
    before = (folder / "a").open()
    assert atomic_folder.put(folder, files(a="4", d_c="5"))
    assert shown(folder) == {"a": "4", "d/c": "5"}
    assert before.read() == "1"
    before.close()
    assert len([entry for entry in folder.iterdir() if not entry.is_symlink()]) == 1
    # What cannot be written leaves what was there.
    with pytest.raises(FileExistsError):
        atomic_folder.put(folder, files(a="6", a_b="7"))
    assert shown(folder) == {"a": "4", "d/c": "5"}


def test_what_was_cut_off_before_its_names_is_put_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(atomic_folder, "_name", cut_off)
    with pytest.raises(OSError):
        atomic_folder.put(tmp_path / "v", files(a="1"))
    monkeypatch.undo()
    atomic_folder.put(tmp_path / "v", files(a="1"))
    assert shown(tmp_path / "v") == {"a": "1"}


def test_a_pod_of_its_own_is_told_its_own_name() -> None:
    who = Identity(
        instance="abc", namespace="shop", deployment="", replica="web.shop", template_hash="x", revision=0, pod="web"
    )
    told = pod_of(template("emptyDir: {}"), who, lambda: "10.0.0.1")
    assert (told.name, "pod-template-hash" in told.labels) == ("web", False)


def test_a_reader_never_sees_a_part_of_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    atomic_folder.put(folder, files(a="0", b="0"))
    done = threading.Event()
    torn: list[tuple[str, str]] = []

    def read() -> None:
        while not done.is_set():
            try:
                at = os.open(folder / "..data", os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # between reading the link and following it, as with the kubelet
            try:
                pair = tuple((Path(f"/proc/self/fd/{at}") / name).read_text() for name in ("a", "b"))
            except FileNotFoundError:
                continue  # the folder it had opened is gone by now, as a whole
            finally:
                os.close(at)
            if pair[0] != pair[1]:
                torn.append((pair[0], pair[1]))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        atomic_folder.put(folder, files(a=str(number), b=str(number)))
    done.set()
    reader.join()
    assert torn == []


def shm(name: str) -> Path:
    return Path("/dev/shm") / f"imageforge-test-volumes-{os.getpid()}-{name}"


def test_files_follow_only_where_they_are_and_a_part_stays() -> None:
    made = SecretFiles(shm("follow"), "unix:///run/docker.sock")
    try:
        assert not made.update("web-1", {"v": files(a="1")})
        made.write("web-1", {"v": files(a="1")})
        part = made.place("web-1", "v", "a")
        held = part.open()
        assert made.update("web-1", {"v": files(a="2"), "new": files(a="1")})
        assert not made.update("web-1", {"v": files(a="2")})
        assert shown(shm("follow") / "web-1" / "v") == {"a": "2"}
        assert not (shm("follow") / "web-1" / "new").exists()
        # A mount of one file goes on showing what it was made of.
        assert held.read() == "1"
        held.close()
        assert made.place("web-1", "v", "a").read_text() == "2"
        with pytest.raises(ConfigError, match="there is no b in the volume"):
            made.place("web-1", "v", "b")
    finally:
        made.clear()


def test_a_folder_of_the_version_before_is_made_anew() -> None:
    made = SecretFiles(shm("old"), "unix:///run/docker.sock")
    try:
        place = made.write("web-1", {})
        assert place == {}
        made.write("web-1", {"other": {}})
        (shm("old") / "web-1" / "v").mkdir()
        (shm("old") / "web-1" / "v" / "a").write_text("old")
        assert not made.update("web-1", {"v": files(a="1")})
        made.write("web-1", {"v": files(a="1")})
        assert shown(shm("old") / "web-1" / "v") == {"a": "1"}
    finally:
        made.clear()


STORED = [
    ("emptyDir: {mode: 02777}", "invalid-value", "emptyDir.mode is 1535, expected 0 to 1023"),
    ("emptyDir: {sizeLimit: [1]}", "wrong-type", "a quantity"),
    ("emptyDir: {medium: HugePages}", "unsupported-value", "HugePages"),
    ("emptyDir: {medium: Memory, sizeLimit: lots}", "invalid-value", "a quantity"),
    ("hostPath: {path: srv}", "invalid-value", "absolute path"),
    ("hostPath: {path: /srv/../etc}", "invalid-value", "has a .."),
    ("hostPath: {path: /srv, type: Folder}", "invalid-value", "Folder"),
    ("persistentVolumeClaim: {}", "missing-field", "claimName is missing"),
    ("persistentVolumeClaim: {claimName: Data}", "invalid-value", "claimName"),
]


@pytest.mark.parametrize(("source", "code", "message"), STORED)
def test_a_volume_to_write_to_is_refused_by_name(source: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifests(text(source))
    assert caught.value.code == code, caught.value
    assert message in caught.value.message


def test_a_volume_to_write_to_is_read_with_its_defaults() -> None:
    assert template("emptyDir: {}").volumes == (EmptyVolume(name="v", memory=False),)
    assert template("emptyDir: null").volumes == template("emptyDir: {}").volumes
    assert template("emptyDir: {mode: 01777}").volumes == (EmptyVolume(name="v", memory=False, mode=0o1777),)
    assert template_hash(template("emptyDir: {mode: 0777}")) == template_hash(template("emptyDir: {}"))
    memory = template("emptyDir: {medium: Memory, sizeLimit: 1Mi}")
    assert memory.volumes == (EmptyVolume(name="v", memory=True, size=1024 * 1024),)
    claimed = template("persistentVolumeClaim: {claimName: data, readOnly: true}")
    assert (claimed.volumes, claimed.claims) == ((ClaimVolume(name="v", claim="data", read_only=True),), {"data"})
    assert claimed.container.mounts[0].read_only
    assert template("hostPath: {path: //srv/}").volumes == (HostVolume(name="v", host_path="/srv"),)
    part = template("emptyDir: {}", CONTAINER.replace("readOnly: true", "subPath: a//b/"))
    assert part.container.mounts == (VolumeMount(volume="v", path="/conf", sub_path="a/b"),)
    told = template("emptyDir: {}", CONTAINER.replace("readOnly: true", "subPathExpr: $(POD_NAME)/log"))
    assert told.container.mounts == (VolumeMount(volume="v", path="/conf", sub_path="$(POD_NAME)/log", expands=True),)


def test_the_mode_of_an_empty_folder() -> None:
    made = SecretFiles(shm("mode"), "unix:///run/docker.sock")
    try:
        for at, (mode, group, found) in enumerate(((0o777, None, 0o777), (0o1777, None, 0o1777), (0o700, None, 0o700))):
            place = made.make_empty("web-1", f"v{at}", size=None, group=group, mode=mode)
            assert place.stat().st_mode & 0o7777 == found
    finally:
        made.clear()
    # The group's own come before it, as on a cluster.
    assert [opened_mode(mode, 4000) for mode in (0o777, 0o1777, 0o700)] == [0o2777, 0o3777, 0o2770]


def test_places_of_this_machine_are_shown_where_its_owner_allows_it(tmp_path: Path) -> None:
    engine = f"unix://{tmp_path}/run/docker.sock"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("")
    (tmp_path / "data/out").symlink_to("/etc")
    (tmp_path / "run").mkdir()
    allowed = (str(tmp_path),)

    def ask(path: str, kind: str = "", allowed: tuple[str, ...] = allowed, engine: str = engine) -> Path:
        return host_place(HostVolume(name="v", host_path=path, type=kind), allowed, engine)

    data = str(tmp_path / "data")
    assert ask(data) == ask(data, "Directory") == tmp_path / "data"
    assert ask(f"{data}/file", "File") == ask(f"{data}/file", "FileOrCreate") == tmp_path / "data/file"
    assert ask(f"{data}/new/deep", "DirectoryOrCreate").is_dir()
    assert ask(f"{data}/fresh", "FileOrCreate").is_file()
    for path, kind, code, message in (
        ("/etc", "", "host-path-refused", "not allowed to show this place"),
        (f"{data}/out", "", "host-path-refused", "not allowed to show this place"),
        (str(tmp_path), "", "host-path-refused", "the engine's socket is there"),
        (f"{tmp_path}/run", "", "host-path-refused", "the engine's socket is there"),
        (f"{data}/file", "Directory", "host-path-wrong", "is not a directory"),
        (data, "File", "host-path-wrong", "is not a file"),
        (data, "Socket", "host-path-wrong", "is not a socket"),
        (data, "CharDevice", "host-path-wrong", "is not a character device"),
        (f"{data}/none", "Directory", "host-path-wrong", "is not a directory"),
        (f"{data}/none", "", "host-path-wrong", "is not there"),
        (f"{data}/nowhere/none", "FileOrCreate", "host-path-wrong", "No such file or directory"),
    ):
        with pytest.raises(ConfigError) as caught:
            ask(path, kind)
        assert caught.value.code == code, caught.value
        assert message in caught.value.message
    with pytest.raises(ConfigError, match="hostPath volumes are not allowed"):
        ask(data, allowed=())
    with pytest.raises(ConfigError, match="the engine is elsewhere"):
        ask(data, engine="tcp://10.0.0.1:2375")


CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"""


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("  accessModes: [ReadWriteOnce]\n", "", "missing-field"),
        ("[ReadWriteOnce]", "[]", "invalid-value"),
        ("[ReadWriteOnce]", "[ReadWriteOncePod]", "unsupported-value"),
        ("{requests: {storage: 1Gi}}", "{}", "missing-field"),
        ("storage: 1Gi", "storage: big", "invalid-value"),
        ("  resources", "  volumeMode: Block\n  resources", "unsupported-value"),
        ("  resources", "  volumeName: x\n  resources", "unsupported-field"),
        ("  resources", "  dataSource: {kind: VolumeSnapshot, name: a}\n  resources", "unsupported-value"),
        ("  resources", "  dataSource: {kind: PersistentVolumeClaim}\n  resources", "missing-field"),
        ("  resources", "  dataSource: {kind: PersistentVolumeClaim, name: data}\n  resources", "invalid-value"),
        ("  resources", "  dataSource: {kind: Secret, name: a}\n  resources", "invalid-value"),
        (
            "  resources",
            "  dataSource: {kind: PersistentVolumeClaim, name: a}\n"
            "  dataSourceRef: {kind: PersistentVolumeClaim, name: b}\n  resources",
            "invalid-value",
        ),
        (
            "  resources",
            "  dataSourceRef: {kind: PersistentVolumeClaim, name: a, namespace: other}\n  resources",
            "unsupported-field",
        ),
        ("{name: data}", "{name: data, annotations: {imageforge.io/reclaim: Keep}}", "invalid-value"),
    ],
)
def test_a_claim_is_refused_by_name(old: str, new: str, code: str) -> None:
    changed = CLAIM.replace(old, new, 1)
    assert changed != CLAIM
    with pytest.raises(ManifestError) as caught:
        load_manifests(changed)
    assert caught.value.code == code, caught.value


def test_a_claim_may_be_a_copy_of_another() -> None:
    for said in ("dataSource", "dataSourceRef"):
        text = CLAIM.replace("  resources", f"  {said}: {{kind: PersistentVolumeClaim, name: a}}\n  resources")
        found = load_manifests(text)[0].object
        assert isinstance(found, Claim)
        assert found.source == "a"


def test_why_no_volume_can_be_chosen() -> None:
    for said in ("volumeName: x", "selector: {matchLabels: {a: b}}"):
        with pytest.raises(ManifestError) as caught:
            load_manifests(CLAIM.replace("  resources", f"  {said}\n  resources"))
        assert "no PersistentVolumes here to choose from" in (caught.value.hint or "")


def test_a_claim_stays_until_nothing_uses_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    objects.apply(CLAIM, "a.yaml")
    assert objects.claim("default", "data") == Claim(
        namespace="default", name="data", storage="1Gi", access_modes=("ReadWriteOnce",)
    )
    objects.delete("default", "PersistentVolumeClaim", "data")
    assert [held.deleting for held in objects.claims()] == [True]
    # Applied again meanwhile, it stays.
    objects.apply(CLAIM, "a.yaml")
    objects.finish_delete_claim("default", "data")
    assert [held.deleting for held in objects.claims()] == [False]
    objects.delete("default", "PersistentVolumeClaim", "data")
    objects.finish_delete_claim("default", "data")
    assert (objects.claims(), objects.claim("default", "data")) == ((), None)
    store.close()


def test_the_last_words_of_a_container() -> None:
    made = SecretFiles(shm("words"), "unix:///run/docker.sock")
    try:
        assert made.message("web-1", "main") == b""
        file = made.make_message("web-1", "main")
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"", 0o666)
        made.make_message("web-1", "beside").write_text("other")
        file.write_bytes(b"x" * 5000 + b"end")
        assert made.message("web-1", "main") == b"x" * 4093 + b"end"
        with file.open("a") as held:
            again = made.make_message("web-1", "main")
            held.write("of the one before")
        assert made.message("web-1", "main") == again.read_bytes() == b""
        assert made.message("web-1", "beside") == b"other"
        made.remove("web-1")
        assert made.message("web-1", "beside") == b""
    finally:
        made.clear()


def test_a_secret_at_the_beginning_of_the_last_words_that_are_kept_is_hidden_whole(tmp_path: Path) -> None:
    """What is left of it after the cut would be nobody's Secret any more."""
    made = SecretFiles(shm("cut"), "unix:///run/docker.sock")
    engine = cast(Engine, None)
    creation = Creation(
        engine=engine,
        secret=lambda _, name: {"key": b"hunter2-and-more"} if name == "keys" else None,
        config_map=lambda *_: None,
        files=made,
        storage=Storage(
            instance="x",
            engine=engine,
            files=made,
            store=cast(Store, None),
            claim=lambda *_: None,
            parts=Parts(tmp_path / "parts", "unix:///x"),
        ),
        host=Host(engine, {}),
        policy=Policy(),
        groups=PodGroups("x", "unix:///x", lambda: Machine(size=Amounts(), labels={})),
    )
    try:
        file = made.make_message("web-1", "web")
        for left in range(1, 16):
            rest = b"-" * (LONGEST_MESSAGE - left)
            file.write_bytes(b"x" * 100 + b"hunter2-and-more" + rest)
            assert made.message("web-1", "web") == b"hunter2-and-more"[-left:] + rest
            (said,) = creation.last_log(
                "", template("secret: {secretName: keys}"), "default", frozenset(), replica="web-1", name="web"
            )
            assert said.strip("x*-") == ""
            assert len(said) <= LONGEST_MESSAGE
    finally:
        made.clear()


def test_where_the_last_words_are_written() -> None:
    for said, path in (
        ("", ""),
        ("terminationMessagePolicy: FallbackToLogsOnError", "/dev/termination-log"),
        ("terminationMessagePath: /tmp//why", "/tmp/why"),
    ):
        template = load_manifests(manifest("web:1", container=said, service=False))[0].object.template  # type: ignore[union-attr]
        assert template.container.message_path == path
    for said in ("terminationMessagePolicy: Never", "terminationMessagePath: why"):
        with pytest.raises(ManifestError, match="terminationMessageP"):
            load_manifests(manifest("web:1", container=said, service=False))


class Volumes:
    """An engine's volumes, by what was done with them."""

    host = "unix:///x"

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.done: list[str] = []
        self.fails = False

    def volumes(self, _: str) -> dict[str, dict[str, str]]:
        return {name: {} for name in self.there}

    def ensure_volume(self, name: str, _: object) -> str:
        self.there.add(name)
        return "now"

    def remove_volume(self, name: str, _: str) -> bool:
        self.there.discard(name)
        self.done.append(f"remove {name}")
        return True

    def fill_volume(self, name: str, _: str, __: object, *, source: str) -> None:
        self.done.append(f"fill {name} from {source}")
        if self.fails:
            raise EngineError("engine-unreachable", "x", "gone")

    def open_volumes(self, _: str, modes: dict[str, int], __: object, **___: object) -> None:
        self.done += [f"open {name}" for name in modes]


def test_a_copy_is_made_once_and_never_over_data(tmp_path: Path) -> None:
    store, engine = Store(tmp_path / "x.db"), Volumes()
    claims = {
        name: Claim(namespace="n", name=name, storage="1Gi", access_modes=("ReadWriteOnce",), source=source)
        for name, source in (("data", ""), ("copy", "data"), ("other", "data"), ("orphan", "none"))
    }
    storage = Storage(
        instance="i",
        engine=cast(Engine, engine),
        files=cast(SecretFiles, None),
        store=store,
        claim=lambda _, name: claims.get(name),
        parts=Parts(tmp_path / "parts", "unix:///x"),
    )
    who = Identity(instance="i", namespace="n", deployment="", replica="r", template_hash="", revision=0)

    def use(name: str) -> list[str]:
        engine.done.clear()
        try:
            storage.places(template(f"persistentVolumeClaim: {{claimName: {name}}}"), who, None, "image")
        except EngineError:
            engine.done.append("failed")
        return engine.done

    assert use("data") == ["open imageforge-i-n_data"]
    engine.fails = True
    filled = "fill imageforge-i-n_copy from imageforge-i-n_data"
    assert use("copy") == [filled, "failed"]
    engine.fails = False
    assert use("copy") == ["remove imageforge-i-n_copy", filled, "open imageforge-i-n_copy"]
    assert use("copy") == []
    # One that is there, and of which this store knows nothing, such as one out of a backup, is left as it is.
    engine.there.add("imageforge-i-n_other")
    assert use("other") == ["open imageforge-i-n_other"]
    with pytest.raises(ConfigError, match='persistentvolumeclaim "none" not found'):
        use("orphan")
    store.close()
