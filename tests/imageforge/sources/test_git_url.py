from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageforge.sources import GitPolicy, GitUrl, SourceFailed, SourceRefused, check_host, parse_git_url

HTTP = GitPolicy(allow_http=True)


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("https://github.com/a/b.git", ("https", None, "github.com", None, "/a/b.git"), None),
        ("HTTPS://GitHub.com:443/a/b", ("https", None, "github.com", None, "/a/b"), "https://github.com/a/b"),
        ("https://alice@bitbucket.org/a/b", ("https", "alice", "bitbucket.org", None, "/a/b"), None),
        ("https://code.example:8443/~a/b%20c", ("https", None, "code.example", 8443, "/~a/b%20c"), None),
        ("https://203.0.113.7/a", ("https", None, "203.0.113.7", None, "/a"), None),
        ("https://[2001:DB8::1]:8443/a", ("https", None, "2001:db8::1", 8443, "/a"), "https://[2001:db8::1]:8443/a"),
        ("ssh://git@host/a/b", ("ssh", "git", "host", None, "/a/b"), None),
        ("ssh://git@host:2222/a/b", ("ssh", "git", "host", 2222, "/a/b"), None),
        ("git@github.com:a/b.git", ("ssh", "git", "github.com", None, "a/b.git"), None),
        ("git@host:/srv/b.git", ("ssh", "git", "host", None, "/srv/b.git"), "ssh://git@host/srv/b.git"),
        ("git@[2001:db8::1]:a", ("ssh", "git", "2001:db8::1", None, "a"), None),
    ],
)
def test_addresses_that_are_allowed(text: str, expected: tuple[Any, ...], shown: str | None) -> None:
    url = parse_git_url(text)
    assert (url.scheme, url.user, url.host, url.port, url.path) == expected
    assert str(url) == (shown or text)
    assert parse_git_url(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-oProxyCommand=x", "--upload-pack=x", "-", "/srv/repo", "./repo", "../repo", "repo", "C:\\repo",
        "C:/repo",
        "file:///srv/repo", "FILE:///srv/repo", "git://host/a", "ftp://host/a", "ext::sh -c id", "ext::sh", "fd::17",
        "ext::a@b:c", "http://host/a", "ssh+git://host/a", "git+ssh://host/a", "javascript://host/a", "https:host/a",
        "https:///a", "https://", "https://host", "https://host/", "https://host//", "https://:443/a", "ssh://git@/a",
        "https://host:0/a", "https://host:65536/a", "https://host:-1/a", "https://host:x/a", "https://host:/a",
        "https://host/a b", "https://host/a\n", "https://host/a\0", "https://ho\tst/a", "https://host/\u202ea",
        "https://host\\@evil/a",
        "https://host/../a", "https://host/a/./b", "https://host/a?x=1", "https://host/a#main", "https://host/a?",
        "https://host/a#",
        "https://-host/a", "https://host-/a", "https://ho_!st/a", "https://hóst/a", "https://host./a",
        "https://host..x/a",
        "https://１２７.0.0.1/a", "ssh://-oProxyCommand=x/a", "ssh://-x@host/a", "-x@host:a", "git@-oProxyCommand=x:a",
        "git@host:-a",
        "git@host:", "git@:a", "@host:a", "git@host", "a b@host:c", "git@host:../a", "git@host:a\nb",
        "https://2130706433/a", "https://0x7f000001/a", "https://0177.0.0.1/a", "https://127.1/a", "https://127.0.1/a",
        "https://0x7f.0.0.1/a", "https://127.0.0.01/a", "https://1.2.3.256/a", "https://0/a", "https://host.1/a",
        "git@0x7f.1:a",
        "https://[::1%25lo]/a", "https://[::1%lo]/a", "https://[zz]/a", "https://[::1/a", "https://::1/a",
        "https://" + "a" * 300 + "/a",
        "https://" + "a." * 150 + "a/a", "https://host/" + "a" * 3000,
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        parse_git_url(text)
    assert caught.value.code == "git-url-refused"
    assert caught.value.hint
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@host/a",
        "https://:hunter2@host/a",
        "https://user:hun@ter2@host/a",
        "ssh://git:hunter2@host/a",
        "https://ghp_hunter2abcdefghijklmnopqrstuvwxyz@github.com/a",
        "https://glpat-hunter2@gitlab.com/a",
        "https://hunter2hunter2hunter2hunter2hunter2@host/a",
        "https://user:hunter2@host:99999/a",
        "https://user:hunter2@host/a b",
        "file://user:hunter2@host/a",
    ],
)
def test_secrets_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        parse_git_url(text)
    assert "hunter2" not in f"{caught.value} {caught.value.hint} {caught.value.subject}"


