"""What a queued build is to do, as it is stored: where its source comes from, and the options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveSource:
    """An archive that was stored when the build was accepted, by its digest (``sha256:…``)."""

    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GitSource:
    """A ref of a repository that is fetched when the build runs. `commit` None: the ref's tip of then.

    With `tip_only` a commit that is no longer the ref's tip is not built: a newer push has its own build.
    """

    url: str
    ref: str
    commit: str | None = None
    tip_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseSource:
    """A release of the app to run again, with its image and manifests; `note` says why."""

    number: int
    note: str
    refresh_environment: bool = False


Source = ArchiveSource | GitSource | ReleaseSource
KINDS: Mapping[str, type[Source]] = {"archive": ArchiveSource, "git": GitSource, "release": ReleaseSource}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What `build` and `deploy` take as flags. None: not said."""

    dockerfile: str | None = None
    tag: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    deploy: bool = True
    squash: str | None = None
    port: int | None = None
    replicas: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSpec:
    """A source and the options."""

    source: Source
    options: Options = field(default_factory=Options)

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        kind = next(name for name, known in KINDS.items() if isinstance(self.source, known))
        return {"source": {"kind": kind, **asdict(self.source)}, "options": asdict(self.options)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> BuildSpec:
        """What was stored by `as_json`."""
        source = dict(stored["source"])
        made = KINDS[source.pop("kind")](**source)
        return cls(source=made, options=Options(**stored["options"]))
