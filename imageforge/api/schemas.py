"""What goes over the wire: bodies that are asked for, and answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imageforge.config.names import WEB
from imageforge.entry.standing import Standing
from imageforge.pipeline.release import FILES
from imageforge.store import App, Build, Domain, Hook, Notice, Release, Scope, SealedSecret, Token
from imageforge.store.app_config import OWN

Name = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$")]
VariableName = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
# Which of them a purpose allows is decided where it is set: of a registry it is a host.
SecretName = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")]
Value = Annotated[str, Field(max_length=65536, pattern=r"^[^\x00]*$")]
BuildId = Annotated[int, Field(ge=1, le=2**53)]
# What a header or an argument of a program could trip over is refused at the border.
Word = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Problem(BaseModel):
    """An error, as RFC 9457 has it; `code` is the one that the command line shows, and stays."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    subject: str | None = None
    message: str | None = None
    hint: str | None = None
    kept: str | None = None


class Body(BaseModel):
    """A request's body: no unknown fields."""

    model_config = ConfigDict(extra="forbid")


class AppSettingsBody(Body):
    """What `apps set` sets; what is left out stays as it is."""

    branch: Word | None = None
    git_url: Word | None = None
    watch: list[Word] | None = None
    on_newer: Literal["finish", "cancel"] | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None


class NewApp(AppSettingsBody):
    """An app to make."""

    name: Name


class OptionsBody(Body):
    """How to build, and whether to deploy."""

    dockerfile: Word | None = None
    tag: Word | None = None
    target: Word | None = None
    args: dict[VariableName, Value] = Field(default_factory=dict)
    no_cache: bool = False
    deploy: bool = True
    squash: Literal["auto", "from-base", "all", "none"] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    replicas: Annotated[int, Field(ge=0, le=100)] | None = None


class GitBody(Body):
    """A repository's ref, or one of its commits."""

    url: Word
    ref: Word = "HEAD"
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")] | None = None


class NewBuild(Body):
    """A build from git."""

    app: Name
    git: GitBody
    options: OptionsBody = Field(default_factory=OptionsBody)


class Rollback(Body):
    """The release to go back to; None: the one before the live one."""

    release: Annotated[int, Field(ge=1, le=2**31)] | None = None


class Scale(Body):
    """How many replicas of a process are to run."""

    replicas: Annotated[int, Field(ge=0, le=100)]
    process: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]*$", max_length=40)] = WEB


class Undo(Body):
    """The revision to go back to; None: the one before."""

    revision: Annotated[int, Field(ge=1, le=2**31)] | None = None


class DeploymentScale(Body):
    """How many replicas of a Deployment are to run."""

    replicas: Annotated[int, Field(ge=0, le=1000)]


class AppliedView(BaseModel):
    """What became of an object: `created`, `configured` or `unchanged`."""

    kind: str
    namespace: str
    name: str
    change: str


class Applied(BaseModel):
    """What became of the objects of manifests, in their order."""

    objects: list[AppliedView]


class ChangeView(AppliedView):
    """What an apply would change of an object, as YAML."""

    before: str
    after: str


class ObjectSeen(BaseModel):
    """An object as it stands, as YAML; `deleting` until what it made is gone."""

    kind: str
    namespace: str
    name: str
    generation: int
    deleting: bool
    manifest: str


class Description(BaseModel):
    """An object with how it stands and what happened to it."""

    object: ObjectSeen
    status: dict[str, Any] | None
    revisions: list[dict[str, Any]]
    events: list[dict[str, Any]]


class EnvironmentChange(Body):
    """Variables to set; null takes one away."""

    values: dict[VariableName, Value | None]
    deploy: bool = True


