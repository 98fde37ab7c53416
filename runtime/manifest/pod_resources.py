"""What a pod asks for and may take as a whole: ``spec.resources`` beside those of its containers.

After Kubernetes 1.34 (KEP-2837) and the limit of processes of KEP-6063: what is said of the pod counts instead of the
sum of its containers, resource by resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime.manifest.cursor import Cursor
from runtime.manifest.quantity import quantity, shown_cpu, shown_memory
from runtime.manifest.resources import Resources, resources
from runtime.manifest.schema import Amount, Object, words

if TYPE_CHECKING:
    from runtime.manifest.model import ContainerSpec

_KNOWN = words("ephemeral-storage hugepages-1Gi hugepages-2Mi storage")
POD_RESOURCES = Object(
    fields={
        "limits": Object(fields={"cpu": Amount(), "memory": Amount(), "pids": Amount()}, known=_KNOWN),
        "requests": Object(fields={"cpu": Amount(), "memory": Amount()}, known=_KNOWN | {"pids"}),
    },
    known=words("claims"),
)
_SHOWN = {"cpu": shown_cpu, "memory": shown_memory}


def aggregate(what: str, mains: Sequence[ContainerSpec], init: Sequence[ContainerSpec]) -> int | None:
    """A request, such as ``cpu_request``, of the containers together, or, where that is more, what one that runs before
    them asks beside the sidecars that began before it; None where nobody says one."""
    said = [getattr(spec.resources, what) for spec in (*mains, *init)]
    if all(amount is None for amount in said):
        return None
    beside = before = 0
    for spec in init:
        alone = getattr(spec.resources, what) or 0
        before = max(before, beside + alone)
        beside += alone if spec.sidecar else 0
    return max(before, beside + sum(getattr(spec.resources, what) or 0 for spec in mains))


def pod_resources(
    cursor: Cursor, mains: Sequence[ContainerSpec], init: Sequence[ContainerSpec]
) -> tuple[Resources, int | None]:
    """(the pod's own, its limit of processes), from a tree that the schema has passed. Where it has a limit and no
    request, what its containers ask for together is the request, or, where they say nothing, the limit."""
    found: dict[str, int | None] = {}
    limits_said = not cursor.get("limits").node.says_nothing
    # Without a limit of its own, so that a request that is not said is none yet.
    asked = resources(cursor)
    for kind in ("cpu", "memory"):
        request, limit = cursor.get("requests").get(kind), cursor.get("limits").get(kind)
        together = aggregate(f"{kind}_request", mains, init)
        most: int | None = getattr(asked, f"{kind}_limit")
        wanted: int | None = None if request.plain() is None else getattr(asked, f"{kind}_request")
        if wanted is None and limits_said:
            wanted = most if together is None else together
        shown = _SHOWN[kind]
        if together is not None and request.plain() is not None and wanted is not None and wanted < together:
            raise request.fail(
                "invalid-value",
                f" is {request.plain()}, which must be greater than or equal to aggregate container requests of "
                f"{shown(together)}",
            )
        if most is not None and wanted is not None and wanted > most:
            raise limit.fail(
                "invalid-value",
                f" is {limit.plain()}, and the containers of the pod ask for {shown(wanted)}",
                hint="let it be as much as they ask for at least",
            )
        for spec in mains:
            own: int | None = getattr(spec.resources, f"{kind}_limit")
            if most is not None and own is not None and own > most:
                raise limit.fail(
                    "invalid-value",
                    f" is {limit.plain()}, and the limit of container {spec.name}, {shown(own)}, must be less than or "
                    "equal to that of its pod",
                )
        found |= {f"{kind}_request": wanted, f"{kind}_limit": most}
    return Resources(**found), _processes(cursor.get("limits").get("pids"))


def _processes(cursor: Cursor) -> int | None:
    said = cursor.plain()
    if said is None:
        return None
    amount = quantity(said)
    if amount is None or amount.denominator != 1 or amount < 1:
        raise cursor.fail("invalid-value", f" is {said}, expected a whole number of processes, at least 1")
    return int(amount)
