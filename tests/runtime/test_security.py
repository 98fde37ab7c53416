"""Who containers run as and what they may: what is refused and by whom, and what the engine is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import ManifestError, load_manifests
from runtime.container import Identity, ImageFacts, container_request
from runtime.manifest.model import Deployment, PodTemplate
from runtime.manifest.security import DEFAULT_CAPABILITIES, PodSecurity, SecurityContext
from runtime.objects import Objects
from runtime.policy import Confinement, Policy, confinement, refusal
from runtime.seal import Seal
from runtime.secret_files import SecretFiles
from runtime.store import Store
from runtime.volumes import File

WHO = Identity(instance="abc", namespace="shop", deployment="web", replica="web-x-1", template_hash="x", revision=4)
NUMBERED = ImageFacts(image_id="x", user="10001:20")


def text(container: str = "{}", pod: str = "{}") -> str:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      securityContext: {pod}
      containers:
        - name: web
          image: web:1
          securityContext: {container}
"""


def template(container: str = "{}", pod: str = "{}") -> PodTemplate:
    deployment = load_manifests(text(container, pod), "web.yaml")[0].object
    assert isinstance(deployment, Deployment)
    return deployment.template


@pytest.mark.parametrize(
    ("container", "pod", "code", "line", "message"),
    [
        ("{capabilities: {add: [CAP_NET_ADMIN]}}", "{}", "invalid-value", 13, "without CAP_"),
        ("{capabilities: {add: [net_admin]}}", "{}", "invalid-value", 13, "net_admin"),
        ("{capabilities: {remove: [ALL]}}", "{}", "unknown-field", 13, "capabilities.remove"),
        ("{capabilities: [ALL]}", "{}", "wrong-type", 13, "a list, expected a mapping"),
        ("{privileged: true, allowPrivilegeEscalation: false}", "{}", "invalid-value", 13, "privileged: not together"),
        ("{capabilities: {add: [SYS_ADMIN]}, allowPrivilegeEscalation: false}", "{}", "invalid-value", 13, "together"),
        ("{runAsNonRoot: true, runAsUser: 0}", "{}", "invalid-value", 13, "runAsUser is 0, which is root"),
        ("{runAsUser: 0}", "{runAsNonRoot: true}", "invalid-value", 13, "runAsUser is 0, which is root"),
        ("{runAsUser: -1}", "{}", "invalid-value", 13, "runAsUser is -1"),
        (
            "{seccompProfile: {type: Localhost}}",
            "{}",
            "missing-field",
            13,
            "must be set when seccomp type is Localhost",
        ),
        ("{seccompProfile: {type: Localhost, localhostProfile: ../a}}", "{}", "invalid-value", 13, "without .."),
        (
            "{seccompProfile: {type: RuntimeDefault, localhostProfile: a}}",
            "{}",
            "invalid-value",
            13,
            "can only be set when seccomp type is Localhost",
        ),
        ("{seccompProfile: {}}", "{}", "missing-field", 13, "seccompProfile.type is missing"),
        ("{seLinuxOptions: {level: a}}", "{}", "unsupported-field", 13, "seLinuxOptions"),
        ("{fsGroup: 1}", "{}", "misplaced-field", 13, "fsGroup"),
        ("{}", "{privileged: true}", "misplaced-field", 9, "privileged"),
        ("{}", "{sysctls: [{name: a, value: b}]}", "unsupported-field", 9, "sysctls"),
        ("{}", "{fsGroup: a}", "wrong-type", 9, "fsGroup"),
    ],
)
def test_refused_by_name_with_its_line(container: str, pod: str, code: str, line: int, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template(container, pod)
    assert (caught.value.code, caught.value.subject) == (code, f"web.yaml:{line}"), caught.value
    assert message in caught.value.message


def test_what_the_container_says_comes_before_what_its_pod_says() -> None:
    pod = "{runAsUser: 1, runAsGroup: 2, runAsNonRoot: true, supplementalGroups: [5, 6], fsGroup: 6}"
    assert template("{runAsUser: 7, runAsNonRoot: false}", pod).container.security == SecurityContext(
        run_as_user=7, run_as_group=2
    )
    both = template(pod=pod)
    assert both.container.security == SecurityContext(run_as_user=1, run_as_group=2, run_as_non_root=True)
    assert both.security == PodSecurity(supplemental_groups=(5, 6), fs_group=6)
    assert both.security.groups == (5, 6)
    unconfined = template("{}", "{seccompProfile: {type: Unconfined}}")
    assert not unconfined.container.security.confined
    again = template("{seccompProfile: {type: RuntimeDefault}}", "{seccompProfile: {type: Unconfined}}")
    assert again.container.security.confined


@pytest.mark.parametrize(
    ("container", "image", "user"),
    [
        ("{}", NUMBERED, None),
        ("{runAsUser: 5}", NUMBERED, "5"),
        ("{runAsUser: 5, runAsGroup: 6}", NUMBERED, "5:6"),
        ("{runAsGroup: 6}", NUMBERED, "10001:6"),
        ("{runAsGroup: 6}", ImageFacts(image_id="x", user=""), "0:6"),
    ],
)
def test_user_and_group(container: str, image: ImageFacts, user: str | None) -> None:
    made = template(container, "{supplementalGroups: [8], fsGroup: 9}")
    request = container_request(made, WHO, lambda _: None, {}, image=image)
    assert (request.user, request.groups) == (user, (8, 9))


def cron_job(security: str) -> str:
    return f"""
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{{name: a, image: "a:1", securityContext: {security}}}]
"""


@pytest.mark.parametrize(
    ("container", "what"),
    [
        ("{privileged: true}", 'container "web": securityContext.privileged'),
        ("{capabilities: {add: [NET_ADMIN]}}", "capabilities.add has NET_ADMIN"),
        ("{capabilities: {add: [ALL]}}", "capabilities.add has ALL"),
        ("{seccompProfile: {type: Unconfined}}", "seccompProfile.type is Unconfined"),
        ("{appArmorProfile: {type: Unconfined}}", "appArmorProfile.type is Unconfined"),
    ],
)
def test_no_manifest_alone_loosens_anything(tmp_path: Path, container: str, what: str) -> None:
    assert what in refusal(template(container), Policy())
    assert refusal(template(container), Policy(privileged=True)) == ""
    store = Store(tmp_path / "x.db")
    with pytest.raises(ManifestError) as caught:
        Objects(store, lambda: None, Seal(tmp_path / "key")).apply(text(container), "web.yaml")
    assert (caught.value.code, caught.value.subject) == ("not-allowed", "web.yaml:1")
    assert what in caught.value.message
    assert "allow_privileged" in (caught.value.hint or "")
    assert store.objects("Deployment") == ()
    with pytest.raises(ManifestError, match="does not allow it"):
        Objects(store, lambda: None, Seal(tmp_path / "key")).apply(cron_job(container), "cron.yaml")
    allowed = Objects(store, lambda: None, Seal(tmp_path / "key"), Policy(privileged=True))
    assert [item.change for item in allowed.apply(text(container), "web.yaml")] == ["created"]
    store.close()


def test_what_docker_gives_anyway_may_be_named() -> None:
    added = ", ".join(sorted(DEFAULT_CAPABILITIES))
    assert refusal(template(f"{{capabilities: {{drop: [ALL], add: [{added}]}}}}"), Policy()) == ""


def confined(container: str, *, ours: bool = False, policy: Policy | None = None) -> Confinement:
    return confinement(template(container).container, policy or Policy(), ours=ours)


def test_images_built_here_have_no_capability_but_the_manifests() -> None:
    named = "{capabilities: {add: [NET_BIND_SERVICE]}}"
    tight = Confinement(add=("NET_BIND_SERVICE",), drop=("ALL",), no_new_privileges=True)
    assert confined(named, ours=True) == tight
    assert confined(named, policy=Policy(restricted=True)) == tight
    assert confined(named) == Confinement(add=("NET_BIND_SERVICE",))
    assert confined("{}") == Confinement(), "what is written for Docker runs"
    assert confined("{allowPrivilegeEscalation: false}") == Confinement(no_new_privileges=True)
    assert confined("{capabilities: {drop: [KILL]}}").drop == ("KILL",)
    assert confined("{privileged: true}", ours=True, policy=Policy(privileged=True)) == Confinement(privileged=True)


def test_the_files_of_a_volume_are_the_groups(tmp_path: Path, instance_folder: Path) -> None:
    files = SecretFiles(instance_folder, "unix:///x")
    written = files.write("r", {"v": {"a/b": File(content=b"x", mode=0o400)}}, group=4321)
    try:
        for place, mode in ((written["v"], 0o2755), (written["v"] / "a", 0o2755), (written["v"] / "a/b", 0o440)):
            found = place.stat()
            assert (found.st_gid, found.st_mode & 0o7777) == (4321, mode), place
    finally:
        files.clear()


@pytest.fixture
def instance_folder(tmp_path: Path) -> Path:
    return Path("/dev/shm") / f"imageforge-{tmp_path.name}-security"