class NewToken(Body):
    """A token to make."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    scope: Scope
    app: Name | None = None
    days: Annotated[int, Field(ge=1, le=3650)] | None = None


class SourceSecret(Body):
    """What a private source is fetched with. It can be set and removed, not read."""

    value: Annotated[str, Field(min_length=1, max_length=65536)]


class NewHook(Body):
    """A hook to make; no events: all."""

    url: Word
    events: list[
        Literal[
            "build.queued",
            "build.started",
            "build.succeeded",
            "build.refused",
            "build.failed",
            "build.cancelled",
            "build.superseded",
        ]
    ] = Field(default_factory=list)


class HookView(BaseModel):
    """A hook; `key` (`whsec_…`) in the answer to its making only. `gone`: it answered 410 and is told nothing."""

    id: str
    url: str
    events: list[str]
    created_at: float
    gone: bool
    key: str | None = None

    @classmethod
    def of(cls, hook: Hook, key: str | None = None) -> HookView:
        """The view."""
        return cls(
            id=hook.id,
            url=hook.url,
            events=list(hook.events),
            created_at=hook.created_at,
            gone=hook.gone_at is not None,
            key=key,
        )


class NoticeView(BaseModel):
    """One event for one hook: told at `done_at`, else to be tried at `next_at`, else given up."""

    build: int
    event: str
    created_at: float
    attempts: int
    next_at: float | None
    done_at: float | None
    error: str | None

    @classmethod
    def of(cls, notice: Notice) -> NoticeView:
        """The view."""
        return cls(
            build=notice.build_id,
            event=notice.event,
            created_at=notice.created_at,
            attempts=notice.attempts,
            next_at=notice.next_at,
            done_at=notice.done_at,
            error=notice.error,
        )


SecretFor = Literal["build", "run", "registry"]


class SecretBody(Body):
    """A secret. It can be set and removed, not read.

    For running it is a variable of the containers or, with a `path`, a file below /run/secrets. For a registry its name
    is the host, and it is what base images are pulled with: ``USER:PASSWORD``.
    """

    value: Annotated[str, Field(min_length=1, max_length=65536)]
    path: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None


class OneSecret(SecretBody):
    """A secret, and whom it is for. With `deploy` the live release is replaced by one that has it."""

    purpose: SecretFor = "build"
    deploy: bool = True


class SecretsChange(Body):
    """Secrets to set; null forgets one. With `deploy` the live release is replaced by one that has them."""

    values: Annotated[dict[SecretName, SecretBody | None], Field(min_length=1)]
    purpose: SecretFor = "build"
    deploy: bool = True


class SecretView(BaseModel):
    """A secret's name, whom it is for, and when it was set; `path` where containers have it as a file below
    /run/secrets."""

    name: str
    purpose: str
    path: str | None
    updated_at: float

    @classmethod
    def of(cls, secret: SealedSecret) -> SecretView:
        """A secret as it is shown."""
        return cls(name=secret.name, purpose=secret.purpose.value, path=secret.path, updated_at=secret.updated_at)

    @classmethod
    def listed(cls, secrets: Iterable[SealedSecret]) -> list[SecretView]:
        """Those that somebody gave the app."""
        return [cls.of(secret) for secret in secrets if secret.purpose not in OWN]


class DomainView(BaseModel):
    """A domain, and its certificate: where that comes from (`file`, `acme`, or null for none), until when it is good in
    Unix seconds, and why there is none, or no newer one."""

    domain: str
    url: str
    created_at: float
    certificate: str | None
    until: float | None
    problem: str | None

    @classmethod
    def of(cls, domain: Domain, standing: Standing, url: str) -> DomainView:
        """A domain as it is shown."""
        return cls(
            domain=domain.name,
            url=url,
            created_at=domain.created_at,
            certificate=standing.source.value if standing.source else None,
            until=standing.until,
            problem=standing.problem or None,
        )


class RegistryToken(BaseModel):
    """A token for the registry, under both names that clients look for."""

    token: str
    access_token: str
    expires_in: int
    issued_at: str


class RepositoryView(BaseModel):
    """A repository of the registry."""

    name: str
    tags: int


class TagView(BaseModel):
    """A tag, and what it stands for."""

    tag: str
    digest: str


class TidiedView(BaseModel):
    """What was removed from the registry: images, and the bytes of disk that came free."""

    images: int
    bytes: int


class Accepted(BaseModel):
    """A build that was accepted, which means stored."""

    build: int
    status: str
    url: str
    events: str
    superseded: list[int] = Field(default_factory=list)
    duplicate: bool = False


class BuildView(BaseModel):
    """One build."""

    id: int
    app: str
    status: str
    origin: str
    actor: str
    source: str
    branch: str
    revision: str
    message: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempt: int
    image: str | None
    release: int | None
    reused_from: int | None
    superseded_by: int | None
    error: dict[str, Any] | None

    @classmethod
    def of(cls, build: Build) -> BuildView:
        """A build as it is shown."""
        return cls(
            id=build.id,
            app=build.app,
            status=build.status.value,
            origin=build.origin,
            actor=build.actor,
            source=build.source,
            branch=build.branch,
            revision=build.revision,
            message=build.message,
            created_at=build.created_at,
            started_at=build.started_at,
            finished_at=build.finished_at,
            attempt=build.attempt,
            image=build.reference,
            release=build.release,
            reused_from=build.reused_from,
            superseded_by=build.superseded_by,
            error=dict(build.error) if build.error else None,
        )


class BuildPage(BaseModel):
    """Builds, newest first; `next` is the cursor of the page after, None at the end."""

    builds: list[BuildView]
    next: int | None


class AppView(BaseModel):
    """One app."""

    name: str
    created_at: float
    branch: str
    git_url: str | None
    watch: list[str]
    on_newer: str
    priority: int
    replicas: int | None
    processes: list[str]
    url: str

    @classmethod
    def of(cls, app: App, url: str) -> AppView:
        """An app as it is shown."""
        settings = app.settings
        return cls(
            name=app.name,
            created_at=app.created_at,
            branch=settings.branch,
            git_url=settings.git_url,
            watch=list(settings.watch),
            on_newer=settings.on_newer,
            priority=settings.priority,
            replicas=app.replicas,
            processes=[WEB, *app.processes],
            url=url,
        )


class ReleaseView(BaseModel):
    """One release; `report` once it was rolled out."""

    app: str
    number: int
    status: str
    created_at: float
    build: int | None
    image: str
    note: str
    report: dict[str, Any] | None = None

    @classmethod
    def of(cls, release: Release, *, whole: bool = False) -> ReleaseView:
        """A release as it is shown."""
        return cls(
            app=release.app,
            number=release.number,
            status=release.status.value,
            created_at=release.created_at,
            build=release.build_id,
            image=release.reference,
            note=release.note,
            report={key: value for key, value in release.report.items() if key != FILES}
            if whole and release.report
            else None,
        )


class TokenView(BaseModel):
    """One token, without its secret; `token` only in the answer that made it."""

    id: str
    name: str
    scope: str
    app: str | None
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None
    token: str | None = None

    @classmethod
    def of(cls, token: Token, text: str | None = None) -> TokenView:
        """A token as it is shown."""
        return cls(
            id=token.id,
            name=token.name,
            scope=token.scope.value,
            app=token.app,
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            revoked_at=token.revoked_at,
            token=text,
        )


class Received(BaseModel):
    """What became of a delivery; without a build, `reason` says why."""

    reason: str
    build: int | None
    status: str | None = None
    url: str | None = None
    events: str | None = None
    superseded: list[int] = Field(default_factory=list)
    duplicate: bool = False


class Readiness(BaseModel):
    """Whether a push would be taken and carried out, and which parts are there."""

    ready: bool
    parts: dict[str, bool]


class WebhookView(BaseModel):
    """What is entered at the forge."""

    url: str
    secret: str
    content_type: str = "application/json"
    events: str = "push"
