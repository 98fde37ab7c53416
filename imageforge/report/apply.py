"""What an apply came to: what became of each object, and the rollouts that followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from imageforge.report import rollout
from imageforge.report.rollout import RolloutReport


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectRow:
    """One object: ``created``, ``configured`` or ``unchanged``."""

    kind: str
    namespace: str
    name: str
    change: str

    @property
    def object(self) -> str:
        """`deployment/web`."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyReport:
    """An apply that was waited for."""

    objects: tuple[ObjectRow, ...]
    rollouts: tuple[RolloutReport, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "objects": [asdict(row) for row in self.objects],
            "rollouts": [report.as_json() for report in self.rollouts],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ApplyReport:
        """The inverse of `as_json`."""
        return cls(
            objects=tuple(ObjectRow(**row) for row in raw["objects"]),
            rollouts=tuple(RolloutReport.from_json(item) for item in raw["rollouts"]),
        )


def as_markdown(report: ApplyReport) -> str:
    """For a pull request."""
    rows = [(rollout.cell(row.object), rollout.cell(row.namespace), row.change) for row in report.objects]
    table = tabulate(rows, headers=("Object", "Namespace", "Change"), tablefmt="github", disable_numparse=True)
    changed = sum(row.change != "unchanged" for row in report.objects)
    parts = [rollout.as_markdown(item) for item in report.rollouts]
    parts.append(rollout.folded(f"{changed} of {len(report.objects)} objects changed", table))
    return "\n\n".join(parts)
