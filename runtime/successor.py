"""The container that follows one which has just ended, made while the engine still takes that one apart: it holds what
ended until that is done, and tells nothing of it meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from runtime.container import ImageFacts
from runtime.creation import Given
from runtime.errors import RuntimeFailure

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A container that was made and not started, what it was made of, and the values that it was given."""

    container_id: str
    image: ImageFacts
    given: Given


class Successor:
    """Begins to make it at once. Nobody knows of it but who holds this, so it is to be taken or dropped; where the
    controller is killed, the next one removes it, as what nothing owns. `make` gives None where it cannot be made
    beside."""

    def __init__(self, make: Callable[[], Made | None], remove: Callable[[str], None]) -> None:
        self._make = make
        self._remove = remove
        self._made: Made | None = None
        self._thread = threading.Thread(target=self._work, name="successor", daemon=True)
        self._thread.start()

    def take(self) -> Made | None:
        """The container, once it is made; None where it is to be made as any other, and tells why if that fails."""
        self._thread.join()
        made, self._made = self._made, None
        return made

    def drop(self) -> None:
        """It is not wanted."""
        made = self.take()
        if made is not None:
            self.remove(made)

    def remove(self, made: Made) -> None:
        """One that was taken is not wanted after all."""
        try:
            self._remove(made.container_id)
        except RuntimeFailure as error:
            # The next controller finds that nothing owns it.
            log.warning("container not removed", extra={"container": made.container_id[:12], "error": str(error)})

    def _work(self) -> None:
        try:
            self._made = self._make()
        except RuntimeFailure as error:
            log.debug("not made beside", extra={"error": str(error)})
        except Exception:
            log.exception("not made beside")