def test_http_needs_a_policy() -> None:
    assert parse_git_url("http://host:8080/a", HTTP) == GitUrl(
        scheme="http", user=None, host="host", port=8080, path="/a"
    )


@settings(deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"(https|ssh|git|ext)(://|::|:)[a-z0-9@:\[\].%-]{0,20}/?[a-z.]{0,5}"))
def test_no_text_breaks_it(text: str) -> None:
    try:
        url = parse_git_url(text)
    except SourceRefused:
        return
    assert parse_git_url(str(url)) == url


def resolver(*addresses: str) -> Any:
    def resolve(host: str, port: int, **_: object) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    return resolve


URL = GitUrl(scheme="https", user=None, host="code.example", port=None, path="/a")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1", "100.127.255.255", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.1", "198.18.0.1",
        "192.0.2.1",
        "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2001:0:7f00:1::1", "2001:0:808:808::80ff:fffe",
    ],
)  # fmt: skip
def test_addresses_inside_are_refused(address: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        check_host(URL, GitPolicy(), resolver(address))
    assert caught.value.code == "git-host-refused"
    with pytest.raises(SourceRefused):
        check_host(URL, GitPolicy(), resolver("140.82.121.3", address))


@pytest.mark.parametrize(
    "address", ["140.82.121.3", "2606:50c0:8000::153", "64:ff9b::8c52:7903", "::ffff:140.82.121.3"]
)
def test_addresses_outside_are_given_back(address: str) -> None:
    assert check_host(URL, GitPolicy(), resolver(address, address)) == (address,)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "64:ff9b::a01:203"])
def test_a_network_can_be_allowed(address: str) -> None:
    policy = GitPolicy(allow_networks=(ip_network("10.1.0.0/16"), ip_network("fd12::/64")))
    assert check_host(URL, policy, resolver(address)) == (address,)
    with pytest.raises(SourceRefused):
        check_host(URL, policy, resolver(address, "10.2.0.1"))


def test_the_port_is_asked_for() -> None:
    asked = []

    def resolve(host: str, port: int, **more: object) -> list[Any]:
        asked.append((host, port, more))
        return [(0, 0, 0, "", ("140.82.121.3", port))]

    check_host(URL, GitPolicy(), resolve)
    check_host(parse_git_url("git@code.example:a"), GitPolicy(), resolve)
    assert asked == [("code.example", port, {"type": socket.SOCK_STREAM}) for port in (443, 22)]


def test_a_name_that_does_not_resolve() -> None:
    def resolve(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    for each in (resolve, resolver()):
        with pytest.raises(SourceFailed) as caught:
            check_host(URL, GitPolicy(), each)
        assert caught.value.code == "git-unreachable"


def test_the_systems_own_resolver() -> None:
    with pytest.raises(SourceRefused):
        check_host(GitUrl(scheme="https", user=None, host="localhost", port=None, path="/a"), GitPolicy())
    # Should one ever come past the parser: the resolver tells what it really is.
    with pytest.raises(SourceRefused):
        check_host(GitUrl(scheme="https", user=None, host="0x7f.1", port=None, path="/a"), GitPolicy())
