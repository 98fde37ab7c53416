"""ConfigMaps and Namespaces without an engine: what is refused, what a container is given, what deleting does."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from runtime import ConfigError, Conflict, ManifestError, NotFound, load_manifests
from runtime.container import Identity, container_request, pod_of
from runtime.environment import environment
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.model import ContainerSpec, Deployment, PodTemplate
from runtime.manifest.namespace import Namespace
from runtime.manifest.template import template_hash
from runtime.manifest.variable import ConfigKey, ConfigVariables, PodField, SecretKey, SecretVariables
from runtime.objects import Objects
from runtime.seal import Seal
from runtime.sources import Sources
from runtime.store import Store
from tests.runtime.stack import manifest

GOOD = f"""\
apiVersion: v1
kind: ConfigMap
metadata:
  name: game.conf
data:
  lives: "3"
  ui.properties: |
    color=$(purple)
binaryData:
  logo: {base64.b64encode(bytes([0, 255])).decode()}
"""

# (replaced, by, code, line, part of the message)
REFUSED = [
    ('lives: "3"', "lives: 3", "wrong-type", 6, "data.lives is the number 3, expected a string"),
    ("lives", "li ves", "invalid-value", 6, 'the key "li ves"'),
    ("  logo: ", "  logo: '!'\n  more: ", "invalid-value", 10, "binaryData.logo is not base64"),
    ("  logo: ", "  lives: ", "invalid-value", 10, "the key is in `data` too"),
    ("name: game.conf", "name: Game", "invalid-value", 4, "metadata.name"),
    ("binaryData:", "binarydata:", "unknown-field", 9, "binarydata"),
    ("data:\n  lives", "stringData:\n  lives", "unknown-field", 5, "stringData"),
    ('lives: "3"', f"lives: {'x' * 1024 * 1024}", "invalid-value", 1, "at most 1048576"),
    ("metadata:", "immutable: maybe\nmetadata:", "wrong-type", 3, "immutable"),
]


@pytest.mark.parametrize(("old", "new", "code", "line", "message"), REFUSED)
def test_a_config_map_is_refused_by_name(old: str, new: str, code: str, line: int, message: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(ManifestError) as caught:
        load_manifests(text, "c.yaml")
    assert (caught.value.code, caught.value.subject) == (code, f"c.yaml:{line}"), caught.value
    assert message in caught.value.message


def test_a_config_map_holds_texts_and_bytes() -> None:
    found = load_manifests(GOOD)[0].object
    assert isinstance(found, ConfigMap)
    assert (found.name, found.data["lives"], found.binary, found.immutable) == (
        "game.conf", "3", {"logo": b"\x00\xff"}, False
    )  # fmt: skip
    assert found.files == {"lives": b"3", "ui.properties": b"color=$(purple)\n", "logo": b"\x00\xff"}


CONFIG = {"conf": ConfigMap(namespace="shop", name="conf", data={"a": "one", "B": "$(a)", "1x": "no", "c.d": "dots"})}
WHO = Identity(instance="abc", namespace="shop", deployment="web", replica="web-x-1", template_hash="x", revision=4)
TEMPLATE = PodTemplate(
    container=ContainerSpec(name="web", image="web:1"), labels={"app": "web"}, annotations={"note": "kept"}
)
SOURCES = Sources(
    namespace="shop",
    secret={"keys": {"a": b"hidden", "raw": b"\xff"}}.get,
    config_map=CONFIG.get,
    pod=pod_of(TEMPLATE, WHO, lambda: "10.1.0.1", lambda: "10.1.0.9"),
)


def spec(*env: tuple[str, object], env_from: tuple[object, ...] = (), **options: tuple[str, ...]) -> ContainerSpec:
    return ContainerSpec(name="web", image="web:1", env=env, env_from=env_from, **options)  # type: ignore[arg-type]


def test_sources_in_their_order_and_only_env_is_expanded() -> None:
    sources = (
        ConfigVariables(config_map="conf"),
        SecretVariables(name="keys", prefix="S_"),
        ConfigVariables(config_map="none", optional=True),
        ConfigVariables(config_map="conf", prefix="C_"),
    )
    found = environment(
        spec(
            ("B", ConfigKey(config_map="conf", key="B")),
            ("URL", "$(C_a)/$(later)/$$(a)/$(B)"),
            ("later", "x"),
            ("gone", ConfigKey(config_map="conf", key="none", optional=True)),
            ("gone", ConfigKey(config_map="none", key="a", optional=True)),
            ("a", SecretKey(name="keys", key="a")),
            env_from=(sources[0], sources[2], sources[3]),
        ),
        SOURCES,
    )
    assert found.variables == {
        "a": "hidden", "B": "$(a)", "c.d": "dots", "C_a": "one", "C_B": "$(a)", "C_1x": "no", "C_c.d": "dots",
        "URL": "one/$(later)/$(a)/$(a)", "later": "x",
    }  # fmt: skip
    # What a ConfigMap holds may be an argument; a name that a Secret took over may not.
    assert found.secret == {"a"}
    taken_back = (SecretVariables(name="keys"), ConfigVariables(config_map="conf"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        environment(spec(env_from=(SecretVariables(name="keys"),)), SOURCES)
    plain = Sources(namespace="shop", secret={"keys": {"a": b"hidden"}}.get, config_map=CONFIG.get)
    found = environment(spec(env_from=taken_back), plain)
    assert (found.variables["a"], found.secret) == ("one", frozenset())


def test_what_is_told_of_the_replica() -> None:
    paths = {
        "metadata.name": "web-x-1",
        "metadata.namespace": "shop",
        "spec.serviceAccountName": "default",
        "status.hostIP": "10.1.0.1",
        "status.podIP": "10.1.0.9",
        "status.podIPs": "10.1.0.9",
        "metadata.labels['app']": "web",
        "metadata.labels['pod-template-hash']": "x",
        "metadata.annotations['note']": "kept",
        "metadata.labels['none']": "",
    }
    found = environment(spec(*((f"V{at}", PodField(path=path)) for at, path in enumerate(paths))), SOURCES)
    assert list(found.variables.values()) == list(paths.values())
    uid = SOURCES.pod.value("metadata.uid") if SOURCES.pod else ""
    again = pod_of(TEMPLATE, WHO, lambda: "")
    assert uid == again.value("metadata.uid") != ""
    assert pod_of(TEMPLATE, Identity(
        instance="abc", namespace="shop", deployment="web", replica="web-x-2", template_hash="x", revision=4
    ), lambda: "").value("metadata.uid") != uid  # fmt: skip


@pytest.mark.parametrize(
    ("container", "code", "message"),
    [
        (
            spec(("A", ConfigKey(config_map="none", key="a"))), "config-map-not-found", 'configmap "none" not found'
        ),
        (
            spec(("A", ConfigKey(config_map="conf", key="z"))),
            "config-map-key-not-found",
            "couldn't find key z in ConfigMap shop/conf",
        ),
        (spec(env_from=(ConfigVariables(config_map="none"),)), "config-map-not-found", 'configmap "none" not found'),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_in_the_kubelets_words(container: ContainerSpec, code: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        environment(container, SOURCES)
    assert (caught.value.code, caught.value.message) == (code, message)


CONTAINER = """env:
            - {name: LIVES, valueFrom: {configMapKeyRef: {name: game.conf, key: lives}}}
            - {name: ME, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
          envFrom: [{configMapRef: {name: game.conf}, prefix: G_}]
          args: ["--lives=$(LIVES)"]"""


def template(container: str) -> PodTemplate:
    parsed = load_manifests(manifest("web:1", container=container, service=False))[0].object
    assert isinstance(parsed, Deployment)
    return parsed.template


def test_from_the_manifest_to_the_request() -> None:
    made = template(CONTAINER)
    assert made.config_maps == {"game.conf"}
    found = load_manifests(GOOD)[0].object
    assert isinstance(found, ConfigMap)
    request = container_request(
        made,
        WHO,
        Sources(namespace="shop", config_map={"game.conf": found}.get, pod=pod_of(made, WHO, lambda: "")),
        {},
    )
    assert request.env == {
        "G_lives": "3", "G_ui.properties": "color=$(purple)\n", "LIVES": "3", "ME": "hello"
    }  # fmt: skip
    assert request.command == ("--lives=3",)


def test_a_config_map_and_a_secret_of_one_name_make_two_templates() -> None:
    secret = CONTAINER.replace("configMapKeyRef", "secretKeyRef").replace("configMapRef", "secretRef")
    assert template_hash(template(secret)) != template_hash(template(CONTAINER))


def held(tmp_path: Path) -> tuple[Store, Objects]:
    store = Store(tmp_path / "x.db")
    return store, Objects(store, lambda: None, Seal(tmp_path / "key"))


def test_config_maps_are_kept_and_an_immutable_one_stays(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    assert [item.change for item in objects.apply(GOOD, "a.yaml")] == ["created"]
    assert objects.apply(GOOD, "a.yaml")[0].change == "unchanged"
    fixed = GOOD.replace('"3"', '"4"') + "immutable: true\n"
    assert objects.apply(fixed, "a.yaml")[0].change == "configured"
    for changed in (GOOD, fixed.replace('"4"', '"5"')):
        with pytest.raises(ManifestError, match="field is immutable when `immutable` is set"):
            objects.apply(changed, "a.yaml")
    store.close()
    store, objects = held(tmp_path)
    found = objects.config_map("default", "game.conf")
    assert found is not None
    assert found.data["lives"] == "4"
    objects.apply(manifest("web:1", container=CONTAINER, service=False), "a.yaml")
    assert "kind: ConfigMap" in objects.manifests("default", "hello")
    objects.delete("default", "ConfigMap", "game.conf")
    assert objects.config_map("default", "game.conf") is None
    with pytest.raises(NotFound):
        objects.delete("default", "ConfigMap", "game.conf")
    store.close()


def test_the_type_of_a_secret_stays(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {username: me}\n"
    objects.apply(text, "a.yaml")
    assert objects.apply(text + "type: Opaque\n", "a.yaml")[0].change == "unchanged"
    with pytest.raises(ManifestError, match="type of Secret default/a cannot be changed, it is Opaque"):
        objects.apply(text + "type: kubernetes.io/basic-auth\n", "a.yaml")
    objects.apply(text.replace("name: a", "name: b") + "type: kubernetes.io/basic-auth\n", "a.yaml")
    assert [item.type for item in objects.secrets(None)] == ["Opaque", "kubernetes.io/basic-auth"]
    store.close()


NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (NAMESPACE.replace("name: shop", "name: Shop"), "invalid-value"),
        (NAMESPACE.replace("name: shop", "name: shop, namespace: x"), "unsupported-field"),
        (NAMESPACE + "spec: {finalizers: [kubernetes]}", "unsupported-field"),
        (NAMESPACE + "---\n" + NAMESPACE, "duplicate-object"),
    ],
)
def test_a_namespace_is_refused_by_name(text: str, code: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifests(text)
    assert caught.value.code == code


def test_a_namespace_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    document = load_manifests(NAMESPACE)[0]
    assert (document.object, document.namespace) == (Namespace(name="shop", labels={"team": "a"}), "")
    inside = GOOD.replace("name: game.conf", "name: game.conf\n  namespace: shop")
    deployment = manifest("web:1", service=False).replace("  name: hello\n", "  name: hello\n  namespace: shop\n", 1)
    objects.apply(NAMESPACE + "---\n" + inside + "---\n" + deployment, "a.yaml")
    objects.apply(GOOD, "a.yaml")
    assert objects.apply(NAMESPACE, "a.yaml")[0].change == "unchanged"
    with pytest.raises(Conflict, match="may not be deleted"):
        objects.delete("", "Namespace", "default")
    with pytest.raises(NotFound, match="Namespace none"):
        objects.delete("", "Namespace", "none")
    objects.delete("ignored", "Namespace", "shop")
    assert objects.config_map("shop", "game.conf") is None
    assert objects.config_map("default", "game.conf") is not None
    for text in (inside, NAMESPACE):
        with pytest.raises(Conflict, match="unable to create new content in namespace shop"):
            objects.apply(text, "a.yaml")
    # Its Deployment is there until its replicas are gone, over a restart of the controller too.
    store.close()
    store, objects = held(tmp_path)
    objects.finish_namespaces()
    assert objects.deployment("shop", "hello").deleting
    objects.finish_delete(objects.deployment("shop", "hello"))
    objects.finish_namespaces()
    assert [item.change for item in objects.apply(NAMESPACE, "a.yaml")] == ["created"]
    store.close()


def test_a_controller_that_was_killed_in_the_middle_goes_on_deleting(tmp_path: Path) -> None:
    store, objects = held(tmp_path)
    objects.apply(NAMESPACE + "---\n" + GOOD.replace("name: game.conf", "name: c\n  namespace: shop"), "a.yaml")
    stored = store.object("Namespace", "", "shop")
    assert stored is not None
    store.put_object(type(stored)(**{**{name: getattr(stored, name) for name in stored.__slots__}, "deleting": True}))
    store.close()
    store, objects = held(tmp_path)
    objects.finish_namespaces()
    objects.finish_namespaces()
    assert store.objects_in("shop") == ()
    assert store.object("Namespace", "", "shop") is None
    store.close()
