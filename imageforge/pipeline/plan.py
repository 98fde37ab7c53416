"""What a run is going to do, decided before anything is touched: flags over imageforge.toml over defaults."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builders import SquashMode
from imageforge.config import RepositoryConfig
from imageforge.config.command import words
from imageforge.config.names import APP_NAME, FILE_NAME, WEB, too_long
from imageforge.errors import UsageError
from imageforge.pipeline.own_manifests import OwnManifests, read
from linters import Policy, Severity
from registry import ImageRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What was asked for. None: not said, so the repository's file or the default decides. `confined`: nothing outside
    of `path` may be read, because somebody else sent it."""

    path: Path
    dockerfile: Path | None = None
    tag: str | None = None
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    push: bool = True
    deploy: bool = False
    squash: SquashMode | None = None
    name: str | None = None
    port: int | None = None
    replicas: int | None = None
    confined: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A process beside web: its command's words, and its replicas where the file says."""

    name: str
    command: tuple[str, ...]
    replicas: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be done. `port` None: the image's only EXPOSE, else 8080. `replicas` None: what `scale` said, else 1;
    `replicas_from` names where a number came from. `command` is web's, None the image's own; `release` the release
    command as it is written; `own` the manifests that the repository brings. `repository` and `revision` are where the
    source came from, where that is git."""

    app: str
    source: str
    context: Path
    dockerfile: Path
    target: str | None
    build_args: Mapping[str, str]
    no_cache: bool
    squash: SquashMode
    fail_on: Severity
    policy: Policy
    tag: str | None
    push: bool
    deploy: bool
    port: int | None
    health: str | None
    replicas: int | None
    replicas_from: str
    environment: Mapping[str, str]
    command: tuple[str, ...] | None
    processes: tuple[Process, ...]
    release: str | None
    own: OwnManifests | None = None
    repository: str | None = None
    revision: str | None = None

    def waived(self, rule: str, today: datetime.date) -> bool:
        """Whether a waiver that still holds sets this rule aside."""
        return any(waiver.rule == rule and waiver.holds(today) for waiver in self.policy.waivers)


def plan(request: Request, config: RepositoryConfig) -> Plan:
    """Merge what was asked for with what the repository says. Raises UsageError for what makes no sense together,
    ConfigError for manifests that are refused, registry's InvalidReference for a tag that is none."""
    folder = request.path
    context = folder / config.build.context if config.build.context else folder
    named = Path(config.build.dockerfile) if config.build.dockerfile else None
    dockerfile = request.dockerfile or (folder / named if named else context / "Dockerfile")
    if request.confined:
        for named_path in (context, dockerfile):
            _refuse_outside(named_path, folder)
    if request.deploy and not request.push:
        raise UsageError(
            "deploy-needs-push",
            "--no-push",
            "a release runs the image that the registry holds",
            hint="leave out --no-push, or --deploy",
        )
    if request.tag is not None:
        ImageRef.parse(request.tag)  # a name that cannot be pushed is found now, not after the build
    app = app_name(request, config)
    own = _own(request, config, app)
    replicas, origin = _replicas(request, config)
    if own and WEB in own.fixed:
        origin = own.place
    processes = _processes(app, config)
    web = config.app.processes.get(WEB)
    return Plan(
        app=app,
        source=str(request.path),
        context=context,
        dockerfile=dockerfile,
        target=request.target or config.build.target,
        build_args={**config.build.args, **request.build_args},
        no_cache=request.no_cache,
        squash=request.squash or SquashMode(config.build.squash or "auto"),
        fail_on=Severity(config.lint.fail_on),
        policy=config.lint.policy(),
        tag=request.tag,
        push=request.push,
        deploy=request.deploy,
        port=own.port if own else request.port or config.app.port,
        health=own.path if own else config.app.health,
        replicas=replicas,
        replicas_from=origin,
        environment=config.app.env,
        command=words(web.command) if web and web.command else None,
        processes=processes,
        release=config.app.release,
        own=own,
    )


def _own(request: Request, config: RepositoryConfig, app: str) -> OwnManifests | None:
    """What the repository brings. Flags that say what they say are refused."""
    if config.manifests is None:
        return None
    for flag, value in (("--port", request.port), ("--replicas", request.replicas)):
        if value is not None:
            raise UsageError(
                "set-by-manifests",
                flag,
                f"the manifests in {config.manifests} say it",
                hint="change it there, or let imageforge.toml have [app] in the place of manifests",
            )
    return read(request.path, config.manifests, app)


def _processes(app: str, config: RepositoryConfig) -> tuple[Process, ...]:
    """Those beside web, by name."""
    found = []
    for name, section in sorted(config.app.processes.items()):
        problem = too_long(app, name)
        if problem:
            raise UsageError(
                "process-name-too-long", app, problem, hint=f"give the process {name} a shorter name in {FILE_NAME}"
            )
        if name != WEB and section.command is not None:
            found.append(Process(name=name, command=words(section.command), replicas=section.replicas))
    return tuple(found)


def _refuse_outside(path: Path, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            "outside-source",
            str(path.name),
            "it is not in the source that was sent",
            hint="[build] context and dockerfile name what lies in the repository",
            kept="nothing was read of it, and nothing was built",
        )


def _replicas(request: Request, config: RepositoryConfig) -> tuple[int | None, str]:
    if request.replicas is not None:
        return request.replicas, "--replicas"
    if config.app.replicas is not None:
        return config.app.replicas, FILE_NAME
    web = config.app.processes.get(WEB)
    if web is not None and web.replicas is not None:
        return web.replicas, FILE_NAME
    return None, ""


def app_name(request: Request, config: RepositoryConfig) -> str:
    """The app that a folder is: named by flag, by file, or after the folder. Raises UsageError (`invalid-app-name`)."""
    name = request.name or config.app.name
    if name is None:
        # A folder such as `01-Hello_HTTP` gives `hello-http`.
        name = re.sub(r"[^a-z0-9]+", "-", request.path.resolve().name.lower()).strip("-0123456789")[:40].rstrip("-")
    if not APP_NAME.fullmatch(name):
        raise UsageError(
            "invalid-app-name",
            name or str(request.path),
            "expected 1 to 40 of a-z, 0-9 and -, beginning with a letter",
            hint="pass --name, or set [app] name in imageforge.toml",
        )
    return name
