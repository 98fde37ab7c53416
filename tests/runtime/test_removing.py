"""Containers that two remove at once: whoever asks for it has it gone when the answer comes."""

from __future__ import annotations

import threading

import docker
import pytest

from linters.trial.engine import TrialEngine
from runtime.container import ContainerRequest
from runtime.engine import Engine
from runtime.labels import Label

pytestmark = pytest.mark.engine

TIMES = 6


@pytest.mark.parametrize("which", ["of apps", "of trials"])
def test_a_removal_that_is_under_way_is_waited_for(
    which: str, engine_host: str, docker_client: docker.DockerClient, instance: str, app_image: str
) -> None:
    engine, trials = Engine(engine_host), TrialEngine(engine_host)
    remove = engine.remove if which == "of apps" else trials.remove
    failed: list[BaseException] = []

    def removed(container_id: str, ready: threading.Barrier) -> None:
        ready.wait()
        try:
            remove(container_id)
            assert container_id not in {one.id for one in docker_client.containers.list(all=True)}
        except BaseException as error:
            failed.append(error)

    try:
        for turn in range(TIMES):
            request = ContainerRequest(
                name=f"imageforge-{instance}-web-{turn}", hostname="web", image=app_image, network="none",
                labels={Label.INSTANCE: instance, Label.REPLICA: "web"}, entrypoint=("sleep", "60"), command=(),
            )  # fmt: skip
            container_id = engine.create(request)
            engine.start(container_id)
            ready = threading.Barrier(3)
            threads = [threading.Thread(target=removed, args=(container_id, ready)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert failed == []
    finally:
        for container_id in engine.owned(instance):
            engine.remove(container_id)
        engine.close()
        trials.__exit__()
