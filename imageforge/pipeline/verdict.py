"""Whether a rollout is done, failed, or worth waiting for. Pure: a status and a time in, a verdict out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from runtime import DeploymentStatus, ReplicaStatus, RolloutPhase

PATIENCE_WITH_PORT = 10.0
"""Seconds a replica may run, listening somewhere else, before the port is called wrong: a server that is still
starting listens nowhere, one that listens elsewhere has made its mind up."""
PATIENCE_WITH_PROBE = 20.0
"""Seconds a replica may answer 404 to its health check: an app that still starts answers nothing, or 503."""
NOT_FOUND = re.compile(r"answered (404|405|410)\b")
CRASHES = 2
"""Restarts of a replica that was never ready after which it is not waited for: the first one is at once, the second
comes ten seconds later, the third twenty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`done` and `failed` are never both set; `code`, `message`, `hint` and `log` belong to a failure."""

    done: bool = False
    failed: bool = False
    code: str = ""
    subject: str = ""
    message: str = ""
    hint: str = ""
    log: tuple[str, ...] = ()


def judge(status: DeploymentStatus, *, port: int | None, now: float) -> Verdict:
    """The state of a rollout to the newest revision; `port` is where the app is expected to listen, None for a process
    that need not."""
    if status.observed_generation < status.generation:
        return Verdict()
    if status.phase is RolloutPhase.COMPLETE:
        return Verdict(done=True)
    fresh = [replica for replica in status.replica_list if replica.revision == status.revision and not replica.ready]
    for replica in fresh:
        verdict = _judge_replica(replica, port=port, now=now)
        if verdict.failed:
            return verdict
    if status.phase is RolloutPhase.STALLED:
        return _stalled(status, fresh, port=port)
    return Verdict()


def _judge_replica(replica: ReplicaStatus, *, port: int | None, now: float) -> Verdict:
    if replica.phase in ("ImagePullBackOff", "ErrImagePull"):
        return _failure("image-unavailable", replica, replica.message, hint="imageforge doctor checks the registry")
    if replica.phase in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return _failure("replica-not-created", replica, replica.message, hint="put that right, then deploy again")
    if replica.restarts >= CRASHES or (replica.restarts and replica.phase == "CrashLoopBackOff"):
        return _crashed(replica)
    running_for = now - replica.started_at if replica.started_at else 0.0
    if running_for > PATIENCE_WITH_PROBE and NOT_FOUND.search(replica.message):
        return _failure(
            "health-check-fails",
            replica,
            f"listens, but {replica.message}",
            hint="serve that path, or name another one: [app] health in imageforge.toml",
        )
    if running_for > PATIENCE_WITH_PORT:
        return _wrong_port(replica, port)
    return Verdict()


def _crashed(replica: ReplicaStatus) -> Verdict:
    if replica.phase == "OOMKilled":
        return _failure("replica-out-of-memory", replica, "killed for want of memory", hint="give it more memory")
    code = f"code {replica.exit_code}" if replica.exit_code is not None else "an unknown code"
    return _failure(
        "replica-exits",
        replica,
        f"exited with {code}, {replica.restarts + 1} times; expected it to go on running",
        hint="its last lines are above"
        if replica.last_log
        else "it wrote nothing: does its CMD name a program that stays in the foreground?",
    )


def _wrong_port(replica: ReplicaStatus, port: int | None) -> Verdict:
    if port is None or not replica.listening or listens_on(replica.listening, port):
        return Verdict()
    others = ", ".join(replica.listening)
    where = next(iter(replica.listening)).rpartition(":")[2]
    right = where == str(port)
    hint = (
        f"bind to 0.0.0.0 instead of {next(iter(replica.listening)).rpartition(':')[0]}: the balancer is another host"
        if right
        else f"listen on 0.0.0.0:$PORT, or set [app] port = {where} in imageforge.toml"
    )
    return _failure("port-not-listening", replica, f"listens on {others}, expected 0.0.0.0:{port}", hint=hint)


def _stalled(status: DeploymentStatus, fresh: Sequence[ReplicaStatus], *, port: int | None) -> Verdict:
    for replica in fresh:
        wrong = _wrong_port(replica, port)
        if wrong.failed:
            return wrong
        if replica.restarts:
            return _crashed(replica)
    log = next((replica.last_log for replica in fresh if replica.last_log), ())
    detail = next((replica.message for replica in fresh if replica.message), status.message)
    return Verdict(
        failed=True,
        code="rollout-stalled",
        subject=status.name,
        message=f"{status.available} of {status.desired} replicas available, and no progress since; {detail}",
        hint=f"imageforge logs {status.app or status.name}; a slow start needs a larger deploy_deadline",
        log=log,
    )


def listens_on(addresses: Sequence[str], port: int) -> bool:
    """Whether one of these addresses accepts connections to this port from other hosts."""
    for address in addresses:
        host, _, number = address.rpartition(":")
        if number == str(port) and not ipaddress.ip_address(host.strip("[]")).is_loopback:
            return True
    return False


def _failure(code: str, replica: ReplicaStatus, message: str, *, hint: str) -> Verdict:
    return Verdict(failed=True, code=code, subject=replica.name, message=message, hint=hint, log=replica.last_log)
