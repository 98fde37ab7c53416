"""The plan: flags over the repository's file over defaults."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
import yaml

from builders import Compression, Endpoint, SquashMode
from builders.engine.facts import facts_from
from imageforge.config import Home, RepositoryConfig, Settings
from imageforge.errors import UsageError
from imageforge.pipeline import run as pipeline
from imageforge.pipeline.manifests import (
    Worker,
    Workload,
    generate,
    processes,
    release_job,
    renumber,
    rescale,
    with_environment,
    with_hosts,
)
from imageforge.pipeline.plan import Request, plan
from imageforge.pipeline.run import Workshop, destination
from registry import InvalidReference
from runtime import Label, load_manifests
from runtime.container import Identity, container_request


def config(**sections: object) -> RepositoryConfig:
    return RepositoryConfig.model_validate(sections)


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    said = config(
        app={"name": "shop", "port": 3000, "replicas": 2}, build={"squash": "all", "args": {"A": "1", "B": "1"}}
    )
    made = plan(Request(path=tmp_path, port=4000, build_args={"B": "2"}), said)
    assert (made.app, made.port, made.replicas, made.replicas_from) == ("shop", 4000, 2, "imageforge.toml")
    assert made.squash is SquashMode.ALL
    assert made.build_args == {"A": "1", "B": "2"}
    assert plan(Request(path=tmp_path), config(app={"name": "x"})).squash is SquashMode.AUTO


@pytest.mark.parametrize(("folder", "name"), [("01-Hello_HTTP", "hello-http"), ("shop", "shop"), ("My.App-", "my-app")])
def test_an_app_is_named_after_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert plan(Request(path=tmp_path / folder), config()).app == name


@pytest.mark.parametrize("name", ["", "Shop", "9lives", "a" * 41, "-a"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(Request(path=tmp_path / "123", name=name), config())
    assert caught.value.code == "invalid-app-name"


def test_a_deploy_needs_the_push(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        plan(Request(path=tmp_path, push=False, deploy=True, name="a"), config())
    assert caught.value.code == "deploy-needs-push"


def test_a_tag_that_is_none_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(InvalidReference):
        plan(Request(path=tmp_path, name="a", tag="team/Shop"), config())


def workload(**changes: object) -> Workload:
    values: dict[str, object] = {
        "app": "shop",
        "release": 4,
        "reference": "127.0.0.1:1/shop@sha256:0",
        "port": 8080,
        "replicas": 3,
        "host": "shop.localhost",
        "deadline": 120,
        "health": "/healthz",
        "environment": {"MODE": "yes"},
        "numeric_user": True,
    }
    return Workload(**{**values, **changes})  # type: ignore[arg-type]


def test_manifests_are_kubernetes_own() -> None:
    deployment, service = yaml.safe_load_all(generate(workload()))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert deployment["spec"]["replicas"] == 3
    assert {"name": "PORT", "value": "8080"} in container["env"]
    assert {"name": "MODE", "value": "yes"} in container["env"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "runAsNonRoot": True}
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_without_a_health_path_the_port_is_probed() -> None:
    deployment, _ = yaml.safe_load_all(generate(workload(health=None)))
    assert deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["tcpSocket"] == {"port": "http"}


def test_a_rollback_differs_in_its_number_only() -> None:
    again = renumber(generate(workload()), 9)
    assert again.replace('imageforge.io/release: "9"', 'imageforge.io/release: "4"') == generate(workload())


@pytest.mark.parametrize(
    ("tag", "where"),
    [
        (None, "127.0.0.1:1/shop:b7"),
        ("shop:1.0", "127.0.0.1:1/shop:1.0"),
        ("team/shop", "127.0.0.1:1/team/shop"),
        ("docker.io/team/shop:1", "docker.io/team/shop:1"),
        ("r.example/shop:1", "r.example/shop:1"),
    ],
)
def test_a_name_without_a_registry_stays_here(tag: str | None, where: str) -> None:
    assert str(destination(tag, default="127.0.0.1:1/shop:b7", registry="127.0.0.1:1")) == where


def test_processes_come_from_the_file(tmp_path: Path) -> None:
    said = config(
        app={
            "name": "shop",
            "release": "migrate",
            "processes": {
                "web": {"command": "serve $PORT", "replicas": 2},
                "worker": "work",
                "clock": {"command": "c"},
            },
        }
    )
    made = plan(Request(path=tmp_path), said)
    assert (made.command, made.replicas, made.replicas_from) == (("sh", "-c", "exec serve $PORT"), 2, "imageforge.toml")
    assert [(item.name, item.command, item.replicas) for item in made.processes] == [
        ("clock", ("c",), None),
        ("worker", ("work",), None),
    ]
    assert made.release == "migrate"
    plain = plan(Request(path=tmp_path), config(app={"name": "shop"}))
    assert (plain.command, plain.processes, plain.release) == (None, (), None)


def test_a_process_whose_pods_names_would_be_too_long_is_refused(tmp_path: Path) -> None:
    said = config(app={"processes": {"background": "work"}})
    plan(Request(path=tmp_path, name="a" * 35), said)
    with pytest.raises(UsageError) as caught:
        plan(Request(path=tmp_path, name="a" * 36), said)
    assert caught.value.code == "process-name-too-long"
    assert "47 characters" in caught.value.message


WORKER = Worker(name="worker", command=("sh", "-c", "exec work $(date) $$"), replicas=2)


def test_a_worker_is_a_deployment_that_no_service_leads_to() -> None:
    text = generate(workload(workers=(WORKER,), command=("serve",)))
    web, service, worker = (document.object for document in load_manifests(text))
    assert (worker.name, worker.replicas, worker.min_ready_seconds) == ("shop-worker", 2, 3)
    assert not service.selects(worker.template.labels)
    assert service.selects(web.template.labels)
    assert web.template.container.command == ("serve",)
    assert (worker.template.container.ports, worker.template.container.readiness) == ((), None)
    assert worker.template.container.env == (("MODE", "yes"),)
    made = container_request(worker.template, Identity(
        instance="i", namespace="default", deployment="shop-worker", replica="r", template_hash="h", revision=1
    ), lambda _: None, {})  # fmt: skip
    assert made.entrypoint == ("sh", "-c", "exec work $(date) $$"), "nothing of it is Kubernetes' to expand"
    assert made.labels[Label.APP] == "shop"
    assert processes(text) == {"web": "shop", "worker": "shop-worker"}
    assert processes(generate(workload())) == {"web": "shop"}


def test_without_processes_the_manifests_are_as_they_were() -> None:
    assert generate(workload(workers=(WORKER,))).startswith(generate(workload()))


def test_each_process_is_scaled_and_told_its_environment_by_itself() -> None:
    text = generate(workload(workers=(WORKER,)))
    web, _, worker = (document.object for document in load_manifests(rescale(text, {"worker": 7})))
    assert (web.replicas, worker.replicas) == (3, 7)
    changed = with_environment(text, {"A": "b"}, None, port=9000)
    web, _, worker = (document.object for document in load_manifests(changed))
    assert web.template.container.env == (("PORT", "9000"), ("A", "b"))
    assert worker.template.container.env == (("A", "b"),)
    web, _, worker = (document.object for document in load_manifests(renumber(text, 9)))
    assert {item.template.annotations["imageforge.io/release"] for item in (web, worker)} == {"9"}


def test_the_release_command_is_a_job_of_the_release_s_own_image_and_environment() -> None:
    text = generate(workload(workers=(WORKER,), command=("serve",)))
    [document] = load_manifests(
        release_job(text, "shop", 4, ("python", "manage.py", "migrate"), 60, reference=workload().reference)
    )
    job, [_, service, _] = document.object, load_manifests(text)
    web = load_manifests(text)[0].object.template
    assert (job.name, job.backoff_limit, job.active_deadline) == ("shop-release-4", 0, 60)
    container = job.template.container
    assert (container.image, container.env, container.security) == (
        web.container.image, web.container.env, web.container.security
    )  # fmt: skip
    assert container.command == ("python", "manage.py", "migrate")
    assert job.template.annotations == web.annotations
    assert not service.object.selects(job.template.labels)


def test_rescaling_changes_the_number_only() -> None:
    again = rescale(generate(workload()), {"web": 5})
    assert again.replace("replicas: 5", "replicas: 3") == generate(workload())


@pytest.mark.parametrize(
    "build",
    [{"dockerfile": "/etc/passwd"}, {"dockerfile": "../other/Dockerfile"}, {"context": "/etc"}, {"context": ".."}],
)
def test_what_somebody_sent_names_nothing_outside_of_itself(tmp_path: Path, build: dict[str, str]) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    with pytest.raises(UsageError) as caught:
        plan(Request(path=folder, confined=True, name="x"), config(build=build))
    assert caught.value.code == "outside-source"
    plan(Request(path=folder, name="x"), config(build=build))  # one's own folder may lie beside one's Dockerfile


def test_a_link_out_of_what_somebody_sent_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sent"
    folder.mkdir()
    (folder / "Dockerfile").symlink_to("/etc/passwd")
    with pytest.raises(UsageError):
        plan(Request(path=folder, confined=True, name="x"), config())


def test_a_releases_hosts_are_those_of_the_moment_and_of_its_own_service_alone() -> None:
    other = "apiVersion: v1\nkind: Service\nmetadata: {name: other, annotations: {imageforge.io/host: o.localhost}}\n"
    text = with_hosts(generate(workload()) + "---\n" + other, "shop", ("shop.localhost", "www.example.org"))
    deployment, service, kept = yaml.safe_load_all(text)
    assert service["metadata"]["annotations"] == {"imageforge.io/host": "shop.localhost, www.example.org"}
    assert kept["metadata"]["annotations"] == {"imageforge.io/host": "o.localhost"}
    assert [deployment] == [next(iter(yaml.safe_load_all(generate(workload()))))]


@pytest.mark.parametrize(("release", "code"), [("20.10.24", "engine-reads-no-zstd"), ("28.1.0", None)])
def test_zstd_is_refused_for_an_engine_that_could_not_pull_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, code: str | None
) -> None:
    monkeypatch.setattr(pipeline, "engine_facts", lambda _: facts_from({"Version": release}, {}))
    workshop = Workshop(
        home=Home(tmp_path),
        endpoint=Endpoint(host="unix:///none", origin="test"),
        settings=Settings(compression="zstd"),
        cancelled=Event(),
    )
    if code is None:
        assert pipeline._compression(workshop) is Compression.ZSTD
        return
    with pytest.raises(UsageError) as caught:
        pipeline._compression(workshop)
    assert (caught.value.code, release in caught.value.message) == (code, True)
