"""The pure parts of commands for applied files: durations, labels, claims, owners, one-off Jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from imageforge.cli.claims import Stays, Volumes, volumes_of
from imageforge.cli.logs import labels, shown
from imageforge.cli.moment import duration, moment, stamp
from imageforge.cli.owned import process_of, refuse_owned
from imageforge.cli.run import Told, exit_of, keeps_it
from imageforge.errors import DeployFailed, UsageError
from imageforge.pipeline.one_off import left_out, one_off, run_name
from runtime import Conflict, DeploymentStatus, JobPhase, JobStatus, LogLine, ObjectView, RolloutPhase, load_manifests


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("5m", 300.0), ("2h30m", 9000.0), ("1.5h", 5400.0), ("250ms", 0.25)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5d", "5m3", "5mm"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        duration(text)
    assert refused.value.code == "invalid-duration"


def test_moments() -> None:
    assert moment("2026-11-27T13:00:00Z") == moment("2026-11-27T14:00:00+01:00") == 1795784400.0
    assert stamp(1795784400.25) == "2026-11-27T13:00:00.250000Z"
    for text in ("yesterday", "2026-11-27T13:00:00"):
        with pytest.raises(UsageError, match=r"RFC 3339|time zone"):
            moment(text)


def test_labels() -> None:
    assert labels("app=web, tier==front,empty=") == {"app": "web", "tier": "front", "empty": ""}
    for text in ("app", "app!=web", "", "=web", "app in (a)"):
        with pytest.raises(UsageError, match="expected labels"):
            labels(text)


def test_a_line_for_people() -> None:
    line = LogLine(replica="web-1", container="main", text="hello", stream="stdout", at=0.5)
    assert shown(line, with_container=False, with_time=False) == "web-1 | hello"
    assert shown(line, with_container=True, with_time=True) == "web-1/main | 1970-01-01T00:00:00.500000Z hello"


def view(kind: str, name: str, spec: dict[str, Any], *, namespace: str = "shop", **meta: Any) -> ObjectView:
    data = {"kind": kind, "metadata": {"name": name, **meta}, "spec": spec}
    return ObjectView(
        kind=kind, namespace=namespace, name=name, generation=1, deleting=False, manifest=yaml.safe_dump(data)
    )


def pod(*claims: str) -> dict[str, Any]:
    return {"volumes": [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]}


WEB = view("Deployment", "web", {"template": {"spec": pod("data", "shared", "absent")}})
OTHER = view("Pod", "other", pod("shared"))
TASK = view("CronJob", "task", {"jobTemplate": {"spec": {"template": {"spec": pod("nights")}}}})
CLAIMS = [view("PersistentVolumeClaim", name, {}) for name in ("data", "nights", "shared", "spare")]
GOES = view("PersistentVolumeClaim", "goes", {}, annotations={"imageforge.io/reclaim": "Delete"})
ELSEWHERE = view("PersistentVolumeClaim", "data", {}, namespace="other")
ALL = [WEB, OTHER, TASK, *CLAIMS, GOES, ELSEWHERE]


def claim(name: str) -> tuple[str, str, str]:
    return "PersistentVolumeClaim", "shop", name


def test_what_becomes_of_volumes() -> None:
    web = ("Deployment", "shop", "web")
    stay = (Stays(key=claim("data")), Stays(key=claim("shared"), user="pod/other"))
    assert volumes_of(ALL, [web], volumes=False) == Volumes(stay=stay)
    assert volumes_of(ALL, [web], volumes=True) == Volumes(also=(claim("data"),), stay=stay[1:])
    both = volumes_of(ALL, [web, ("Pod", "shop", "other")], volumes=True)
    assert both == Volumes(also=(claim("data"), claim("shared")))
    assert volumes_of(ALL, [("CronJob", "shop", "task")], volumes=True).also == (claim("nights"),)
    named = [claim("spare"), claim("goes")]
    assert volumes_of(ALL, named, volumes=False) == Volumes(kept=(claim("spare"),))
    assert volumes_of(ALL, named, volumes=True) == Volumes()
    space = volumes_of(ALL, [("Namespace", "", "shop")], volumes=False)
    assert space == Volumes(kept=tuple(claim(name) for name in ("data", "nights", "shared", "spare")))


def status(**said: Any) -> DeploymentStatus:
    counts = dict.fromkeys(("generation", "observed_generation", "revision"), 1)
    counts |= dict.fromkeys(("desired", "current", "updated", "ready", "available"), 1)
    return DeploymentStatus(namespace="default", phase=RolloutPhase.COMPLETE, **counts, **said)


def test_a_deployment_of_an_app_is_asked_by_the_apps_name() -> None:
    worker = status(name="shop-worker", app="shop", component="worker", release="4")
    with pytest.raises(Conflict) as refused:
        refuse_owned(worker, f"scale shop {process_of(worker)}3")
    assert (refused.value.code, refused.value.hint) == ("owned-by-app", "imageforge scale shop worker=3")
    assert process_of(status(name="shop", app="shop", release="4")) == ""
    refuse_owned(status(name="web", app="web"), "")


TEMPLATE = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"imageforge.io/release": "4"}},
    "spec": {
        "initContainers": [{"name": "first", "image": "a:1"}],
        "nodeSelector": {"disk": "ssd"},
        "containers": [
            {
                "name": "web",
                "image": "a:1",
                "args": ["serve"],
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "value": "b"}],
                "livenessProbe": {"exec": {"command": ["true"]}},
                "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
            },
            {"name": "beside", "image": "b:1"},
        ],
    },
}


def test_a_job_of_a_template_is_one_that_the_runtime_takes() -> None:
    made = one_off(
        TEMPLATE, ("sh", "-c", "echo $(HOME) $$"), name="web-run-1", namespace="shop", labels={"x": "web-run"}, grace=5,
        ttlSecondsAfterFinished=60,
    )  # fmt: skip
    (document,) = load_manifests(yaml.safe_dump(made), "run")
    job: Any = document.object
    assert (job.name, job.namespace, job.backoff_limit, job.ttl) == ("web-run-1", "shop", 0, 60)
    assert job.template.labels == {"x": "web-run"}
    assert job.template.container.command == ("sh", "-c", "echo $$(HOME) $$$")
    assert (job.template.container.args, job.template.container.env) == (None, (("A", "b"),))
    assert left_out(TEMPLATE, None) == ("first", "beside")
    assert left_out(TEMPLATE, "beside") == ("first", "web")
    other = one_off(TEMPLATE, ("true",), name="x", container="beside", labels={}, grace=5)
    assert other["spec"]["template"]["spec"]["containers"] == [{"name": "beside", "image": "b:1", "command": ["true"]}]
    with pytest.raises(UsageError, match='no container is named "nobody"'):
        one_off(TEMPLATE, ("true",), name="x", container="nobody", labels={}, grace=5)
    assert "livenessProbe" in TEMPLATE["spec"]["containers"][0], "what was given is left as it was"  # type: ignore[index]


def test_a_name_that_is_cut_at_a_dot_is_still_one() -> None:
    name = f"{'a' * 46}.example.com"
    made = one_off(TEMPLATE, ("true",), name=f"{run_name(name)}-abcde", labels={"x": run_name(name)}, grace=5)
    (document,) = load_manifests(yaml.safe_dump(made), "run")
    assert document.name == f"{'a' * 46}-run-abcde"


def test_the_exit_code_of_a_job_is_its_commands() -> None:
    def ended(**said: Any) -> JobStatus:
        return JobStatus(name="j", namespace="default", active=0, succeeded=0, failed=1, **said)

    assert exit_of(ended(phase=JobPhase.SUCCEEDED, exit_code=0)) == 0
    assert exit_of(ended(phase=JobPhase.FAILED, exit_code=7)) == 7
    with pytest.raises(DeployFailed, match="its container was lost"):
        exit_of(ended(phase=JobPhase.FAILED, message="its container was lost"))


def test_what_keeps_a_job_from_running_is_not_how_it_ended() -> None:
    waits = JobStatus(
        name="j", namespace="default", active=1, succeeded=0, failed=0, phase=JobPhase.ACTIVE,
        message='secret "keys" not found',
    )  # fmt: skip
    assert keeps_it(waits) == 'secret "keys" not found'
    assert keeps_it(replace(waits, exit_code=3, message="ended with exit code 3")) == ""
    assert keeps_it(replace(waits, lost=True, message="its container was lost")) == ""


def test_output_that_is_read_again_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told()
    lines = [
        LogLine(replica="j-1", text=text, stream=stream, at=at)
        for text, stream, at in (
            ("a", "stdout", 1.0),
            ("at once", "stdout", 1.0),
            ("b", "stderr", 0.5),
            ("c", "stdout", 2.0),
            ("d", "stdout", 2.0),
        )
    ]
    for line in [*lines, *lines, LogLine(replica="j-2", text="e", stream="stdout", at=0.1)]:
        told.tell(line)
    assert capsys.readouterr() == ("a\nat once\nc\nd\ne\n", "b\n")
