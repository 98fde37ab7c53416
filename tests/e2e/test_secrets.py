"""Secrets for containers, from the command line to the process that reads them, and back."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import Forge, Outcome
from tests.e2e.service import DOCKERFILE, Service, write_app

pytestmark = pytest.mark.engine

# Answers with proof of what it was given; says a secret in pieces and ends where it is told to.
APP = """\
import base64, hashlib, http.server, json, os, pathlib, signal, sys
FILE = pathlib.Path("/run/secrets/tls/key.pem")
if os.environ.get("CRASH"):
    value = os.environ["PASSWORD"]
    print("cannot log in with", value, flush=True)
    print(value[:9], flush=True)
    print(value[9:], flush=True)
    print(base64.b64encode(value.encode()).decode(), flush=True)
    sys.exit(3)
def proof(raw): return hashlib.sha256(raw).hexdigest()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        found = {"user": os.getuid(), "greeting": os.environ.get("GREETING")}
        if "PASSWORD" in os.environ: found["password"] = proof(os.environ["PASSWORD"].encode())
        if FILE.exists(): found["file"] = proof(FILE.read_bytes())
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


def proof(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def feed(forge: Forge, text: str, *arguments: str) -> Outcome:
    """A command with this on its standard input."""
    with forge.start(*arguments, stdin=subprocess.PIPE) as child:
        out, err = child.communicate(text, timeout=240)
    return Outcome(child.returncode, out, err)


def in_clear(forge: Forge, *values: str) -> list[str]:
    return [
        str(file)
        for file in forge.home.rglob("*")
        if file.is_file() and not file.is_symlink() and any(value.encode() in file.read_bytes() for value in values)
    ]


def test_a_run_secret_reaches_the_process_and_follows_the_release(
    forge: Forge, project: Path, docker_client: docker.DockerClient
) -> None:
    app = "vaulted"
    old, new, key = (f"{word}-{secrets.token_hex(12)}" for word in ("old", "new", "key"))
    forge.ok("up")
    service = Service(forge)
    write_app(project)
    (project / "main.py").write_text(APP)

    def answers() -> dict[str, object]:
        found: dict[str, object] = json.loads(forge.get(app)[1])
        return found

    # Set before there is anything to run: it starts with it.
    forge.ok("apps", "create", app)
    said = feed(forge, f"PASSWORD={old}\n", "secret", "set", app, "--for", "run")
    assert (said.code, "starts with what is set" in said.err + said.out) == (0, True), said
    forge.ok("deploy", project, "--name", app)
    assert answers() == {"user": 10001, "greeting": None, "password": proof(old)}

    # A file, which is a release of its own; and nothing of it in what the engine tells.
    said = feed(forge, key, "secret", "set", app, "KEY", "--as-file", "tls/key.pem")
    assert said.code == 0, said.err
    assert answers()["file"] == proof(key)
    replica = docker_client.containers.list(filters={"label": f"io.imageforge.app={app}"})[0]
    assert key not in json.dumps(replica.attrs)
    assert old in json.dumps(replica.attrs)  # which SECURITY.md says of variables

    # By the API, followed like a build.
    body = {"values": {"PASSWORD": {"value": new}}, "purpose": "run"}
    accepted = service.ask("PATCH", f"/v1/apps/{app}/secrets", json=body)
    assert accepted.status_code == 202, accepted.text
    assert service.ended(accepted.json()["build"])["status"] == "succeeded"
    assert answers()["password"] == proof(new)
    rows = forge.ok("secret", "ls", app, "-o", "json").json
    assert [(row["name"], row["purpose"], row["file"]) for row in rows] == [
        ("KEY", "run", "/run/secrets/tls/key.pem"),
        ("PASSWORD", "run", None),
    ]
    shown = forge.ok("manifest", app).out
    assert f"PASSWORD: '*** {len(new)} bytes'" in shown
    assert "are masked" in shown

    # The same tree and the same secrets: nothing is rolled out. Release 2 has the password of then, and the file.
    before = forge.ok("releases", app, "-o", "json").json
    build = service.ended(service.upload(app, project).json()["build"])
    assert (build["status"], bool(build["reused_from"])) == ("succeeded", True)
    assert len(forge.ok("releases", app, "-o", "json").json) == len(before)
    forge.ok("rollback", app, "2")
    assert answers() == {"user": 10001, "greeting": None, "password": proof(old), "file": proof(key)}

    # Everything stopped and started again.
    forge.ok("down")
    assert not Path(f"/dev/shm/imageforge-{forge.instance}").exists()
    forge.ok("up")
    for status in service.ask("GET", f"/v1/apps/{app}/status").json()["replica_list"]:
        assert key not in json.dumps(status)
    forge.ok("restart", app)
    assert answers() == {"user": 10001, "greeting": None, "password": proof(old), "file": proof(key)}

    # What it says as it crashes is told with stars, and the release before serves on.
    crashed = forge.run("env", "set", app, "CRASH=1")
    assert crashed.code == 1
    assert "error[replica-exits]" in crashed.err
    assert "cannot log in with ***" in crashed.err
    newest = service.ask("GET", "/v1/builds", params={"app": app}).json()["builds"][0]["id"]
    shown_log = forge.run("builds", "log", newest)
    log = shown_log.out + shown_log.err
    assert "cannot log in with ***" in log
    status = service.ask("GET", f"/v1/apps/{app}/status").text
    for told in (crashed.out + crashed.err, log, status):
        # It ran with the newest settings, of which the password is the newer one; in pieces and in base64 too.
        for value in (old, new, key, new[9:], base64.b64encode(new.encode()).decode()[:-4]):
            assert value not in told
    assert answers()["password"] == proof(old)
    forge.ok("env", "unset", app, "CRASH")
    assert answers()["password"] == proof(new)

    # An image that holds one is not pushed.
    (project / "Dockerfile").write_text(DOCKERFILE)
    (project / "version.txt").write_text(new)
    refused = forge.run("deploy", project, "--name", app)
    assert (refused.code, "error[secret-in-image]" in refused.err) == (2, True)
    assert new not in refused.err

    assert in_clear(forge, old, new, key) == []
    forge.ok("secret", "rm", app, "KEY")
    assert "file" not in answers()
    forge.ok("apps", "delete", app, "--yes")
