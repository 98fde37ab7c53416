"""How everybody else talks to the controller."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from runtime import protocol
from runtime.errors import ControllerUnreachable
from runtime.model import AppliedObject, ControllerInfo, DeploymentStatus, LogLine, ServiceCounters

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds an answer may take; a reload of the balancer is the slowest thing that is waited for."""


class ControllerClient:
    """One controller, by its socket. Each call is a connection of its own.

    Raises ControllerUnreachable where nobody answers, and whatever the controller raised.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def info(self) -> ControllerInfo:
        """Who answers."""
        return self._one("info", ControllerInfo)

    def apply(self, manifests: str, *, source: str = "manifest.yaml") -> tuple[AppliedObject, ...]:
        """Apply manifests, all or none. Raises ManifestError with the source's line."""
        return tuple(self._ask("apply", manifests=manifests, source=source))

    def deployments(self, namespace: str | None = None) -> tuple[DeploymentStatus, ...]:
        """Every Deployment, or those of a namespace."""
        return tuple(self._ask("deployments", namespace=namespace))

    def deployment(self, namespace: str, name: str) -> DeploymentStatus:
        """One Deployment. Raises NotFound."""
        return self._one("deployment", DeploymentStatus, namespace=namespace, name=name)

    def watch(self, namespace: str, name: str, *, timeout: float | None = None) -> Iterator[DeploymentStatus]:
        """A Deployment's status now, at each change, and at least every second; until `timeout` seconds, if given."""
        yield from self._ask("watch", namespace=namespace, name=name, timeout=timeout)

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Ask for so many replicas. Returns before they run."""
        list(self._ask("scale", namespace=namespace, name=name, replicas=replicas))

    def restart(self, namespace: str, name: str) -> None:
        """Have every replica replaced. Returns before they are."""
        list(self._ask("restart", namespace=namespace, name=name))

    def delete(self, namespace: str, kind: str, name: str) -> None:
        """Delete an object. Raises NotFound. Replicas are drained and stopped afterwards."""
        list(self._ask("delete", namespace=namespace, kind=kind, name=name))

    def counters(self, namespace: str, service: str) -> ServiceCounters:
        """What the balancer counted for a Service. Raises NotFound."""
        return self._one("counters", ServiceCounters, namespace=namespace, service=service)

    def manifests(self, namespace: str, name: str) -> str:
        """A Deployment's manifest as it is now, as YAML. Raises NotFound."""
        (data,) = self._ask("manifest", namespace=namespace, name=name)
        return yaml.safe_dump(data, sort_keys=False)

    def logs(self, namespace: str, name: str, *, follow: bool = False, tail: int | None = None) -> Iterator[LogLine]:
        """The replicas' output, merged; `follow` goes on with what comes, of later replicas too."""
        yield from self._ask("logs", namespace=namespace, name=name, follow=follow, tail=tail)

    def _one(self, verb: str, kind: type[T], **args: Any) -> T:
        (answer,) = self._ask(verb, **args)
        assert isinstance(answer, kind)
        return answer

    def _ask(self, verb: str, **args: Any) -> Iterator[Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(None if args.get("follow") else TIMEOUT)
            try:
                connection.connect(str(self._path))
                connection.sendall(protocol.encode({"v": protocol.VERSION, "verb": verb, "args": args}))
            except PermissionError as error:
                raise self._unreachable(
                    "you may not open it", "use sudo, or be the user who ran `imageforge up`"
                ) from error
            except OSError as error:
                raise self._unreachable(f"nobody answers: {error.strerror or error}", "imageforge up") from error
            with connection.makefile("rb") as lines:
                yield from self._answers(lines)

    def _answers(self, lines: Any) -> Iterator[Any]:
        try:
            for line in lines:
                answer = json.loads(line)
                if "error" in answer:
                    raise protocol.decode_error(answer["error"])
                if "end" in answer:
                    return
                yield protocol.decode_item(answer)
        except OSError as error:
            raise self._unreachable(f"it broke off: {error}", "imageforge status") from error
        raise self._unreachable("it ended in the middle of its answer", "imageforge status")

    def _unreachable(self, what: str, hint: str) -> ControllerUnreachable:
        return ControllerUnreachable("controller-unreachable", str(self._path), what, hint=hint)
