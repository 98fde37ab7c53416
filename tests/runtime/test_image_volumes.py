"""Volumes that are the files of an image."""

from __future__ import annotations

import docker
import pytest

from runtime import Label, ManifestError, load_manifests
from runtime.manifest.model import Pod, PodTemplate
from runtime.manifest.template import template_hash
from runtime.manifest.volume import ImageVolume
from tests.runtime.stack import Stack, wait_for

SHOWN = """
apiVersion: v1
kind: Pod
metadata: {name: shown}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{name: files, image: {reference: "FILES", pullPolicy: IfNotPresent}}]
  containers:
    - name: main
      image: IMAGE
      command: [sh, -c, "exec 2>&1; cat /files/etc/of-image /part/of-image; stat -c '%a %u' /files/own; >/files/x"]
      volumeMounts: [{name: files, mountPath: /files}, {name: files, mountPath: /part, subPath: etc}]
"""


def template(*changes: tuple[str, str]) -> PodTemplate:
    text = SHOWN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    found = load_manifests(text)[0].object
    assert isinstance(found, Pod)
    return found.template


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ('reference: "FILES", ', "", "missing-field", "image.reference is missing"),
        ('"FILES"', '"a b"', "invalid-value", "without spaces"),
        ("pullPolicy: IfNotPresent", "pullPolicy: Sometimes", "invalid-value", "image.pullPolicy"),
        ("pullPolicy: IfNotPresent}", "pullPolicy: Never}, emptyDir: {}", "invalid-value", "a volume has one source"),
    ],
)
def test_refused_by_name(old: str, new: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template((old, new))
    assert (caught.value.code, message in caught.value.message) == (code, True), caught.value


def test_an_image_is_read_with_its_policy() -> None:
    assert template().volumes == (ImageVolume(name="files", image="FILES"),)
    always, never = template(("IfNotPresent", "Always")), template(("IfNotPresent", "Never"))
    assert (always.volumes[0], never.volumes[0]) == (
        ImageVolume(name="files", image="FILES", always_pull=True),
        ImageVolume(name="files", image="FILES", never_pull=True),
    )
    assert len({template_hash(each) for each in (template(), always, never)}) == 3


@pytest.mark.engine
def test_the_files_of_an_image_in_a_real_container(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    """Owners and modes stay; nobody writes to them, and what is not there is not made."""
    made = docker_client.containers.create(
        app_image, ["-c", "echo files > /etc/of-image; mkdir -m 700 /own; chown 50000 /own"], entrypoint="sh", user="0"
    )
    repository = app_image.rpartition(":")[0]
    try:
        made.start()
        made.wait()
        made.commit(repository, "files")
        text = SHOWN.replace("FILES", f"{repository}:files").replace("IMAGE", app_image)
        stack.client.apply(text)
        wait_for(lambda: any(each.done for each in stack.client.pods("default")[0].containers), timeout=60)
        (pod,) = stack.client.pods("default")
        said = pod.containers[0].last_log
        assert said[:3] == ("files", "files", "700 50000")
        assert "Read-only file system" in said[3]
        # It has the files still where the image is gone.
        docker_client.images.remove(f"{repository}:files", force=True)
        stack.client.delete("default", "Pod", "shown")
        wait_for(lambda: not stack.client.pods("default"))
        stack.client.apply(text.replace("IfNotPresent", "Never").replace("name: shown", "name: gone"))
        wait_for(lambda: "is not present with pull policy of Never" in stack.client.pods("default")[0].message)
        stack.client.delete("default", "Pod", "gone")
        wait_for(lambda: not stack.client.pods("default"))
        assert docker_client.volumes.list(filters={"label": f"{Label.INSTANCE}={stack.settings.instance}"}) == []
    finally:
        made.remove(force=True)
