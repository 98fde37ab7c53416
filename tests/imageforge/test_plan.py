"""The plan: flags over the repository's file over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from builders import SquashMode
from imageforge.config import RepositoryConfig
from imageforge.errors import UsageError
from imageforge.pipeline.manifests import Workload, generate, renumber, rescale, with_hosts
from imageforge.pipeline.plan import Request, plan
from imageforge.pipeline.run import destination
from registry import InvalidReference


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
    assert again.replace("imageforge.io/release: '9'", "imageforge.io/release: '4'") == generate(workload())


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


def test_rescaling_changes_the_number_only() -> None:
    again = rescale(generate(workload()), 5)
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
