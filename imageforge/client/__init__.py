"""The command line's other end: a server elsewhere. Needs no engine, and runs on macOS and Windows too."""

from imageforge.client.contexts import Context, Contexts
from imageforge.client.git_credentials import GitCredentials
from imageforge.client.server import Server

__all__ = ["Context", "Contexts", "GitCredentials", "Server"]
