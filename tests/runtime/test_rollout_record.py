"""The record of a rollout: what changed, its steps, and that it is there whoever watched."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from runtime import FieldChange, NotFound, Outcome, RolloutRecord, ServiceCounters, Traffic, load_manifests
from runtime.balancer.config import Backend
from runtime.manifest.model import Deployment, PodTemplate, Protocol
from runtime.manifest.template import template_hash
from runtime.objects import Objects
from runtime.records import KEPT, Records, Way, ways
from runtime.rollout import COUNTED_AFTER, Seen, advance, begun, changes, since
from runtime.roster import Replica
from runtime.seal import Seal
from runtime.standing import ContainerRecord
from runtime.store import Store
from runtime.wire import encode, pack, unpack
from tests.runtime.stack import manifest


def deployment(text: str) -> Deployment:
    made = load_manifests(text)[0].object
    assert isinstance(made, Deployment)
    return made


def two_containers(image: str, env: str, annotations: str = "{}") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}, annotations: {annotations}}}
    spec:
      volumes: [{{name: cache, emptyDir: {{}}}}]
      containers:
        - {{name: web, image: "{image}", env: {env}}}
        - {{name: log, image: "log:1"}}
"""


def told(found: tuple[FieldChange, ...]) -> list[tuple[str, str, str]]:
    return [(item.field, item.before, item.after) for item in found]


def test_what_changed_is_told_and_no_value_of_a_variable() -> None:
    one = deployment(manifest("web:1", replicas=2, env={"GREETING": "hush-1", "OLD": "x"}, service=False))
    text = manifest("web:2", replicas=3, env={"GREETING": "hush-2", "NEW": "hush-3"}, service=False, grace=9)
    two = deployment(text.replace('release: "7"', 'release: "8"'))
    assert told(changes(None, one)) == [("image", "", "web:1"), ("replicas", "", "2")]
    found = changes(one, two)
    assert told(found) == [
        ("image", "web:1", "web:2"),
        ("replicas", "2", "3"),
        ("env GREETING", "", "changed"),
        ("env NEW", "", "added"),
        ("env OLD", "", "removed"),
        ("release", "7", "8"),
        ("grace period", "5", "9"),
    ]
    assert "hush" not in str(found)
    assert changes(two, two) == ()


def test_of_several_containers_each_is_named() -> None:
    before = deployment(two_containers("web:1", "[{name: A, value: one}]"))
    after = yaml.safe_load(two_containers("web:2", "[{name: A, value: two}]", '{note: "a word"}'))
    after["spec"]["template"]["spec"]["containers"][1]["args"] = ["--token", "hush"]
    after["spec"]["strategy"] = {"type": "Recreate"}
    found = changes(before, deployment(yaml.safe_dump(after)))
    assert told(found) == [
        ("image of web", "web:1", "web:2"),
        ("env of web A", "", "changed"),
        ("args of log", "", "changed"),
        ("annotation note", "", "added"),
        ("recreate", "False", "True"),
    ]
    assert "hush" not in str(found)
    bare = yaml.safe_load(two_containers("web:2", "[]"))
    del bare["spec"]["template"]["spec"]["containers"][1], bare["spec"]["template"]["spec"]["volumes"]
    gone = told(changes(before, deployment(yaml.safe_dump(bare))))
    assert ("image of log", "log:1", "") in gone
    assert ("volume cache", "", "removed") in gone


def test_a_scale_is_no_rollout_and_a_manifest_s_number_is() -> None:
    one = deployment(manifest("web:1", replicas=2, service=False))
    more, other = replace(one, replicas=3), deployment(manifest("web:2", replicas=2, service=False))

    def record(after: Deployment, *, by_manifest: bool) -> RolloutRecord | None:
        hashes = (template_hash(one.template), template_hash(after.template))
        return begun(one, after, generation=2, revision=1, hashes=hashes, by_manifest=by_manifest, now=50.0)

    assert record(one, by_manifest=True) is None
    assert record(more, by_manifest=False) is None
    scaled = record(more, by_manifest=True)
    assert scaled is not None
    assert told(scaled.changes) == [("replicas", "2", "3")]
    assert record(other, by_manifest=False) is not None


