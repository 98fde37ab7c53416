"""What to start and stop next for one Deployment: Kubernetes' two strategies, as pure functions.

After the Deployment controller (kubernetes/pkg/controller/deployment, rolling.go, recreate.go and sync.go): a rolling
update scales the new revision up within the surge, and only when there is nothing to start, scales old ones down within
what may be missing, unavailable ones first; Recreate stops all that is old, and starts when it is gone. Replicas that
are being stopped count for nothing, but in Recreate. A Deployment that is scaled while it has replicas of several
revisions is scaled in proportion. One that is paused is scaled, and rolled out no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.proportion import Size, proportional


@dataclass(frozen=True, kw_only=True, slots=True)
class Desired:
    """What a Deployment asks for, its percentages resolved. `sized_for` is the size that its revisions were scaled to
    last, None where that is not known."""

    replicas: int
    template_hash: str
    max_surge: int
    max_unavailable: int
    recreate: bool = False
    paused: bool = False
    sized_for: Size | None = None

    @property
    def size(self) -> Size:
        """What the revisions are to be scaled to together."""
        return Size(replicas=self.replicas, most=self.replicas + self.max_surge if self.replicas else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """One replica. `available` is ready for the Deployment's minReadySeconds and seen by the balancer."""

    name: str
    template_hash: str
    revision: int
    created_at: float
    ready: bool = False
    available: bool = False
    terminating: bool = False
    restarts: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Start `count` replicas of the template with this hash."""

    template_hash: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Take the replica out of the balancer, drain it, stop it."""

    name: str


Action = Start | Stop


def resolve_bounds(replicas: int, max_surge: int | str, max_unavailable: int | str) -> tuple[int, int]:
    """(surge, unavailable) as counts: percentages of `replicas`, surge rounded up, unavailable down, never both 0."""
    surge = max_surge if isinstance(max_surge, int) else -(-_hundredths(max_surge, replicas) // 100)
    missing = max_unavailable if isinstance(max_unavailable, int) else _hundredths(max_unavailable, replicas) // 100
    unavailable = min(missing, replicas)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def decide(desired: Desired | None, observed: Sequence[Observed]) -> tuple[Action, ...]:
    """The next actions; none when all is as asked or when only time can bring it on. `desired` None is deleted."""
    living = [replica for replica in observed if not replica.terminating]
    if desired is None:
        return tuple(Stop(name=replica.name) for replica in living)
    if desired.paused or (desired.sized_for is not None and desired.sized_for.replicas != desired.replicas):
        scaled = _scale(desired, living)
        if scaled or desired.paused:
            return scaled
    if desired.recreate:
        return _recreate(desired, observed, living)
    return _roll(desired, living)


def tell(actions: Sequence[Action], observed: Sequence[Observed], deployment: str) -> tuple[str, ...]:
    """What the actions do to each revision, in the words of the Deployment controller's events."""
    hashes = {replica.name: replica.template_hash for replica in observed}
    changes: dict[str, int] = {}
    for action in actions:
        name = action.template_hash if isinstance(action, Start) else hashes[action.name]
        changes[name] = changes.get(name, 0) + (action.count if isinstance(action, Start) else -1)
    lines = []
    for name, change in changes.items():
        before = sum(replica.template_hash == name and not replica.terminating for replica in observed)
        way = "up" if change > 0 else "down"
        lines.append(f"Scaled {way} replica set {deployment}-{name} from {before} to {before + change}")
    return tuple(lines)


def _roll(desired: Desired, living: list[Observed]) -> tuple[Action, ...]:
    new = [replica for replica in living if replica.template_hash == desired.template_hash]
    old = [replica for replica in living if replica.template_hash != desired.template_hash]
    if len(new) < desired.replicas:
        room = desired.replicas + desired.max_surge - len(living)
        count = min(room, desired.replicas - len(new))
        if count > 0:
            return (Start(template_hash=desired.template_hash, count=count),)
    if len(new) > desired.replicas:
        return _shrink(new, desired.replicas)
    return _shrink_old(desired, new, old)


def _recreate(desired: Desired, observed: Sequence[Observed], living: list[Observed]) -> tuple[Action, ...]:
    """Old ones are gone, and not only on their way, before the first new one starts."""
    old = [replica for replica in living if replica.template_hash != desired.template_hash]
    if old:
        return tuple(Stop(name=replica.name) for replica in old)
    if any(replica.template_hash != desired.template_hash for replica in observed):
        return ()
    return _resize(desired.template_hash, living, desired.replicas)


def _scale(desired: Desired, living: list[Observed]) -> tuple[Action, ...]:
    """Bring the revisions that have replicas to the wanted size, as they stand to each other; a single one whole."""
    revisions: dict[str, list[Observed]] = {}
    for replica in sorted(living, key=lambda replica: -replica.revision):
        revisions.setdefault(replica.template_hash, []).append(replica)
    if len(revisions) > 1 and not desired.recreate:
        before = desired.sized_for or desired.size
        sizes = proportional([len(found) for found in revisions.values()], before, desired.size)
    elif len(revisions) == 1 and (desired.paused or desired.template_hash in revisions):
        sizes = [desired.replicas]
    else:
        # Nothing runs, or only what is old: the rollout brings the new size with it.
        return ()
    steps = (_resize(name, found, size) for (name, found), size in zip(revisions.items(), sizes, strict=True))
    return tuple(action for step in steps for action in step)


def _resize(template_hash: str, there: list[Observed], size: int) -> tuple[Action, ...]:
    if len(there) < size:
        return (Start(template_hash=template_hash, count=size - len(there)),)
    return _shrink(there, size)


def _shrink(there: list[Observed], size: int) -> tuple[Action, ...]:
    return tuple(Stop(name=replica.name) for replica in sorted(there, key=_first_to_go)[: len(there) - size])


def _shrink_old(desired: Desired, new: list[Observed], old: list[Observed]) -> tuple[Action, ...]:
    least = desired.replicas - desired.max_unavailable
    new_missing = len(new) - sum(replica.available for replica in new)
    budget = len(new) + len(old) - least - new_missing
    if budget <= 0:
        return ()
    by_age = sorted(old, key=lambda replica: (replica.revision, _first_to_go(replica)))
    broken = [replica for replica in by_age if not replica.available][:budget]
    spare = max(0, sum(replica.available for replica in new + old) - least)
    healthy = [replica for replica in by_age if replica.available][: min(spare, budget - len(broken))]
    return tuple(Stop(name=replica.name) for replica in broken + healthy)


def _first_to_go(replica: Observed) -> tuple[bool, bool, int, float]:
    """Kubernetes' order of victims, the first that differs: not available, not ready, restarted more, younger."""
    return (replica.available, replica.ready, -replica.restarts, -replica.created_at)


def _hundredths(percentage: str, replicas: int) -> int:
    return int(percentage.removesuffix("%")) * replicas
