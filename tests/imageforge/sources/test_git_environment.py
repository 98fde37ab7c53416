from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from imageforge.sources import GitCredentials, GitPolicy, parse_git_url
from imageforge.sources.git_environment import GitEnvironment, git_environment, remote
from imageforge.sources.git_failure import failure, shown
from tests.imageforge.sources.conftest import LOCAL

SECRET = GitCredentials(token="t0ken/+", deploy_key="-----BEGIN KEY-----\r\nabc\r\n-----END KEY-----")


def made(
    home: Path, text: str, addresses: tuple[str, ...] = ("203.0.113.7",), credentials: GitCredentials = SECRET
) -> GitEnvironment:
    return git_environment(
        home, url=parse_git_url(text, LOCAL), addresses=addresses, policy=GitPolicy(), credentials=credentials
    )


def ssh_options(environment: GitEnvironment) -> dict[str, str]:
    words = shlex.split(environment.variables["GIT_SSH_COMMAND"])
    return dict(word.split("=", 1) for word in words if "=" in word)


def test_credentials_do_not_print() -> None:
    assert repr(SECRET) == "GitCredentials(token=***, token_user='git', deploy_key=***)"
    assert repr(GitCredentials()) == "GitCredentials(token=None, token_user='git', deploy_key=None)"


