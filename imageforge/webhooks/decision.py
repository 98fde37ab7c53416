"""Whether a delivery calls for a build."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pathspec import PathSpec, Pattern

from imageforge.errors import UsageError
from imageforge.webhooks.delivery import Delivery, DeliveryKind

_REASON_OF_KIND = {
    DeliveryKind.PING: "ping",
    DeliveryKind.TEST: "test",
    DeliveryKind.TAG: "tag",
    DeliveryKind.DELETE: "deleted",
    DeliveryKind.OTHER: "not-a-push",
}
_SKIP_WORDS = re.compile(r"\[(skip ci|ci skip|no ci)\]", re.IGNORECASE)
_SKIP_TRAILER = re.compile(r"skip-checks:[ \t]*true[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What an app says about the pushes it wants.

    `watch` are patterns as in .gitignore, of which the last that matches a path wins; none means every path.
    Raises UsageError (`watch-invalid`) for a pattern that could never match, and where every pattern excludes.
    """

    branch: str
    watch: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        including = [_includes(glob) for glob in self.watch]
        if self.watch and not any(including):
            raise UsageError(
                "watch-invalid", "watch", "every pattern excludes, so no path is left", hint="begin with the pattern **"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Build or not; `reason` is a stable kebab-case word."""

    build: bool
    reason: str


def decide(delivery: Delivery, rules: Rules) -> Decision:
    """The first reason against a build, else `push`."""
    reason = _against(delivery, rules)
    return Decision(build=reason is None, reason=reason or "push")


def _against(delivery: Delivery, rules: Rules) -> str | None:
    if delivery.kind is not DeliveryKind.PUSH:
        return _REASON_OF_KIND[delivery.kind]
    if delivery.branch != rules.branch:
        return "branch-not-deployed"
    if delivery.before == delivery.after:
        return "nothing-new"
    if skips_ci(delivery.message):
        return "skip-ci"
    if not _watched(delivery.paths, rules.watch):
        return "no-watched-path"
    return None


def skips_ci(message: str) -> bool:
    if _SKIP_WORDS.search(message):
        return True
    # Trailers are the last paragraph; a subject alone has none.
    paragraphs = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip())
    return len(paragraphs) > 1 and any(_SKIP_TRAILER.fullmatch(line) for line in paragraphs[-1].split("\n"))


def _watched(paths: frozenset[str] | None, watch: tuple[str, ...]) -> bool:
    # A list that may be incomplete hides nothing from a build.
    return not watch or paths is None or any(_compiled(watch).match_files(paths))


def _includes(glob: str) -> bool:
    """Whether a pattern adds paths (True) or takes some away; raises UsageError where it does neither."""
    try:
        patterns = list(_compiled((glob,)).patterns)
    except (ValueError, re.error):
        patterns = []
    if not patterns or patterns[0].include is None:
        raise UsageError(
            "watch-invalid", f"watch pattern {glob!r}", "can match no path", hint="write it as a line of .gitignore"
        )
    return patterns[0].include


def _compiled(watch: tuple[str, ...]) -> PathSpec[Pattern]:
    # Not GitIgnoreSpec: it does as git, where `!web/` after `**` takes no file away, since `**` names each of them.
    return PathSpec.from_lines("gitignore", watch, backend="simple")
