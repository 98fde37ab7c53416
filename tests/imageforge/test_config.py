"""Settings and imageforge.toml: every wrong value is an error that names its place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from imageforge.config import Home, Settings, load_repository, load_settings
from imageforge.config.command import words
from imageforge.config.domain import parse_domain
from imageforge.config.settings import REFERENCE
from imageforge.errors import ConfigError, StackError


def test_the_reference_file_names_every_option_with_its_default() -> None:
    written = tomllib.loads(REFERENCE.read_text())
    assert written == Settings().model_dump(mode="json")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("http_port = 9000\nregistry_port = 9001\n")
    settings = load_settings(file, {"IMAGEFORGE_HTTP_PORT": "80", "IMAGEFORGE_HOME": "/x"})
    assert (settings.http_port, settings.registry_port) == (80, 9001)
    assert settings.url("a.localhost") == "http://a.localhost"
    lists = load_settings(file, {"IMAGEFORGE_APPARMOR_PROFILES": "audit, web", "IMAGEFORGE_HOST_PATHS": "/srv /data"})
    assert (lists.apparmor_profiles, lists.host_paths) == (("audit", "web"), ("/srv", "/data"))


@pytest.mark.parametrize(
    ("text", "environ", "subject", "message"),
    [
        ("http_prot = 1", {}, "settings.toml: http_prot", "unknown key `http_prot`"),
        ("http_port = 0", {}, "settings.toml: http_port", "expected at least 1, got 0"),
        ("http_port = ", {}, "settings.toml", "not TOML"),
        ('http_address = "0.0.0.0"', {}, "http_address", "needs TLS and a token"),
        ('engine_pool = "10.0.0.0/24"', {}, "engine_pool", "/20 or larger"),
        ("", {"IMAGEFORGE_HTTP_PORTT": "1"}, "environment variable IMAGEFORGE_HTTP_PORTT", "unknown key"),
        (
            "",
            {"IMAGEFORGE_HTTP_PORT": "many"},
            "environment variable IMAGEFORGE_HTTP_PORT",
            "expected a whole number, got 'many'",
        ),
    ],
)
def test_wrong_settings_name_their_place(
    tmp_path: Path, text: str, environ: dict[str, str], subject: str, message: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environ)
    assert caught.value.code == "settings-invalid"
    assert subject in caught.value.subject
    assert message in caught.value.message
    assert caught.value.hint


PUBLIC = 'public_address = "0.0.0.0"\n'
HOST = 'public_host = "forge.example.org"\n'


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        (PUBLIC, "public-without-certificates", "acme = true"),
        (PUBLIC + HOST, "public-without-certificates", "certificates ="),
        (PUBLIC + "acme = true\n", "public-without-host", "public_host ="),
        (PUBLIC + HOST + "acme = true\nhttps_port = 80\n", "ports-clash", "one each"),
        (PUBLIC + HOST + "acme = true\npublic_http_port = 8701\n", "ports-clash", "one each"),
        (PUBLIC + HOST + 'certificates = "here"\n', "settings-invalid", "mend"),
        (PUBLIC + 'public_host = "forge.localhost"\nacme = true\n', "settings-invalid", "mend"),
        (HOST + 'acme_directory = "http://acme.example.org"\n', "settings-invalid", "mend"),
        (HOST + 'acme_contact = "mailto:a@example.org"\n', "settings-invalid", "mend"),
        ('public_address = "forge.example.org"\n' + HOST + "acme = true\n", "settings-invalid", "mend"),
    ],
)
def test_an_address_that_others_can_reach_is_refused_without_tls(
    tmp_path: Path, text: str, code: str, hint: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert caught.value.code == code
    assert hint in (caught.value.hint or "")
    assert str(file) in caught.value.subject


def test_with_a_public_address_others_are_told_https(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(PUBLIC + HOST + "acme = true\n")
    settings = load_settings(file, {})
    assert settings.service_url == "https://forge.example.org"
    assert settings.url("www.example.org") == "https://www.example.org"
    assert settings.url("shop.localhost") == "http://shop.localhost:8700"
    assert load_settings(file, {"IMAGEFORGE_HTTPS_PORT": "8443"}).service_url == "https://forge.example.org:8443"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("www.example.org", "www.example.org"),
        (" WWW.Example.ORG. ", "www.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("Straße.example", "xn--strae-oqa.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        (".".join(["a" * 63] * 3 + ["a" * 61]), ".".join(["a" * 63] * 3 + ["a" * 61])),
    ],
)
def test_a_domain_is_written_as_dns_has_it(text: str, expected: str) -> None:
    assert parse_domain(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a name with a dot"),
        ("*.example.org", "wildcard"),
        ("example", "a name with a dot"),
        ("https://example.org", "without scheme"),
        ("example.org:8080", "without scheme"),
        ("example.org/path", "without scheme"),
        ("a b.example.org", "without scheme"),
        ("192.0.2.1", "an address"),
        ("1.2.3", "an address"),
        ("[::1]", "without scheme"),
        ("-a.example.org", "DNS does not allow"),
        ("a_b.example.org", "DNS does not allow"),
        ("a..example.org", "DNS does not allow"),
        ("a" * 64 + ".example.org", "DNS does not allow"),
        (".".join(["a" * 63] * 4), "DNS does not allow"),
        ("shop.localhost", "never leave this machine"),
        ("xn--a.example.org", "IDNA"),
        ("\u2603\u200d.example", "IDNA"),
        ("a\u0000.example.org", "DNS does not allow"),
        ("example.org\nshop default_web", "without scheme"),
    ],
)
def test_a_domain_that_there_cannot_be(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_domain(text)


def test_a_misspelt_setting_gets_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("htp_port = 1")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert caught.value.hint == "did you mean `http_port`?"


def test_an_absent_repository_file_is_an_empty_one(tmp_path: Path) -> None:
    assert load_repository(tmp_path).app.replicas is None


@pytest.mark.parametrize(
    ("text", "line", "path", "hint"),
    [
        ("[app]\nname = 'x'\nreplicsa = 3\n", 3, "app.replicsa", "did you mean `replicas`?"),
        ("[build]\ndockerfile = 'D'\n\n[app]\nport = 'http'\n", 5, "app.port", "mend"),
        ("[appp]\nname = 'x'\n", 1, "appp", "did you mean `app`?"),
        ("[lint]\nfail_onn = 'error'\n", 2, "lint.fail_onn", "fail-on"),
        ("[app]\nname = 'Shop!'\n", 2, "app.name", "mend"),
        ("[app]\nhealth = 'healthz'\n", 2, "app.health", "mend"),
        ("[app]\nrelease = ''\n", 2, "app.release", "mend"),
        ("[app]\nrelease = 'echo \"'\n", 2, "app.release", "mend"),
        ("[app]\nport = 1\nprocesses = {Worker = 'a'}\n", 3, "app.processes", "mend"),
        ("[app]\nprocesses = {release = 'a'}\n", 2, "app.processes", "mend"),
        ("[app]\nprocesses = ['a']\n", 2, "app.processes", "mend"),
        ("[app]\nprocesses = {worker = ' '}\n", 2, "app.processes.worker.command", "mend"),
        ("[app.processes.worker]\ncomand = 'a'\n", 2, "app.processes.worker.comand", "did you mean `command`?"),
        (
            "[app]\nprocesses = {worker = {command = 'a', port = 1}}\n",
            2,
            "app.processes.worker.port",
            "known keys: command",
        ),
        ("[app.processes.worker]\ncommand = 'a'\nreplicas = 101\n", 3, "app.processes.worker.replicas", "mend"),
        ("[build]\n[app]\nprocesses = {worker = {replicas = 1}}\n", 2, "app", "mend"),
        ("[app]\nreplicas = 2\nprocesses = {web = {replicas = 1}}\n", 1, "app", "mend"),
        (f"[app]\nname = '{'a' * 40}'\nprocesses = {{worker = 'a'}}\n", 1, "app", "mend"),
    ],
)
def test_wrong_repository_files_name_line_and_key(tmp_path: Path, text: str, line: int, path: str, hint: str) -> None:
    (tmp_path / "imageforge.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_repository(tmp_path)
    assert caught.value.code == "config-invalid"
    assert re.search(rf"imageforge\.toml:{line}: {re.escape(path)}$", caught.value.subject)
    assert hint in (caught.value.hint or "")


def test_processes_are_a_command_or_a_table(tmp_path: Path) -> None:
    (tmp_path / "imageforge.toml").write_text(
        "[app]\nrelease = 'a b'\n[app.processes]\nworker = 'python3 w.py'\n"
        "web = {replicas = 0}\n[app.processes.clock]\ncommand = 'c'\nreplicas = 2\n"
    )
    app = load_repository(tmp_path).app
    assert app.release == "a b"
    assert {name: (item.command, item.replicas) for name, item in app.processes.items()} == {
        "worker": ("python3 w.py", None),
        "web": (None, 0),
        "clock": ("c", 2),
    }


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python manage.py migrate", ("python", "manage.py", "migrate")),
        ("gunicorn 'shop:create(\"x\")' --name=a,b", ("gunicorn", 'shop:create("x")', "--name=a,b")),
        ('celery -A "my app" worker -Q a:b@c', ("celery", "-A", "my app", "worker", "-Q", "a:b@c")),
        ("gunicorn -b 0.0.0.0:$PORT app", ("sh", "-c", "exec gunicorn -b 0.0.0.0:$PORT app")),
        ('run "$HOME"', ("sh", "-c", 'exec run "$HOME"')),
        (" run *.txt ", ("sh", "-c", "exec run *.txt")),
        ("run > /tmp/out", ("sh", "-c", "exec run > /tmp/out")),
        ("a && b", ("sh", "-c", "a && b")),
        ("a | b", ("sh", "-c", "a | b")),
        ("run $(date)", ("sh", "-c", "run $(date)")),
        ("run '$(date)'", ("run", "$(date)")),
        ("A=1 run", ("sh", "-c", "A=1 run")),
        ("cd /srv", ("sh", "-c", "cd /srv")),
        ("exec run", ("sh", "-c", "exec run")),
        ("run a\\ b", ("sh", "-c", "run a\\ b")),
        ("# nothing", ("sh", "-c", "exec # nothing")),
    ],
)
def test_a_command_is_plain_words_or_the_shell_s(command: str, expected: tuple[str, ...]) -> None:
    assert words(command) == expected


def test_a_home_is_private_and_keeps_its_name(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert not home.exists
    home.prepare()
    name = home.instance
    home.prepare()
    assert home.instance == name
    assert re.fullmatch(r"[0-9a-f]{8}", name)
    assert home.path.stat().st_mode & 0o777 == 0o700


def test_a_home_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 100))
    with pytest.raises(StackError) as caught:
        home.prepare()
    assert caught.value.code == "home-path-too-long"
    assert not home.path.exists()


def test_a_folder_that_somebody_else_filled_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StackError) as caught:
        Home(tmp_path).prepare()
    assert caught.value.code == "home-not-empty"
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_name_of_an_instance_is_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    (tmp_path / "instance").write_text("")
    assert not home.exists
    home.prepare()
    assert home.exists
