"""IF108: servers of different kinds are installed in one image."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.dockerfile import Span
from linters.model import Principle, Severity
from linters.packages import Verb, bare_name, purged
from linters.rule import Hit, Rule, Subject

_KINDS = {
    "web server": r"nginx(?:-full|-light|-extras|-core)?|apache2|httpd|lighttpd|caddy|tomcat\d*|haproxy|varnish",
    "database": (
        r"mysql-server(?:-[\d.]+)?|mysql-community-server|mariadb-server(?:-[\d.]+)?|postgresql-server"
        r"|postgresql-\d[\d.]*|postgresql\d+-server|mongodb(?:-server|-org|-org-server)?|influxdb2?|cassandra|couchdb"
    ),
    "key-value store": r"redis-server|memcached|valkey(?:-server)?|keydb(?:-server)?",
    "message broker": r"rabbitmq-server|mosquitto|activemq|kafka",
    "mail server": r"postfix|exim4(?:-daemon-\w+)?|sendmail|dovecot(?:-core|-imapd|-pop3d)?|opensmtpd",
    "name server": r"bind9?|dnsmasq|unbound|pdns-server|knot",
    "FTP server": r"vsftpd|proftpd(?:-basic|-core)?|pure-ftpd",
    "PHP process manager": r"php[\d.]*-fpm",
}
_NAMES = {kind: re.compile(rf"(?:{names})$") for kind, names in _KINDS.items()}
# What the same name means depends on who packs it: a server here, a client there.
_HERE = {
    "apt": {"postgresql": "database"},
    "apk": {
        "postgresql": "database",
        "mariadb": "database",
        "mysql": "database",
        "redis": "key-value store",
    },
    "dnf": {"redis": "key-value store", "mariadb-server": "database"},
    "zypper": {"redis": "key-value store"},
}
_FPM = frozenset({"web server", "PHP process manager"})


def _check(subject: Subject) -> Iterator[Hit]:
    found: dict[str, tuple[str, Span]] = {}
    for script in subject.run_scripts():
        calls = subject.calls(script)
        removals = [call for call in calls if call.verb is Verb.REMOVE]
        for call in calls:
            if call.verb is not Verb.INSTALL or call.manager not in _HERE:
                continue
            for word in call.command.words:
                package = bare_name(word.text)
                kind = _kind(call.manager, package)
                if kind and kind not in found and word.text in call.packages and not purged(removals, call, [package]):
                    found[kind] = package, script.span(word.start, word.end)
    if len(found) > 1:
        named = " and ".join(f"{package} ({kind})" for kind, (package, _) in found.items())
        _, where = list(found.values())[-1]
        yield Hit(
            span=where,
            message=f"servers of several kinds are installed: {named}, expected one service in an image",
            fix="build one image for each, and let them find each other over the network",
            severity=Severity.INFO if set(found) == _FPM else None,
        )


def _kind(manager: str, package: str) -> str | None:
    known = _HERE[manager].get(package)
    return known or next((kind for kind, names in _NAMES.items() if names.match(package)), None)


RULE = Rule(
    id="IF108",
    severity=Severity.WARNING,
    principle=Principle.ONE_PROCESS,
    title="An image holds one kind of server",
    check=_check,
)
