"""Real builds: what they report, how they fail, and that nothing is left of a cancelled one."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import docker
import pytest

from builders import (
    BuildClient,
    BuildEvent,
    BuildEventKind,
    BuildRequest,
    Cancelled,
    ClientError,
    ClientKind,
    ContextError,
    Endpoint,
    EngineError,
    StepFailed,
    build,
)

from ..conftest import BASE, Builder
from ..proxy import engine_proxy

pytestmark = pytest.mark.engine
NO_CLIENT = BuildClient(path=Path("/no/client"), kind=ClientKind.BUILTIN, version="20.10")


def children() -> set[int]:
    """The processes that this one has started and not yet seen the end of."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def request(context: Path, text: str, **fields: object) -> BuildRequest:
    (context / "Dockerfile").write_text(text)
    arguments = {"dockerfile": Path("Dockerfile"), "tag": "imageforge-test/none:1", **fields}
    return BuildRequest(context=context, **arguments)  # type: ignore[arg-type]


def test_a_failing_step_names_its_line_its_code_and_its_last_words(build_image: Builder) -> None:
    lines = "; ".join(f"echo word{number}" for number in range(30))
    with pytest.raises(StepFailed) as caught:
        build_image(f"FROM {BASE}\n\n# why\nRUN {lines}; \\\n    exit 42\n")
    error = caught.value
    assert (error.code, error.subject) == ("build-step-failed", "Dockerfile:4")
    assert "exit code 42" in error.message
    said = error.message.partition("it last said:")[2].split()
    assert said == [f"word{number}" for number in range(15, 30)]


def test_a_step_that_fails_in_silence(build_image: Builder) -> None:
    with pytest.raises(StepFailed, match="exit code 1, and said nothing") as caught:
        build_image(f"FROM {BASE} AS a\nRUN true\nFROM a AS b\nRUN false\nFROM {BASE}\nCOPY --from=b /etc /x\n")
    assert caught.value.subject == "Dockerfile:4"


def test_a_missing_command_has_a_hint(build_image: Builder) -> None:
    with pytest.raises(StepFailed) as caught:
        build_image(f"FROM {BASE}\nRUN no-such-command\n")
    assert "not found" in (caught.value.hint or "")


def test_a_file_that_is_not_in_the_context(build_image: Builder) -> None:
    with pytest.raises(StepFailed) as caught:
        build_image(f"FROM {BASE}\nRUN true\nCOPY lost.txt /\n")
    assert (caught.value.code, caught.value.subject) == ("build-step-failed", "Dockerfile:3")
    assert "lost.txt is not in the build context" in caught.value.message
    assert ".dockerignore" in (caught.value.hint or "")


def test_a_file_that_is_not_in_another_stage(build_image: Builder) -> None:
    with pytest.raises(StepFailed) as caught:
        build_image(f"FROM {BASE} AS one\nFROM {BASE}\nCOPY --from=one /lost /\n")
    assert caught.value.subject == "Dockerfile:3"
    assert "/lost is not in what it copies from" in caught.value.message
    assert "overlay" not in caught.value.message


@pytest.mark.parametrize(
    ("dockerfile", "line"),
    [
        (f"FROM {BASE} AS a\nFROM localhost:1/none:1\nCOPY --from=a /etc /e\n", 2),
        (f"# syntax=localhost:1/frontend:1\nFROM {BASE}\n", 1),
    ],
)
def test_an_image_that_nobody_has(build_image: Builder, dockerfile: str, line: int) -> None:
    with pytest.raises(StepFailed) as caught:
        build_image(dockerfile)
    assert (caught.value.code, caught.value.subject) == ("image-unavailable", f"Dockerfile:{line}")
    assert "localhost:1/" in caught.value.message


def test_a_word_that_is_no_instruction(build_image: Builder) -> None:
    with pytest.raises(ContextError) as caught:
        build_image(f"FROM {BASE}\n\nRUNN x\n")
    assert (caught.value.code, caught.value.subject) == ("dockerfile-invalid", "Dockerfile:3")
    assert "RUNN" in caught.value.message


def test_a_target_that_is_no_stage(build_image: Builder) -> None:
    with pytest.raises(ContextError) as caught:
        build_image(f"FROM {BASE} AS web\n", target="wbe")
    assert caught.value.code == "target-missing"
    assert "wbe" in caught.value.message


@pytest.mark.parametrize("dockerfile", ["", "# nothing\n", "ARG A=1\n", "ARG A\n# FROM x\n", "RUN <<E\nFROM x\nE\n"])
def test_without_from_no_client_is_started(tmp_path: Path, endpoint: Endpoint, dockerfile: str) -> None:
    """Engines of 20.10 die of such a file, so the client must not be reached: this one does not even exist."""
    with pytest.raises(ContextError) as caught:
        build(request(tmp_path, dockerfile), endpoint=endpoint, client=NO_CLIENT, on_event=lambda _: None)
    assert caught.value.code == "dockerfile-invalid"
    assert "no FROM" in caught.value.message


def test_a_client_that_is_gone(tmp_path: Path, endpoint: Endpoint) -> None:
    with pytest.raises(ClientError) as caught:
        build(request(tmp_path, f"FROM {BASE}\n"), endpoint=endpoint, client=NO_CLIENT, on_event=lambda _: None)
    assert caught.value.code == "client-not-started"


def test_an_engine_that_is_gone_is_not_taken_for_a_failed_step(
    tmp_path: Path, client: BuildClient, free_port: int
) -> None:
    gone = Endpoint(host=f"tcp://127.0.0.1:{free_port}", origin="test")
    with pytest.raises(EngineError) as caught:
        build(request(tmp_path, f"FROM {BASE}\n"), endpoint=gone, client=client, on_event=lambda _: None)
    assert caught.value.code == "engine-lost"


