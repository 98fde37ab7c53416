"""The services of a stack, in the order they start."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.entry.key import entry_key
from imageforge.entry.registry_token import ISSUER, Signer
from imageforge.entry.standing import certificate_folders
from imageforge.errors import StackError
from imageforge.stack import private_engine, probes
from imageforge.stack.edition import edition
from imageforge.stack.process import read_pid_file
from imageforge.stack.service import Service
from registry import TokenLogin, registry_config
from runtime import ControllerClient, PublicEntry, RuntimeFailure, RuntimeSettings, initial_balancer_config
from runtime import purge as purge_replicas

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where daemons are installed, and where the PATH of a user other than root does not look."""


def program(*names: str) -> str:
    """The path of the first of these programs that is installed.

    Raises StackError (`program-missing`).
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise StackError("program-missing", names[0], "not installed", hint="`imageforge doctor` says how to install it")


def runtime_settings(home: Home, settings: Settings, engine: str) -> RuntimeSettings:
    """What the controller of this home is told."""
    return RuntimeSettings(
        instance=home.instance,
        engine=engine,
        store=home.runtime_store,
        socket=home.controller_socket,
        lock=home.run / "controller.lock",
        balancer_config=home.state / "haproxy.cfg",
        balancer_socket=home.balancer_socket,
        balancer_master_socket=home.balancer_master_socket,
        key=home.key_file,
        secret_files=Path(settings.secret_files) / f"imageforge-{home.instance}",
        http_address=settings.http_address,
        http_port=settings.http_port,
        host_suffix=settings.host_suffix,
        public=_public(home, settings) if settings.public else None,
        host_paths=settings.host_paths,
        allow_privileged=settings.allow_privileged,
        restricted=settings.restricted,
        node_labels=dict(settings.node_labels),
        seccomp_profiles=settings.seccomp_profiles,
        apparmor_profiles=settings.apparmor_profiles,
    )


def _public(home: Home, settings: Settings) -> PublicEntry:
    return PublicEntry(
        address=settings.public_address,
        http_port=settings.public_http_port,
        https_port=settings.https_port,
        host=settings.public_host,
        api=f"127.0.0.1:{settings.api_port}",
        registry=f"127.0.0.1:{settings.public_registry_port}",
        key=entry_key(home.entry_key_file),
        certificates=certificate_folders(home, settings),
        acme=settings.acme,
    )


def services(home: Home, settings: Settings, *, engine: str, private: bool) -> tuple[Service, ...]:
    """Every daemon that this home runs. `engine` is the endpoint; `private` adds a dockerd that serves it."""
    runtime = runtime_settings(home, settings, engine)
    return (
        *((_engine(home, settings),) if private else ()),
        *registries(home, settings),
        _redis(home),
        _balancer(home, runtime),
        *((_resolver(home, runtime),) if os.geteuid() == 0 and engine.startswith("unix://") else ()),
        _controller(home, runtime, private=private),
        _hooks(home),
        _api(home, settings),
        *(_worker(home, number) for number in range(1, settings.workers + 1)),
    )


def _engine(home: Home, settings: Settings) -> Service:
    return Service(
        name="engine",
        argv=(program("dockerd"), *private_engine.argv(home)[1:]),
        address=f"unix://{home.engine_socket}",
        log=home.log / "engine.log",
        pid_file=home.run / "engine.pid",
        ready=lambda: probes.engine_ok(home.engine_socket),
        prepare=lambda: private_engine.prepare(home, settings),
        clean=lambda: private_engine.clean(home),
        environ={"PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])},
        ready_seconds=60,
        stop_seconds=30,
    )


def registries(home: Home, settings: Settings) -> tuple[Service, ...]:
    """The registry, and the one that others reach where there is one; both on the same files."""
    return (_registry(home, settings), *((_public_registry(home, settings),) if settings.public else ()))


def _registry(home: Home, settings: Settings) -> Service:
    config = home.state / "registry.yml"
    root = home.state / "registry"

    def prepare() -> None:
        root.mkdir(mode=0o700, exist_ok=True)
        read_only = read_pid_file(home.registry_read_only) is not None
        config.write_text(
            registry_config(root=root, address="127.0.0.1", port=settings.registry_port, read_only=read_only)
        )

    return Service(
        name="registry",
        # Debian's package renames upstream's `registry`, which is too common a word for a program on PATH.
        argv=(program("docker-registry", "registry"), "serve", str(config)),
        address=settings.registry,
        log=home.log / "registry.log",
        pid_file=home.run / "registry.pid",
        ready=lambda: probes.http_ok("127.0.0.1", settings.registry_port, "/v2/"),
        prepare=prepare,
        environ={"OTEL_TRACES_EXPORTER": "none"},
    )


def _public_registry(home: Home, settings: Settings) -> Service:
    """The registry that others reach, through the balancer: the same images, but with a token only."""
    config = home.state / "registry-public.yml"
    root = home.state / "registry"

    def prepare() -> None:
        root.mkdir(mode=0o700, exist_ok=True)
        login = TokenLogin(
            realm=f"{settings.service_url}/v1/registry/token",
            service=settings.public_host,
            issuer=ISSUER,
            certificates=Signer(home.registry_signer).publish(),
        )
        config.write_text(
            registry_config(
                root=root,
                address="127.0.0.1",
                port=settings.public_registry_port,
                login=login,
                read_only=read_pid_file(home.registry_read_only) is not None,
            )
        )

    return Service(
        name="registry-public",
        argv=(program("docker-registry", "registry"), "serve", str(config)),
        address=f"127.0.0.1:{settings.public_registry_port}",
        log=home.log / "registry-public.log",
        pid_file=home.run / "registry-public.pid",
        # Where a token is needed, its absence is what proves that it serves.
        ready=lambda: probes.http_ok("127.0.0.1", settings.public_registry_port, "/v2/", status=401),
        prepare=prepare,
        environ={"OTEL_TRACES_EXPORTER": "none"},
    )


def _redis(home: Home) -> Service:
    folder = home.state / "redis"
    options = {
        "port": "0",
        "unixsocket": str(home.redis_socket),
        "unixsocketperm": "600",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "daemonize": "no",
    }
    return Service(
        name="redis",
        argv=(
            program("redis-server", "valkey-server"),
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        ),
        address=f"unix://{home.redis_socket}",
        log=home.log / "redis.log",
        pid_file=home.run / "redis.pid",
        ready=lambda: probes.redis_ok(home.redis_socket),
        prepare=lambda: folder.mkdir(mode=0o700, exist_ok=True),
    )


def _balancer(home: Home, runtime: RuntimeSettings) -> Service:
    started: list[bool] = []

    def prepare() -> None:
        # With its first start there is nothing to serve: addresses of an earlier boot may be another app's by now. When
        # it died under us, the file holds the servers of this moment.
        if not started or not runtime.balancer_config.exists():
            runtime.balancer_config.touch(mode=0o600)
            runtime.balancer_config.write_text(initial_balancer_config(runtime))
        started.append(True)
        for socket in (home.balancer_socket, home.balancer_master_socket):
            socket.unlink(missing_ok=True)

    return Service(
        name="balancer",
        argv=(
            program("haproxy"),
            "-W",
            "-f",
            str(runtime.balancer_config),
            "-S",
            f"{home.balancer_master_socket},mode,600",
        ),
        address=f"{runtime.http_address}:{runtime.http_port}",
        log=home.log / "balancer.log",
        pid_file=home.run / "balancer.pid",
        ready=lambda: probes.haproxy_ok(home.balancer_socket),
        prepare=prepare,
    )


def _resolver(home: Home, runtime: RuntimeSettings) -> Service:
    """Who answers for the names of Services. It can do so as root alone, and beside the engine alone."""
    file = home.state / "resolver.json"

    def prepare() -> None:
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(runtime.to_json())

    return Service(
        name="resolver",
        argv=(sys.executable, "-m", "runtime.discovery", "--settings", str(file)),
        address="port 53 of each namespace's network",
        log=home.log / "resolver.log",
        pid_file=home.run / "resolver.pid",
        ready=lambda: probes.listens(runtime.resolver_socket),
        prepare=prepare,
        environ=python_environment(),
        edition=edition(),
    )


def _controller(home: Home, runtime: RuntimeSettings, *, private: bool) -> Service:
    file = home.state / "controller.json"

    def ready() -> str | None:
        try:
            info = ControllerClient(home.controller_socket).info()
        except RuntimeFailure as failure:
            return failure.message
        return None if info.engine_ok and info.balancer_ok else "the engine or the balancer does not answer it yet"

    def prepare() -> None:
        file.touch(mode=0o600)
        file.chmod(0o600)  # it holds the key by which the API believes the balancer
        file.write_text(runtime.to_json())

    def clean() -> None:
        purge_replicas(runtime)

    return Service(
        name="controller",
        argv=(sys.executable, "-m", "runtime", "controller", "--settings", str(file)),
        address=f"unix://{home.controller_socket}",
        log=home.log / "controller.log",
        pid_file=home.run / "controller.pid",
        ready=ready,
        prepare=prepare,
        clean=clean,
        environ=python_environment(),
        edition=edition(),
        needs=("balancer", *(("engine",) if private else ())),
    )


def _api(home: Home, settings: Settings) -> Service:
    return Service(
        name="api",
        argv=(sys.executable, "-m", "imageforge.api", "--home", str(home.path)),
        address=f"127.0.0.1:{settings.api_port}",
        log=home.log / "api.log",
        pid_file=home.run / "api.pid",
        ready=lambda: probes.http_ok("127.0.0.1", settings.api_port, "/v1/health"),
        listens=("127.0.0.1", settings.api_port),
        environ=python_environment(),
        edition=edition(),
        needs=("redis",),
    )


def _hooks(home: Home) -> Service:
    return Service(
        name="hooks",
        argv=(sys.executable, "-m", "imageforge.git_remote.runner", "--home", str(home.path)),
        address=f"unix://{home.hooks_socket}",
        log=home.log / "hooks.log",
        pid_file=home.run / "hooks.pid",
        ready=lambda: probes.listens(home.hooks_socket),
        environ=python_environment(),
        edition=edition(),
    )


def _worker(home: Home, number: int) -> Service:
    pid_file, sign = home.run / f"worker-{number}.pid", home.run / f"worker-{number}.ready"

    def ready() -> str | None:
        identity = read_pid_file(pid_file)
        said = sign.read_text() if sign.exists() else ""
        return None if identity and said == str(identity.pid) else "it does not wait for builds yet"

    return Service(
        name=f"worker-{number}",
        argv=(sys.executable, "-m", "imageforge.queue", "--home", str(home.path), "--sign", str(sign)),
        address="-",
        log=home.log / f"worker-{number}.log",
        pid_file=pid_file,
        ready=ready,
        prepare=lambda: sign.unlink(missing_ok=True),
        environ=python_environment(),
        edition=edition(),
        needs=("redis", "controller"),
    )


def python_environment() -> dict[str, str]:
    """What a Python of ours needs to find these packages when they run from a checkout."""
    source = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([source, *([inherited] if inherited else [])]), "PYTHONUNBUFFERED": "1"}
