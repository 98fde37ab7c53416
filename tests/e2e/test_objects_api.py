"""Files of Kubernetes at a server: the API as it stands, and the command line of another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Forge
from tests.e2e.service import Service, write_app
from tests.runtime.stack import wait_for

pytestmark = pytest.mark.engine

YAML = {"Content-Type": "application/yaml"}
LINES = {"Accept": "application/x-ndjson"}
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: far, namespace: far}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: far}}}}
  template:
    metadata: {{labels: {{app: far}}}}
    spec:
      terminationGracePeriodSeconds: 3
      containers:
        - name: web
          image: "{image}"
          env: [{{name: PORT, value: "8080"}}, {{name: GREETING, value: {greeting}}}]
          ports: [{{containerPort: 8080, name: http}}]
          readinessProbe: {{tcpSocket: {{port: http}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: far, namespace: far, annotations: {{imageforge.io/host: far.localhost}}}}
spec: {{selector: {{app: far}}, ports: [{{name: http, port: 80, targetPort: http}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: far, namespace: far}}
stringData: {{word: hush-secret}}
"""
AT = "/v1/deployments/far/far"


@pytest.fixture(scope="module")
def service(forge: Forge) -> Service:
    """The service, which has an app beside what is applied."""
    forge.ok("up")
    return Service(forge)