def test_what_was_counted_since_and_what_began_anew() -> None:
    def counted(requests: int, failed: int) -> ServiceCounters:
        return ServiceCounters(requests=requests, failed=failed, retried=1, redispatched=0, errors_5xx=2, in_flight=5)

    before = {"requests": 10, "failed": 1, "retried": 1, "redispatched": 0, "errors_5xx": 0}
    assert since(before, counted(15, 1)) == {
        "requests": 5, "failed": 0, "retried": 0, "redispatched": 0, "errors_5xx": 2,
    }  # fmt: skip
    assert since(before, counted(3, 0))["requests"] == 3
    assert since(None, counted(3, 2))["failed"] == 2
    # An answer of 5xx is counted for its server a moment after it is for the Service, and looks lost till then.
    assert since({**before, "failed": 51}, counted(15, 50))["failed"] == 0


OF = deployment(manifest("web:1", replicas=1, service=False))
HASH = template_hash(OF.template)


def replica(name: str, **fields: object) -> Replica:
    image = ContainerRecord(name="hello", image_id=f"sha256:{name}")
    made = Replica(name=name, namespace="default", deployment="hello", template_hash=HASH, template=OF.template,
                   created_at=0.0, containers=(image,))  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def seen(
    *replicas: Replica,
    complete: bool = False,
    stalled: bool = False,
    draining: str = "",
    words: tuple[str, ...] = (),
) -> Seen:
    return Seen(
        complete=complete,
        stalled=stalled,
        message="why" if stalled else "",
        replicas=replicas,
        draining=frozenset([draining] if draining else []),
        words=words,
    )


def test_the_steps_in_their_order_and_never_before_the_change() -> None:
    start = begun(None, OF, generation=1, revision=1, hashes=("", HASH), by_manifest=True, now=100.0)
    assert start is not None
    old = replica("old", template_hash="other", started_at=3.0, ready_since=4.0, ready=True)
    # By a clock that was set back the container started before the change was made.
    begins = advance(start, seen(old, replica("new", started_at=99.9995)), 101.0)
    assert (begins.started_at, begins.ready_at, begins.images) == (100.0, None, {"hello": "sha256:new"})
    ready = advance(begins, seen(old, replica("new", started_at=101.0, ready=True, ready_since=101.5)), 102.0)
    assert (ready.started_at, ready.ready_at, ready.switched_at) == (100.0, 101.5, None)
    now = replica("new", ready=True, ready_since=101.5)
    switched = advance(ready, seen(now, replace(old, terminating=True), complete=True, draining="old"), 103.0)
    assert (switched.switched_at, switched.ended, switched.outcome) == (103.0, False, Outcome.RUNNING)
    counted = advance(replace(switched, drained_at=104.0), seen(now, complete=True), 104.1)
    assert (counted.outcome, counted.drained_at, counted.done_at) == (Outcome.COMPLETE, 104.0, 104.1)
    # What the new ones do with their first requests is a part of it.
    assert not counted.ended
    done = advance(counted, seen(now, complete=True), 104.1 + COUNTED_AFTER)
    assert (done.done_at, done.ended_at) == (104.1, 104.1 + COUNTED_AFTER)
    assert advance(done, seen(stalled=True), 200.0) is done


def test_one_that_stalls_says_why_and_may_go_on() -> None:
    start = begun(None, OF, generation=1, revision=1, hashes=("", HASH), by_manifest=True, now=100.0)
    assert start is not None
    words = tuple(f"line {number}" for number in range(20))
    stalled = advance(start, seen(replica("new"), stalled=True, words=words), 700.0)
    assert (stalled.outcome, stalled.message, stalled.ended) == (Outcome.STALLED, "why", False)
    assert stalled.last_log == words[-10:]
    done = advance(stalled, seen(replica("new", ready=True, ready_since=710.0), complete=True), 711.0)
    assert (done.outcome, done.message, done.last_log) == (Outcome.COMPLETE, "", ())


