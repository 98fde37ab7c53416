"""The folder that a build is given, as BuildKit sees it: what its .dockerignore leaves, and what a COPY takes of it."""

from linters.context.folder import Context, File
from linters.context.patterns import NAME, MalformedPattern, Patterns, ignore_file

__all__ = ["NAME", "Context", "File", "MalformedPattern", "Patterns", "ignore_file"]
