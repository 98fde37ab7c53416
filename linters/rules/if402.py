"""IF402: no USER, so that the base image decides, which nearly always means root."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.image.account import runs_as_root
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.rules.if401 import drops_privilege

_NAMED_NON_ROOT = re.compile(r"nonroot|non-root|unprivileged|chisel|^cgr\.dev/|chainguard|(?:^|/)bitnami/|rootless")
_WINDOWS = re.compile(r"windows|servercore|nanoserver|mcr\.microsoft\.com/dotnet/framework")


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    base = plan.base_image
    if plan.last("USER") is not None or drops_privilege(subject.entry):
        return
    if subject.dockerfile.escape == "`" or _WINDOWS.search(base or ""):
        return
    trusted = bool(base and _NAMED_NON_ROOT.search(base))
    start = plan.target.start
    word = start.words[0]
    yield Hit(
        span=start.span(word.start, word.end),
        message=f"no USER is set; {base} seems to bring one of its own, which only the built image can tell"
        if trusted
        else "no USER is set, so the program runs as the base image's user, which is nearly always root",
        fix=_fix(base),
        severity=Severity.INFO if trusted else None,
    )


def _fix(base: str | None) -> str:
    if _has_no_shell(base):
        return "add USER 10001 before CMD; a number needs no account"
    account = "adduser -D -H -u 10001 app" if "alpine" in (base or "") else "useradd --uid 10001 --no-create-home app"
    return f"add an account (RUN {account}) and USER 10001 before CMD"


def _has_no_shell(base: str | None) -> bool:
    return base is None or base == "scratch" or "distroless" in base


RULE = Rule(
    id="IF402",
    severity=Severity.WARNING,
    principle=Principle.NON_ROOT,
    title="An image says which user its program runs as",
    check=_check,
    image=runs_as_root,
)
