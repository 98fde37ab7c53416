"""What to start and stop next for one Deployment: Kubernetes' rolling update, as a pure function.

After the Deployment controller's rolling strategy (kubernetes/pkg/controller/deployment/rolling.go): scale the new
revision up within the surge, and only when there is nothing to start, scale old ones down within what may be missing,
unavailable ones first. Replicas that are being stopped count for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Desired:
    """What a Deployment asks for, its percentages resolved."""

    replicas: int
    template_hash: str
    max_surge: int
    max_unavailable: int


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
    """Start `count` replicas of the wanted template."""

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
    new = [replica for replica in living if replica.template_hash == desired.template_hash]
    old = [replica for replica in living if replica.template_hash != desired.template_hash]
    if len(new) < desired.replicas:
        room = desired.replicas + desired.max_surge - len(living)
        count = min(room, desired.replicas - len(new))
        if count > 0:
            return (Start(count=count),)
    if len(new) > desired.replicas:
        surplus = sorted(new, key=_first_to_go)[: len(new) - desired.replicas]
        return tuple(Stop(name=replica.name) for replica in surplus)
    return _shrink_old(desired, new, old)


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