def test_nothing_of_the_callers_environment_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "GIT_DIR",
        "GIT_CONFIG_PARAMETERS",
        "SSH_AUTH_SOCK",
        "http_proxy",
        "AWS_SECRET_ACCESS_KEY",
        "LD_PRELOAD",
    ):
        monkeypatch.setenv(name, "x")
    for name in ("GIT_SSL_CAINFO", "SSL_CERT_DIR", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/own/ca.pem")
    variables = made(tmp_path, "https://code.example/a").variables
    assert set(variables) == {
        "PATH", "SSL_CERT_FILE", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "LC_ALL", "GIT_ALLOW_PROTOCOL",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM", "GIT_LFS_SKIP_SMUDGE", "GIT_TERMINAL_PROMPT", "GIT_TRACE_CURL", "GIT_TRACE_CURL_NO_DATA",
        "GIT_ASKPASS", "IMAGEFORGE_GIT_USER", "IMAGEFORGE_GIT_TOKEN",
    }  # fmt: skip
    assert variables["GIT_ALLOW_PROTOCOL"] == "https:ssh"
    assert variables["HOME"] == str(tmp_path)


def test_addresses_are_pinned(tmp_path: Path) -> None:
    options = made(tmp_path, "https://code.example:8443/a", ("203.0.113.7", "2001:db8::1")).options
    assert "http.curloptResolve=code.example:8443:203.0.113.7,[2001:db8::1]" in options
    assert "http.followRedirects=false" in options
    assert not any("t0ken" in option for option in options)


def test_an_address_is_its_own_pin(tmp_path: Path) -> None:
    assert not any("curloptResolve" in option for option in made(tmp_path, "https://203.0.113.7/a").options)


def test_the_token_is_told_when_git_asks(tmp_path: Path) -> None:
    variables = made(tmp_path, "https://code.example/a").variables
    script = variables["GIT_ASKPASS"]
    assert Path(script).stat().st_mode & 0o777 == 0o700
    assert "t0ken" not in Path(script).read_text()
    for question, answer in {"Username for 'https://x': ": "git", "Password for 'https://git@x': ": "t0ken/+"}.items():
        said = subprocess.run([script, question], env=dict(variables), capture_output=True, text=True, check=True)
        assert said.stdout == f"{answer}\n"


def test_a_token_is_not_given_to_ssh_and_a_key_not_to_http(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    assert "IMAGEFORGE_GIT_TOKEN" not in made(tmp_path / "s", "git@code.example:a").variables
    assert "GIT_SSH_COMMAND" not in made(tmp_path, "https://code.example/a").variables
    assert not (tmp_path / "deploy_key").exists()


def test_the_user_of_an_http_address_stays_out_of_it() -> None:
    assert remote(parse_git_url("https://alice@code.example/a")) == "https://code.example/a"
    assert remote(parse_git_url("git@code.example:a")) == "git@code.example:a"


def test_ssh_is_bound_to_key_address_and_name(tmp_path: Path) -> None:
    environment = made(tmp_path, "git@code.example:a", ("203.0.113.7", "203.0.113.8"))
    words = shlex.split(environment.variables["GIT_SSH_COMMAND"])
    assert words[:5] == ["ssh", "-F", "/dev/null", "-i", str(tmp_path / "deploy_key")]
    options = ssh_options(environment)
    assert (options["HostName"], options["HostKeyAlias"]) == ("203.0.113.7", "code.example")
    assert (options["StrictHostKeyChecking"], options["IdentitiesOnly"], options["BatchMode"]) == (
        "accept-new",
        "yes",
        "yes",
    )
    key = tmp_path / "deploy_key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_bytes() == b"-----BEGIN KEY-----\nabc\n-----END KEY-----\n"


def test_known_hosts_are_kept_to(tmp_path: Path) -> None:
    environment = made(tmp_path, "ssh://git@code.example:2222/a", credentials=GitCredentials(known_hosts="line one"))
    options = ssh_options(environment)
    assert options["StrictHostKeyChecking"] == "yes"
    assert options["HostKeyAlias"] == "[code.example]:2222"
    assert Path(options["UserKnownHostsFile"]).read_text() == "line one\n"


def test_ssh_itself_understands_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "with space; and 'quotes'"
    folder.mkdir()
    words = shlex.split(made(folder, "ssh://git@code.example:2222/a", ("2001:db8::1",)).variables["GIT_SSH_COMMAND"])
    said = subprocess.run([*words, "-G", "-p", "2222", "git@code.example"], capture_output=True, text=True, check=True)
    settings = dict(line.split(" ", 1) for line in said.stdout.splitlines() if " " in line)
    assert (settings["hostname"], settings["hostkeyalias"]) == ("2001:db8::1", "[code.example]:2222")
    assert settings["identitiesonly"] == "yes"
    assert settings["identityfile"] == str(folder / "deploy_key")


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ("remote: Repository not found.\nfatal: repository 'https://h/a/' not found", "git-not-found"),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", "git-not-found"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 403", "git-not-found"),
        ("fatal: Authentication failed for 'https://h/a/'", "git-auth-failed"),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote", "git-auth-failed"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "git-auth-failed"),
        ("fatal: couldn't find remote ref refs/heads/x", "git-ref-missing"),
        ("fatal: remote error: upload-pack: not our ref 1111", "git-commit-missing"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "git-unreachable"),
        ("ssh: connect to host h port 22: No route to host", "git-unreachable"),
        ("fatal: unable to access 'https://h/': SSL certificate problem: expired", "git-unreachable"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 502", "git-unreachable"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 302", "git-redirected"),
        ("error: object 12: zeroPaddedFilemode: fsck error", "git-failed"),
    ],
)
def test_what_git_says_is_understood(tmp_path: Path, errors: str, code: str) -> None:
    error = failure("https://h/a", errors, tmp_path, SECRET)
    assert error.code == code
    assert error.hint


@pytest.mark.parametrize(
    "errors", ["fatal: could not read Username for 'https://h'", "git@h: Permission denied (publickey).", "error: 404"]
)
def test_without_credentials_there_is_no_telling_absent_from_closed(tmp_path: Path, errors: str) -> None:
    error = failure("https://h/a", errors, tmp_path, GitCredentials())
    assert (error.code, error.message) == ("git-not-found", "no such repository, or no access to it")


def test_secrets_and_controls_are_not_shown() -> None:
    text = "fatal: t0ken/+ t0ken%2F%2B Z2l0OnQwa2VuLys= https://u:pw@h/\n\x1b[31mred " + "x" * 5000
    said = shown(text[:90], SECRET)
    assert "t0ken" not in said
    assert "Z2l0" not in said
    assert "pw" not in said
    assert said.isprintable()
    assert len(shown(text, SECRET)) <= 600
