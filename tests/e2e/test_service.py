"""The ways in: a push, an upload, a webhook, a command line elsewhere; each a real build on a real engine."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path

import docker
import pytest

from imageforge.webhooks import Provider, sample, sample_ping
from tests.e2e.conftest import Forge
from tests.e2e.service import DOCKERFILE, Repository, Service, write_app

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def service(forge: Forge) -> Service:
    forge.ok("up")
    return Service(forge)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    write_app(made.folder)
    return made


def remote(service: Service, app: str) -> str:
    return f"http://x:{service.token}@127.0.0.1:{service.forge.api_port}/git/{app}.git"


def test_a_push_streams_its_build_and_serves(service: Service, repository: Repository) -> None:
    commit = repository.commit("first")
    pushed = repository.git("push", remote(service, "pushed"), "main")
    said = [line.removeprefix("remote: ").rstrip() for line in pushed.stderr.splitlines()]
    stages = [line.split()[0] for line in said if line.split()[:1] and line.split()[0] in STAGES]
    assert stages == ["lint", "source", "build", "squash", "push", "rollout"]
    assert f"http://pushed.localhost:{service.forge.http_port}" in pushed.stderr
    assert service.forge.get("pushed") == (200, "one ")
    found = service.ask("GET", "/v1/builds", params={"app": "pushed"}).json()["builds"][0]
    assert (found["origin"], found["revision"], found["message"]) == ("git", commit, "first")

    (repository.folder / "version.txt").write_text("two")
    (repository.folder / ".gitattributes").write_text("version.txt export-ignore\n")  # no matter: it is a checkout
    repository.commit("second")
    repository.git("push", remote(service, "pushed"), "main")
    assert service.forge.get("pushed") == (200, "two ")

    clone = repository.folder.parent / "clone"
    repository.git("clone", "--quiet", "--depth", "1", remote(service, "pushed"), str(clone))
    assert (clone / "version.txt").read_text() == "two"


STAGES = ("lint", "source", "build", "reuse", "squash", "push", "rollout")


def test_the_gate_refuses_a_push_with_file_and_line_and_the_ref_stays(service: Service, repository: Repository) -> None:
    write_app(repository.folder, dockerfile=DOCKERFILE.replace("USER 10001", "USER root"))
    repository.commit("as root")
    refused = repository.git("push", remote(service, "gated"), "main", check=False)
    assert refused.returncode != 0
    assert "error[lint-refused]: Dockerfile:" in refused.stderr
    assert "pre-receive hook declined" in refused.stderr
    assert repository.git("ls-remote", remote(service, "gated")).stdout == ""
    assert service.ask("GET", "/v1/builds", params={"app": "gated"}).json()["builds"] == []


def test_a_push_that_git_rejects_after_the_gate_is_not_built(service: Service, repository: Repository) -> None:
    repository.commit("first")
    repository.git("push", remote(service, "twisted"), "main:main/deeper")
    refused = repository.git("push", remote(service, "twisted"), "main", check=False)
    assert refused.returncode != 0
    assert "accepted as build" not in refused.stderr
    (build,) = service.ask("GET", "/v1/builds", params={"app": "twisted"}).json()["builds"]
    ended = service.wait(build["id"], "cancelled")
    assert ended["error"]["code"] == "push-rejected"
    assert ended["started_at"] is None


def test_a_failure_after_the_ref_moved_names_the_retry(service: Service, repository: Repository) -> None:
    write_app(repository.folder, dockerfile=DOCKERFILE.replace("USER", "RUN false\nUSER"))
    repository.commit("fails")
    pushed = repository.git("push", remote(service, "failing"), "main")
    assert "error[build-step-failed]" in pushed.stderr
    build = service.ask("GET", "/v1/builds", params={"app": "failing"}).json()["builds"][0]
    assert f"imageforge builds retry {build['id']}" in pushed.stderr
    again = service.ask("POST", f"/v1/builds/{build['id']}/retry").json()["build"]
    assert service.ended(again)["error"]["code"] == "build-step-failed"


def test_other_branches_tags_and_deletions_are_stored_and_build_nothing(
    service: Service, repository: Repository
) -> None:
    repository.commit("first")
    repository.git("tag", "v1")
    pushed = repository.git("push", remote(service, "side"), "main:feature", "v1")
    assert "feature is stored and not deployed" in pushed.stderr
    repository.git("push", remote(service, "side"), ":feature")
    repository.commit("[skip ci] words")
    assert "says not to build it" in repository.git("push", remote(service, "side"), "main").stderr
    assert service.ask("GET", "/v1/builds", params={"app": "side"}).json()["builds"] == []


def test_a_pusher_that_goes_away_leaves_the_build_running(service: Service, repository: Repository) -> None:
    write_app(repository.folder, dockerfile=DOCKERFILE.replace("USER", "RUN sleep 4\nUSER"))
    repository.commit("slow")
    with subprocess.Popen(
        ["git", "push", remote(service, "leaving"), "main"], cwd=repository.folder, stderr=subprocess.PIPE, text=True
    ) as push:
        assert push.stderr
        for line in push.stderr:
            if "accepted as build" in line:
                break
        push.kill()
    build = service.ask("GET", "/v1/builds", params={"app": "leaving"}).json()["builds"][0]
    assert service.ended(build["id"])["status"] == "succeeded"
    assert service.forge.get("leaving")[0] == 200
    assert repository.git("ls-remote", remote(service, "leaving"), "main").stdout


def test_a_branch_that_points_to_no_commit_is_refused_before_anything_is_built(
    service: Service, repository: Repository
) -> None:
    repository.commit("first")
    repository.git("tag", "--annotate", "v1", "--message", "one")
    refused = repository.git("push", remote(service, "tagged"), "v1:refs/heads/main", check=False)
    assert refused.returncode != 0
    assert service.ask("GET", "/v1/builds", params={"app": "tagged"}).json()["builds"] == []


def test_a_wrong_password_is_refused(service: Service, repository: Repository) -> None:
    url = remote(service, "pushed").replace(service.token, "ifg_00000000_" + "A" * 43)
    refused = repository.git("ls-remote", url, check=False)
    assert refused.returncode != 0
    assert "Authentication failed" in refused.stderr


def test_an_upload_is_built_followed_in_three_forms_and_resumed(service: Service, project: Path) -> None:
    write_app(project)
    accepted = service.upload("uploaded", project)
    assert accepted.status_code == 202
    build = accepted.json()["build"]
    rows = list(service.events(build))
    assert rows[-1]["kind"] == "end"
    assert rows[-1]["build"]["status"] == "succeeded"
    numbers = [row["number"] for row in rows[:-1]]
    assert numbers == sorted(set(numbers))
    middle = numbers[len(numbers) // 2]

    with service.client() as client:
        text = client.get(f"/v1/builds/{build}/events", headers={"Accept": "text/plain"}).text
        assert "rollout  1/1 ready" in text
        resumed = client.get(f"/v1/builds/{build}/events", headers={"Last-Event-ID": str(middle)}).text
    ids = [int(line.removeprefix("id: ")) for line in resumed.splitlines() if line.startswith("id: ")]
    assert ids == [number for number in numbers if number > middle]
    assert "event: end" in resumed
    bill = {row["stage"]: row for row in service.ask("GET", f"/v1/builds/{build}/bill").json()}
    assert {"lint", "build", "squash", "push", "rollout"} <= set(bill)


def test_the_same_tree_is_built_once_and_an_unchanged_app_is_left_alone(service: Service, project: Path) -> None:
    write_app(project, "same")
    first = service.ended(service.upload("unchanged", project).json()["build"])
    second = service.ended(service.upload("unchanged", project).json()["build"])
    assert (second["reused_from"], second["image"]) == (first["id"], first["image"])
    assert second["release"] == first["release"]
    text = service.ask("GET", f"/v1/builds/{second['id']}/events", params={"format": "text"}).text
    assert f"as in build {first['id']}" in text
    assert "runs this already" in text


@pytest.mark.parametrize("squash", ["none", "all"])
def test_the_engine_holds_what_was_pushed_before_anything_runs_of_it(
    service: Service, project: Path, docker_client: docker.DockerClient, squash: str
) -> None:
    write_app(project, f"held {squash}")
    first = service.ended(service.upload("held", project, deploy=False, squash=squash).json()["build"])
    image = docker_client.images.get(first["image"])  # by its digest, so that a rollout has nothing to fetch
    assert first["image"] in image.attrs["RepoDigests"]
    assert not image.attrs["RepoTags"]
    second = service.ended(service.upload("held", project, deploy=False, squash=squash).json()["build"])
    assert second["reused_from"] == first["id"]


def test_readers_of_logs_who_left_hold_no_place(service: Service, project: Path) -> None:
    write_app(project, "silent")
    assert service.ended(service.upload("silent", project).json()["build"])["status"] == "succeeded"
    path, follow = "/v1/apps/silent/logs", {"follow": "true"}
    with contextlib.ExitStack() as readers:
        client = readers.enter_context(service.client())
        answers = [readers.enter_context(client.stream("GET", path, params=follow)) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        deadline = time.monotonic() + 30
        while service.ask("GET", path, params={"tail": 1}).status_code != 429:
            assert time.monotonic() < deadline, "twenty readers take all the places"
    deadline = time.monotonic() + 30
    while service.ask("GET", path, params={"tail": 1}).status_code != 200:
        assert time.monotonic() < deadline, "the app writes nothing, and they are gone all the same"
        time.sleep(0.2)


def test_an_idempotency_key_makes_one_build(service: Service, project: Path) -> None:
    write_app(project)
    archive = subprocess.run(["tar", "-c", "-C", str(project), "."], check=True, capture_output=True).stdout
    headers = {"Content-Type": "application/x-tar", "Idempotency-Key": secrets.token_hex(8)}
    query = {"app": "once", "options": '{"deploy": false}'}
    first = service.ask("POST", "/v1/builds", params=query, content=archive, headers=headers)
    again = service.ask("POST", "/v1/builds", params=query, content=archive, headers=headers)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    other = service.ask("POST", "/v1/builds", params=query, content=archive + b"\0" * 512, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")


@pytest.mark.parametrize("provider", list(Provider))
def test_a_signed_push_of_each_forge_is_fetched_built_and_deployed_once(
    service: Service, repository: Repository, provider: Provider
) -> None:
    """The forge is our own git remote, whose app deploys another branch, so that its pushes are stored only."""
    app, origin = f"hooked-{provider.value}", f"origin-{provider.value}"
    version = f"by {provider.value}"
    (repository.folder / "version.txt").write_text(version)
    commit = repository.commit(version)
    service.ask("POST", "/v1/apps", json={"name": origin, "branch": "never"}).raise_for_status()
    repository.git("push", remote(service, origin), "main")
    url = f"{service.url}/git/{origin}.git"
    service.ask("POST", "/v1/apps", json={"name": app, "git_url": url}).raise_for_status()
    service.ask("PUT", f"/v1/apps/{app}/source/token", json={"value": service.token}).raise_for_status()
    hook = service.ask("GET", f"/v1/apps/{app}/webhook").json()
    request = sample(
        provider,
        secret=hook["secret"],
        repository="team/app",
        clone_url=url,
        branch="main",
        before="0" * 40,
        after=commit,
        delivery_id=secrets.token_hex(16),
        now=time.time(),
        signing=provider is Provider.GITLAB,
    )
    with service.client(token="") as client:
        accepted = client.post(f"/v1/webhooks/{app}", content=request.body, headers=request.headers)
        again = client.post(f"/v1/webhooks/{app}", content=request.body, headers=request.headers)
    assert accepted.status_code == 202, accepted.text
    assert (again.status_code, again.json()["build"]) == (200, accepted.json()["build"])
    ended = service.ended(accepted.json()["build"])
    assert ended["status"] == "succeeded", ended
    assert (ended["origin"], ended["revision"]) == ("webhook", commit)
    assert service.forge.get(app)[1].strip() == version


def test_deliveries_out_of_order_build_the_tip(service: Service, repository: Repository) -> None:
    """The older push's delivery comes last, and replaces the newer one that waits: the tip is built all the same."""
    service.ask("POST", "/v1/apps", json={"name": "ordered-origin", "branch": "never"}).raise_for_status()
    older = repository.commit("older")
    (repository.folder / "version.txt").write_text("newer")
    newer = repository.commit("newer")
    repository.git("push", remote(service, "ordered-origin"), "main")
    url = f"{service.url}/git/ordered-origin.git"
    service.ask("POST", "/v1/apps", json={"name": "ordered", "git_url": url}).raise_for_status()
    service.ask("PUT", "/v1/apps/ordered/source/token", json={"value": service.token}).raise_for_status()
    secret = service.ask("GET", "/v1/apps/ordered/webhook").json()["secret"]
    builds = []
    for commit in (newer, older):
        request = sample(
            Provider.GITHUB,
            secret=secret,
            repository="team/app",
            clone_url=url,
            branch="main",
            before="0" * 40,
            after=commit,
            delivery_id=secrets.token_hex(16),
            now=time.time(),
        )
        with service.client(token="") as client:
            answer = client.post("/v1/webhooks/ordered", content=request.body, headers=request.headers)
        builds.append(answer.json()["build"])
    ended = [service.ended(build) for build in builds]
    assert "succeeded" in [build["status"] for build in ended]
    assert service.forge.get("ordered")[1].strip() == "newer"


