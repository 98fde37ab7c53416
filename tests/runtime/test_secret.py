"""Secrets without an engine: what is refused, what a container is given, and that no value is to be seen anywhere."""

from __future__ import annotations

import base64
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from runtime import ConfigError, KeyFailure, ManifestError, load_manifests
from runtime.container import Identity, Place, container_request
from runtime.controller import Controller
from runtime.creation import Creation
from runtime.engine import Engine
from runtime.environment import environment
from runtime.errors import RuntimeFailure
from runtime.keeper import Keeper
from runtime.life import Surroundings
from runtime.machine import Host
from runtime.manifest.model import ContainerSpec, Deployment, PodTemplate, Secret
from runtime.manifest.template import template_hash
from runtime.manifest.variable import SecretKey, SecretVariables
from runtime.objects import Objects
from runtime.pod_group import PodGroups
from runtime.policy import Policy
from runtime.redact import redact
from runtime.roster import Replica, Roster
from runtime.seal import Seal
from runtime.secret_files import SecretFiles, file_system
from runtime.sources import Sources
from runtime.standing import ContainerRecord
from runtime.storage import Storage
from runtime.store import Store
from runtime.views import object_views
from runtime.volumes import File, folders
from tests.runtime.stack import manifest

VALUE = "hunter2-and-more"
GOOD = f"""\
apiVersion: v1
kind: Secret
metadata:
  name: web.keys
type: Opaque
data:
  token: {base64.b64encode(VALUE.encode()).decode()}
stringData:
  PASSWORD: {VALUE}
"""

# (replaced, by, code, line, part of the message)
REFUSED = [
    ("type: Opaque", "type: kubernetes.io/dockercfg", "missing-field", 5, "needs the key .dockercfg"),
    ("type: Opaque", "type: kubernetes.io/service-account-token", "unsupported-value", 5, "service-account-token"),
    ("type: Opaque", "type: kubernetes.io/tls", "missing-field", 5, "needs the key tls.crt"),
    ("type: Opaque", "type: kubernetes.io/ssh-auth", "missing-field", 5, "needs the key ssh-privatekey"),
    ("type: Opaque", "type: kubernetes.io/basic-auth", "missing-field", 5, "needs the key username or password"),
    ("type: Opaque", "type: kubernetes.io/dockerconfigjson", "missing-field", 5, "needs the key .dockerconfigjson"),
    (
        "type: Opaque\ndata:\n  token",
        "type: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson",
        "invalid-value",
        5,
        "is not a JSON object",
    ),
    ("type: Opaque", "type: 5", "wrong-type", 5, "type is"),
    ("type: Opaque", "immutable: maybe", "wrong-type", 5, "immutable"),
    ("name: web.keys", "name: Web", "invalid-value", 4, "metadata.name"),
    (f"PASSWORD: {VALUE}", "PASSWORD: 7331", "wrong-type", 9, "stringData.PASSWORD is a number, expected a string"),
    (f"PASSWORD: {VALUE}", f"PASSWORD: [{VALUE}]", "wrong-type", 9, "is a list"),
    (f"PASSWORD: {VALUE}", f"PASSWORD: *{VALUE}", "invalid-yaml", 9, "alias"),
    (f"PASSWORD: {VALUE}", f"PASSWORD: !{VALUE}", "invalid-yaml", 9, "tags are not supported"),
    (f"PASSWORD: {VALUE}", f"PASSWORD: {VALUE}: x", "invalid-yaml", 9, ""),
    (f"PASSWORD: {VALUE}", f"PASS WORD: {VALUE}", "invalid-value", 9, 'the key "PASS WORD"'),
    (f"PASSWORD: {VALUE}", f"..a: {VALUE}", "invalid-value", 9, 'the key "..a"'),
    (f"stringData:\n  PASSWORD: {VALUE}", f"stringData: {VALUE}", "wrong-type", 8, "is a string, expected a mapping"),
    ("  token: ", f"  other: {VALUE}\n  token: ", "invalid-value", 7, "data.other is not base64"),
    (
        "  token: ",
        "  big: " + base64.b64encode(bytes(1024 * 1024)).decode() + "\n  token: ",
        "invalid-value",
        1,
        "1048",
    ),
    ("stringData:", "stringdata:", "unknown-field", 8, "stringdata"),
    ("  name: web.keys", "  name: a\n  annotations: {imageforge.io/masked: 'true'}", "masked-secret", 4, "were masked"),
]


