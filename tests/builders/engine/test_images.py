"""Images in the engine, and whether a build could start from one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import pytest

from builders import Endpoint, EngineError, inspect_image, remove_tag, resolvable
from builders.engine.images import built_image

from ..conftest import BASE, Builder

pytestmark = pytest.mark.engine


class SlowRegistry(BaseHTTPRequestHandler):
    """Answers nothing until it is told to end."""

    released: threading.Event

    def do_GET(self) -> None:
        self.released.wait(30)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_registry() -> Iterator[int]:
    SlowRegistry.released = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowRegistry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    SlowRegistry.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_image_that_is_missing(endpoint: Endpoint) -> None:
    with pytest.raises(EngineError) as caught:
        inspect_image("imageforge-test/none:1", endpoint=endpoint)
    assert caught.value.code == "image-missing"
    assert caught.value.subject == "imageforge-test/none:1"


def test_an_engine_that_is_gone(free_port: int) -> None:
    gone = Endpoint(host=f"tcp://127.0.0.1:{free_port}", origin="test")
    with pytest.raises(EngineError) as caught:
        inspect_image(BASE, endpoint=gone)
    assert caught.value.code == "engine-unreachable"


def test_what_is_in_the_engine_resolves(endpoint: Endpoint) -> None:
    assert resolvable(endpoint, BASE).place == "engine"


@pytest.mark.parametrize("reference", ["localhost:1/nothing:1", "no.such.host.invalid/x:1", "UPPER:case"])
def test_what_nobody_serves_does_not(endpoint: Endpoint, reference: str) -> None:
    resolution = resolvable(endpoint, reference, 5)
    assert not resolution
    assert resolution.reason


def test_a_registry_that_hangs_is_given_up_in_time(endpoint: Endpoint, slow_registry: int) -> None:
    began = time.monotonic()
    resolution = resolvable(endpoint, f"127.0.0.1:{slow_registry}/x:1", 1)
    assert not resolution
    assert "in time" in resolution.reason
    assert time.monotonic() - began < 20


def test_a_tag_is_removed_and_the_image_stays_under_its_other(
    endpoint: Endpoint, build_image: Builder, docker_client: docker.DockerClient, instance: str
) -> None:
    image = build_image(f"FROM {BASE}\nENV A=1\n")
    tag, other = f"imageforge-test/{instance}:1", f"imageforge-test/{instance}:2"
    docker_client.images.get(tag).tag(other)
    assert remove_tag(endpoint, tag)
    assert not remove_tag(endpoint, tag)
    assert inspect_image(other, endpoint=endpoint).image_id == image.image_id


def test_an_image_in_use_is_not_removed(
    endpoint: Endpoint, build_image: Builder, docker_client: docker.DockerClient, instance: str
) -> None:
    build_image(f"FROM {BASE}\nENV A=2\n")
    tag = f"imageforge-test/{instance}:1"
    docker_client.containers.create(tag, "true", labels={"io.imageforge.instance": instance})
    with pytest.raises(EngineError) as caught:
        remove_tag(endpoint, tag)
    assert caught.value.code == "engine-refused"
    assert inspect_image(tag, endpoint=endpoint)


def test_the_config_has_oci_form(endpoint: Endpoint, build_image: Builder) -> None:
    image = build_image(f"FROM {BASE}\nEXPOSE 8080 53/udp 80/tcp\nLABEL a=b\nUSER nobody\n")
    assert image.exposed_ports == (80, 8080)
    assert image.config["config"]["User"] == "nobody"
    assert image.config["rootfs"]["diff_ids"] == list(image.diff_ids)


def test_an_image_without_layers() -> None:
    image = built_image({"Id": "sha256:0", "Config": None, "RootFS": {"Type": "layers"}})
    assert (image.diff_ids, image.size, image.exposed_ports) == ((), 0, ())
