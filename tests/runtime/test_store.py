"""The store: what was written is there for the next controller, or nothing of it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from runtime import Conflict, ManifestError, NotFound, RuntimeFailure, load_manifests
from runtime.errors import StoreClosed
from runtime.manifest.model import Deployment, PodTemplate
from runtime.objects import Objects
from runtime.roster import Replica, Roster, from_stored, to_stored
from runtime.seal import Seal
from runtime.standing import ContainerRecord
from runtime.store import Store, StoredObject
from tests.runtime.stack import manifest

LATER = ("admitted", "containers", "images", "serving", "placed")
"""What a replica's memory has since."""


def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database, and long enough to be seen as none" * 20)
    with pytest.raises(RuntimeFailure) as caught:
        Store(tmp_path / "x.db")
    assert (caught.value.code, caught.value.subject) == ("store-failed", str(tmp_path / "x.db"))


def test_a_later_version_is_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "x.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(RuntimeFailure) as caught:
        Store(tmp_path / "x.db")
    assert caught.value.code == "store-newer"


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    stored = StoredObject(kind="Service", namespace="n", name="a", data={}, generation=1)

    def fail() -> None:
        with store.transaction():
            store.put_object(stored)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert store.objects("Service") == ()
    with store.transaction():
        store.put_object(stored)
    store.close()
    again = Store(tmp_path / "x.db")
    assert again.objects("Service") == (stored,)
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600
    again.close()


def test_one_bad_object_keeps_all_of_them_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    objects.apply(manifest("web:1"), "a.yaml")
    with pytest.raises(Conflict):
        objects.apply(manifest("web:2") + "---\n" + manifest("web:2", name="b", host="hello.localhost"), "b.yaml")
    with pytest.raises(ManifestError):
        objects.apply(manifest("web:2") + "---\nkind: Nope\napiVersion: v1\n", "b.yaml")
    assert objects.deployment("default", "hello").deployment.template.container.image == "web:1"
    store.close()


def test_who_comes_after_its_end_is_told_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    store.put_note("a", "b")
    store.close()
    for ask in (lambda: store.note("a"), lambda: store.drop_replica("x"), lambda: store.put_note("a", "c")):
        with pytest.raises(StoreClosed) as caught:
            ask()
        assert caught.value.code == "store-closed"
    again = Store(tmp_path / "x.db")
    assert again.note("a") == "b"
    again.close()


def test_objects_outlive_the_controller(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    objects.apply(manifest("web:1", replicas=None), "a.yaml")
    objects.scale("default", "hello", 4)
    objects.restart("default", "hello", "2024-01-01T00:00:00Z")
    objects.apply(manifest("web:2", replicas=None), "a.yaml")
    before = objects.deployment("default", "hello")
    assert (before.generation, before.revision, before.deployment.replicas) == (4, 3, 4)
    assert "kubectl.kubernetes.io/restartedAt" in objects.manifests("default", "hello")
    store.close()
    store = Store(tmp_path / "x.db")
    again = Objects(store, lambda: None, Seal(tmp_path / "key"))
    assert again.deployment("default", "hello") == before
    assert [service.hosts for service in again.services()] == [("hello.localhost",)]
    store.close()


def test_an_old_template_takes_the_next_number_and_a_deleted_one_begins_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    for image, number in (("web:1", 1), ("web:2", 2), ("web:1", 3)):
        objects.apply(manifest(image), "a.yaml")
        assert objects.deployment("default", "hello").revision == number
    held = objects.deployment("default", "hello")
    assert len(held.revisions) == 2
    objects.delete("default", "Deployment", "hello")
    assert objects.deployment("default", "hello").deleting
    with pytest.raises(NotFound):
        objects.scale("default", "hello", 1)
    assert objects.apply(manifest("web:1"), "a.yaml")[0].change == "configured"
    objects.finish_delete(held)
    assert not objects.deployment("default", "hello").deleting, "applied again before its end"
    objects.delete("default", "Deployment", "hello")
    objects.finish_delete(held)
    with pytest.raises(NotFound):
        objects.deployment("default", "hello")
    assert objects.apply(manifest("web:2"), "a.yaml")[0].change == "created"
    assert objects.deployment("default", "hello").revision == 1
    with pytest.raises(NotFound, match="no such kind"):
        objects.delete("default", "Node", "hello")
    store.close()


def test_a_replica_is_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    objects = Objects(store, lambda: None, Seal(tmp_path / "key"))
    objects.apply(manifest("web:1"), "a.yaml")
    template = objects.deployment("default", "hello").deployment.template
    roster = Roster(store)
    replica = Replica(
        name="r", namespace="default", deployment="hello", template_hash="h", template=template, created_at=1.0
    )
    roster.add(replica)
    assert roster.tell("r", "hello", running=True, started=True, ready=True, container_id="c", last_log=("a", "b"))
    assert roster.update("r", placed=True)
    assert not from_stored(store.replicas()[0], template).admitted, "ready, and not seen by the balancer yet"
    assert roster.update("r", admitted=True)
    assert not roster.tell("r", "hello", lambda _, record: record.container_id == "other", ready=False)
    assert not roster.update("r", lambda now: now.container_id == "other", address="x")
    assert not roster.update("nobody", ready=False)
    assert not roster.tell("nobody", "hello", ready=False)
    (stored,) = store.replicas()
    assert from_stored(stored, template) == roster.get("r")
    earlier = replace(stored, state={key: stored.state[key] for key in stored.state if key not in LATER})
    assert from_stored(earlier, template) == roster.get("r"), "as versions before probes of three kinds wrote it"
    roster.remove("r")
    assert (store.replicas(), roster.all()) == ((), ())
    store.close()


def test_waiting_for_a_change(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    roster = Roster(store)
    assert roster.wait(0, 0.01) == 0
    roster.poke()
    assert roster.wait(0, 60) == 1
    store.close()


def test_one_can_go_back_to_a_version_that_knows_fewer_fields_of_a_container() -> None:
    """It takes each key of a container's record for a field of its own, and leaves alone what else is beside them."""
    known = {
        "name", "phase", "message", "container_id", "running", "started", "ready", "done", "pid", "started_at",
        "ended_at", "exit_code", "backoff", "last_log",
    }  # fmt: skip
    template = held_template()
    record = ContainerRecord(name="hello", container_id="c1", image_id="sha256:1")
    replica = Replica(
        name="r", namespace="default", deployment="hello", template_hash="h", template=template, created_at=1.0,
        containers=(record,), container_id="c1",
    )  # fmt: skip
    stored = to_stored(replica)
    assert {key for each in stored.state["containers"] for key in each} == known
    assert from_stored(stored, template).containers == (record,)


def held_template() -> PodTemplate:
    made = load_manifests(manifest("hello:1", service=False))[0].object
    assert isinstance(made, Deployment)
    return made.template
