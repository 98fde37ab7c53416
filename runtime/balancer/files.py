"""HAProxy's files on disk: written only where they changed, and a new structure only once HAProxy finds it valid."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runtime.balancer.config import HOSTS_MAP, Backend, render, render_hosts, stamp
from runtime.errors import BalancerError
from runtime.settings import RuntimeSettings

_CHECK_TIMEOUT = 20.0


class BalancerFiles:
    """The configuration and the map beside it. The caller's lock guards it."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._config = settings.balancer_config
        self._valid = ""

    def write(self, backends: Sequence[Backend]) -> None:
        """Put what `backends` asks for in place; raises BalancerError ``balancer-config-invalid``, files unchanged."""
        config, hosts = render(self._settings, backends), render_hosts(backends)
        structure = stamp(self._settings, backends)
        if structure != self._valid:
            self._validate(config, hosts)
            self._valid = structure
        # The map first: a configuration that names a missing map does not start.
        _replace(self._config.with_name(HOSTS_MAP), hosts)
        _replace(self._config, config)

    def _validate(self, config: str, hosts: str) -> None:
        with tempfile.TemporaryDirectory(prefix="imageforge-balancer-") as directory:
            candidate = Path(directory) / self._config.name
            candidate.write_text(config)
            (Path(directory) / HOSTS_MAP).write_text(hosts)
            result = _run_check(candidate)
        if result.returncode != 0:
            raise BalancerError(
                "balancer-config-invalid",
                str(self._config),
                result.stderr.strip()[-2000:],
                kept="the running configuration serves on",
            )


def _run_check(path: Path) -> subprocess.CompletedProcess[str]:
    # Distributions put it in sbin, which is not on everybody's PATH.
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/sbin")
    if program is None:
        raise BalancerError(
            "balancer-missing", "haproxy", "the program is not installed", hint="install haproxy 2.6 or later"
        )
    try:
        return subprocess.run(
            [program, "-c", "-f", str(path)], capture_output=True, text=True, timeout=_CHECK_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BalancerError("balancer-config-invalid", str(path), f"cannot be checked: {error}") from error


def _replace(path: Path, text: str) -> None:
    """Write the file in one step, unless it already says so."""
    try:
        if path.read_text() == text:
            return
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.chmod(0o600)
    draft.replace(path)
