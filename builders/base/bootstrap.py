"""The arguments for mmdebstrap(1). Pure: a test reads what would be run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from builders.base.apt import AptSource

PACKAGES = ("ca-certificates",)
# Kept by policy: the licence of every package.
_DPKG_OPTIONS = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-include=/usr/share/doc/*/copyright",
)
_APT_OPTIONS_IN_IMAGE = "/etc/apt/apt.conf.d/99mmdebstrap"
# Named as in Debian's own images, so that the recipes that remove it for a cache mount work. Without it each RUN that
# installs a package leaves 80 MB of apt's caches in its layer, which apt makes again whenever it needs them.
_CLEAN = "/etc/apt/apt.conf.d/docker-clean"
_NO_CACHES = (
    'Dir::Cache::pkgcache "";',
    'Dir::Cache::srcpkgcache "";',
    'APT::Keep-Downloaded-Packages "false";',
)
_LOCAL_CERTIFICATES = "/usr/local/share/ca-certificates/"


def bootstrap_argv(
    suite: str,
    *,
    program: str,
    sources_file: Path,
    sources: Sequence[AptSource],
    acquire: Sequence[str],
    certificates: Sequence[Path],
) -> list[str]:
    """The command that writes the tree of `suite` as tar to its standard output.

    The Acquire options serve the bootstrap only and do not stay in the image: a proxy's password may be among them.
    """
    command = [program, "--mode=root", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}"]
    command += [f"--dpkgopt={option}" for option in _DPKG_OPTIONS]
    command += [f"--aptopt={option}" for option in acquire]
    command += [f"--keyring={path}" for path in sorted({source.signed_by for source in sources if source.signed_by})]
    if certificates:
        names = " ".join(shlex.quote(str(path)) for path in certificates)
        command.append(f"--customize-hook=copy-in {names} {_LOCAL_CERTIFICATES}")
        command.append('--customize-hook=chroot "$1" update-ca-certificates')
    # What the bootstrap's own apt wrote: `apt-get clean` does not look for caches that are switched off.
    command.append('--customize-hook=rm -f "$1"/var/cache/apt/*.bin')
    command.append(f"--customize-hook=printf '%s\\n' {shlex.join(_NO_CACHES)} > \"$1\"{_CLEAN}")
    forgotten = (_APT_OPTIONS_IN_IMAGE, "/etc/hostname", "/etc/resolv.conf")
    command.append("--customize-hook=rm -f " + " ".join(f'"$1"{path}' for path in forgotten))
    return [*command, suite, "-", str(sources_file)]
