"""Objects of the runtime on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imageforge.cli.state import Workplace
from imageforge.pipeline.applying import Entry, Text, apply_and_follow
from imageforge.pipeline.ownership import refuse_changes_of_owned
from imageforge.pipeline.rolled import record_of, report_of
from imageforge.report.rollout import RolloutReport
from runtime import AppliedObject, ControllerClient


class ObjectsHere(ControllerClient):
    """The controller of this home, and what is made of its answers."""

    def __init__(self, here: Workplace) -> None:
        here.require_running()
        super().__init__(here.home.controller_socket)
        self._entry = Entry(address=here.settings.http_address, port=here.settings.http_port)

    def check(
        self, manifests: str, *, source: str = "manifest.yaml", place: str | None = None
    ) -> tuple[AppliedObject, ...]:
        """What `apply` would do or refuse. Raises Conflict (`owned-by-app`) for what an app's releases say."""
        checked = super().check(manifests, source=source, place=place)
        refuse_changes_of_owned(self, checked)
        return checked

    def follow_apply(
        self, texts: Sequence[tuple[str, str]], *, place: str | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Apply manifests, each with the name by which errors call it, and follow their rollouts; the rows of
        `imageforge.pipeline.applying`. `place` as in `apply`."""
        return apply_and_follow(
            self, [Text(source=source, text=text, place=place) for source, text in texts], self._entry
        )

    def report(self, namespace: str, name: str, revision: int | None) -> RolloutReport:
        """The report of a Deployment's last rollout, or of the last one to a revision. Raises NotFound."""
        return report_of(record_of(self, namespace, name, revision))
