"""HAProxy, the program: found, and asked whether a configuration is valid."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from runtime.errors import BalancerError

_CHECK_TIMEOUT = 20.0


def check(path: Path) -> str:
    """What it says against a configuration; empty where it is valid. Raises BalancerError (`balancer-missing`,
    `balancer-config-invalid`) where it cannot be asked."""
    # Distributions put it in sbin, which is not on everybody's PATH.
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/sbin")
    if program is None:
        raise BalancerError(
            "balancer-missing", "haproxy", "the program is not installed", hint="install haproxy 2.6 or later"
        )
    try:
        done = subprocess.run(
            [program, "-c", "-f", str(path)], capture_output=True, text=True, timeout=_CHECK_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BalancerError("balancer-config-invalid", str(path), f"cannot be checked: {error}") from error
    return (done.stderr.strip() or "it does not say why") if done.returncode else ""
