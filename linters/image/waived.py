"""What a Dockerfile's author waived, as far as the image that it makes is judged."""

from __future__ import annotations

from pathlib import Path

from linters.dockerfile import parse, read_text
from linters.ignores import ignores
from linters.policy import Policy

ALSO = {"IF401": ("IF402",)}
"""Who waives that the file says root means the image that runs as root, too."""


def waived_rules(dockerfile: Path, policy: Policy) -> frozenset[str]:
    """The rules that complete ignore comments of a file name, whatever instruction they stand above: a finding on an
    image is of no line. None where the project lets no comment count. Raises DockerfileError where the file cannot be
    read."""
    if not policy.comments:
        return frozenset()
    parsed = parse(read_text(dockerfile, subject=dockerfile.name))
    named = {rule for ignore in ignores(parsed) if ignore.complete(strict=policy.strict) for rule in ignore.rules}
    return frozenset(named | {other for rule in named for other in ALSO.get(rule, ())})
