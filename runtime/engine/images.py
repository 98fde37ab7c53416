"""Images as containers need them: there, or pulled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import docker
import docker.errors

from runtime.container import ImageFacts
from runtime.engine.connection import CONNECTION_LOST, Connection, UnlessGone
from runtime.errors import ImageError
from runtime.labels import Label
from runtime.logins import Login

log = logging.getLogger(__name__)

PULL_TIMEOUT = 600
"""Seconds without a byte. A pull is silent while a large layer is unpacked."""


class Images(Connection):
    """The engine's images."""

    def ensure_image(
        self,
        reference: str,
        *,
        always_pull: bool = False,
        never_pull: bool = False,
        logins: Callable[[], Sequence[Login]] = tuple,
    ) -> ImageFacts:
        """The image, pulled where it is not there, with each of `logins` in turn; raises ImageError
        ``image-pull-failed``, ``image-never-pulled``."""
        found = None if always_pull else self._image(reference)
        if found is None and never_pull:
            raise ImageError(
                "image-never-pulled",
                reference,
                f'Container image "{reference}" is not present with pull policy of Never',
                hint="load it into the engine, or take imagePullPolicy out",
            )
        if found is None:
            self._pull(reference, logins())
            found = self._image(reference)
        if found is None:
            raise ImageError("image-pull-failed", reference, "the engine pulled it and does not have it")
        return found

    def ensure_imported(self, name: str, archive: Callable[[], bytes], labels: Mapping[str, str]) -> None:
        """Make an image of a root file system's tar, unless it is there."""
        if self._image(name) is not None:
            return
        repository, _, tag = name.rpartition(":")
        changes = [f'LABEL {key}="{value}"' for key, value in labels.items()]
        with self.translated(name) as api:
            api.import_image_from_data(archive(), repository=repository, tag=tag, changes=changes)

    def _image(self, reference: str) -> ImageFacts | None:
        with UnlessGone(), self.translated(reference) as api:
            found = api.inspect_image(reference)  # type: ignore[no-untyped-call]
            config = found.get("Config") or {}
            ours = bool((config.get("Labels") or {}).get(Label.APP))
            return ImageFacts(image_id=found["Id"], user=config.get("User") or "", ours=ours)
        return None

    def _pull(self, reference: str, logins: Sequence[Login]) -> None:
        refused: ImageError | None = None
        for login in logins or (None,):
            try:
                self._pull_with(reference, login)
                return
            except ImageError as error:
                refused = error
        assert refused is not None, "there is one turn at least"
        raise refused

    def _pull_with(self, reference: str, login: Login | None) -> None:
        log.info("pulling", extra={"image": reference})
        auth = None if login is None else {"username": login.username, "password": login.password}
        client = docker.APIClient(base_url=self.host, timeout=PULL_TIMEOUT)
        try:
            for step in client.pull(reference, stream=True, decode=True, auth_config=auth):
                if "error" in step:
                    raise _pull_failed(reference, str(step["error"]))
        except docker.errors.APIError as error:
            raise _pull_failed(reference, str(error.explanation or error)) from error
        except CONNECTION_LOST as error:
            raise self.lost(reference, error) from error
        finally:
            client.close()


def _pull_failed(reference: str, reason: str) -> ImageError:
    return ImageError(
        "image-pull-failed",
        reference,
        f"cannot be pulled: {reason}",
        hint="check the name, and that the engine reaches the registry; or build it here under that name",
    )
