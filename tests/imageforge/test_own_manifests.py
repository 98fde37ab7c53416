"""The manifests that a repository brings: what is refused, and what a release makes of them."""

from __future__ import annotations

import datetime
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from imageforge.config import RepositoryConfig, load_repository
from imageforge.errors import ConfigError, GateRefused, UsageError
from imageforge.pipeline.manifests import SecretUse, processes, release_job, renumber, rescale, secrets_in
from imageforge.pipeline.own_manifests import OwnManifests, Release, as_root, compose, names, read
from imageforge.pipeline.ownership import owner
from imageforge.pipeline.plan import Request, plan
from imageforge.pipeline.release import _check_user
from imageforge.sources import pack
from runtime import dump_manifests, load_manifests
from runtime.manifest.model import Deployment, app_of, component_of

DIGEST = "127.0.0.1:5000/shop@sha256:" + "a" * 64
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, labels: {app: shop}}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, app.kubernetes.io/part-of: everything}}
    spec:
      initContainers:
      - {name: wait, image: debian:12, command: [sleep, "1"]}
      containers:
      - name: proxy
        image: proxy:1
      - name: web
        image: shop
        ports: [{containerPort: 3000}]
        env:
        - {name: LEVEL, value: "1e3"}
        - {name: URL, value: "db://$(PASSWORD)@db"}
        readinessProbe: {httpGet: {path: health, port: 3000}}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 3000}]}
