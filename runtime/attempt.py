"""The pods of a Job and what became of it so far: what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One pod of a Job. It is remembered before its container is made, and the container's id before it is started: so
    one that was lost is told from one that never ran. Times are Unix seconds.

    `index` is that of an Indexed Job. A container that failed is followed by another one in the same pod where the Job
    says OnFailure: at `retry_at`, `delay` seconds after its end; `restarts` counts them. One that is `given_up` was
    stopped because it was not wanted any more, and is neither a completion nor a failure; one that was `killed` as the
    Job failed is a failure, whatever its exit code. `codes` are those of its containers that have failed, by name,
    those that the pod is there for first."""

    name: str
    container_id: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    message: str = ""
    last_log: tuple[str, ...] = ()
    index: int | None = None
    restarts: int = 0
    delay: float = 0.0
    retry_at: float | None = None
    given_up: bool = False
    killed: bool = False
    codes: tuple[tuple[str, int], ...] = ()

    @property
    def running(self) -> bool:
        """Whether its container was seen to run, and not to have ended."""
        return self.started_at is not None and self.ended_at is None and self.retry_at is None

    @property
    def lost(self) -> bool:
        """Whether its container was gone before it was seen to end."""
        return bool(self.container_id) and self.ended_at is not None and self.exit_code is None

    @property
    def succeeded(self) -> bool:
        """Whether it ended with code 0."""
        return self.ended_at is not None and self.exit_code == 0 and not (self.given_up or self.killed)

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise."""
        return self.ended_at is not None and not self.given_up and (self.exit_code != 0 or self.killed)


_SINCE_FIRST = ("index", "restarts", "delay", "retry_at", "given_up", "killed", "codes")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRun:
    """What became of a Job so far. `stopping` is the reason for which its pods are being stopped; `reason` that of its
    failure, empty once it is complete. While it is `suspended` it has no pods, and its time does not run."""

    started_at: float
    attempts: tuple[Attempt, ...] = ()
    stopping: str = ""
    finished_at: float | None = None
    reason: str = ""
    suspended: bool = False

    @property
    def active(self) -> tuple[Attempt, ...]:
        """The pods that have not ended."""
        return tuple(attempt for attempt in self.attempts if attempt.ended_at is None)

    @property
    def completions(self) -> int:
        """How often it was done; of one index once."""
        done = sum(attempt.succeeded for attempt in self.attempts if attempt.index is None)
        return done + len(self.indexes)

    @property
    def indexes(self) -> frozenset[int]:
        """The indexes that are done."""
        return frozenset(item.index for item in self.attempts if item.succeeded and item.index is not None)

    def with_attempt(self, changed: Attempt) -> JobRun:
        """The same with one pod changed, or a new one."""
        known = [changed if attempt.name == changed.name else attempt for attempt in self.attempts]
        if changed.name not in (attempt.name for attempt in self.attempts):
            known.append(changed)
        return replace(self, attempts=tuple(known))

    def as_json(self) -> dict[str, Any]:
        """In JSON's types. What was added to the first version is left out where it says nothing: that one reads it
        too."""
        raw = asdict(self)
        if not self.suspended:
            del raw["suspended"]
        defaults = {item.name: item.default for item in fields(Attempt)}
        raw["attempts"] = [
            {key: value for key, value in item.items() if key not in _SINCE_FIRST or value != defaults[key]}
            for item in raw["attempts"]
        ]
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> JobRun:
        """The inverse of `as_json`."""
        attempts = (
            Attempt(
                **{
                    **item,
                    "last_log": tuple(item["last_log"]),
                    "codes": tuple((name, code) for name, code in item.get("codes", ())),
                }
            )
            for item in raw["attempts"]
        )
        return cls(**{**raw, "attempts": tuple(attempts)})
