"""The environment of the client's process: what it needs, nothing that redirects it, and the values of build args."""

from __future__ import annotations

import re
from collections.abc import Mapping

from builders.engine import Endpoint
from builders.errors import ContextError

_KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"),
        *("DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
)
_FIXED = {"DOCKER_BUILDKIT": "1", "DOCKER_CLI_HINTS": "false", "LC_ALL": "C.UTF-8"}
_READ_BY_CLIENT = re.compile(
    r"PATH|HOME|TMPDIR|LC_ALL|SSL_CERT_\w+|SSH_AUTH_SOCK|XDG_\w+|DOCKER_\w+|BUILDX_\w+|"
    r"BUILDKIT_(HOST|PROGRESS|TTY_\w+)|LD_\w+|GODEBUG|GOGC|GOMEMLIMIT|GOMAXPROCS|GOTRACEBACK"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def client_environment(environ: Mapping[str, str], endpoint: Endpoint) -> dict[str, str]:
    """The variables for a client that shall talk to `endpoint`, whatever contexts and builders are configured."""
    kept = {name: value for name, value in environ.items() if name in _KEPT}
    return kept | _FIXED | endpoint.environment()


def with_build_args(environment: Mapping[str, str], build_args: Mapping[str, str]) -> dict[str, str]:
    """`environment` and the build args, which travel as variables because others can read argv.

    Raises ContextError ``invalid-build-arg``, or ``reserved-build-arg`` for a name that the client would take as its
    own setting.
    """
    for name, value in build_args.items():
        if not _NAME.fullmatch(name):
            raise ContextError("invalid-build-arg", name, "not a name for a build argument: letters, digits and '_'")
        if "\0" in value:
            raise ContextError("invalid-build-arg", name, "its value has a NUL character")
        if _READ_BY_CLIENT.fullmatch(name):
            raise ContextError(
                "reserved-build-arg",
                name,
                "the Docker client reads a variable of this name, so it cannot carry a build argument",
                hint="rename the ARG in the Dockerfile",
            )
    return {**environment, **build_args}
