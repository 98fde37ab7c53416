"""One instance with real processes, and the manifests of the small application in `app/`."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from runtime import (
    BalancerError,
    ControllerClient,
    DeploymentStatus,
    NotFound,
    RuntimeSettings,
    initial_balancer_config,
)
from runtime.balancer.socket import CommandSocket

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass
class Stack:
    """One instance: its settings and its processes."""

    settings: RuntimeSettings
    home: Path
    haproxy: subprocess.Popen[bytes] | None = None
    controller: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> ControllerClient:
        return ControllerClient(self.settings.socket)

    def start_haproxy(self) -> None:
        config = self.settings.balancer_config
        if not config.exists():
            config.write_text(initial_balancer_config(self.settings))
        with (self.home / "haproxy.log").open("ab") as log:
            self.haproxy = subprocess.Popen(
                ["/usr/sbin/haproxy", "-W", "-f", str(config), "-S", str(self.settings.balancer_master_socket)],
                stdout=log,
                stderr=log,
            )
        wait_for(self.balances)

    def stop_haproxy(self) -> None:
        assert self.haproxy is not None
        self.haproxy.terminate()
        self.haproxy.wait(20)
        self.haproxy = None
        self.settings.balancer_socket.unlink(missing_ok=True)

    def start_controller(self) -> None:
        file = self.home / "settings.json"
        file.write_text(self.settings.to_json())
        with (self.home / "controller.log").open("ab") as log:
            self.controller = subprocess.Popen(
                [sys.executable, "-m", "runtime", "controller", "--settings", str(file)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        wait_for(self.answers)

    def stop_controller(self, *, kill: bool = False) -> None:
        assert self.controller is not None
        self.controller.kill() if kill else self.controller.terminate()
        self.controller.wait(20)
        self.controller = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Both processes for as long as the block lasts; the controller's log must be without a stack trace."""
        try:
            self.start_haproxy()
            self.start_controller()
            yield
        finally:
            if self.haproxy is not None:
                self.stop_haproxy()
            if self.controller is not None:
                self.stop_controller()
        log = self.controller_log()
        assert "Traceback" not in log, log

    def kill_container(self, container_id: str, engine: str | None = None) -> None:
        """kill -9 of its first process; returns once it is dead."""
        api = docker.APIClient(base_url=engine or self.settings.engine)
        try:
            pid = api.inspect_container(container_id)["State"]["Pid"]
        finally:
            api.close()
        watched = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(watched, signal.SIGKILL)
            select.select([watched], [], [], 10)
        finally:
            os.close(watched)

    def balances(self) -> bool:
        """Whether HAProxy's worker and its master answer, of which the sockets are there a moment earlier."""
        try:
            for path in (self.settings.balancer_socket, self.settings.balancer_master_socket):
                CommandSocket(path).ask("help")
        except BalancerError:
            return False
        return True

    def answers(self) -> bool:
        try:
            self.client.info()
        except Exception:
            return False
        return True

    def until(
        self, name: str, reached: Callable[[DeploymentStatus], bool], *, namespace: str = "default", timeout: float = 60
    ) -> DeploymentStatus:
        """The first status that is as wanted."""
        status = None
        for status in self.client.watch(namespace, name, timeout=timeout):
            if reached(status):
                return status
        raise AssertionError(f"not reached within {timeout} s: {status}\n{self.controller_log()}")

    def until_gone(self, name: str, timeout: float = 30) -> None:
        """Until a Deployment that is being deleted is no more."""
        with contextlib.suppress(NotFound):
            for _ in self.client.watch("default", name, timeout=timeout):
                pass
        with pytest.raises(NotFound):
            self.client.deployment("default", name)

    def until_complete(self, name: str, timeout: float = 60) -> DeploymentStatus:
        return self.until(name, is_complete, timeout=timeout)

    def controller_log(self) -> str:
        return (self.home / "controller.log").read_text()[-6000:]


def is_complete(status: DeploymentStatus) -> bool:
    return status.phase == "complete" and status.observed_generation == status.generation


def wait_for(condition: Callable[[], object], timeout: float = 20.0, interval: float = 0.02) -> None:
    """Until it holds; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true within {timeout} s"
        time.sleep(interval)


def make_settings(home: Path, instance: str, engine: str, port: int) -> RuntimeSettings:
    return RuntimeSettings(
        instance=instance,
        engine=engine,
        store=home / "runtime.db",
        socket=home / "controller.sock",
        lock=home / "controller.lock",
        balancer_config=home / "haproxy.cfg",
        balancer_socket=home / "haproxy.sock",
        balancer_master_socket=home / "haproxy-master.sock",
        key=home / "key",
        secret_files=Path("/dev/shm") / f"imageforge-{instance}",
        http_port=port,
    )


def manifest(
    image: str,
    *,
    name: str = "hello",
    replicas: int | None = 3,
    env: dict[str, str] | None = None,
    extra: str = "",
    container: str = "",
    probe: bool = True,
    service: bool = True,
    host: str | None = None,
    grace: int = 5,
) -> str:
    """A Deployment, and a Service that routes `<name>.localhost` to it."""
    variables = "".join(f'\n            - {{name: {key}, value: "{value}"}}' for key, value in (env or {}).items())
    text = f"""
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  {f"replicas: {replicas}" if replicas is not None else ""}
  {extra}
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}, app.kubernetes.io/name: {name}}}
      annotations: {{imageforge.io/release: "7"}}
    spec:
      terminationGracePeriodSeconds: {grace}
      containers:
        - name: {name}
          image: {image}
          {container}
          ports: [{{containerPort: 8080, name: http}}]
          {f"env:{variables}" if variables else ""}
          securityContext: {{runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}}
          {"readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1}" if probe else ""}
"""
    if service:
        text += f"""---
apiVersion: v1
kind: Service
metadata:
  name: {name}
  annotations: {{imageforge.io/host: {host or f"{name}.localhost"}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: http}}]
"""
    return text
