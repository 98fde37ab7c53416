"""Who speaks for the balancer, and by whom guesses are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageforge.entry.key import Way, arrival, entry_key, neighbourhood

KEY = "k" * 64


@pytest.mark.parametrize(
    ("said", "forwarded", "way", "address"),
    [
        (f"tls {KEY}", "198.51.100.7", Way.TLS, "198.51.100.7"),
        (f"plain {KEY}", "2001:db8::1", Way.PLAIN, "2001:db8::1"),
        (f"tls {KEY}", "", Way.TLS, "127.0.0.1"),
        (f"tls {KEY}", "203.0.113.1, 198.51.100.7", Way.TLS, "198.51.100.7"),
        ("tls wrong", "198.51.100.7", Way.LOCAL, "127.0.0.1"),
        (f"tls {KEY}x", "198.51.100.7", Way.LOCAL, "127.0.0.1"),
        ("tls ", "198.51.100.7", Way.LOCAL, "127.0.0.1"),
        (f"local {KEY}", "198.51.100.7", Way.LOCAL, "127.0.0.1"),
        ("tls \xff", "198.51.100.7", Way.LOCAL, "127.0.0.1"),
        ("", "198.51.100.7", Way.LOCAL, "127.0.0.1"),
    ],
)
def test_only_the_balancer_is_believed(said: str, forwarded: str, way: Way, address: str) -> None:
    found = arrival(said, forwarded, "127.0.0.1", KEY)
    assert (found.way, found.address) == (way, address)


def test_the_key_is_made_once_and_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "state" / "entry.key"
    made = entry_key(file)
    assert len(made) == 64
    assert entry_key(file) == made
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_guesses_are_counted_by_what_one_customer_has() -> None:
    assert neighbourhood("198.51.100.7") == "198.51.100.7"
    assert neighbourhood("2001:db8:1:2:3::4") == neighbourhood("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert neighbourhood("::ffff:198.51.100.7") == "198.51.100.7"
    assert neighbourhood("?") == "?"
