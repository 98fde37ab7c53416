"""Pods of their own: what may be said of one, and the phase that follows from its containers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runtime import ManifestError, NotFound, PodPhase, load_manifests
from runtime.manifest.model import Pod
from runtime.objects import Objects
from runtime.pod import pod_phase, pod_status
from runtime.roster import Replica, Roster, from_stored, pod_replica
from runtime.seal import Seal
from runtime.store import Store
from runtime.wire import pack, unpack

NEW: dict[str, object] = {}
RUNS: dict[str, object] = {"running": True, "started": True}
ENDED: dict[str, object] = {"ended_at": 5.0, "exit_code": 0, "done": True}
FAILED: dict[str, object] = {"ended_at": 5.0, "exit_code": 3, "done": True}
WAITS: dict[str, object] = {"ended_at": 5.0, "exit_code": 3}


def text(policy: str = "Always", *, image: str = "a", label: str = "web") -> str:
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: {label}}}}}
spec:
  restartPolicy: {policy}
  initContainers: [{{name: first, image: a}}, {{name: side, image: a, restartPolicy: Always}}]
  containers: [{{name: web, image: {image}}}, {{name: log, image: b}}]
"""


def pod(policy: str = "Always") -> Pod:
    found = load_manifests(text(policy))[0].object
    assert isinstance(found, Pod)
    return found


def replica(policy: str, **records: dict[str, object]) -> Replica:
    made = Replica(
        name="web.default", namespace="default", deployment="", template_hash="h", template=pod(policy).template,
        created_at=1.0, pod="web",
    )  # fmt: skip
    for name, changes in records.items():
        made = made.with_record(name, 1.0, **changes)
    return made


@pytest.mark.parametrize(
    ("policy", "first", "side", "web", "log", "phase"),
    [
        ("Always", NEW, NEW, NEW, NEW, PodPhase.PENDING),
        ("Always", RUNS, NEW, NEW, NEW, PodPhase.PENDING),
        ("Always", ENDED, RUNS, NEW, NEW, PodPhase.PENDING),
        ("Always", ENDED, RUNS, RUNS, NEW, PodPhase.PENDING),
        ("Always", ENDED, RUNS, RUNS, RUNS, PodPhase.RUNNING),
        ("Always", ENDED, RUNS, WAITS, WAITS, PodPhase.RUNNING),
        ("OnFailure", ENDED, RUNS, ENDED, WAITS, PodPhase.RUNNING),
        ("OnFailure", ENDED, RUNS, ENDED, ENDED, PodPhase.SUCCEEDED),
        ("Never", ENDED, RUNS, ENDED, RUNS, PodPhase.RUNNING),
        ("Never", ENDED, ENDED, ENDED, ENDED, PodPhase.SUCCEEDED),
        ("Never", ENDED, RUNS, ENDED, FAILED, PodPhase.FAILED),
        ("Never", FAILED, NEW, NEW, NEW, PodPhase.FAILED),
    ],
)
def test_phases(
    policy: str,
    first: dict[str, object],
    side: dict[str, object],
    web: dict[str, object],
    log: dict[str, object],
    phase: PodPhase,
) -> None:
    assert pod_phase(replica(policy, first=first, side=side, web=web, log=log)) is phase


def test_the_status_crosses_the_wire() -> None:
    stands = replica("Always", first=ENDED, side=RUNS, web={**RUNS, "ready": True}, log=WAITS)
    status = pod_status(pod(), stands, deleting=False)
    assert [item.name for item in status.containers] == ["first", "side", "web", "log"]
    assert (status.phase, status.qos, status.ready, status.app) == (PodPhase.RUNNING, "BestEffort", False, "web")
    assert unpack(pack(status)) == status
    assert pod_status(pod(), None, deleting=True).phase is PodPhase.PENDING


def test_a_pod_is_refused_by_name_with_its_line() -> None:
    for policy, code in (("Sometimes", "invalid-value"), ("[]", "wrong-type")):
        with pytest.raises(ManifestError) as caught:
            load_manifests(text(policy), "pod.yaml")
        assert (caught.value.code, caught.value.subject) == (code, "pod.yaml:5")


def test_of_a_pod_only_its_labels_change(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    assert objects.apply(text(), "a.yaml")[0].change == "created"
    with pytest.raises(ManifestError) as caught:
        objects.apply(text(image="other"), "a.yaml")
    assert (caught.value.code, caught.value.subject) == ("immutable-field", "a.yaml:1")
    assert objects.apply(text(label="other"), "a.yaml")[0].change == "configured"
    assert objects.pod("default", "web").pod.template.labels == {"app": "other"}
    again = Objects(store, lambda: None, Seal(tmp_path / "key"))
    assert again.pod("default", "web") == objects.pod("default", "web")
    objects.delete("default", "Pod", "web")
    assert objects.pod("default", "web").deleting
    objects.finish_delete_pod("default", "web")
    with pytest.raises(NotFound):
        objects.pod("default", "web")
    store.close()


def test_the_gates_of_a_pod_may_be_taken_out_and_not_added(tmp_path: Path) -> None:
    def gated(*names: str) -> str:
        said = ", ".join(f"{{name: {name}}}" for name in names)
        return text().replace("spec:", f"spec:\n  schedulingGates: [{said}]", 1)

    with pytest.raises(ManifestError, match="cannot be set until all schedulingGates have been cleared"):
        load_manifests(gated("a/b").replace("spec:", "spec:\n  nodeName: here", 1))
    with pytest.raises(ManifestError, match='the name "a/b" is already used'):
        load_manifests(gated("a/b", "a/b"))
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    objects.apply(gated("a/b", "c"), "a.yaml")
    assert objects.apply(gated("c", "a/b"), "a.yaml")[0].change == "configured"
    assert objects.apply(gated("c"), "a.yaml")[0].change == "configured"
    assert objects.pod("default", "web").pod.template.gates == ("c",)
    for names in (("c", "a/b"), ("d",)):
        with pytest.raises(ManifestError) as caught:
            objects.apply(gated(*names), "a.yaml")
        assert (caught.value.code, caught.value.message) == (
            "immutable-field",
            f"spec.schedulingGates: only deletion is allowed, but found new scheduling gate '{names[-1]}'",
        )
    with pytest.raises(ManifestError, match="spec of a Pod cannot be changed"):
        objects.apply(gated().replace("image: a", "image: b"), "a.yaml")
    objects.apply(text(), "a.yaml")
    assert objects.pod("default", "web").pod.template.gates == ()
    store.close()


def test_pods_of_one_name_in_two_namespaces_are_two_replicas(tmp_path: Path) -> None:
    assert pod_replica("a", "web") != pod_replica("b", "web")
    store = Store(tmp_path / "x.db")
    roster = Roster(store)
    made = replica("Never", web=ENDED)
    roster.add(made)
    (stored,) = store.replicas()
    assert from_stored(stored, made.template) == replace(made, running=False)
    assert made.shown_name == "web"
    store.close()
