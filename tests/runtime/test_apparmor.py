"""AppArmor profiles, and the annotations that named profiles before there were fields for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime import ManifestError, RuntimeSettings, load_manifests
from runtime.engine.containers import _security_options
from runtime.manifest.model import Pod, PodTemplate
from runtime.manifest.security import NO_APPARMOR
from runtime.policy import Policy, allowed_by, confinement, refusal
from tests.runtime.stack import Stack, wait_for

POD = """
apiVersion: v1
kind: Pod
metadata: {name: confined, annotations: ANNOTATIONS}
spec:
  restartPolicy: Never
  securityContext: OFPOD
  containers:
    - {name: hello, image: IMAGE, command: ["true"], securityContext: OWN}
"""
LOCAL = "{appArmorProfile: {type: Localhost, localhostProfile: mine}}"
OLD = "{container.apparmor.security.beta.kubernetes.io/hello: localhost/mine}"
OLD_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"


def template(own: str = "{}", of_pod: str = "{}", annotations: str = "{}") -> PodTemplate:
    text = POD.replace("OWN", own).replace("OFPOD", of_pod).replace("ANNOTATIONS", annotations).replace("IMAGE", "a:1")
    found = load_manifests(text)[0].object
    assert isinstance(found, Pod)
    return found.template


@pytest.mark.parametrize(
    ("own", "of_pod", "annotations", "expected"),
    [
        ("{}", "{}", "{}", ""),
        (LOCAL, "{}", "{}", "mine"),
        ("{}", LOCAL, "{}", "mine"),
        ("{appArmorProfile: {type: RuntimeDefault}}", LOCAL, "{}", ""),
        ("{appArmorProfile: {type: Unconfined}}", LOCAL, "{}", NO_APPARMOR),
        ("{}", "{}", OLD, "mine"),
        ("{}", "{appArmorProfile: {type: RuntimeDefault}}", OLD, "mine"),
        (LOCAL, "{}", OLD, "mine"),
        ("{}", "{}", "{container.apparmor.security.beta.kubernetes.io/hello: runtime/default}", ""),
        ("{}", "{}", "{container.apparmor.security.beta.kubernetes.io/hello: unconfined}", NO_APPARMOR),
    ],
)
def test_which_profile_holds(own: str, of_pod: str, annotations: str, expected: str) -> None:
    assert template(own, of_pod, annotations).container.security.apparmor == expected


@pytest.mark.parametrize(
    ("annotations", "profile", "confined"),
    [
        (f"{{{OLD_SECCOMP}: localhost/profiles//fine.json}}", "profiles/fine.json", True),
        (f"{{{OLD_SECCOMP}: docker/default}}", "", True),
        (f"{{{OLD_SECCOMP}: unconfined}}", "", False),
        (
            f"{{{OLD_SECCOMP}: unconfined, container.seccomp.security.alpha.kubernetes.io/hello: localhost/a.json}}",
            "a.json",
            True,
        ),
    ],
)
def test_the_annotations_of_seccomp_are_kept_to(annotations: str, profile: str, confined: bool) -> None:
    made = template(annotations=annotations).container.security
    assert (made.profile, made.confined) == (profile, confined)


@pytest.mark.parametrize(
    ("own", "annotations", "code", "message"),
    [
        ("{appArmorProfile: {type: Localhost}}", "{}", "missing-field", "must be set when AppArmor type is Localhost"),
        (
            "{appArmorProfile: {type: RuntimeDefault, localhostProfile: a}}",
            "{}",
            "invalid-value",
            "can only be set when AppArmor type is Localhost",
        ),
        (
            "{appArmorProfile: {type: Localhost, localhostProfile: ' a'}}",
            "{}",
            "invalid-value",
            "the name of a loaded profile",
        ),
        (LOCAL, OLD.replace("mine", "other"), "invalid-value", "an annotation of the pod names another one"),
        ("{}", f"{{{OLD_SECCOMP}: localhost/../a.json}}", "invalid-value", "expected runtime/default"),
        ("{}", f"{{{OLD_SECCOMP}: localhost/}}", "invalid-value", "expected runtime/default"),
        (
            "{}",
            "{container.seccomp.security.alpha.kubernetes.io/other: unconfined}",
            "invalid-value",
            'no container is named "other"',
        ),
    ],
)
def test_refused(own: str, annotations: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template(own, annotations=annotations)
    assert caught.value.code == code
    assert message in caught.value.message


def test_only_profiles_that_the_machine_names_are_for_manifests() -> None:
    made = template(LOCAL)
    assert refusal(made, Policy(privileged=True)) == 'container "hello": appArmorProfile.localhostProfile mine'
    assert "apparmor_profiles" in allowed_by(made, Policy())
    assert refusal(made, Policy(apparmor=("mine",))) == ""
    # One that is called so confines nothing, whatever the list says.
    named = template(LOCAL.replace("mine", NO_APPARMOR))
    assert "Unconfined" in refusal(named, Policy(apparmor=(NO_APPARMOR,)))
    assert _security_options(confinement(made.container, Policy(), ours=False)) == ["apparmor=mine"]


@pytest.mark.engine
def test_where_there_is_no_apparmor_nothing_starts_without_it(
    settings: RuntimeSettings, short_path: Path, app_image: str
) -> None:
    """In the kubelet's words: an engine would drop the profile's name, and start it."""
    if Path("/sys/module/apparmor").exists():
        pytest.skip("this machine has AppArmor")
    stack = Stack(settings=replace(settings, apparmor_profiles=("mine",)), home=short_path)
    with stack.running():
        text = POD.replace("OWN", LOCAL).replace("OFPOD", "{}").replace("ANNOTATIONS", "{}").replace("IMAGE", app_image)
        stack.client.apply(text)
        told = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
        wait_for(lambda: any(told in event.message for event in stack.client.events("default")))
        stack.client.delete("default", "Pod", "confined")
