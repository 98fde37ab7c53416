"""IF201: an image is named without a tag, or by the tag that moves."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import Source

# What a registry takes for one; else it is a placeholder that another tool fills in.
_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w][\w.-]*)?(?:@\w+:\w+)?$"
)
# What COPY --from names most often without a tag; any other bare name may be that of a named context.
_OFFICIAL = frozenset(
    {
        *("alpine", "busybox", "composer", "debian", "docker", "golang", "httpd", "maven", "nginx", "node", "php"),
        *("python", "redis", "ruby", "rust", "ubuntu", "traefik", "caddy", "memcached", "postgres", "mysql", "mongo"),
    }
)


def _check(subject: Subject) -> Iterator[Hit]:
    for source in subject.plan.sources():
        hit = judge(source)
        if hit is not None:
            yield hit


def judge(source: Source) -> Hit | None:
    """What is to be said of an image that a file names, or None where it has a version."""
    span = source.instruction.span(source.start, source.end)
    reference = source.reference
    if reference is None or not _REFERENCE.match(reference):
        return Hit(
            span=span,
            message="which image this names cannot be told from the file",
            fix="give the ARG a default with a tag, such as ARG BASE_IMAGE=debian:bookworm",
            severity=Severity.INFO,
        )
    if reference.lower() == "scratch" or "@" in reference:
        return None
    severity = None
    _, _, tag = reference.rpartition("/")[2].partition(":")
    if not tag:
        what = f"{reference} has no tag, and so means whatever `latest` is today"
    elif tag == "latest":
        what = f"{reference} means something else after the next push to it"
    else:
        return None
    flagged = source.instruction.keyword != "FROM"
    if flagged and not tag and "/" not in reference and reference not in _OFFICIAL:
        what = f"{reference} is no stage: an image without a tag, or a context that the build is given by name"
        severity = Severity.WARNING
    whole = reference.removesuffix(f":{tag}") if tag else reference
    fix = f"name the version you build on, such as {whole}:<version>, best with its digest"
    return Hit(span=span, message=f"{what}, expected a version", fix=fix, severity=severity)


RULE = Rule(
    id="IF201",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="A base image is named by version or digest",
    check=_check,
    covers=frozenset({"DL3006", "DL3007", "DL3022"}),
)