@pytest.fixture(scope="module")
def image(forge: Forge, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image, which an app of its own runs."""
    folder = tmp_path_factory.mktemp("near") / "near"
    write_app(folder)
    forge.ok("deploy", folder)
    yield str(forge.ok("releases", "near", "-o", "json").json[0]["image"])
    forge.ok("apps", "delete", "near", "--yes")


def test_the_api_applies_tells_and_takes_away(service: Service, image: str) -> None:
    text = MANIFEST.format(image=image, replicas=1, greeting="hush-one")
    with service.client() as client:
        refused = client.post("/v1/apply", content=text.replace("replicas: 1", "replica: 1"), headers=YAML,
                              params={"source": "far.yaml"})  # fmt: skip
        assert (refused.status_code, refused.json()["code"]) == (400, "unknown-field")
        assert refused.json()["subject"].startswith("far.yaml:5")
        assert refused.headers["content-type"] == "application/problem+json"
        dry = client.post("/v1/apply", params={"dry_run": "true"}, content=text, headers=YAML).json()
        assert [(row["kind"], row["change"]) for row in dry["objects"]] == [
            ("Deployment", "created"), ("Service", "created"), ("Secret", "created"),
        ]  # fmt: skip
        assert client.get(AT).json()["code"] == "not-found"
        assert client.get(AT).status_code == 404
        rows = []
        with client.stream("POST", "/v1/apply", params={"wait": "true"}, content=text, headers=YAML | LINES) as told:
            assert told.headers["content-type"] == "application/x-ndjson"
            rows = [json.loads(line) for line in told.iter_lines() if line]
        kinds = [row["kind"] for row in rows]
        assert (kinds[0], kinds[-2:], rows[-1]["error"]) == ("applied", ["report", "end"], None)
        assert "progress" in kinds
        report = client.get(f"{AT}/report").json()
        assert (report, report["proof"]["verdict"]) == (rows[-2]["report"], "passed")
        again = client.post("/v1/apply", content=text, headers=YAML | {"Idempotency-Key": "k"})
        assert {row["change"] for row in again.json()["objects"]} == {"unchanged"}
        replayed = client.post("/v1/apply", content=text, headers=YAML | {"Idempotency-Key": "k"})
        assert replayed.headers["Idempotency-Replayed"] == "true"

        changed = text.replace("hush-one", "hush-two").replace("hush-secret", "hush-other")
        diff = client.post("/v1/diff", content=changed, headers=YAML).json()
        assert [row["change"] for row in diff] == ["configured", "unchanged", "configured"]
        assert "hush-secret" not in str(diff)
        assert "hush-other" not in str(diff)
        assert client.post("/v1/apply", content=changed, headers=YAML).status_code == 200
        with client.stream("GET", f"{AT}/watch") as told:
            assert told.headers["content-type"].startswith("text/event-stream")
            last = [line for line in told.iter_lines() if line.startswith("data: ")][-1]
        assert json.loads(last.removeprefix("data: "))["phase"] == "complete"
        assert [row["current"] for row in client.get(f"{AT}/revisions").json()] == [False, True]
        assert client.post(f"{AT}/undo", json={"revision": None}).json()["change"] == "configured"
        assert client.post(f"{AT}/scale", json={"replicas": 2}).status_code == 202
        assert client.post(f"{AT}/pause").status_code == 204
        paused = client.post(f"{AT}/pause")
        assert (paused.status_code, paused.json()["code"]) == (409, "already-paused")
        assert client.post(f"{AT}/resume").status_code == 204

        seen = client.get("/v1/objects/far/Secret/far").json()
        assert "***" in seen["manifest"]
        assert "hush" not in seen["manifest"]
        assert client.get("/v1/secrets", params={"namespace": "far"}).json()[0]["sizes"] == {"word": 10}
        described = client.get("/v1/objects/far/Deployment/far/description").json()
        assert described["status"]["name"] == "far"
        assert len(described["revisions"]) == 2
        with client.stream("GET", "/v1/events", params={"namespace": "far"}, headers=LINES) as told:
            events = [json.loads(line) for line in told.iter_lines() if line]
        assert "ScalingReplicaSet" in {event["reason"] for event in events}

        # What an app's releases say is nobody else's to change.
        for method, path, body in (
            ("DELETE", "/v1/objects/default/Deployment/near", None),
            ("DELETE", "/v1/objects/default/Service/near", None),
            ("POST", "/v1/deployments/default/near/scale", {"replicas": 3}),
            ("POST", "/v1/deployments/default/near/restart", None),
            ("POST", "/v1/deployments/default/near/undo", {"revision": None}),
        ):
            owned = client.request(method, path, json=body)
            assert (owned.status_code, owned.json()["code"]) == (409, "owned-by-app"), path
        audit = client.get("/v1/audit").json()
        assert {"applied", "undone", "scaled", "paused", "resumed"} <= {entry["action"] for entry in audit}

    build = service.ask("POST", "/v1/tokens", json={"name": "reader", "scope": "build"}).json()["token"]
    with service.client(build) as reader:
        assert reader.get(AT).status_code == reader.get(f"{AT}/report").status_code == 200
        for answer in (
            reader.post("/v1/apply", content=text, headers=YAML),
            reader.get("/v1/objects"),
            reader.delete("/v1/objects/far/Deployment/far"),
            reader.post(f"{AT}/restart"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    mine = service.ask("POST", "/v1/tokens", json={"name": "mine", "scope": "deploy", "app": "near"}).json()["token"]
    with service.client(mine) as one:
        assert one.get("/v1/deployments").status_code == 403
        assert one.post("/v1/apply", content=text, headers=YAML).status_code == 403
    with service.client() as client:
        for kind in ("Deployment", "Service", "Secret"):
            assert client.delete(f"/v1/objects/far/{kind}/far").status_code == 204
        wait_for(lambda: client.get("/v1/objects", params={"namespace": "far"}).json() == [], timeout=60)


def test_the_command_line_of_another_machine(forge: Forge, service: Service, image: str, tmp_path: Path) -> None:
    file = tmp_path / "far.yaml"
    away = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "IMAGEFORGE_HOME": str(tmp_path / "nothing-here")}
    token = tmp_path / "token"
    token.write_text(service.token)
    with token.open() as given, forge.start("login", service.url, stdin=given.fileno(), **away) as login:
        assert login.wait(60) == 0, login.communicate()

    def run(*arguments: object, code: int = 0) -> str:
        outcome = forge.run(*arguments, **away)
        assert outcome.code == code, (arguments, outcome)
        return outcome.out + outcome.err

    file.write_text(MANIFEST.format(image=image, replicas=1, greeting="hush-one"))
    assert "+  name: far" in run("diff", "-f", file, code=1)
    made = run("apply", "-f", file, "--wait")
    assert "deployment/far  far          created" in made
    assert "cutover  passed: 0 of " in made
    assert "far: 1 of 1 updated, 1 available" in made
    assert "own      " in made, "the server asks, for it is there"
    assert run("get", "deploy", "-n", "far").split()[5:8] == ["far", "1/1", "1"]
    assert "NewReplicaSetAvailable" in run("describe", "deploy/far", "-n", "far")
    assert "successfully rolled out" in run("rollout", "status", "deploy/far", "-n", "far")
    assert run("report", "deploy/far", "-n", "far").startswith("deployment/far in far: revision 1, complete in ")
    assert "near release 1" in run("report", "near")
    run("rollout", "restart", "deploy/far", "-n", "far")
    assert "Scaled up replica set" in run("events", "-n", "far", "--for", "deploy/far")
    file.write_text(file.read_text().replace("replicas: 1", "replica: 1"))
    assert f"error[unknown-field]: {file}:5" in run("apply", "-f", file, "--wait", code=3)
    assert "error[not-found]" in run("rollout", "undo", "deploy/nobody", code=3)
    assert run("delete", "deploy/far", "svc/far", "secret/far", "-n", "far", "--yes").count("deleted") == 3
