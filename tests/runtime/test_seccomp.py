"""Seccomp profiles of the machine's own: where they are read from, and that the kernel has them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import ConfigError, RuntimeSettings, load_manifests
from runtime.manifest.model import Job, PodTemplate
from runtime.manifest.template import template_hash
from runtime.policy import Policy, allowed_by, refusal
from runtime.seccomp import read_profile
from tests.runtime.stack import Stack

NO_FOLDERS = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}
CONFINED = """
apiVersion: batch/v1
kind: Job
metadata: {name: confined}
spec:
  template:
    spec:
      restartPolicy: Never
      securityContext: {seccompProfile: {type: Localhost, localhostProfile: own//no-folders.json}}
      containers: [{name: a, image: IMAGE, command: [sh, -c, "mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status"]}]
"""


def template(*changes: tuple[str, str]) -> PodTemplate:
    text = CONFINED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    found = load_manifests(text)[0].object
    assert isinstance(found, Job)
    return found.template


def test_only_a_machine_that_has_a_folder_of_them_allows_them() -> None:
    made = template()
    assert made.container.security.profile == "own/no-folders.json"
    assert refusal(made, Policy(privileged=True)) == (
        'container "a": seccompProfile.localhostProfile own/no-folders.json'
    )
    assert "seccomp_profiles" in allowed_by(made, Policy())
    assert refusal(made, Policy(profiles="/etc/seccomp")) == ""
    own = template(("{name: a,", "{name: a, securityContext: {seccompProfile: {type: RuntimeDefault}},"))
    assert (own.container.security.profile, refusal(own, Policy())) == ("", "")
    other = template(("no-folders", "other"))
    assert len({template_hash(each) for each in (made, own, other)}) == 3


def test_a_profile_is_read_within_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    (folder / "own").mkdir(parents=True)
    (folder / "own/good.json").write_text(json.dumps(NO_FOLDERS, indent=2))
    (folder / "none.json").write_text("{not json")
    (folder / "empty.json").write_text("[]")
    (folder / "deep.json").write_text("[" * 200_000)
    (tmp_path / "outside.json").write_text(json.dumps(NO_FOLDERS))
    (folder / "out.json").symlink_to("../outside.json")
    assert json.loads(read_profile(str(folder), "own/good.json")) == NO_FOLDERS
    for path, reason in (
        ("other.json", "there is none in"),
        ("none.json", "it is no JSON"),
        ("deep.json", "it is no JSON"),
        ("empty.json", "no object with a defaultAction"),
        ("out.json", "leads out of the folder"),
        ("own", "it is no file"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_profile(str(folder), path)
        assert f'cannot load seccomp profile "{path}"' in caught.value.message
        assert reason in caught.value.message
    with pytest.raises(ConfigError, match="there is none in"):
        read_profile(str(tmp_path / "nowhere"), "good.json")


@pytest.mark.engine
def test_the_kernel_has_the_profile(settings: RuntimeSettings, short_path: Path, app_image: str) -> None:
    folder = short_path / "profiles"
    (folder / "own").mkdir(parents=True)
    (folder / "own/no-folders.json").write_text(json.dumps(NO_FOLDERS))
    stack = Stack(settings=replace(settings, seccomp_profiles=str(folder)), home=short_path)
    with stack.running():
        stack.client.apply(CONFINED.replace("IMAGE", app_image))
        said = [line.text for line in stack.client.job_logs("default", "confined", follow=True)]
        assert "Operation not permitted" in said[0]
        assert said[1].split() == ["Seccomp:", "2"]
        stack.client.delete("default", "Job", "confined")
