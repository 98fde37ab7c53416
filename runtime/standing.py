"""How the containers of a replica stand, and what follows for the replica as a whole; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from runtime.restart import Backoff


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerRecord:
    """One container of a replica. `phase` and `message` as in `ReplicaStatus`. `started` once its startup probe has
    passed, `ready` as its readiness probe says, also while the replica is being stopped. `done` when it has ended and
    is not started again. `image_id` is that of the image it was made of. `settled` is the id of the latest container
    whose end was told of: another one in `container_id` runs, or has ended and nobody told. `lost` when it was gone
    before it was seen to end. Times are Unix seconds."""

    name: str
    phase: str = "Pending"
    message: str = ""
    container_id: str = ""
    running: bool = False
    started: bool = False
    ready: bool = False
    done: bool = False
    pid: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    backoff: Backoff = field(default_factory=Backoff)
    last_log: tuple[str, ...] = ()
    image_id: str = ""
    settled: str = ""
    lost: bool = False

    @property
    def unsettled(self) -> bool:
        """Whether there is a container of whose end nobody has told."""
        return self.container_id not in ("", self.settled)

    def as_json(self) -> dict[str, Any]:
        """In JSON's types; its process is asked of the engine again. A version that knows fewer fields must be able to
        read these, so that one can go back to it: what is new is kept beside them."""
        said = {**asdict(self), "last_log": list(self.last_log), "pid": 0}
        for name in ("image_id", "settled", "lost"):
            del said[name]
        return said

    @property
    def waits(self) -> bool:
        """Whether it has ended, is known to have, and is to be started again."""
        ended = bool(self.container_id) and self.ended_at is not None
        return ended and not (self.unsettled or self.running or self.done)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ContainerRecord:
        """The inverse of `as_json`; what a later version says beyond this is left out."""
        known = {item.name: raw[item.name] for item in fields(cls) if item.name in raw}
        return cls(**{**known, "backoff": Backoff(**raw["backoff"]), "last_log": tuple(raw["last_log"])})


AS_MAIN = ("container_id", "running", "pid", "started_at", "ended_at", "exit_code", "backoff", "last_log")
"""What is said of a replica is said of its main container."""


def overall(records: Sequence[ContainerRecord], serving: Sequence[str]) -> dict[str, Any]:
    """What the records of a replica's containers, the main one first, say of it. It serves when all of `serving` are
    ready; of several containers, the first that is in trouble names what is wrong."""
    main = records[0]
    said = {name: getattr(main, name) for name in AS_MAIN}
    ready = all(record.ready for record in records if record.name in serving)
    speaker = main
    if len(records) > 1:
        troubled = [record for record in records if record.message and not (record.ready or record.done)]
        behind = [record for record in records if record.name in serving and not record.ready]
        speaker = next(iter([*troubled, *behind]), main)
    prefix = f"{speaker.name}: " if len(records) > 1 and speaker.message else ""
    return {**said, "serving": ready, "phase": speaker.phase, "message": f"{prefix}{speaker.message}"}
