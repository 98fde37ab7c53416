"""HAProxy's files on disk: written only where they changed, and all but servers only once HAProxy finds it valid."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.balancer.config import Backend, beside, keys_folder, render, stamp
from runtime.balancer.keyring import NONE_GIVEN, Keyring, Ring
from runtime.balancer.program import check
from runtime.errors import BalancerError
from runtime.settings import RuntimeSettings


class BalancerFiles:
    """The configuration, the lists beside it and the certificates. The caller's lock guards it."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._config = settings.balancer_config
        self._valid: tuple[str, ...] = ()
        folders = settings.public.certificates if settings.public else ()
        self._keyring = Keyring(folders, keys_folder(settings))

    def ring(self, given: Mapping[str, bytes] = NONE_GIVEN) -> Ring:
        """The certificates that are to be served now: those of the folders, and those given."""
        try:
            return self._keyring.look(given)
        except OSError as error:
            raise BalancerError(
                "certificates-not-kept", str(keys_folder(self._settings)), str(error.strerror), hint="is the disk full?"
            ) from error

    def problem(self, name: str) -> str:
        """Why a certificate that was given by this name is not served."""
        return self._keyring.problem(name)

    def write(self, backends: Sequence[Backend], ring: Ring) -> None:
        """Put what `backends` asks for in place; raises BalancerError ``balancer-config-invalid``, files unchanged."""
        config, lists = render(self._settings, backends), beside(self._settings, backends, ring)
        # The servers are not in it: they come and go often, and each is an address and a number.
        content = (stamp(self._settings, backends), *lists.values())
        if content != self._valid:
            self._validate(config, lists)
        # The lists first: a configuration that names a missing one does not start.
        for name, text in lists.items():
            _replace(self._config.with_name(name), text)
        _replace(self._config, config)
        if content != self._valid:
            self._keyring.tidy(ring)
            self._valid = content

    def _validate(self, config: str, lists: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory(prefix="imageforge-balancer-") as directory:
            candidate = Path(directory) / self._config.name
            candidate.write_text(config)
            for name, text in lists.items():
                (Path(directory) / name).write_text(text)
            refused = check(candidate)
        if refused:
            raise BalancerError(
                "balancer-config-invalid",
                str(self._config),
                refused[-2000:],
                kept="the running configuration serves on",
            )


def _replace(path: Path, text: str) -> None:
    """Write the file in one step, unless it already says so."""
    try:
        if path.read_text() == text:
            return
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.chmod(0o600)
    draft.replace(path)