def test_a_record_crosses_the_socket_and_a_newer_one_is_understood() -> None:
    start = begun(None, OF, generation=1, revision=1, hashes=("", HASH), by_manifest=True, now=100.0)
    assert start is not None
    full = replace(
        advance(start, seen(replica("new"), stalled=True), 101.0),
        traffic=(Traffic(service="web", protocol="http", requests=3),),
        outcome=Outcome.STALLED,
    )
    line = json.loads(encode({"item": pack(full)}))["item"]
    assert unpack(line) == full
    newer = {**line, "later": 1, "traffic": [{**line["traffic"][0], "later": 2}]}
    assert unpack(newer) == full


def test_a_service_s_ports_by_the_way_they_are_served() -> None:
    backends = [
        Backend(name="default_web", hosts=("web.localhost",)),
        Backend(name="default_web_grpc", hosts=(), protocol=Protocol.H2C),
        Backend(name="default_web_db", hosts=(), protocol=Protocol.TCP),
    ]
    assert ways(backends, "web") == {
        ("web", "http"): ("default_web", "default_web_grpc"),
        ("web", "tcp"): ("default_web_db",),
    }


class Bench:
    """Objects and records over a store, with counters that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "runtime.db")
        self.seal = Seal(folder / "key")
        self.requests = 0
        self.failed = 0
        self.at = 1e9
        self.begin()

    def begin(self) -> None:
        """A controller, or the one after it."""
        self.objects = Objects(self.store, lambda: None, self.seal)
        self.records = Records(self.store, self._sample, lambda: None, lambda: self.at)

    def _sample(self, namespace: str, template: PodTemplate) -> Mapping[Way, ServiceCounters]:
        counted = ServiceCounters(
            requests=self.requests, failed=self.failed, retried=0, redispatched=0, errors_5xx=0, in_flight=0
        )
        return {("hello", "http"): counted}

    def apply(self, version: str, **more: object) -> None:
        text = manifest(f"web:{version}", replicas=1, service=False, **more)  # type: ignore[arg-type]
        self.objects.apply(text, "web.yaml")

    def close(self, *replicas: Replica) -> None:
        """All is as asked, for as long as it is looked at."""
        self.look(*replicas, complete=True)
        self.at += COUNTED_AFTER
        self.look(*replicas, complete=True)

    def look(self, *replicas: Replica, available: int = 1, complete: bool = False, stalled: bool = False) -> None:
        held = self.objects.deployment("default", "hello")
        self.records.look(
            held.deployment,
            held.generation,
            replicas,
            available=available,
            complete=complete,
            stalled=(lambda: ("why", ("last words",))) if stalled else None,
        )

    @property
    def hash(self) -> str:
        return self.objects.deployment("default", "hello").hash

    @property
    def newest(self) -> RolloutRecord:
        return self.records.newest("default", "hello")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_nobody_served_before_is_no_loss(bench: Bench) -> None:
    bench.requests, bench.failed = 5, 5
    bench.apply("1")
    bench.look(available=0)
    bench.requests, bench.failed = 8, 8
    bench.look(replica("new", template_hash=bench.hash, ready=True, ready_since=1e12), available=1)
    bench.requests = 18
    assert bench.newest.traffic == (Traffic(service="hello", protocol="http", requests=10),)
    bench.close(replica("new", template_hash=bench.hash, ready=True, ready_since=1e12))
    bench.requests, bench.failed = 100, 100
    assert (bench.newest.outcome, bench.newest.traffic[0].requests) == (Outcome.COMPLETE, 10)


def test_a_rollout_outlives_its_controller_with_its_figures(bench: Bench) -> None:
    bench.apply("1")
    bench.close()
    old = replica("old", template_hash=bench.hash)
    bench.requests = 40
    bench.apply("2")
    bench.look(old)
    bench.requests, bench.failed = 50, 1
    new = replica("new", template_hash=bench.hash, ready=True, ready_since=1e12)
    bench.look(old, new)
    bench.begin()
    bench.look(replace(old, terminating=True), new, complete=True)
    assert bench.newest.switched_at is not None
    assert not bench.newest.ended
    bench.records.drained(old, 4, 1)
    bench.requests = 60
    bench.close(replace(old, terminating=True), new)
    done = bench.newest
    assert (done.outcome, done.drained, done.undrained) == (Outcome.COMPLETE, 4, 1)
    assert (done.traffic[0].requests, done.traffic[0].failed) == (20, 1)
    assert (done.images_before, done.images) == ({"hello": "sha256:old"}, {"hello": "sha256:new"})
    assert [record.revision for record in bench.records.of("default", "hello")] == [1, 2]


def test_a_change_before_the_end_of_another_ends_it(bench: Bench) -> None:
    bench.apply("1")
    bench.look()
    bench.apply("2")
    bench.requests = 7
    bench.look()
    first, second = bench.records.of("default", "hello")
    assert (first.outcome, first.ended, first.traffic[0].requests) == (Outcome.SUPERSEDED, True, 7)
    assert (second.outcome, second.traffic[0].requests) == (Outcome.RUNNING, 0)
    bench.apply("2", env={"A": "b"})
    assert bench.newest.changes[-1] == FieldChange(field="env A", before="", after="added")


def test_what_was_drained_of_another_deployment_says_nothing_of_this_one(bench: Bench) -> None:
    bench.apply("1")
    bench.close()
    old = replica("hello-old", template_hash=bench.hash)
    bench.apply("2")
    bench.look(old)
    new = replica("hello-new", template_hash=bench.hash, ready=True, ready_since=1e12)
    bench.records.drained(replace(old, deployment="hello-api"), 1, 0)
    bench.close(replace(old, terminating=True), new)
    assert bench.newest.done_at is None, "the old one still has a request"
    bench.records.drained(old, 2, 0)
    bench.close(replace(old, terminating=True), new)
    assert (bench.newest.outcome, bench.newest.drained) == (Outcome.COMPLETE, 2)


def test_why_it_stalled_is_asked_for_once(bench: Bench) -> None:
    bench.apply("1")
    bench.look()
    bench.look(stalled=True)
    assert (bench.newest.outcome, bench.newest.message, bench.newest.last_log) == (
        Outcome.STALLED, "why", ("last words",),
    )  # fmt: skip
    held = bench.objects.deployment("default", "hello")

    def never() -> tuple[str, tuple[str, ...]]:
        raise AssertionError

    bench.records.look(held.deployment, held.generation, (), available=0, complete=False, stalled=never)
    assert bench.newest.message == "why"
    assert not bench.records.closing
    bench.look(complete=True)
    assert bench.records.closing
    bench.close()
    assert not bench.records.closing


def test_an_engine_that_takes_its_time_holds_up_nobody_else(bench: Bench) -> None:
    bench.apply("1")
    old = replica("hello-old", template_hash="old", terminating=True)
    bench.look(old)
    held = bench.objects.deployment("default", "hello")
    drained = threading.Event()

    def slow() -> tuple[str, tuple[str, ...]]:
        def drain() -> None:
            bench.records.drained(old, 3, 0)
            drained.set()

        threading.Thread(target=drain, daemon=True).start()
        return ("why" if drained.wait(30) else "the one who drains waits for the engine"), ()

    bench.records.look(held.deployment, held.generation, (old,), available=0, complete=False, stalled=slow)
    assert (bench.newest.message, bench.newest.drained) == ("why", 3)
    assert bench.records._drained[held.deployment.namespace, "hello"] == {"hello-old"}
    bench.look(stalled=True)
    assert bench.records._drained[held.deployment.namespace, "hello"] == set(), "its name is of no use any more"


def test_the_newest_are_kept_and_all_go_with_the_deployment(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.records.newest("default", "hello")
    for number in range(KEPT + 5):
        bench.apply(str(number))
        bench.close()
    kept = bench.records.of("default", "hello")
    assert len(kept) == KEPT
    assert kept[-1].revision == KEPT + 5
    bench.objects.scale("default", "hello", 4)
    bench.look(complete=True)
    assert bench.newest.revision == KEPT + 5
    bench.objects.delete("default", "Deployment", "hello")
    bench.objects.finish_delete(bench.objects.deployment("default", "hello"))
    bench.records.forget("default", "hello")
    assert bench.records.of("default", "hello") == ()
    bench.apply("1")
    bench.look(complete=True)
    assert (bench.newest.change, bench.newest.outcome) == ("created", Outcome.COMPLETE)
