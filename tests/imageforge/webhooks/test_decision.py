"""Build or not."""

from __future__ import annotations

import pytest

from imageforge.errors import UsageError
from imageforge.webhooks import Decision, Delivery, DeliveryKind, Provider, Rules, decide

from .scene import AFTER, BEFORE, ZEROS

ANY = Rules(branch="main")
API = Rules(branch="main", watch=("api/**", "*.py", "!docs/*.py"))


def pushed(**changes: object) -> Delivery:
    given: dict[str, object] = {
        "provider": Provider.GITHUB,
        "kind": DeliveryKind.PUSH,
        "id": "1",
        "ref": "refs/heads/main",
        "branch": "main",
        "before": BEFORE,
        "after": AFTER,
        "message": "Sell socks",
        "paths": frozenset({"web/index.html"}),
    }
    return Delivery(**given | changes)  # type: ignore[arg-type]


def paths(*names: str) -> Delivery:
    return pushed(paths=frozenset(names))


def said(message: str) -> Delivery:
    return pushed(message=message)


@pytest.mark.parametrize(
    ("delivery", "rules", "reason"),
    [
        (pushed(), ANY, "push"),
        (pushed(before=ZEROS, paths=None), API, "push"),
        (pushed(forced=True, paths=None), API, "push"),
        (pushed(kind=DeliveryKind.PING), ANY, "ping"),
        (pushed(kind=DeliveryKind.TEST, before=ZEROS, after=ZEROS), ANY, "test"),
        (pushed(kind=DeliveryKind.TAG), ANY, "tag"),
        (pushed(kind=DeliveryKind.DELETE, after=ZEROS), ANY, "deleted"),
        (pushed(kind=DeliveryKind.OTHER), ANY, "not-a-push"),
        (pushed(branch="next"), ANY, "branch-not-deployed"),
        (pushed(branch="main/next"), ANY, "branch-not-deployed"),
        (pushed(branch="Main"), ANY, "branch-not-deployed"),
        (pushed(branch="next", message="[skip ci]"), ANY, "branch-not-deployed"),
        (pushed(before=AFTER), ANY, "nothing-new"),
        (said("[skip ci] Sell socks"), ANY, "skip-ci"),
        (said("Sell socks\n\n[CI Skip]"), ANY, "skip-ci"),
        (said("Sell socks [no ci]"), ANY, "skip-ci"),
        (said("Sell socks\n\nIn pairs.\n\nskip-checks: true"), ANY, "skip-ci"),
        (said("Sell socks\r\n\r\n\r\nSkip-Checks:true\r\nSigned-off-by: Ada\r\n"), ANY, "skip-ci"),
        (said("Sell socks\n\nskip-checks: false"), ANY, "push"),
        (said("Sell socks\n\nskip-checks: true\n\nIn pairs."), ANY, "push"),
        (said("skip-checks: true"), ANY, "push"),
        (said("Explain skip ci and [skip  ci]"), ANY, "push"),
        (said(""), ANY, "push"),
        (paths("web/index.html"), API, "no-watched-path"),
        (paths(), API, "no-watched-path"),
        (paths("api/deep/er/x.js"), API, "push"),
        (paths("web/api/x.js"), API, "no-watched-path"),
        (paths("web/tools/x.py"), API, "push"),
        (paths("docs/conf.py"), API, "no-watched-path"),
        (paths("docs/conf.py", "api/x"), API, "push"),
        (paths("docs/sub/conf.py"), API, "push"),
        (paths("ß/é.py"), API, "push"),
        (paths("web/index.html"), Rules(branch="main", watch=("**", "!web/")), "no-watched-path"),
        (paths("web/index.html"), Rules(branch="main", watch=("web/",)), "push"),
        (paths("web/index.html"), Rules(branch="main", watch=("/",)), "push"),
        (paths("web/index.html"), Rules(branch="main", watch=("/index.html",)), "no-watched-path"),
    ],
)
def test_decide(delivery: Delivery, rules: Rules, reason: str) -> None:
    assert decide(delivery, rules) == Decision(build=reason == "push", reason=reason)


@pytest.mark.parametrize("watch", [("",), ("# note",), ("!",), ("[z-a]",), ("\\",), ("api/**", " "), ("!docs/**",)])
def test_patterns_that_would_never_build_are_refused(watch: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refused:
        Rules(branch="main", watch=watch)
    assert refused.value.code == "watch-invalid"
