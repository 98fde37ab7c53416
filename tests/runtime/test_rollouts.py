"""Rollouts that are held, undone and told, on a real engine."""

from __future__ import annotations

import pytest

from runtime import Conflict, DeploymentStatus, NotFound
from tests.runtime.stack import Stack, is_complete, manifest

pytestmark = pytest.mark.engine


RELEASE = 'annotations: {imageforge.io/release: "7"}'


def versions(status: DeploymentStatus) -> set[int]:
    return {replica.revision for replica in status.replica_list if replica.phase != "Terminating"}


def test_a_rollout_is_paused_scaled_resumed_and_undone(stack: Stack, app_image: str) -> None:
    client = stack.client
    client.apply(manifest(app_image, replicas=2, env={"VERSION": "1"}))
    with pytest.raises(Conflict) as owned:
        client.undo("default", "hello")
    assert (owned.value.code, owned.value.hint) == ("owned-by-app", "imageforge rollback hello")
    client.apply(manifest(app_image, replicas=2, env={"VERSION": "1"}).replace(RELEASE, ""))
    stack.until_complete("hello")
    client.pause("default", "hello")
    with pytest.raises(Conflict, match="it is paused"):
        client.pause("default", "hello")
    client.apply(manifest(app_image, replicas=3, env={"VERSION": "2"}).replace(RELEASE, ""))
    held = stack.until("hello", lambda status: status.paused and status.available == 3)
    assert (held.revision, held.updated, versions(held)) == (3, 0, {2})
    assert [(item.type, item.status, item.reason) for item in held.conditions] == [
        ("Available", "True", "MinimumReplicasAvailable"),
        ("Progressing", "Unknown", "DeploymentPaused"),
    ]
    with pytest.raises(Conflict) as caught:
        client.undo("default", "hello")
    assert (caught.value.code, caught.value.hint) == ("rollout-paused", "imageforge rollout resume deployment/hello")
    client.resume("default", "hello")
    rolled = stack.until("hello", is_complete)
    assert versions(rolled) == {3}
    assert client.undo("default", "hello", revision=3).change == "unchanged"
    assert client.undo("default", "hello").change == "configured"
    undone = stack.until("hello", lambda status: is_complete(status) and status.revision == 4)
    assert versions(undone) == {4}
    _, first, second = client.revisions("default", "hello")
    assert [(first.number, first.current, first.replicas), (second.number, second.current, second.replicas)] == [
        (3, False, 0),
        (4, True, 3),
    ]
    with pytest.raises(NotFound) as missing:
        client.undo("default", "hello", revision=2)
    assert (missing.value.code, missing.value.hint) == ("revision-not-found", "it has the revisions 1, 3, 4")
    told = [event.message for event in client.events("default", "Deployment", "hello")]
    assert any(line.endswith(f"{first.hash} from 0 to 1") for line in told)


def test_recreate_ends_all_that_is_old_first(stack: Stack, app_image: str) -> None:
    strategy = "strategy: {type: Recreate}"
    stack.client.apply(manifest(app_image, replicas=2, extra=strategy, env={"VERSION": "1"}))
    stack.until_complete("hello")
    stack.client.apply(manifest(app_image, replicas=2, extra=strategy, env={"VERSION": "2"}))
    for status in stack.client.watch("default", "hello", timeout=60):
        assert len({replica.revision for replica in status.replica_list}) <= 1, status
        if is_complete(status) and status.revision == 2:
            return
    pytest.fail("it did not complete")
