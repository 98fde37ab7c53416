"""Certificates: a good one is served, a broken one is named and harms no other."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from runtime import PublicEntry, RuntimeSettings, certificate_states
from runtime.balancer import keyring
from runtime.balancer.certificates import covers
from runtime.balancer.config import (
    CERTIFICATES,
    PUBLIC_MAP,
    SECURED,
    Backend,
    beside,
    initial_config,
    keys_folder,
    render,
    stamp,
)
from runtime.balancer.files import BalancerFiles
from runtime.balancer.keyring import Entry, Keyring, Ring
from tests.authority import TestAuthority, private
from tests.runtime.stack import make_settings

BACKENDS = (Backend(name="n_web", hosts=("web.localhost", "w.example.org", "a.example.net")),)


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path / "ca")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "certificates"
    made.mkdir()
    return made


def public_settings(home: Path, *folders: Path) -> RuntimeSettings:
    entry = PublicEntry(
        address="::",
        http_port=8080,
        https_port=8443,
        host="forge.example.org",
        api="127.0.0.1:8701",
        registry="127.0.0.1:8706",
        key="0123",
        certificates=folders,
        acme=True,
    )
    return replace(make_settings(home, "abc", "", 8700), public=entry)


def names(ring: Ring) -> list[tuple[str, ...]]:
    return sorted(entry.names for entry in ring.entries)


@pytest.mark.parametrize("name", ["plain", "with space (and) 'quote'"])
def test_haproxy_finds_the_public_part_valid(
    short_path: Path, folder: Path, authority: TestAuthority, name: str
) -> None:
    home = short_path / name
    home.mkdir()
    (folder / "w w.pem").write_bytes(authority.bundle("w.example.org", "*.example.net"))
    files = BalancerFiles(settings := public_settings(home, folder))
    files.write(BACKENDS, ring := files.ring())
    assert [file.stat().st_mode & 0o777 for file in keys_folder(settings).iterdir()] == [0o600]
    result = subprocess.run(
        ["/usr/sbin/haproxy", "-c", "-f", home / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert ring.covers("a.example.net")
    assert not ring.covers("b.a.example.net")


def test_without_a_certificate_it_starts_all_the_same(tmp_path: Path, folder: Path) -> None:
    settings = public_settings(tmp_path, folder)
    files = BalancerFiles(settings)
    files.write((), files.ring())
    assert "public-tls" in settings.balancer_config.read_text()
    assert "public" not in initial_config(settings)


def test_what_the_world_is_led_to(tmp_path: Path) -> None:
    settings = public_settings(tmp_path)
    ring = Ring((Entry(file="a.pem", names=("w.example.org",)),))
    lists = beside(settings, BACKENDS, ring)
    assert lists[PUBLIC_MAP] == "w.example.org n_web\na.example.net n_web\n"
    assert lists[SECURED] == "w.example.org n_web\n"
    assert lists[CERTIFICATES] == "a.pem w.example.org\n"
    text = render(settings, BACKENDS)
    assert text.count("0123") == 2, "only what goes to the API may hold the key"
    for listener in text.split("frontend public-")[1:]:
        for header in ("X-Imageforge-Entry", "X-Forwarded-For", "Forwarded", "X-Real-IP"):
            assert f"http-request del-header {header}\n" in listener
    assert stamp(settings, BACKENDS) != stamp(replace(settings, public=None), BACKENDS)
    assert RuntimeSettings.from_json(settings.to_json()) == settings
    assert "0123" not in repr(settings)


def test_a_broken_file_is_named_and_the_others_are_served(
    tmp_path: Path, folder: Path, authority: TestAuthority
) -> None:
    certificate, key = authority.issue("pair.example.org")
    (folder / "pair.crt").write_bytes(certificate)
    (folder / "pair.key").write_bytes(key)
    (folder / "lonely.crt").write_bytes(certificate)
    (folder / "nonsense.pem").write_text("nonsense")
    (folder / "keyless.pem").write_bytes(certificate)
    (folder / "foreign.pem").write_bytes(certificate + private(ec.generate_private_key(ec.SECP256R1())))
    (folder / "sealed.pem").write_bytes(certificate + private(ec.generate_private_key(ec.SECP256R1()), b"word"))
    (folder / "nameless.pem").write_bytes(authority.bundle())
    (folder / "expired.pem").write_bytes(authority.bundle("old.example.org", start=-9, end=-1))
    (folder / "early.pem").write_bytes(authority.bundle("new.example.org", start=1))
    (folder / "huge.pem").write_bytes(b"#" * 2_000_000)
    (folder / ".hidden.pem").write_text("half a copy")
    (folder / "notes.txt").write_text("not a certificate")
    problems = {Path(state.file).name: state.problem for state in certificate_states((folder,))}
    expected = {
        "pair.crt": "",
        "lonely.crt": "no lonely.key",
        "nonsense.pem": "no certificate",
        "keyless.pem": "no private key",
        "foreign.pem": "do not belong together",
        "sealed.pem": "has a password",
        "nameless.pem": "names no host",
        "expired.pem": "it expired on",
        "early.pem": "not valid before",
        "huge.pem": "more than",
    }
    assert set(problems) == set(expected)
    for name, words in expected.items():
        assert words in problems[name], name
        assert bool(problems[name]) == bool(words)
    assert not any("word" in problem for name, problem in problems.items() if name != "sealed.pem")
    assert names(Keyring((folder,), tmp_path / "own").look()) == [("pair.example.org",)]


def test_what_haproxy_refuses_is_left_out(tmp_path: Path, folder: Path, authority: TestAuthority) -> None:
    (folder / "weak.pem").write_bytes(authority.bundle("weak.example.org", key=rsa.generate_private_key(65537, 1024)))
    (folder / "good.pem").write_bytes(authority.bundle("good.example.org"))
    found = {Path(state.file).name: state.problem for state in certificate_states((folder,))}
    assert found["weak.pem"].startswith("HAProxy refuses it: ")
    assert found["good.pem"] == ""
    assert names(Keyring((folder,), tmp_path / "own").look()) == [("good.example.org",)]


def test_a_change_is_seen_and_its_middle_serves_what_was(
    tmp_path: Path, folder: Path, authority: TestAuthority
) -> None:
    ring = Keyring((folder,), tmp_path / "own")
    certificate, key = authority.issue("w.example.org")
    (folder / "w.crt").write_bytes(certificate)
    (folder / "w.key").write_bytes(key)
    first = ring.look()
    newer, newer_key = authority.issue("w.example.org")
    (folder / "w.crt").write_bytes(newer)
    assert ring.look() == first, "the key is still the old one's"
    assert Keyring((folder,), tmp_path / "own").look() == first, "after a restart too"
    (folder / "w.key").write_bytes(newer_key)
    second = ring.look()
    assert second != first
    assert len(list((tmp_path / "own").iterdir())) == 2
    ring.tidy(second)
    assert [file.name for file in (tmp_path / "own").iterdir()] == [second.entries[0].file]


def test_a_folder_that_is_away_for_a_moment_takes_nothing_away(
    tmp_path: Path, folder: Path, authority: TestAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "w.pem").write_bytes(authority.bundle("w.example.org"))
    ring = Keyring((folder,), tmp_path / "own")
    first = ring.look()
    folder.rename(tmp_path / "aside")
    assert ring.look() == first
    real = keyring.time.time
    monkeypatch.setattr(keyring.time, "time", lambda: real() + keyring.GONE_SECONDS + 1)
    assert ring.look().entries == ()


def test_one_that_expires_while_it_is_served_is_taken_out(
    tmp_path: Path, folder: Path, authority: TestAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "w.pem").write_bytes(authority.bundle("w.example.org", end=1))
    ring = Keyring((folder,), tmp_path / "own")
    assert ring.look().entries
    real = keyring.time.time
    monkeypatch.setattr(keyring.time, "time", lambda: real() + 2 * 86400)
    assert ring.look().entries == ()


def test_each_name_is_served_by_one_the_earlier_folder_first(tmp_path: Path, authority: TestAuthority) -> None:
    by_hand, got = tmp_path / "a", tmp_path / "b"
    by_hand.mkdir()
    got.mkdir()
    (by_hand / "short.pem").write_bytes(authority.bundle("w.example.org", end=1))
    (got / "long.pem").write_bytes(authority.bundle("w.example.org", "x.example.org", end=9))
    assert names(Keyring((by_hand, got), tmp_path / "own").look()) == [("w.example.org",), ("x.example.org",)]
    (by_hand / "longer.pem").write_bytes(authority.bundle("w.example.org", end=5))
    (only,) = [e for e in Keyring((by_hand, got), tmp_path / "own").look().entries if "w.example.org" in e.names]
    assert "longer" in only.file


def test_a_certificate_that_cannot_be_read_is_named(folder: Path, authority: TestAuthority) -> None:
    (folder / "loop.pem").symlink_to("loop.pem")
    os.mkfifo(folder / "sub.txt")
    (state,) = certificate_states((folder,))
    assert "cannot be read" in state.problem


def test_a_wildcard_stands_for_one_label() -> None:
    assert covers(("*.example.org",), "a.example.org")
    assert not covers(("*.example.org",), "a.b.example.org")
    assert not covers(("*.example.org",), "example.org")
    assert not covers(("example.org",), "a.example.org")
