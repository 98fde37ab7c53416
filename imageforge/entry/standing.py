"""How each name's certificate stands: where it comes from, how long it is good, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imageforge.config import Home, Settings
from imageforge.config.domain import file_stem
from imageforge.entry.secret_file import replace
from runtime import CertificateState, certificate_states, covers_host

RENEW_AT = 3
"""A certificate is renewed when a third of its life is left."""
FIRST_PAUSE = 60.0
LONGEST_PAUSE = 12 * 3600.0
"""Seconds to wait after a failure: five times longer each time. Public authorities take five failures an hour."""


class CertificateSource(StrEnum):
    """Where a name's certificate comes from."""

    FILE = "file"
    ACME = "acme"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """What is remembered of the failures to get a certificate. Times are Unix seconds."""

    failures: int = 0
    next_at: float = 0.0
    error: str = ""

    def failed(self, reason: str, now: float) -> Attempts:
        """After one more failure."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 5.0 ** min(self.failures, 10))
        return Attempts(failures=self.failures + 1, next_at=now + pause, error=reason[:500])


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One name. `source` is None where nothing serves it; `problem` is why there is none, or no new one."""

    name: str
    source: CertificateSource | None = None
    until: float | None = None
    problem: str = ""


def certificate_folders(home: Home, settings: Settings) -> tuple[Path, ...]:
    """The folders that the balancer takes certificates from; a file put there by hand wins over one that was got."""
    chosen = (Path(settings.certificates),) if settings.certificates else ()
    return (*chosen, *((home.acme_certificates,) if settings.acme else ()))


def due(certificate: CertificateState | None, attempts: Attempts, now: float) -> bool:
    """Whether it is time to ask for a certificate, a first or a newer one."""
    if now < attempts.next_at and attempts.next_at - now <= LONGEST_PAUSE:  # else the clock was set back
        return False
    if certificate is None or certificate.not_after is None or certificate.not_before is None:
        return True
    return now >= certificate.not_after - (certificate.not_after - certificate.not_before) / RENEW_AT


def standings(names: Iterable[str], home: Home, settings: Settings) -> tuple[Standing, ...]:
    """How these names stand now, without asking anybody."""
    if not settings.public:
        return tuple(
            Standing(name=name, problem="nothing is served to others: public_address is not set") for name in names
        )
    by_file = certificate_states((Path(settings.certificates),), tried=False) if settings.certificates else ()
    by_acme = certificate_states((home.acme_certificates,), tried=False) if settings.acme else ()
    return tuple(_standing(name, by_file, by_acme, home, settings) for name in names)


def _standing(
    name: str,
    by_file: tuple[CertificateState, ...],
    by_acme: tuple[CertificateState, ...],
    home: Home,
    settings: Settings,
) -> Standing:
    for source, states in ((CertificateSource.FILE, by_file), (CertificateSource.ACME, by_acme)):
        good = serving(name, states)
        if good is not None:
            problem = read_attempts(home, name).error if source is CertificateSource.ACME else ""
            return Standing(name=name, source=source, until=good.not_after, problem=problem)
    if not settings.acme:
        return Standing(name=name, problem=f"no certificate in {settings.certificates} is for it")
    return Standing(name=name, problem=read_attempts(home, name).error or "a certificate is being asked for")


def serving(name: str, states: Iterable[CertificateState]) -> CertificateState | None:
    """The certificate of these that is good for a name, and longest."""
    good = [state for state in states if not state.problem and covers_host(state.names, name)]
    return max(good, key=lambda state: state.not_after or 0.0, default=None)


def read_attempts(home: Home, name: str) -> Attempts:
    """What is remembered of a name; nothing where it cannot be read."""
    try:
        raw: Mapping[str, object] = json.loads(_attempts_file(home, name).read_text())
        return Attempts(failures=int(str(raw["failures"])), next_at=float(str(raw["next_at"])), error=str(raw["error"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Attempts()


def write_attempts(home: Home, name: str, attempts: Attempts) -> None:
    """Remember it, over a restart too. Raises OSError."""
    raw = {"failures": attempts.failures, "next_at": attempts.next_at, "error": attempts.error}
    replace(_attempts_file(home, name), json.dumps(raw).encode())


def forget_attempts(home: Home, name: str) -> None:
    """It worked, or nobody wants it any more."""
    _attempts_file(home, name).unlink(missing_ok=True)


def issued_by(home: Home, name: str) -> str:
    """The directory that its certificate was got from; empty where nobody knows. A certificate of a trial directory is
    replaced once another one is set."""
    try:
        return _issuer_file(home, name).read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def remember_issuer(home: Home, name: str, directory: str) -> None:
    """Its certificate is this directory's. Raises OSError."""
    replace(_issuer_file(home, name), directory.encode())


def forget_names(home: Home, names: set[str]) -> None:
    """Drop all that is kept for names other than these. Raises OSError."""
    wanted = set(map(file_stem, names))
    for folder in (home.acme_certificates, *(home.acme / part for part in ("attempts", "issuers", "orders"))):
        for file in folder.glob("*"):
            if file.stem not in wanted and not file.name.startswith("."):
                file.unlink(missing_ok=True)


def _issuer_file(home: Home, name: str) -> Path:
    return home.acme / "issuers" / f"{file_stem(name)}.txt"


def _attempts_file(home: Home, name: str) -> Path:
    return home.acme / "attempts" / f"{file_stem(name)}.json"
