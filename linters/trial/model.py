"""A trial's values: what is asked for, what was seen of each run, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from linters.model import Basis, Edit, Finding, Principle, Severity

TRIAL_VERSION = 2
"""Raised when a trial measures something else, so that what was kept of earlier ones is not believed."""


class Verdict(StrEnum):
    """What came of a trial. One that could not be made is not a pass."""

    PASSED = "passed"
    REFUSED = "refused"
    UNMADE = "not made"


class Result(StrEnum):
    """What came of one measurement."""

    OK = "ok"
    FAILED = "failed"
    UNMEASURED = "not measured"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a trial may take: seconds in all, seconds that a program is watched before it counts as up (longer, up to
    `patience`, while none of the ports that EXPOSE names is open), seconds that it has to end, bytes of memory,
    processes."""

    seconds: float = 20.0
    settle: float = 3.0
    patience: float = 8.0
    stop: float = 8.0
    memory: int = 512 << 20
    processes: int = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRequest:
    """What to try: `image` is an ID or a name in the engine, `name` what findings call it; `command` takes the place of
    CMD, `entrypoint` that of both; `port` is what the program is told by PORT. `environment` has no secrets. `labels`
    are put on the containers, by which leftovers are found."""

    image: str
    name: str
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    port: int = 8080
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialImage:
    """What the engine knows of the image. `exposed` are TCP ports."""

    image_id: str
    os: str
    architecture: str
    user: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    exposed: tuple[int, ...]
    volumes: tuple[str, ...]
    stop_signal: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSeen:
    """A process of a container, as the host's /proc tells. `started` is in clock ticks since boot; `capabilities` and
    `caught` (signals that it catches or blocks) are masks; `waits` tells that it does nothing but wait for a child to
    end; `first` and `last` are the seconds after the start between
    which it was seen."""

    pid: int
    parent: int
    started: int
    name: str
    argv: tuple[str, ...]
    program: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: int
    no_new_privileges: bool
    caught: int
    waits: bool = False
    first: float = 0.0
    last: float = 0.0

    @property
    def title(self) -> str:
        """How it is named to people."""
        text = " ".join(self.argv) or f"[{self.name}]"
        return text if len(text) <= 80 else f"{text[:79]}…"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Listener:
    """A TCP socket that waits for connections."""

    port: int
    address: str
    loopback: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A path of the root file system that a run changed: ``added``, ``changed`` or ``deleted``."""

    path: str
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """How a container ended when it was told to: the signal's number, the seconds it took, whether it had to be
    killed."""

    signal: int
    seconds: float
    killed: bool
    exit_code: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What was seen of one container. `refused` is why the engine could not start it. `exit_code` is None while it was
    up at the end of `lived` seconds. `seen` tells whether the host's /proc is the one that its processes are in; where
    not, `processes` and `listeners` say nothing. `changes` and `stop` are None where they were not looked at."""

    read_only: bool
    capable: bool
    refused: str = ""
    lived: float = 0.0
    exit_code: int | None = None
    out_of_memory: bool = False
    last_words: tuple[str, ...] = ()
    seen: bool = False
    processes: tuple[ProcessSeen, ...] = ()
    listeners: tuple[Listener, ...] = ()
    changes: tuple[Change, ...] | None = None
    stop: Stop | None = None

    @property
    def up(self) -> bool:
        """Whether it ran, and went on running."""
        return not self.refused and self.exit_code is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """All runs of a trial: one with a root that can be written to, one read-only. `bare` is the first one, where a
    program that starts as root came up only with the rights that an engine gives by default."""

    image: TrialImage
    writable: Run
    read_only: Run
    bare: Run | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One thing that was measured, in a word and in a line."""

    name: str
    result: Result
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialReport:
    """What came of a trial. `reason` says why it could not be made, with the container's `last_words`, and `hint` how
    such an image is judged, where it is a job; `findings` have the basis ``measured``. `cached` tells that it was made
    before."""

    name: str
    image_id: str
    command: tuple[str, ...]
    verdict: Verdict
    seconds: float
    reason: str = ""
    hint: str = ""
    last_words: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    cached: bool = False

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TrialReport:
        """A report out of what `dataclasses.asdict` and JSON made of it. Raises KeyError, TypeError, ValueError."""
        findings = tuple(
            Finding(
                **{
                    **one,
                    "severity": Severity(one["severity"]),
                    "principle": Principle(one["principle"]),
                    "basis": Basis(one["basis"]),
                    "edits": tuple(Edit(**edit) for edit in one["edits"]),
                }
            )
            for one in raw["findings"]
        )
        measures = tuple(Measure(**{**one, "result": Result(one["result"])}) for one in raw["measures"])
        return cls(
            **{
                **raw,
                "command": tuple(raw["command"]),
                "verdict": Verdict(raw["verdict"]),
                "last_words": tuple(raw["last_words"]),
                "measures": measures,
                "findings": findings,
            }
        )