@pytest.mark.parametrize(("old", "new", "code", "line", "message"), REFUSED)
def test_a_secret_is_refused_by_name_and_never_shown(old: str, new: str, code: str, line: int, message: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(ManifestError) as caught:
        load_manifests(text, "s.yaml")
    error = caught.value
    assert (error.code, error.subject) == (code, f"s.yaml:{line}"), error
    assert message in error.message
    shown = "".join(traceback.format_exception(error)).replace(f"new = '{new}'", "") + str(error.hint)
    assert VALUE not in shown
    assert "7331" not in shown


CONTAINER = """env:
            - {name: A, valueFrom: {secretKeyRef: {name: keys, key: a}}}
          envFrom: [{secretRef: {name: keys}}]
          volumeMounts: [{name: files, mountPath: /run/secrets, readOnly: true}]"""
VOLUMES = "volumes: [{name: files, secret: {secretName: keys}}]"


def deployment(container: str = CONTAINER, volumes: str = VOLUMES) -> str:
    text = manifest("web:1", container=container, service=False)
    return text.replace("      containers:", f"      {volumes}\n      containers:") if volumes else text


REFUSED_USES = [
    ("secretKeyRef: {name: keys, key: a}", "secretKeyRef: {name: keys}", "missing-field", "secretKeyRef.key"),
    ("secretKeyRef: {name: keys, key: a}", "secretKeyRef: null", "missing-field", "secretKeyRef is missing"),
    ("secretKeyRef: {name: keys, key: a}", "resourceFieldRef: {resource: a}", "invalid-value", "limits.cpu"),
    (
        "secretKeyRef: {name: keys, key: a}",
        "resourceFieldRef: {resource: limits.cpu, divisor: 2}",
        "invalid-value",
        "divisor is 2, expected 1m or 1 for cpu",
    ),
    (
        "secretKeyRef: {name: keys, key: a}",
        "resourceFieldRef: {resource: limits.ephemeral-storage}",
        "unsupported-value",
        "ephemeral-storage",
    ),
    ("secretKeyRef: {name: keys, key: a}", "fieldRef: {fieldPath: a}", "invalid-value", "no field of a pod"),
    (
        "secretKeyRef: {name: keys, key: a}",
        "secretKeyRef: {name: keys, key: a}, configMapKeyRef: {name: k, key: a}",
        "invalid-value",
        "only one of them",
    ),
    ("name: A, valueFrom", "name: A, value: x, valueFrom", "invalid-value", "one of the two"),
    ("secretRef: {name: keys}", "configMapRef: {names: keys}", "unknown-field", "configMapRef.names"),
    ("secretRef: {name: keys}", "prefix: X_", "missing-field", "secretRef is missing"),
    ("secretRef: {name: keys}", "secretRef: {name: keys}, prefix: '1='", "invalid-value", "prefix"),
    ("readOnly: true", "subPath: ../a", "invalid-value", "without .."),
    ("readOnly: true", "subPathExpr: ../$(A)", "invalid-value", "without .."),
    ("readOnly: true", "subPathExpr: $(A), subPath: a", "invalid-value", "mutually exclusive"),
    ("readOnly: true", "mountPropagation: None", "unsupported-field", "mountPropagation"),
    ("{name: files, mountPath: /run", "{name: other, mountPath: /run", "invalid-value", 'no volume is named "other"'),
    ("mountPath: /run/secrets", "mountPath: run/secrets", "invalid-value", "mountPath"),
    ("mountPath: /run/secrets", "mountPath: /", "invalid-value", "mountPath"),
    ("mountPath: /run/secrets", "mountPath: '/a:b'", "invalid-value", "without a colon"),
    ("secretName: keys", "optional: true", "missing-field", "secretName"),
    ("secretName: keys", "secretName: keys, defaultMode: 512", "invalid-value", "defaultMode"),
    ("secretName: keys", "secretName: keys, items: [{key: a}]", "missing-field", "items[0].path"),
    ("secretName: keys", "secretName: keys, items: [{key: a, path: ../x}]", "invalid-value", "without .."),
    ("secretName: keys", "secretName: keys, items: [{key: a, path: x/../../y}]", "invalid-value", "without .."),
    ("secretName: keys", "secretName: keys, items: [{key: a, path: /x}]", "invalid-value", "relative path"),
    (
        "secretName: keys",
        "secretName: keys, items: [{key: a, path: x}, {key: b, path: x/y}]",
        "invalid-value",
        '"x" is in the way',
    ),
]


@pytest.mark.parametrize(("old", "new", "code", "message"), REFUSED_USES)
def test_a_use_of_a_secret_is_refused_by_name(old: str, new: str, code: str, message: str) -> None:
    text = deployment().replace(old, new, 1)
    assert text != deployment()
    with pytest.raises(ManifestError) as caught:
        load_manifests(text)
    assert caught.value.code == code, caught.value
    assert message in caught.value.message


def template(text: str) -> PodTemplate:
    parsed = load_manifests(text)[0].object
    assert isinstance(parsed, Deployment)
    return parsed.template


def test_a_secret_is_what_its_two_fields_say_and_string_data_wins() -> None:
    found = load_manifests(GOOD.replace("PASSWORD", "token"))[0].object
    assert isinstance(found, Secret)
    assert (found.name, found.data, found.immutable) == ("web.keys", {"token": VALUE.encode()}, False)
    assert VALUE not in repr(load_manifests(GOOD))


def test_a_template_without_secrets_has_the_hash_it_had() -> None:
    assert template_hash(template(manifest("web:1", service=False))) == "798cdf88c"
    assert template_hash(template(deployment())) != template_hash(template(manifest("web:1", service=False)))


SECRETS: Mapping[str, Mapping[str, bytes]] = {
    "keys": {"a": b"one", "B": b"$(a)", "1x": b"no name", "c.d": b"dots"},
    "more": {"a": b"two", "raw": b"\xff"},
}


SOURCES = Sources(namespace="shop", secret=SECRETS.get)


def spec(
    *env: tuple[str, str | SecretKey], env_from: tuple[SecretVariables, ...] = (), **options: tuple[str, ...]
) -> ContainerSpec:
    return ContainerSpec(name="web", image="web:1", env=env, env_from=env_from, **options)  # type: ignore[arg-type]


def test_the_environment_is_the_kubelets_in_its_order() -> None:
    sources = (SecretVariables(name="keys"), SecretVariables(name="more", prefix="M_"), SecretVariables(name="more"))
    found = environment(
        spec(
            ("a", "$(a)-three"),
            ("URL", "db://$(M_a)"),
            ("K", SecretKey(name="keys", key="B")),
            ("gone", SecretKey(name="none", key="B", optional=True)),
            ("gone", SecretKey(name="keys", key="none", optional=True)),
            ("PLAIN", "x"),
            env_from=(sources[0], SecretVariables(name="none", optional=True)),
        ),
        Sources(namespace="default", secret=SECRETS.get),
    )
    # A value of a Secret is not expanded; a key that is no variable's name is left out.
    assert found.variables == {
        "a": "one-three", "B": "$(a)", "c.d": "dots", "URL": "db://$(M_a)", "K": "$(a)", "PLAIN": "x"
    }  # fmt: skip
    assert found.secret == {"a", "B", "c.d", "K"}
    plain = {"keys": {"a": b"one"}, "more": {"a": b"two"}}
    found = environment(spec(env_from=sources), Sources(namespace="default", secret=plain.get))
    assert found.variables == {"a": "two", "M_a": "two"}
    assert "one" not in repr(found)


@pytest.mark.parametrize(
    ("container", "code", "message"),
    [
        (spec(("A", SecretKey(name="none", key="a"))), "secret-not-found", 'secret "none" not found'),
        (
            spec(("A", SecretKey(name="keys", key="z"))),
            "secret-key-not-found",
            "couldn't find key z in Secret shop/keys",
        ),
        (spec(env_from=(SecretVariables(name="none"),)), "secret-not-found", 'secret "none" not found'),
        (spec(("A", SecretKey(name="more", key="raw"))), "secret-not-text", "not UTF-8 text"),
    ],
)
def test_what_is_not_there_is_told_in_the_kubelets_words(container: ContainerSpec, code: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        environment(container, SOURCES)
    assert caught.value.code == code
    assert message in caught.value.message


WHO = Identity(instance="abc", namespace="shop", deployment="web", replica="web-x-1", template_hash="x", revision=4)


@pytest.mark.parametrize("field", ["command", "args"])
def test_a_secret_never_gets_into_arguments(field: str) -> None:
    env = "env: [{name: A, valueFrom: {secretKeyRef: {name: keys, key: a}}}, {name: URL, value: db-$(A)}]"
    for said, refused in (("$(URL)", True), ("$$(URL)", False), ("$(OTHER)", False)):
        made = template(manifest("web:1", service=False, container=f"{env}\n          {field}: [run, '{said}']"))
        if not refused:
            container_request(made, WHO, SOURCES, {})
            continue
        with pytest.raises(ConfigError) as caught:
            container_request(made, WHO, SOURCES, {})
        assert (caught.value.code, caught.value.subject) == ("secret-in-arguments", field)


def test_a_request_names_no_value() -> None:
    request = container_request(
        template(deployment()),
        WHO,
        SOURCES,
        {mount: Place(source="/x") for mount in template(deployment()).container.mounts},
    )
    assert request.env["A"] == "one"
    assert "'one'" not in repr(request)
    assert "one" not in request.labels.values()
    assert (request.mounts[0].source, request.mounts[0].target) == ("/x", "/run/secrets")


def test_files_are_the_keys_or_the_items() -> None:
    assert folders(template(deployment()), SOURCES)["files"]["a"] == File(content=b"one", mode=0o644)
    items = "items: [{key: a, path: x/y, mode: 256}, {key: B, path: b}], defaultMode: 416"
    chosen = template(deployment(volumes=VOLUMES.replace("keys", f"keys, {items}")))
    assert folders(chosen, SOURCES)["files"] == {
        "x/y": File(content=b"one", mode=0o400),
        "b": File(content=b"$(a)", mode=0o640),
    }
    with pytest.raises(ConfigError, match=r'MountVolume.SetUp failed for volume "files" : secret "keys" not found'):
        folders(template(deployment()), Sources(namespace="shop"))
    missing = Sources(namespace="shop", secret={"keys": {"a": b"1"}}.get)
    with pytest.raises(ConfigError, match="references non-existent secret key: B"):
        folders(chosen, missing)
    optional = template(deployment(volumes=VOLUMES.replace("keys", f"keys, optional: true, {items}")))
    assert set(folders(optional, missing)["files"]) == {"x/y"}
    assert folders(optional, Sources(namespace="shop"))["files"] == {}


def shm(name: str) -> Path:
    return Path("/dev/shm") / f"imageforge-test-{os.getpid()}-{name}"


def test_files_lie_in_memory_for_us_alone_and_go_with_their_replica() -> None:
    files = SecretFiles(shm("files"), "unix:///run/docker.sock")
    before = os.umask(0o077)
    try:
        made = files.write("web-1", {"v": {"x/y": File(content=b"1", mode=0o444)}, "empty": {}})
        files.write("web-2", {"v": {}})
        assert made["v"].parent.stat().st_mode & 0o777 == 0o700
        assert (made["v"] / "x").resolve().stat().st_mode & 0o777 == 0o755
        assert (made["v"] / "x/y").stat().st_mode & 0o777 == 0o444
        again = files.write("web-1", {"v": {"z": File(content=b"2", mode=0o644)}})
        assert [entry.name for entry in again["v"].iterdir() if not entry.name.startswith("..")] == ["z"]
        files.remove("web-1")
        files.remove("web-1")
        files.sweep({"web-2"})
        assert [entry.name for entry in shm("files").iterdir()] == ["web-2"]
        files.sweep(())
        assert list(shm("files").iterdir()) == []
    finally:
        os.umask(before)
        files.clear()
    assert not shm("files").exists()
    files.clear()


def test_no_memory_no_files(tmp_path: Path) -> None:
    some = {"v": {"a": File(content=VALUE.encode(), mode=0o644)}}
    disk = (
        "1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 0:1 / /dev/shm rw - tmpfs tmpfs rw\n3 1 0:2 / /a\\040b rw - ramfs x rw"
    )
    kinds = [file_system(Path(path), disk) for path in ("/x", "/dev/shm/x", "/dev/shmx", "/a b/c")]
    assert kinds == ["ext4", "tmpfs", "ext4", "ramfs"]
    for folder, engine, code in (
        (shm("no"), "tcp://10.0.0.1:2375", "secret-files-remote"),
        (Path("/proc/x"), "unix:///a", "secret-files-on-disk"),
        (shm("no/deeper"), "unix:///a", "secret-files-failed"),
    ):
        with pytest.raises(ConfigError) as caught:
            SecretFiles(folder, engine).write("web-1", some)
        assert caught.value.code == code
    assert SecretFiles(tmp_path, "tcp://10.0.0.1:2375").write("web-1", {}) == {}


def test_a_folder_that_others_made_is_not_used() -> None:
    shm("taken").mkdir(mode=0o755)
    link = shm("link")
    link.symlink_to("/var")
    try:
        for folder in (shm("taken"), link):
            with pytest.raises(ConfigError) as caught:
                SecretFiles(folder, "unix:///a").write("web-1", {"v": {}})
            assert caught.value.code == "secret-files-taken"
            SecretFiles(folder, "unix:///a").clear()
            assert folder.exists()
    finally:
        link.unlink()
        shm("taken").rmdir()


def held(tmp_path: Path) -> tuple[Store, Objects]:
    store = Store(tmp_path / "x.db")
    return store, Objects(store, lambda: None, Seal(tmp_path / "key"))


def test_values_are_sealed_in_the_store_and_masked_when_shown(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    text = GOOD.replace("web.keys", "keys")
    assert [item.change for item in objects.apply(text + "---" + deployment(), "a.yaml")] == ["created", "created"]
    assert [item.change for item in objects.apply(text, "a.yaml")] == ["unchanged"]
    assert objects.check(text.replace(VALUE, "other"), "a.yaml")[0].change == "configured"
    shown = objects.manifests("default", "hello")
    assert VALUE not in shown
    assert base64.b64encode(VALUE.encode()).decode() not in shown
    assert f"PASSWORD: '*** {len(VALUE)} bytes'" in shown
    with pytest.raises(ManifestError, match="were masked"):
        objects.apply(shown, "shown.yaml")
    assert objects.secrets("default")[0].sizes == {"token": len(VALUE), "PASSWORD": len(VALUE)}
    store.close()
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    for file in tmp_path.iterdir():
        assert VALUE.encode() not in file.read_bytes()
        assert base64.b64encode(VALUE.encode()) not in file.read_bytes()
    store, objects = held(tmp_path)
    assert objects.secret("default", "keys") == {"token": VALUE.encode(), "PASSWORD": VALUE.encode()}
    objects.delete("default", "Secret", "keys")
    assert objects.secret("default", "keys") is None
    assert objects.secrets(None) == ()
    store.close()


def test_a_copy_of_the_manifest_that_kubectl_keeps_is_not_kept(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    copied = f'annotations: {{kubectl.kubernetes.io/last-applied-configuration: \'{{"PASSWORD": "{VALUE}"}}\'}}'
    text = GOOD.replace("  name: web.keys\n", f"  name: keys\n  {copied}\n")
    assert copied in text
    objects.apply(text, "a.yaml")
    assert [item.change for item in objects.apply(text, "a.yaml")] == ["unchanged"]
    assert VALUE not in "".join(view.manifest for view in object_views(store, None, None))
    assert VALUE not in "".join(item.before + item.after for item in objects.preview(text, "a.yaml"))
    store.close()
    assert all(VALUE.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_key_that_is_missing_or_wrong_is_named_and_never_made_anew(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    objects.apply(GOOD, "a.yaml")
    key = tmp_path / "key"
    right = key.read_bytes()
    key.unlink()
    cases: list[tuple[bytes | None, str]] = [
        (None, "key-missing"),
        (b"short", "key-unusable"),
        (b"A" * 43 + b"=", "key-wrong"),
        (b"\xff" * 44, "key-unusable"),
    ]
    for content, code in cases:
        if content is not None:
            key.write_bytes(content)
        with pytest.raises(KeyFailure) as caught:
            objects.secret("default", "web.keys")
        assert (caught.value.code, caught.value.subject) == (code, str(key))
        if content is None:
            with pytest.raises(RuntimeFailure, match="is not there"):
                objects.apply(GOOD.replace("web.keys", "other"), "a.yaml")
            assert not key.exists()
    # Applied again, it is sealed with the key of now.
    key.write_bytes(b"A" * 43 + b"=")
    assert objects.apply(GOOD, "a.yaml")[0].change == "configured"
    assert objects.secret("default", "web.keys") is not None
    key.write_bytes(right)
    with pytest.raises(KeyFailure):
        objects.secret("default", "web.keys")
    store.close()


def test_an_immutable_secret_stays(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    text = GOOD + "immutable: true\n"
    objects.apply(text, "a.yaml")
    assert objects.apply(text, "a.yaml")[0].change == "unchanged"
    for changed in (text.replace(VALUE, "other"), GOOD):
        with pytest.raises(ManifestError, match="field is immutable when `immutable` is set"):
            objects.apply(changed, "a.yaml")
    store.close()


def test_last_words_have_stars_for_secrets() -> None:
    secret = "s3cr3t-value+/x"
    coded = base64.b64encode(secret.encode()).decode()
    inside = base64.b64encode(f"user:{secret}".encode()).decode()
    lines = [
        f"plain {secret} end",
        f"coded {coded}",
        secret[:7],
        secret[7:],
        f"Basic {inside}",
        secret.encode().hex(),
        "ok",
    ]
    shown = redact(lines, [secret.encode(), b"ok", b"  "])
    assert shown[0] == "plain *** end"
    assert shown[1].startswith("coded ***")
    assert shown[2:4] == ("***", "***")
    assert inside not in shown[4]
    assert shown[4].startswith("Basic ")
    assert shown[5:] == ("***", "ok")
    assert redact([f"x {base64.b64encode(bytes(range(200, 230))).decode()}"], [bytes(range(200, 230))]) == ("x ***",)
    assert redact([], [b"abcd"]) == ()
    assert redact(["line of a key", "MIIabcdefgh"], [b"-----\nMIIabcdefgh\n"]) == ("line of a key", "***")


def test_what_a_stalled_replica_writes_has_stars_for_secrets_that_were_changed_since_it_began(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    env = "env: [{name: KEY, valueFrom: {secretKeyRef: {name: web.keys, key: TOKEN}}}]"
    objects.apply(GOOD + "---" + manifest("web:1", container=env, service=False), "a.yaml")
    of = objects.deployment("default", "hello")
    roster = Roster(store)
    replica = Replica(
        name="hello-1", namespace="default", deployment="hello", template_hash=of.hash,
        template=of.deployment.template, created_at=1.0, running=True, container_id="c1",
        containers=(ContainerRecord(name="hello", container_id="c1", running=True),),
    )  # fmt: skip
    roster.add(replica)
    engine = SimpleNamespace(tail=lambda *_: ("it has the-one-before", f"and {VALUE}"))
    files = SimpleNamespace(message=lambda *_, **__: b"")
    creation = Creation(
        engine=cast(Engine, engine), secret=objects.secret, config_map=lambda *_: None, files=cast(SecretFiles, files),
        storage=cast(Storage, None), host=cast(Host, None), policy=Policy(),
        groups=cast(PodGroups, None),
    )  # fmt: skip
    around = SimpleNamespace(engine=engine, roster=roster, creation=creation)
    keeper = Keeper("hello-1", cast(Surroundings, around))
    keeper._life._given = frozenset({b"the-one-before"})  # type: ignore[union-attr]
    controller = SimpleNamespace(_keepers={"hello-1": keeper}, _creation=creation)
    said = Controller._last_words(cast(Controller, controller), of, [replica])
    assert said == ("it has ***", "and ***")
    store.close()
