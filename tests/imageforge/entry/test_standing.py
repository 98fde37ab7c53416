"""When a certificate is asked for, and how long a failure is waited for."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from imageforge.config import Home, Settings
from imageforge.entry.standing import (
    LONGEST_PAUSE,
    Attempts,
    CertificateSource,
    due,
    forget_attempts,
    read_attempts,
    standings,
    write_attempts,
)
from runtime import CertificateState
from tests.authority import TestAuthority

DAY = 86400.0
NINETY = CertificateState(file="x", names=("w.example.org",), not_before=0.0, not_after=90 * DAY)


@pytest.mark.parametrize(
    ("certificate", "attempts", "now", "expected"),
    [
        (None, Attempts(), 0.0, True),
        (None, Attempts(failures=1, next_at=50.0), 49.0, False),
        (None, Attempts(failures=1, next_at=50.0), 50.0, True),
        (NINETY, Attempts(), 59.9 * DAY, False),
        (NINETY, Attempts(), 60 * DAY, True),
        (NINETY, Attempts(failures=3, next_at=61 * DAY), 60.9 * DAY, False),
        (None, Attempts(failures=9, next_at=400 * DAY), 1.0, True),  # the clock was set back meanwhile
    ],
)
def test_when_it_is_time(certificate: CertificateState | None, attempts: Attempts, now: float, expected: bool) -> None:
    assert due(certificate, attempts, now) is expected


def test_each_failure_is_waited_for_longer_up_to_half_a_day() -> None:
    attempts = Attempts()
    pauses = []
    for _ in range(100):
        attempts = attempts.failed("why" * 1000, 0.0)
        pauses.append(attempts.next_at)
    assert pauses[:3] == [60.0, 300.0, 1500.0]
    assert all(earlier <= later for earlier, later in itertools.pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE
    assert len(attempts.error) == 500


def test_failures_are_remembered_over_a_restart(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write_attempts(home, "w.example.org", Attempts().failed("no DNS record", 100.0))
    assert read_attempts(home, "w.example.org") == Attempts(failures=1, next_at=160.0, error="no DNS record")
    forget_attempts(home, "w.example.org")
    assert read_attempts(home, "w.example.org") == Attempts()
    (home.acme / "attempts" / "w.example.org.json").write_text("damaged")
    assert read_attempts(home, "w.example.org") == Attempts()


def test_how_names_stand(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path / "ca")
    home = Home(tmp_path / "home")
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "a.pem").write_bytes(authority.bundle("*.example.org"))
    common = {"public_host": "forge.example.org", "public_address": "127.0.0.1", "certificates": str(folder)}
    by_file = Settings.model_validate(common)
    one, none = standings(("w.example.org", "x.example.net"), home, by_file)
    assert one.source is CertificateSource.FILE
    assert one.until
    assert (none.source, "is for it" in none.problem) == (None, True)
    with_acme = Settings.model_validate({**common, "acme": True})
    write_attempts(home, "x.example.net", Attempts().failed("no DNS record", 1.0))
    assert [s.problem for s in standings(("x.example.net", "y.example.net"), home, with_acme)] == [
        "no DNS record",
        "a certificate is being asked for",
    ]
    home.acme_certificates.mkdir(parents=True)
    (home.acme_certificates / "x.example.net.pem").write_bytes(authority.bundle("x.example.net"))
    (renewing,) = standings(("x.example.net",), home, with_acme)
    assert (renewing.source, renewing.problem) == (CertificateSource.ACME, "no DNS record")
    (nothing,) = standings(("w.example.org",), home, Settings())
    assert "public_address is not set" in nothing.problem
