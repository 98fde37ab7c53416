"""Whether the balancer has a Service as it stands: who waits for it gets an answer at once."""

from __future__ import annotations

import pytest

from tests.runtime.load import Session
from tests.runtime.stack import Stack, manifest, wait_for

pytestmark = pytest.mark.engine

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: way, annotations: {{imageforge.io/host: {host}}}}}
spec:
  selector: {{app: hello}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"""


def served(stack: Stack) -> bool:
    return next(item.served for item in stack.client.services("default") if item.name == "way")


def test_a_service_is_served_once_a_request_to_it_is_answered(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=2, service=False))
    stack.until_complete("hello")
    for number in range(10):
        host = f"way-{number}.localhost"
        stack.client.apply(SERVICE.format(host=host))
        wait_for(lambda: served(stack), interval=0.001)
        with Session(stack.settings.http_port, host) as session:
            assert session.status("/") == 200
        if number % 3 == 2:
            stack.client.delete("default", "Service", "way")

    # Nobody serves what HAProxy was not told of, and what it was told of is served when it is back.
    stack.stop_haproxy()
    stack.client.apply(SERVICE.format(host="late.localhost"))
    assert not served(stack)
    stack.start_haproxy()
    wait_for(lambda: served(stack))
    with Session(stack.settings.http_port, "late.localhost") as session:
        assert session.status("/") == 200
