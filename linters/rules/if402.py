"""IF402: no USER, so that the base image decides, which nearly always means root."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.model import Edit, Principle, Severity
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.rules.if401 import drops_privilege
from linters.user import UserKind

if TYPE_CHECKING:
    from linters.image.evidence import Evidence

_NAMED_NON_ROOT = re.compile(r"nonroot|non-root|unprivileged|chisel|^cgr\.dev/|chainguard|(?:^|/)bitnami/|rootless")
_RED_HAT = re.compile(r"fedora|centos|rocky|almalinux|redhat|ubi[0-9]|amazonlinux|oraclelinux|opensuse|suse/")
_DEBIAN = re.compile(
    r"(?:^|/)(?:debian|ubuntu|buildpack-deps|python|node|ruby|php|golang|rust|perl|openjdk|eclipse-temurin|nginx|httpd)(?:[:@]|$)"
)


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    base = plan.base_image
    user = subject.user
    if user.step is not None or drops_privilege(subject):
        return
    if subject.dockerfile.escape == "`" or plan.windows or user.kind in (UserKind.NUMERIC, UserKind.NAME):
        return
    trusted = user.kind is UserKind.UNKNOWN and bool(base and _NAMED_NON_ROOT.search(base))
    start = plan.target.start
    word = start.words[0]
    yield Hit(
        span=start.span(word.start, word.end),
        message=_message(subject, trusted),
        fix=_fix(base),
        severity=Severity.INFO if trusted else None,
        edits=_changes(subject, base),
    )


def _message(subject: Subject, trusted: bool) -> str:
    base = subject.plan.base_image
    if trusted:
        return f"no USER is set; {base} seems to bring one of its own, which only the built image can tell"
    if subject.user.kind is UserKind.ROOT:
        return f"no USER is set, and {base} leaves its programs to root"
    return "no USER is set, so the program runs as the base image's user, which is nearly always root"


def _account(base: str | None) -> str | None:
    """The command that makes an account on the distribution that a base's name tells."""
    if base is None or _has_no_shell(base):
        return None
    if "alpine" in base:
        return "adduser -D -H -u 10001 app"
    known = (
        _DEBIAN.search(base) or _RED_HAT.search(base) or re.search(r"bookworm|bullseye|trixie|slim|jammy|noble", base)
    )
    return "useradd --uid 10001 --no-create-home app" if known else None


def _fix(base: str | None) -> str:
    if _has_no_shell(base):
        return "add USER 10001 before CMD; a number needs no account"
    account = _account(base) or "useradd --uid 10001 --no-create-home app"
    return f"add an account (RUN {account}) and USER 10001 before CMD"


def _changes(subject: Subject, base: str | None) -> tuple[Edit, ...]:
    """An account and a USER in front of what the target starts; a suggestion, since files may have to change hands."""
    account = _account(base)
    main = subject.entry.entrypoint or subject.entry.command
    if main is None or main.stage != subject.plan.target.index or (account is None and base != "scratch"):
        return ()
    first = main.instruction
    line = first.comments[0].line if first.comments else first.line
    place = subject.dockerfile.offset(line, 1)
    lines = [f"RUN {account}"] if account else []
    return (Edit(start=place, end=place, text="".join(f"{one}\n" for one in (*lines, "USER 10001"))),)


def _has_no_shell(base: str | None) -> bool:
    return base is None or base == "scratch" or "distroless" in base


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.account import runs_as_root  # noqa: PLC0415 - who judges a file has no use for it

    return runs_as_root(evidence)


RULE = Rule(
    id="IF402",
    severity=Severity.WARNING,
    principle=Principle.NON_ROOT,
    title="An image says which user its program runs as",
    check=_check,
    image=_image,
)