def test_a_repository_reads_nothing_of_the_host(service: Service, repository: Repository) -> None:
    for number, line in enumerate(('dockerfile = "/etc/passwd"', 'context = "/etc"', 'context = "../.."')):
        (repository.folder / "imageforge.toml").write_text(f"[build]\n{line}\n")
        repository.commit(f"reads {number}")
        refused = repository.git("push", remote(service, "reader"), "main", check=False)
        assert "error[outside-source]" in refused.stderr
        assert "root:x:0" not in refused.stderr
        uploaded = service.ended(service.upload("reader", repository.folder).json()["build"])
        assert uploaded["error"]["code"] == "outside-source"


def test_guessing_locks_nobody_out_who_has_a_token(service: Service) -> None:
    with service.client(token="ifg_00000000_" + "A" * 43) as client:
        answers = {client.get("/v1/apps").status_code for _ in range(60)}
    assert answers == {401, 429}
    assert service.ask("GET", "/v1/apps").status_code == 200


def test_a_large_body_is_refused_before_it_is_read(service: Service) -> None:
    with service.client(token="") as client:
        answer = client.post("/v1/tokens", content=b"x" * (2 << 20), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-big")


def test_an_unknown_app_and_a_wrong_signature_get_the_same_answer(service: Service) -> None:
    service.ask("POST", "/v1/apps", json={"name": "quiet"}).raise_for_status()
    request = sample(
        Provider.GITHUB,
        secret="wrong",
        repository="a/b",
        clone_url="https://example.org/a.git",
        branch="main",
        before="1" * 40,
        after="2" * 40,
        delivery_id="x",
        now=time.time(),
    )
    with service.client(token="") as client:
        answers = [
            client.post(f"/v1/webhooks/{app}", content=request.body, headers=request.headers)
            for app in ("quiet", "no-such-app", "UPPER", "A" * 150)
        ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_a_ping_is_answered_and_builds_nothing(service: Service) -> None:
    service.ask("POST", "/v1/apps", json={"name": "pinged"}).raise_for_status()
    secret = service.ask("GET", "/v1/apps/pinged/webhook").json()["secret"]
    request = sample_ping(
        Provider.GITHUB,
        secret=secret,
        repository="a/b",
        clone_url="https://example.org/a.git",
        delivery_id="ping-1",
        now=time.time(),
    )
    with service.client(token="") as client:
        answer = client.post("/v1/webhooks/pinged", content=request.body, headers=request.headers)
    assert (answer.status_code, answer.json()) == (200, {"reason": "ping", "build": None})


def test_the_command_line_works_at_a_server(service: Service, project: Path, tmp_path: Path) -> None:
    write_app(project)
    forge = service.forge
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    with forge.start("login", service.url, "--name", "there", stdin=subprocess.PIPE, **config) as login:
        _, err = login.communicate(f"{service.token}\n", timeout=60)
    assert login.returncode == 0, err
    assert (tmp_path / "config" / "imageforge" / "contexts.json").stat().st_mode & 0o077 == 0
    elsewhere = {**config, "IMAGEFORGE_HOME": str(tmp_path / "no-home"), "DOCKER_HOST": "unix:///nowhere"}
    outcome = forge.ok("deploy", project, "--name", "distant", **elsewhere)
    assert "distant release 1" in outcome.out
    assert "rollout" in outcome.err
    assert forge.get("distant")[0] == 200
    assert not (tmp_path / "no-home").exists()
    listed = forge.ok("builds", "ls", "distant", "-o", "json", **elsewhere).json
    assert listed[0]["status"] == "succeeded"
    changed = forge.ok("env", "set", "distant", "GREETING=hi", **elsewhere)
    assert "distant release 2" in changed.out
    assert forge.get("distant")[1] == "one hi"
    back = forge.ok("rollback", "distant", **elsewhere)
    assert "note: it runs with release 1's environment; what is set now differs in GREETING" in back.err
    assert forge.get("distant")[1] == "one "
    (project / "Dockerfile").write_text("FROM")
    refused = forge.run("deploy", project, "--name", "distant", **elsewhere)
    assert refused.code == 3, refused.err
    assert "error[dockerfile-syntax]" in refused.err


def test_ctrl_c_detaches_from_a_server_and_cancel_ends_the_solve(
    service: Service, project: Path, tmp_path: Path
) -> None:
    write_app(project, dockerfile=DOCKERFILE.replace("USER", "RUN sleep 300\nUSER"))
    forge = service.forge
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    with forge.start("login", service.url, stdin=subprocess.PIPE, **config) as login:
        login.communicate(f"{service.token}\n", timeout=60)
    with forge.start("deploy", project, "--name", "detached", **config) as child:
        assert child.stderr
        for line in child.stderr:
            if line.startswith("sent "):
                build = int(line.split(" build ")[1].split()[0])
                break
        service.until(build, "step", "build")
        child.send_signal(signal.SIGINT)
        ended = forge.end(child)
    assert ended.code == 130
    assert f"builds cancel {build}" in ended.err
    assert service.build(build)["status"] == "running"
    began = time.monotonic()
    forge.ok("builds", "cancel", build, **config)
    assert service.wait(build, "cancelled")["status"] == "cancelled"
    print(f"cancelled within {time.monotonic() - began:.1f} s, the command's own start among them")


def test_a_newer_push_supersedes_the_waiting_one(service: Service, project: Path) -> None:
    write_app(project, dockerfile=DOCKERFILE.replace("USER", "RUN sleep 3\nUSER"))
    builds = []
    for version in ("a", "b", "c"):
        (project / "version.txt").write_text(version)
        archive = subprocess.run(["tar", "-c", "-C", str(project), "."], check=True, capture_output=True).stdout
        answer = service.ask(
            "POST",
            "/v1/builds",
            params={"app": "newest", "branch": "main"},
            content=archive,
            headers={"Content-Type": "application/x-tar"},
        )
        builds.append(answer.json()["build"])
        if version == "a":
            service.wait(builds[0], "running")
    assert service.ended(builds[2])["status"] == "succeeded"
    assert [service.build(build)["status"] for build in builds] == ["succeeded", "superseded", "succeeded"]
    assert service.forge.get("newest")[1] == "c "


def test_tokens_reach_as_far_as_they_say(service: Service) -> None:
    service.ask("POST", "/v1/apps", json={"name": "mine"}).raise_for_status()
    made = service.ask("POST", "/v1/tokens", json={"name": "ci", "scope": "build", "app": "mine"}).json()
    with service.client(made["token"]) as client:
        assert client.get("/v1/apps/mine").status_code == 200
        assert client.get("/v1/apps/pinged").status_code == 403
        assert client.post("/v1/apps/mine/restart").status_code == 403
        assert client.get("/v1/tokens").status_code == 403
        assert [app["name"] for app in client.get("/v1/apps").json()] == ["mine"]
        service.ask("DELETE", f"/v1/tokens/{made['id']}").raise_for_status()
        assert client.get("/v1/apps/mine").status_code in (401, 429)  # a test before this one may have guessed
    metrics = service.ask("GET", "/v1/metrics").text
    assert "imageforge_controller_up 1.0" in metrics
    assert "# TYPE imageforge_replica_cpu_seconds_total counter" in metrics
    with service.client(token="") as client:
        for path in ("/v1/apps", "/v1/builds", "/v1/metrics", "/v1/tokens", "/v1/audit", "/v1/builds/1/events"):
            assert client.get(path).status_code == 401, path
        assert client.get("/v1/health").status_code == 200
    assert service.ask("GET", "/v1/audit").json()[0]["action"] == "token-revoked"


def test_fifty_readers_see_the_same_build(service: Service, project: Path) -> None:
    write_app(project, dockerfile=DOCKERFILE.replace("USER", "RUN for i in 1 2 3; do echo $i; sleep 1; done\nUSER"))
    build = service.upload("watched", project, deploy=False, no_cache=True).json()["build"]
    seen: list[int] = []
    failures: list[object] = []

    def read() -> None:
        try:
            seen.append(len(list(service.events(build))))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(seen) == 50
    assert len(set(seen)) == 1


def test_the_openapi_document_names_every_way_in(service: Service) -> None:
    document = json.loads(service.ask("GET", "/openapi.json").text)
    assert {"/v1/builds", "/v1/webhooks/{app}", "/v1/apps/{app}/rollback"} <= set(document["paths"])


def test_a_build_secret_reaches_the_step_and_nothing_else(service: Service, project: Path) -> None:
    value = "s3cr3t-" + secrets.token_hex(12)
    forge, app = service.forge, "secretive"
    forge.ok("apps", "create", app)
    with forge.start("secret", "set", app, "TOKEN", stdin=subprocess.PIPE) as child:
        assert child.communicate(value, timeout=60)
    assert child.returncode == 0
    half = len(value) // 2
    script = (
        "RUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN; echo; "
        f"cut -c1-{half} /run/secrets/TOKEN; cut -c{half + 1}- /run/secrets/TOKEN; "
        "base64 -w0 /run/secrets/TOKEN; echo; sha256sum /run/secrets/TOKEN > /srv/sum\n"
    )
    write_app(project, dockerfile=DOCKERFILE.replace("USER", script + "USER"))
    build = service.upload(app, project, no_cache=True).json()["build"]
    assert service.ended(build)["status"] == "succeeded"
    text = service.ask("GET", f"/v1/builds/{build}/events", params={"format": "ndjson"}).text
    assert "***" in text
    for spelling in (value, value[:half], value[half:], base64.b64encode(value.encode()).decode()):
        assert spelling not in text
    assert value.encode() not in (forge.home / "state" / "store.sqlite").read_bytes()
    assert forge.ok("secret", "ls", app, "-o", "json").json[0]["name"] == "TOKEN"

    leaking = DOCKERFILE.replace("USER", "RUN --mount=type=secret,id=TOKEN cp /run/secrets/TOKEN /srv/kept\nUSER")
    write_app(project, dockerfile=leaking)
    ended = service.ended(service.upload(app, project, no_cache=True).json()["build"])
    assert (ended["status"], ended["error"]["code"]) == ("refused", "secret-in-image")
    assert "/srv/kept" in ended["error"]["message"]
    assert ended["image"] is None
