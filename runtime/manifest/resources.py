"""What a container asks for and what it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from runtime.manifest.cursor import Cursor
from runtime.manifest.quantity import milli, quantity, whole
from runtime.manifest.schema import Amount, Object, words


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """CPU in thousandths, memory and `disk` (ephemeral-storage) in bytes, None for what was not said; a limit without a
    request is one too."""

    cpu_request: int | None = None
    cpu_limit: int | None = None
    memory_request: int | None = None
    memory_limit: int | None = None
    disk_request: int | None = None
    disk_limit: int | None = None


_AMOUNTS = Object(
    fields={"cpu": Amount(), "memory": Amount(), "ephemeral-storage": Amount()},
    known=words("hugepages-1Gi hugepages-2Mi storage"),
)
RESOURCES = Object(fields={"limits": _AMOUNTS, "requests": _AMOUNTS}, known=words("claims"))


def resources(cursor: Cursor) -> Resources:
    """From a tree that the schema has passed."""
    cpu = _pair(cursor, "cpu", milli)
    memory = _pair(cursor, "memory", whole)
    disk = _pair(cursor, "ephemeral-storage", whole)
    return Resources(
        cpu_request=cpu[0],
        cpu_limit=cpu[1],
        memory_request=memory[0],
        memory_limit=memory[1],
        disk_request=disk[0],
        disk_limit=disk[1],
    )


def _pair(cursor: Cursor, name: str, unit: Callable[[Fraction], int]) -> tuple[int | None, int | None]:
    """(request, limit)."""
    asked, most = cursor.get("requests").get(name), cursor.get("limits").get(name)
    limit = _amount(most, unit)
    request = _amount(asked, unit)
    if request is not None and limit is not None and request > limit:
        raise asked.fail("invalid-value", f" is {asked.plain()}, more than the limit, which is {most.plain()}")
    return limit if request is None else request, limit


def _amount(cursor: Cursor, unit: Callable[[Fraction], int]) -> int | None:
    said = cursor.plain()
    amount = None if said is None else quantity(said)
    return None if amount is None else unit(amount)
