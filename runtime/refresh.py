"""Files of Secrets and ConfigMaps follow what was applied, in containers that run; variables never do."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.container import Identity
from runtime.creation import Creation
from runtime.errors import ConfigError, KeyFailure
from runtime.events import Recorder
from runtime.manifest.model import PodTemplate
from runtime.manifest.volume import sources_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A replica whose container runs."""

    who: Identity
    template: PodTemplate
    container_id: str


class Refresher:
    """Remembers what it looked at: a replica is looked at again when its container is another one or when something was
    applied, and otherwise costs nothing."""

    def __init__(self, creation: Creation, events: Recorder) -> None:
        self._creation = creation
        self._events = events
        self._seen: dict[str, tuple[int, str]] = {}

    def sync(self, version: int, running: Iterable[Running]) -> None:
        """Look at those that have news; `version` is another one after each change of a Secret or ConfigMap."""
        seen = {}
        for each in running:
            if not any(map(sources_of, each.template.volumes)):
                continue
            name = each.who.replica
            news = seen[name] = (version, each.container_id)
            if self._seen.get(name) != news:
                self._refresh(each)
        self._seen = seen

    def _refresh(self, each: Running) -> None:
        kind = "Job" if each.who.job else "Pod" if each.who.pod else "Deployment"
        try:
            if self._creation.refresh(each.template, each.who):
                log.info("files changed", extra={"replica": each.who.replica})
        except (ConfigError, KeyFailure) as error:
            # What it has stays: the next container waits for what is missing.
            self._events.say(
                kind,
                each.who.namespace,
                each.who.job or each.who.pod or each.who.deployment,
                "FailedMount",
                error.message,
                warning=True,
            )
