"""What things are called that a repository may say something about; the rest of it takes a while to load."""

from __future__ import annotations

import re

FILE_NAME = "imageforge.toml"
APP_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""An app's name is the name of its Service (RFC 1035 label), and leaves room for a hash and a suffix in pod names."""
PROCESS_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
LONGEST_DEPLOYMENT = 63 - len("-") - 10 - len("-") - 5
"""Characters in the name of a Deployment: its pods add a hash of at most ten and a suffix of five, and their names are
host names (RFC 1123 label)."""
DEFAULT_PORT = 8080
"""Where an app listens when neither flag, file nor EXPOSE says; it is told by the variable PORT in any case."""
WEB = "web"
"""The process that the Service leads to; it runs under the app's own name."""


def deployment_name(app: str, process: str) -> str:
    """The name under which a process of an app runs."""
    return app if process == WEB else f"{app}-{process}"


def too_long(app: str, process: str) -> str | None:
    """What is wrong with the length of a process's name, if anything."""
    name = deployment_name(app, process)
    if len(name) <= LONGEST_DEPLOYMENT:
        return None
    return f"{name} has {len(name)} characters, and a process's name with its app's has at most {LONGEST_DEPLOYMENT}"