"""
WORKER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-worker}
spec:
  replicas: 2
  progressDeadlineSeconds: 50
  selector: {matchLabels: {app: shop, role: worker}}
  template:
    metadata: {labels: {app: shop, role: worker}}
    spec: {containers: [{name: main, image: "shop:latest", command: [work]}]}
"""
REDIS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec: {containers: [{name: redis, image: "redis:7"}]}
---
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {selector: {app: redis}, ports: [{port: 6379}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shop-data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: shop-nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: clean, image: shop, command: [clean]}]}
"""


def write(folder: Path, **files: str) -> Path:
    (folder / "deploy").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "deploy" / f"{name}.yaml").write_text(text)
    return folder


def whole(folder: Path) -> OwnManifests:
    return read(write(folder, web=WEB, service=SERVICE, worker=WORKER, redis=REDIS), "deploy/", "shop")


def made(own: OwnManifests, **changes: Any) -> dict[str, Any]:
    release = Release(app="shop", number=7, reference=DIGEST, deadline=40, **changes)
    documents = yaml.safe_load_all(compose(own.text, release))
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in documents}


def containers(item: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in item["spec"]["template"]["spec"]["containers"]}


def test_only_containers_of_the_apps_image_get_what_was_built(tmp_path: Path) -> None:
    own = whole(tmp_path)
    assert (own.port, own.path, own.place) == (3000, "/health", "deploy/")
    assert (own.processes, own.fixed) == (("redis", "web", "worker"), ("worker",))
    found = made(own)
    assert {name: one["image"] for name, one in containers(found["Deployment/shop"]).items()} == {
        "proxy": "proxy:1",
        "web": DIGEST,
    }
    assert containers(found["Deployment/shop-worker"])["main"]["image"] == DIGEST
    assert containers(found["Deployment/shop-redis"])["redis"] == {"name": "redis", "image": "redis:7"}
    job = found["CronJob/shop-nightly"]["spec"]["jobTemplate"]["spec"]["template"]
    assert job["spec"]["containers"][0]["image"] == DIGEST


def test_what_it_makes_is_accepted_and_known_as_the_apps(tmp_path: Path) -> None:
    own = whole(tmp_path)
    text = compose(own.text, Release(app="shop", number=7, reference=DIGEST, deadline=40))
    documents = {f"{item.kind}/{item.name}": item for item in load_manifests(text)}
    assert set(documents) == {
        "Deployment/shop",
        "Service/shop",
        "Deployment/shop-worker",
        "Deployment/shop-redis",
        "Service/redis",
        "PersistentVolumeClaim/shop-data",
        "CronJob/shop-nightly",
    }
    said = {}
    for item in documents.values():
        if isinstance(item.object, Deployment):
            template = item.object.template
            said[item.name] = (app_of(template, item.name), component_of(template))
    assert said == {
        "shop": ("shop", "web"),
        "shop-worker": ("shop", "worker"),
        "shop-redis": ("shop", "redis"),
    }
    assert {name for name, item in documents.items() if owner(item.data) != "shop"} == {
        "PersistentVolumeClaim/shop-data"
    }, "data may be deleted by hand"
    assert processes(text) == {"web": "shop", "redis": "shop-redis", "worker": "shop-worker"}
    # Selectors are untouched: a Deployment's may not change, and a Service must go on to find its pods.
    assert documents["Deployment/shop"].data["spec"]["template"]["metadata"]["labels"] == {  # type: ignore[index,call-overload]
        "app": "shop",
        "app.kubernetes.io/part-of": "everything",
    }


def test_a_companion_is_left_as_it_is_by_a_new_release(tmp_path: Path) -> None:
    own = whole(tmp_path)
    first = made(own)
    second = {
        f"{item['kind']}/{item['metadata']['name']}": item
        for item in yaml.safe_load_all(renumber(yaml.safe_dump_all(list(first.values())), 8))
    }
    assert second["Deployment/shop-redis"] == first["Deployment/shop-redis"]
    assert "imageforge.io/release" not in first["Deployment/shop-redis"]["spec"]["template"]["metadata"]["annotations"]
    for name in ("Deployment/shop", "Deployment/shop-worker"):
        assert first[name]["spec"]["template"]["metadata"]["annotations"]["imageforge.io/release"] == "7"
        assert second[name]["spec"]["template"]["metadata"]["annotations"]["imageforge.io/release"] == "8"


@pytest.mark.parametrize(
    ("own", "pod", "named"),
    [
        ("0", "", True),
        ("", "0", True),
        ("10001", "0", False),
        ("", "", False),
        ("0", "10001", True),
    ],
)
def test_who_runs_what_was_built_as_root_is_named(tmp_path: Path, own: str, pod: str, named: bool) -> None:
    web = WEB.replace("        image: shop\n", f"        image: shop\n        securityContext: {{runAsUser: {own}}}\n")
    web = web.replace("      initContainers:", f"      securityContext: {{runAsUser: {pod}}}\n      initContainers:")
    found = read(write(tmp_path, web=web, service=SERVICE), "deploy", "shop")
    assert as_root(found.text, "shop") == (("Deployment shop, container web",) if named else ())


def test_what_runs_as_root_by_a_file_needs_a_waiver_too(tmp_path: Path) -> None:
    web = WEB.replace("        image: shop\n", "        image: shop\n        securityContext: {runAsUser: 0}\n")
    write(tmp_path, web=web, service=SERVICE)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")  # its comments may waive it
    said: dict[str, Any] = {"manifests": "deploy", "app": {"name": "shop"}}
    image = {"config": {"User": "10001"}}
    with pytest.raises(GateRefused) as caught:
        _check_user(plan(Request(path=tmp_path), RepositoryConfig.model_validate(said)), image)
    assert (caught.value.code, "Deployment shop, container web" in str(caught.value)) == ("runs-as-root", True)
    waived = {"waivers": [{"rule": "IF402", "reason": "it must", "until": datetime.date.today()}]}
    _check_user(plan(Request(path=tmp_path), RepositoryConfig.model_validate({**said, "lint": waived})), image)


def test_environment_and_secrets_reach_the_apps_containers_alone(tmp_path: Path) -> None:
    secret = SecretUse(name="shop-1", variables=("PASSWORD",), files={"key": "tls/key"})
    found = made(whole(tmp_path), environment={"LEVEL": "y", "NEW": "12:30"}, secret=secret)
    web = containers(found["Deployment/shop"])
    assert web["web"]["env"] == [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop-1", "key": "PASSWORD"}}},
        {"name": "URL", "value": "db://$(PASSWORD)@db"},
        {"name": "LEVEL", "value": "y"},
        {"name": "NEW", "value": "12:30"},
    ]
    assert web["web"]["volumeMounts"] == [{"name": "imageforge-secrets", "mountPath": "/run/secrets", "readOnly": True}]
    assert "env" not in web["proxy"]
    assert "volumeMounts" not in web["proxy"]
    assert "volumes" not in found["Deployment/shop-redis"]["spec"]["template"]["spec"]
    text = yaml.safe_dump_all([found["Deployment/shop"]])
    assert secrets_in(text) == {"shop-1"}


def test_scale_reaches_what_the_files_leave_open(tmp_path: Path) -> None:
    own = whole(tmp_path)
    found = made(own, replicas={"web": 4})
    assert found["Deployment/shop"]["spec"]["replicas"] == 4
    assert found["Deployment/shop-worker"]["spec"]["replicas"] == 2
    assert "replicas" not in found["Deployment/shop-redis"]["spec"], "an apply leaves the number that it has"
    again = rescale(yaml.safe_dump_all(list(found.values())), {"web": 5, "redis": 0})
    assert {item["metadata"]["name"]: item["spec"].get("replicas") for item in yaml.safe_load_all(again)}[
        "shop-redis"
    ] == 0


def test_a_rollout_ends_in_time_unless_the_file_says_when(tmp_path: Path) -> None:
    found = made(whole(tmp_path))
    assert found["Deployment/shop"]["spec"]["progressDeadlineSeconds"] == 40
    assert found["Deployment/shop-worker"]["spec"]["progressDeadlineSeconds"] == 50


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        # What is beside it may be named by digest, too.
        ("image: proxy:1", f"image: proxy@sha256:{'b' * 64}"),
        # The one that was built may run before the others alone, or go on beside them.
        ("image: shop\n", "image: proxy:2\n"),
    ],
)
def test_the_release_command_runs_in_the_container_that_was_built(tmp_path: Path, before: str, after: str) -> None:
    web = WEB.replace(before, after).replace("image: debian:12,", "image: shop, restartPolicy: Always,")
    own = read(write(tmp_path, web=web, service=SERVICE), "deploy", "shop")
    text = compose(own.text, Release(app="shop", number=7, reference=DIGEST, deadline=40))
    job = yaml.safe_load(release_job(text, "shop", 7, ("migrate",), 60, reference=DIGEST))
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert (container["name"], container["image"], container["command"]) == ("release", DIGEST, ["migrate"])
    load_manifests(dump_manifests([job]))


def test_values_that_look_like_something_else_stay_strings(tmp_path: Path) -> None:
    for value in ("1e3", "y", "0o14", "12:30", "2026-01-01", "~"):
        text = compose(
            read(write(tmp_path, all=f"{WEB}---\n{SERVICE}"), "deploy", "shop").text,
            Release(app="shop", number=1, reference=DIGEST, deadline=40, environment={"V": value}),
        )
        [item] = [item for item in load_manifests(text) if item.kind == "Deployment"]
        assert {"name": "V", "value": value} in containers(dict(item.data))["web"]["env"]


REFUSED = {
    "nothing": ({}, "manifests-missing", '"deploy/" holds no file of manifests'),
    "broken": ({"web": WEB.replace("  template:", "  tmplate:")}, "unknown-field", "tmplate"),
    "no web": ({"service": SERVICE}, "manifests-not-an-apps", "no Deployment in it is called shop"),
    "no service": ({"web": WEB}, "manifests-not-an-apps", "no Service in it is called shop"),
    "other image": (
        {"web": WEB.replace("image: shop\n", "image: shoe\n"), "service": SERVICE},
        "manifests-not-an-apps",
        "no container of it has the image shop",
    ),
    "an image elsewhere": (
        {"web": WEB.replace("image: shop\n", "image: me/shop\n"), "service": SERVICE},
        "manifests-not-an-apps",
        "no container of it has the image shop",
    ),
    "other pods": (
        {"web": WEB, "service": SERVICE.replace("{app: shop}", "{app: shop, tier: web}")},
        "manifests-not-an-apps",
        "its selector does not lead to the pods",
    ),
    "twice": ({"web": WEB, "again": SERVICE, "service": SERVICE}, "manifests-not-an-apps", "is in deploy/again.yaml:1"),
    "a secret": (
        {"web": WEB, "service": SERVICE, "s": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"},
        "manifests-not-an-apps",
        "kind Secret",
    ),
    "a job": (
        {
            "j": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {restartPolicy: Never, "
            "containers: [{name: a, image: shop}]}}}\n"
        },
        "manifests-not-an-apps",
        "kind Job",
    ),
    "another's name": (
        {"web": WEB, "service": SERVICE, "w": WORKER.replace("shop-worker", "worker")},
        "manifests-not-an-apps",
        "among those of other apps",
    ),
    "web twice": (
        {"web": WEB, "service": SERVICE, "w": WORKER.replace("shop-worker", "shop-web")},
        "manifests-not-an-apps",
        "among those of other apps",
    ),
    "elsewhere": (
        {"web": WEB.replace("{name: shop,", "{name: shop, namespace: prod,"), "service": SERVICE},
        "",
        "prod",
    ),
    "too large": ({"web": "#" * (1024 * 1024 + 1)}, "manifests-too-large", "more than 1048576 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_apps_is_refused_before_the_build(tmp_path: Path, case: str) -> None:
    files, code, words = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        read(write(tmp_path, **files), "deploy/", "shop")
    assert caught.value.code == code or not code
    assert words in str(caught.value)
    assert caught.value.kept == "nothing was built"


def test_what_is_refused_names_file_line_and_path(tmp_path: Path) -> None:
    text = WEB.replace("    spec:\n      initContainers:", "  spec:\n      initContainers:")
    with pytest.raises(ConfigError) as caught:
        read(write(tmp_path, web=text), "deploy", "shop")
    assert caught.value.subject.startswith("deploy/web.yaml:")


def test_a_link_out_of_the_repository_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(WEB)
    folder = tmp_path / "repository"
    folder.mkdir()
    write(folder)
    (folder / "deploy/web.yaml").symlink_to(tmp_path / "outside.yaml")
    with pytest.raises(ConfigError) as caught:
        read(folder, "deploy", "shop")
    assert caught.value.code == "manifests-outside"
    (folder / "linked").symlink_to(tmp_path)
    with pytest.raises(ConfigError) as caught:
        read(folder, "linked", "shop")
    assert caught.value.code == "manifests-outside"


@pytest.mark.parametrize("named", ["deploy/", "./deploy", "deploy/web.yaml", "."])
def test_a_server_gets_them_also_where_the_image_need_not_have_them(tmp_path: Path, named: str) -> None:
    folder = write(tmp_path, web=WEB, service=SERVICE)
    (folder / "deploy/notes.txt").write_text("")
    for name, text in (("Dockerfile", "FROM x"), (".dockerignore", "deploy\n*.yaml\n"), ("app.yaml", SERVICE)):
        (folder / name).write_text(text)
    out = io.BytesIO()
    pack(folder, out, also=names(folder, named))
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        found = {info.name for info in tar.getmembers() if info.isreg()} - {"Dockerfile", ".dockerignore"}
    files = {"deploy/web.yaml", "deploy/service.yaml"}
    assert found == {".": {"app.yaml"}, "deploy/web.yaml": {"deploy/web.yaml"}}.get(named, files)


def test_a_link_that_leads_to_itself_is_told(tmp_path: Path) -> None:
    write(tmp_path, web=WEB, service=SERVICE)
    (tmp_path / "deploy/worker.yaml").symlink_to("worker.yaml")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "deploy", "shop")
    assert (caught.value.code, caught.value.kept) == ("manifests-missing", "nothing was built")
    assert "deploy/worker.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('manifests = "/etc"', "below this file"),
        ('manifests = "../x"', "below this file"),
        ('manifests = ""', "below this file"),
        ('manifests = "deploy"\n[app]\nport = 3000', "[app] port and manifests are both set"),
        ('manifests = "deploy"\n[app]\nprocesses = {worker = "work"}', "[app] processes and manifests"),
        ('manifest = "deploy"', "manifest"),
    ],
)
def test_the_file_says_one_of_the_two(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "imageforge.toml").write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load_repository(tmp_path)
    assert caught.value.code == "config-invalid"
    assert words in str(caught.value)


def test_a_plan_has_them_and_takes_no_flags_beside_them(tmp_path: Path) -> None:
    write(tmp_path, web=WEB, service=SERVICE)
    config = RepositoryConfig.model_validate({"manifests": "deploy", "app": {"name": "shop", "release": "migrate"}})
    planned = plan(Request(path=tmp_path), config)
    assert planned.own is not None
    assert (planned.port, planned.health, planned.release) == (3000, "/health", "migrate")
    for option in ({"port": 80}, {"replicas": 2}):
        with pytest.raises(UsageError) as caught:
            plan(Request(path=tmp_path, **option), config)  # type: ignore[arg-type]
        assert caught.value.code == "set-by-manifests"
