"""The host's apt configuration, in both of its formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders.base.apt import AptSource, acquire_options, for_suite, parse_lines, parse_stanzas, read_sources

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://disabled/
Suites: bookworm
Components: main

Types: deb deb-src
URIs: http://a/ http://b/
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
"""
LINES = """\
# deb http://commented/ bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://one/debian bookworm main contrib # why
deb-src http://one/debian bookworm main
deb http://two/debian-security bookworm-security main
deb https://packages.example/ ./
nonsense
"""


def test_stanzas() -> None:
    found = list(parse_stanzas(DEB822))
    assert [source.uri for source in found] == ["http://mirror.example/debian", "http://a/", "http://b/"]
    assert found[0].suites == ("bookworm", "bookworm-updates", "bookworm-backports")
    assert found[0].components == ("main", "contrib")
    assert found[0].signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert found[1].signed_by is None


def test_lines() -> None:
    found = list(parse_lines(LINES))
    assert [source.uri for source in found] == [
        "http://one/debian",
        "http://two/debian-security",
        "https://packages.example/",
    ]
    assert found[0] == AptSource(
        uri="http://one/debian", suites=("bookworm",), components=("main", "contrib"), signed_by="/k.gpg"
    )


def test_only_the_suite_its_updates_and_its_security_are_taken() -> None:
    found = for_suite([*parse_stanzas(DEB822), *parse_lines(LINES)], "bookworm")
    assert [(source.uri, source.suites) for source in found] == [
        ("http://mirror.example/debian", ("bookworm", "bookworm-updates")),
        ("http://one/debian", ("bookworm",)),
        ("http://two/debian-security", ("bookworm-security",)),
    ]


def test_a_stanza_is_read_again() -> None:
    (source,) = for_suite(parse_stanzas(DEB822), "bookworm")
    assert list(parse_stanzas(source.stanza())) == [source]


def test_every_file_is_read_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(LINES)
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "a.sources").write_text(DEB822)
    (parts / "b.list").write_text("deb http://three/ sid main\n")
    (parts / "c.list.save").write_text("deb http://four/ sid main\n")
    assert len(read_sources(tmp_path)) == 3 + 3 + 1
    assert read_sources(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("uri", "expected"), [("http://u:p@host/debian", True), ("http://u@host/", True), ("http://host/a@b", False)]
)
def test_credentials_are_seen(uri: str, expected: bool) -> None:
    assert AptSource(uri=uri, suites=("x",), components=()).has_credentials is expected


def test_the_hosts_own_acquire_options() -> None:
    dumped = """\
APT::Architecture "amd64";
Acquire "";
Acquire::Check-Valid-Until "false";
Acquire::http::Proxy "http://proxy:3128/";
Acquire::Languages "";
Acquire::Languages:: "none";
Acquire::IndexTargets::deb::Packages::MetaKey "x";
Acquire::CompressionTypes::xz "xz";
Acquire::Changelogs::URI::Origin::Debian "https://x";
"""
    assert acquire_options(dumped) == [
        'Acquire::Check-Valid-Until "false";',
        'Acquire::http::Proxy "http://proxy:3128/";',
        'Acquire::Languages:: "none";',
    ]
