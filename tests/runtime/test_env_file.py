"""Variables out of a file that another container of the pod wrote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import ConfigError, ManifestError, load_manifests
from runtime.env_file import EnvFileError, value_in
from runtime.environment import environment
from runtime.manifest.model import Pod, PodTemplate
from runtime.manifest.template import template_hash
from runtime.sources import Sources
from runtime.written_file import LONGEST, read_written
from tests.runtime.stack import Stack, wait_for

TOLD = r"""
apiVersion: v1
kind: Pod
metadata: {name: told}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  initContainers:
    - name: writes
      image: IMAGE
      command: [sh, -c, "printf \"ADDRESS='db:1'\\nMORE='two\\nlines'\\n\" > /data/config.env"]
      volumeMounts: [{name: config, mountPath: /data}]
  containers:
    - name: reads
      image: IMAGE
      command: [sh, -c, "echo $ADDRESS $MORE $(ADDRESS) [$NONE]"]
      env:
        - {name: ADDRESS, valueFrom: {fileKeyRef: {volumeName: config, path: config.env, key: ADDRESS}}}
        - {name: MORE, valueFrom: {fileKeyRef: {volumeName: config, path: config.env, key: MORE, optional: false}}}
        - {name: NONE, valueFrom: {fileKeyRef: {volumeName: config, path: none.env, key: NONE, optional: true}}}
  volumes: [{name: config, emptyDir: {}}, {name: told, configMap: {name: conf}}]
"""


def template(*changes: tuple[str, str]) -> PodTemplate:
    text = TOLD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    found = load_manifests(text)[0].object
    assert isinstance(found, Pod)
    return found.template


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("volumeName: config", "volumeName: other", 'no volume is named "other"'),
        ("volumeName: config", "volumeName: told", '"told" is not an emptyDir'),
        ("path: config.env", "path: ../config.env", "a relative path without .."),
        ("path: config.env", "path: /config.env", "a relative path without .."),
        ("key: ADDRESS", "key: 1A", "a variable name"),
        (", key: ADDRESS", "", "fileKeyRef.key is missing"),
        ("{fileKeyRef", "{fieldRef: {fieldPath: metadata.name}, fileKeyRef", "only one of them may be"),
    ],
)
def test_refused_by_name(old: str, new: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template((old, new))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("KEY='a b'\n", "a b"),
        ("# no\n\n \t KEY='$x \\n \"y\"' # why\n", '$x \\n "y"'),
        ("KEY='one\n\ntwo'\nOTHER='x'", "one\n\ntwo"),
        ("KEY=''", ""),
        ("KEY= 'a'", ""),
        ("KEY='a'\r\nOTHER='b'\r\n", "a"),
        ("KEY='first'\nKEY='second'\nbroken", "first"),
        ("OTHER='KEY=x'\n", None),
        ("", None),
    ],
)
def test_files_are_read_as_the_kubelet_reads_them(text: str, value: str | None) -> None:
    assert value_in(text, "KEY") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("KEY='a' b", "unexpected content after closing quote"),
        ("\nKEY", "at line 2: missing '='"),
        ("='a'", "empty variable name"),
        ("KEY ='a'", "whitespace before '='"),
        ("OTHER=a\nKEY='b'", "at line 1: value must be enclosed in single quotes"),
        ('KEY="a"', "value must be enclosed in single quotes"),
        ("OTHER='a\nKEY='b'", "at line 2: unexpected content"),
        ("A='1'\nKEY='a\nb", "starting at line 2: unclosed single quote"),
    ],
)
def test_what_the_kubelet_would_not_read_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(EnvFileError) as caught:
        value_in(text, "KEY")
    assert reason in str(caught.value)


def test_what_is_not_there_is_told_in_the_kubelets_words() -> None:
    spec = template().container

    def told(**files: bytes) -> dict[str, str]:
        file = files.get
        return dict(environment(spec, Sources(namespace="n", file=lambda _, path: file(path[:-4]))).variables)

    assert told(config=b"ADDRESS='a'\nMORE=''\n") == {"ADDRESS": "a", "MORE": ""}
    assert told(config=b"ADDRESS='a'\nMORE='b'", none=b"NONE='c'")["NONE"] == "c"
    for content, reason in (
        (b"MORE='hunter2'", 'environment variable key "ADDRESS" not found in file "config.env"'),
        (b"ADDRESS=hunter2", "couldn't parse env file config.env: invalid environment variable format at line 1"),
        (b"ADDRESS='hunter2\xff'", "it is not UTF-8 text"),
        (b"ADDRESS='hunter2\0'", "it has a byte 0"),
    ):
        with pytest.raises(ConfigError) as caught:
            told(config=content)
        assert reason in caught.value.message
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="not found in file"):
        told()


def test_a_file_is_read_within_its_volume_and_to_its_end(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "outside").write_text("x")
    (volume / "file").write_text("content")
    (volume / "inside").symlink_to("file")
    (volume / "out").symlink_to("../outside")
    (volume / "root").symlink_to("/etc/passwd")
    os.mkfifo(volume / "pipe")
    with (volume / "big").open("wb") as file:
        file.truncate(LONGEST + 1)
    assert read_written(volume, "file", "v") == read_written(volume, "inside", "v") == b"content"
    assert read_written(volume, "none", "v") is None
    for path, reason in (
        ("out", "leads out of the folder"),
        ("root", "leads out of the folder"),
        ("pipe", "it is no file"),
        (".", "it is no file"),
        ("big", "more than"),
    ):
        with pytest.raises(ConfigError, match=reason):
            read_written(volume, path, "v")


def test_each_says_something_else() -> None:
    said = [template(), template(("key: ADDRESS", "key: OTHER")), template(("path: config.env", "path: other.env"))]
    assert len({template_hash(each) for each in said}) == 3


@pytest.mark.engine
def test_one_container_tells_another(stack: Stack, app_image: str) -> None:
    conf = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {}\n"
    stack.client.apply(TOLD.replace("IMAGE", app_image) + conf)

    def done() -> bool:
        containers = stack.client.pods("default")[0].containers
        return bool(containers) and all(each.done for each in containers)

    wait_for(done, timeout=30)
    (pod,) = stack.client.pods("default")
    assert str(pod.phase) == "Succeeded", pod
    said = next(each.last_log for each in pod.containers if each.name == "reads")
    assert said == ("db:1 two lines db:1 []",)
    stack.client.delete("default", "Pod", "told")
    wait_for(lambda: not stack.client.pods("default"))
