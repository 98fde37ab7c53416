"""The command line's other end: a server elsewhere. Needs no engine, and runs on macOS and Windows too.

`imageforge.client.server` talks to it, and is loaded where there is one.
"""

from imageforge.client.contexts import Context, Contexts
from imageforge.client.git_credentials import GitCredentials

__all__ = ["Context", "Contexts", "GitCredentials"]