def test_an_engine_that_dies_in_the_middle_of_a_step(tmp_path: Path, engine_host: str, client: BuildClient) -> None:
    with engine_proxy(tmp_path, engine_host) as proxy:

        def cut(event: BuildEvent) -> None:
            if event.text == "running":
                proxy.cut()

        context = tmp_path / "context"
        context.mkdir()
        wanted = request(context, f"FROM {BASE}\nRUN echo running && sleep 300\n", no_cache=True)
        with pytest.raises(EngineError) as caught:
            build(wanted, endpoint=proxy.endpoint, client=client, on_event=cut)
    assert caught.value.code == "engine-lost"
    assert str(tmp_path / "proxy.sock") in caught.value.message


def test_events_come_while_the_build_runs(build_image: Builder, events: list[BuildEvent]) -> None:
    image = build_image(f"FROM {BASE}\nRUN echo first && sleep 1 && echo {os.urandom(4).hex()}\n")
    assert image.image_id.startswith("sha256:")
    run = next(event for event in events if "RUN echo first" in event.name)
    mine = [event for event in events if event.step == run.step]
    assert [event.kind for event in mine] == [
        BuildEventKind.STEP_STARTED,
        BuildEventKind.STEP_OUTPUT,
        BuildEventKind.STEP_OUTPUT,
        BuildEventKind.STEP_FINISHED,
    ]
    assert mine[1].text == "first"
    assert (mine[-1].seconds or 0) >= 1


def test_a_second_build_is_cached_unless_told_otherwise(build_image: Builder, events: list[BuildEvent]) -> None:
    dockerfile = f"FROM {BASE}\nRUN echo {os.urandom(4).hex()}\n"

    def cached(**fields: object) -> bool:
        events.clear()
        build_image(dockerfile, **fields)
        return any(event.kind is BuildEventKind.STEP_CACHED and "RUN" in event.name for event in events)

    assert not cached()
    assert cached()
    assert not cached(no_cache=True)


def test_build_args_labels_and_target_arrive(
    build_image: Builder, docker_client: docker.DockerClient, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREETING", "of the shell")
    image = build_image(
        f"FROM {BASE} AS one\nARG GREETING\nENV SAID=$GREETING\nFROM {BASE} AS two\nENV OTHER=1\n",
        target="one",
        build_args={"GREETING": 'a "b" $c =d'},
    )
    assert image.config["config"]["Env"][-1] == 'SAID=a "b" $c =d'
    found = docker_client.images.get(f"imageforge-test/{instance}:1")
    assert found.id == image.image_id
    assert found.labels["io.imageforge.instance"] == instance


def test_dockerignore_is_honoured(tmp_path: Path, build_image: Builder) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name in ("kept.txt", "secret.env"):
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("*.env\n")
    build_image(f"FROM {BASE}\nCOPY . /app\nRUN test -f /app/kept.txt && test ! -e /app/secret.env\n")
    with pytest.raises(StepFailed, match=r"secret\.env is not in the build context"):
        build_image(f"FROM {BASE}\nCOPY secret.env /\n")


def test_a_dockerfile_outside_the_context(
    tmp_path: Path, endpoint: Endpoint, client: BuildClient, instance: str
) -> None:
    context = tmp_path / "only"
    context.mkdir()
    (context / "data").write_text("x")
    outside = tmp_path / "elsewhere.Dockerfile"
    outside.write_text(f"FROM {BASE}\nCOPY data /data\n")
    labels = {"io.imageforge.instance": instance}
    wanted = BuildRequest(context=context, dockerfile=outside, tag=f"imageforge-test/{instance}:outside", labels=labels)
    image = build(wanted, endpoint=endpoint, client=client, on_event=lambda _: None)
    assert len(image.diff_ids) == 2


def test_cancelling_ends_the_build_and_its_client_in_two_seconds(
    build_image: Builder, events: list[BuildEvent], docker_client: docker.DockerClient, instance: str
) -> None:
    before = children()
    cancelled, finished = threading.Event(), threading.Event()
    set_at: list[float] = []

    def cancel_when_running() -> None:
        while not any(event.text == "running" for event in list(events)):
            if finished.wait(0.02):
                return
        set_at.append(time.monotonic())
        cancelled.set()

    watcher = threading.Thread(target=cancel_when_running)
    watcher.start()
    dockerfile = f"FROM {BASE}\nRUN echo running && sleep 300 && echo {os.urandom(4).hex()}\n"
    try:
        with pytest.raises(Cancelled) as caught:
            build_image(dockerfile, cancelled=cancelled)
        ended = time.monotonic()
    finally:
        finished.set()
        watcher.join()
    assert caught.value.code == "build-cancelled"
    assert ended - set_at[0] < 2
    assert children() == before
    with pytest.raises(docker.errors.ImageNotFound):
        docker_client.images.get(f"imageforge-test/{instance}:1")


def test_an_interrupt_ends_the_client_and_propagates(tmp_path: Path, endpoint: Endpoint, client: BuildClient) -> None:
    before = children()

    def interrupt(event: BuildEvent) -> None:
        if event.text == "running":
            raise KeyboardInterrupt

    wanted = request(tmp_path, f"FROM {BASE}\nRUN echo running && sleep 300\n", no_cache=True)
    with pytest.raises(KeyboardInterrupt):
        build(wanted, endpoint=endpoint, client=client, on_event=interrupt)
    assert children() == before
