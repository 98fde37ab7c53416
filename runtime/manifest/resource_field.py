"""A variable that tells a container what it may take, or asks for: ``resourceFieldRef``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from runtime.manifest.cursor import Cursor
from runtime.manifest.quantity import milli, quantity, whole
from runtime.manifest.resources import Resources
from runtime.manifest.schema import NAME, Amount, Object, Text

_DIVISORS = {
    "cpu": {milli(Fraction(1, 1000)), milli(Fraction(1))},
    "memory": {1, *(1000**power for power in range(1, 7)), *(1024**power for power in range(1, 7))},
}
"""Those that Kubernetes takes (core validation), in the units of `Resources`."""
_SAID = {"cpu": "1m or 1", "memory": "1, 1k to 1E or 1Ki to 1Ei"}

RESOURCE_REF = Object(
    fields={
        "resource": Text(
            choices=("limits.cpu", "limits.memory", "requests.cpu", "requests.memory"),
            unsupported=("limits.ephemeral-storage", "requests.ephemeral-storage"),
        ),
        "containerName": NAME,
        "divisor": Amount(),
    },
    required=("resource",),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceField:
    """The value is what `resource` is, of the container of this name or, without one, of its own, in units of
    `divisor`: thousandths of a CPU, or bytes; 0 is one CPU or one byte."""

    resource: str
    container: str = ""
    divisor: int = 0

    @property
    def of_cpu(self) -> bool:
        """Whether it is one of CPU."""
        return self.resource.endswith(".cpu")


def resource_field(cursor: Cursor) -> ResourceField:
    """From a tree that the schema has passed."""
    name = cursor.get("resource").plain()
    kind = name.partition(".")[2]
    said = cursor.get("divisor")
    amount = quantity(said.plain(0))
    divisor = 0 if not amount else milli(amount) if kind == "cpu" else whole(amount)
    if divisor and divisor not in _DIVISORS[kind]:
        raise said.fail("invalid-value", f" is {said.plain()}, expected {_SAID[kind]} for {kind}")
    return ResourceField(
        resource=name,
        container=cursor.get("containerName").plain(""),
        # As it is meant where nothing is said: two ways to write the same are one template.
        divisor=0 if divisor == (1000 if kind == "cpu" else 1) else divisor,
    )


def resource_value(field: ResourceField, said: Resources, machine: Callable[[], tuple[int, int]]) -> str:
    """The value, rounded up. A limit that is not said is what the `machine` has of CPU, in thousandths, and memory; a
    request that is not said is 0."""
    kind = "cpu" if field.of_cpu else "memory"
    what = "limit" if field.resource.startswith("limits.") else "request"
    amount: int | None = getattr(said, f"{kind}_{what}")
    if not amount:
        amount = machine()[0 if field.of_cpu else 1] if what == "limit" else 0
    divisor = field.divisor or (1000 if field.of_cpu else 1)
    return str(-(-amount // divisor))
