"""The rules on a built image: what each says, and what it keeps silent about."""

from __future__ import annotations

import pytest

from linters import Basis, Budget, FileKind, ImageFacts, LayerFile, check_image
from linters.image.account import named_user, passwords, runs_as_root
from linters.image.evidence import Evidence, gather
from linters.image.remains import repositories
from linters.image.rights import raising
from linters.image.secrets import build_arguments, default_secrets, secret_files
from linters.rule import ImageHit

from .files import entry, image, told

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n"
TOKEN = "8f14e45fceea167a5a36dedd4bea2543"
PASSWD = "root:x:0:0:root:/root:/bin/bash\napp:x:10001:10001::/app:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n"


def evidence(*files: LayerFile, base: int | None = 1, **facts: object) -> Evidence:
    given = ImageFacts(name="shop:1", layers=(), base=base, **facts)  # type: ignore[arg-type]
    return gather(given, files)


def excerpts(hits: object) -> list[str]:
    assert hits is not None
    return [hit.excerpt for hit in hits if isinstance(hit, ImageHit)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "root:staff", "00", "toor"])
def test_an_image_that_runs_as_root_is_an_error(user: str) -> None:
    found = image(entry("/etc/passwd", PASSWD), user=user)
    assert told(found, "IF402") == [("error", user)]
    first = next(one for one in found if one.rule == "IF402")
    assert (first.basis, first.line, first.file) == (Basis.IMAGE, 0, "shop:1")


@pytest.mark.parametrize("user", ["10001", "app", "10001:0", "app:root", "unknown"])
def test_an_image_with_another_user_does_not_run_as_root(user: str) -> None:
    assert told(image(entry("/etc/passwd", PASSWD), user=user), "IF402") == []


def test_a_start_script_that_gives_the_rights_up_is_left_to_a_run() -> None:
    script = entry("/usr/local/bin/start.sh", '#!/bin/sh\nchown app /data\nexec gosu app "$@"\n')
    assert told(image(script, user="", Entrypoint=["start.sh"]), "IF402") == [("warning", "")]
    assert told(image(user="root", Entrypoint=["su-exec", "app"]), "IF402") == [("warning", "root")]
    plain = entry("/usr/local/bin/start.sh", "#!/bin/sh\n# no gosu-like thing\nexec server\n")
    assert told(image(plain, user="", Entrypoint=["start.sh"]), "IF402") == [("error", "")]


def test_a_user_by_name_gets_its_number_and_one_that_is_nobody_is_an_error() -> None:
    accounts = entry("/etc/passwd", PASSWD)
    assert [hit.fix for hit in named_user(evidence(accounts, user="app"))] == ["USER 10001"]
    found = image(accounts, user="ghost")
    assert told(found, "IF403") == [("error", "ghost")]
    # Without the file nobody knows.
    assert told(image(user="ghost"), "IF403") == [("info", "ghost")]
    assert list(runs_as_root(evidence(user="ghost"))) == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/app/tls.key", KEY),
        ("/root/.ssh/id_ed25519", KEY.replace("RSA", "OPENSSH")),
        ("/etc/ssh/ssh_host_rsa_key", KEY.replace("RSA", "OPENSSH")),
        ("/srv/service-account.json", '{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE"}'),
        ("/root/.netrc", f"machine example.org login me password {TOKEN}\n"),
        ("/root/.git-credentials", f"https://me:{TOKEN}@example.org\n"),
        ("/root/.aws/credentials", "[default]\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzz\n"),
        ("/root/.docker/config.json", '{"auths": {"registry.lan": {"auth": "bWU6c29tZXRoaW5n"}}}'),
        ("/app/.npmrc", f"//registry.npmjs.org/:_authToken={TOKEN}\n"),
        ("/root/.pypirc", f"[pypi]\nusername = __token__\npassword = {TOKEN}\n"),
        ("/root/.pgpass", f"db:5432:*:me:{TOKEN}\n"),
        ("/app/.env", f"DEBUG=1\nSECRET_KEY='{TOKEN}'\n"),
        ("/app/.env.production", f"export API_TOKEN={TOKEN}\n"),
        ("/root/.kube/config", f"users:\n- user:\n    token: {TOKEN}\n"),
    ],
)
def test_a_secret_in_a_file_is_found_in_any_layer(path: str, content: str) -> None:
    assert excerpts(secret_files(evidence(entry(path, content)))) == [path]
    hidden = list(secret_files(evidence(entry(path, content, kept=False, layer=2))))
    assert "layer 3 still holds it" in hidden[0].message
    assert hidden[0].severity is None
    assert next(iter(secret_files(evidence(entry(path, content, layer=0))))).severity == "warning"
    assert TOKEN not in hidden[0].message


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n"),
        ("/app/cacert.pem", KEY),  # by its name somebody else's
        ("/app/public.key", KEY),
        ("/app/server.pem", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"),
        ("/app/enc.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n"),
        ("/app/old.key", KEY.replace("-----\nMII", "-----\nProc-Type: 4,ENCRYPTED\nMII")),
        ("/app/parser.pem", "looks for -----BEGIN PRIVATE KEY----- in text"[:31]),
        ("/app/node_modules/forge/test/server.key", KEY),
        ("/usr/lib/python3/dist-packages/tornado/test/test.key", KEY),
        ("/app/tests/fixtures/server.key", KEY),
        ("/usr/share/doc/stunnel/examples/key.pem", KEY),
        ("/app/.env.example", f"SECRET_KEY={TOKEN}\n"),
        ("/app/.env", "DEBUG=1\nDB_PASSWORD=changeme\nTOKEN_URL=https://example.org/0123456789\nKEY=$OTHER\n"),
        ("/app/.npmrc", "//registry.npmjs.org/:_authToken=${NPM_TOKEN}\nregistry=https://example.org\n"),
        ("/root/.netrc", "machine example.org login me password $PASSWORD\n"),
        ("/root/.docker/config.json", '{"auths": {"registry.lan": {}}, "credsStore": "pass"}'),
        ("/root/.docker/config.json", "no json"),
        ("/root/.aws/credentials", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"),
        ("/app/config.json", f'{{"token": "{TOKEN}"}}'),
        ("/app/main.py", KEY),
        ("/app/empty.key", ""),
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(path: str, content: str) -> None:
    assert excerpts(secret_files(evidence(entry(path, content)))) == []


def test_no_more_of_a_file_is_read_than_a_key_has() -> None:
    asked: list[int] = []

    def read(limit: int) -> bytes:
        asked.append(limit)
        return b""

    big = LayerFile(path="/a.key", kind=FileKind.FILE, mode=0, uid=0, gid=0, size=1 << 40, layer=1, read=read)
    plain = LayerFile(path="/lib.so", kind=FileKind.FILE, mode=0, uid=0, gid=0, size=1 << 40, layer=1, read=read)
    evidence(big, plain)
    assert asked == [64 * 1024]


def test_secrets_in_variables_and_history_are_told_once_and_not_shown() -> None:
    history = [f"RUN |2 A=1 API_TOKEN={TOKEN} /bin/sh -c make # buildkit", f"ENV DB_PASSWORD={TOKEN}"]
    found = image(history=history, Env=[f"DB_PASSWORD={TOKEN}", "PATH=/bin"])
    assert told(found, "IF209") == [("error", "API_TOKEN"), ("error", "DB_PASSWORD")]
    assert TOKEN not in repr(found)
    token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    assert told(image(history=[f"RUN curl -H 'Authorization: {token}' x"]), "IF209") == [("error", "history 1")]
    assert told(image(Env=["GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D", "TOKEN_FILE=/run/x"]), "IF209") == []


def test_build_arguments_are_read_as_engines_write_them() -> None:
    assert list(build_arguments("|2 A=1 B=two words /bin/sh -c echo C=3")) == [("A", "1"), ("B", "two words")]
    assert list(build_arguments("RUN |1 A=x=y /bin/sh -c true # buildkit")) == [("A", "x=y")]
    assert list(build_arguments("RUN /bin/sh -c A=1 true")) == []
    assert list(build_arguments("|x A=1")) == list(build_arguments("|9")) == []


def test_a_default_that_stays_is_told_and_harmless_values_are_not() -> None:
    env = (("POSTGRES_PASSWORD", "postgres"), ("TOKEN", ""), ("SECRET_KEY", "$X"), ("API_KEY", "true"), ("A", "b"))
    assert excerpts(default_secrets(evidence(env=env))) == ["POSTGRES_PASSWORD"]


def test_setuid_files_are_told_as_a_difference_to_the_base() -> None:
    base = [entry("/usr/bin/passwd", mode=0o4755, layer=0), entry("/usr/bin/wall", mode=0o2755, layer=0)]
    own = [
        entry("/usr/bin/passwd", mode=0o4755),  # an upgrade
        entry("/usr/bin/wall", mode=0o6755),
        entry("/usr/local/bin/tool", mode=0o4755),
        entry("/gone", mode=0o4755, kept=False),
        entry("/data", mode=0o2775, kind=FileKind.DIRECTORY),
        entry("/link", mode=0o4777, kind=FileKind.SYMLINK),
    ]
    assert excerpts(raising(evidence(*base, *own))) == ["/usr/bin/wall", "/usr/local/bin/tool"]
    assert excerpts(raising(evidence(*base, *own, base=None))) == []
    shells = [entry(f"/x/{name}", mode=0o4755) for name in ("bash", "python3.11", "ping", "shell")]
    assert [hit.severity for hit in raising(evidence(*shells))] == ["error", None, "error", None]
    harmless = entry("/x/bash", mode=0o4755, uid=1000)
    assert [hit.severity for hit in raising(evidence(harmless))] == [None]


def test_passwords_that_come_with_an_image() -> None:
    shadow = (
        "root::19000:0:99999:7:::\nadmin:$6$salt$hash:19000::::::\ndaemon:*:1::::::\nlocked:!$6$x:1::::::\nnone:!:1:\n"
    )
    found = list(passwords(evidence(entry("/etc/shadow", shadow))))
    assert ["root has an empty" in found[0].message, "admin has a password" in found[1].message] == [True, True]
    assert (len(found), {hit.severity for hit in found}) == (2, {None})
    assert {hit.severity for hit in passwords(evidence(entry("/etc/shadow", shadow, layer=0)))} == {"warning"}
    assert list(passwords(evidence())) == []


def test_caches_and_tools_that_stay_beyond_the_base() -> None:
    files = [
        entry("/var/lib/apt/lists/deb.debian.org_Packages", size=17_000_000),
        entry("/var/lib/apt/lists/lock", size=9_000_000),
        entry("/var/cache/apt/archives/lock", size=9_000_000),
        entry("/root/.cache/pip/http/1/2", size=2_000_000),
        entry("/home/app/.npm/_cacache/content/x", size=1000),  # not worth a word
        entry("/root/.cache/pip/http/1/3", size=3_000_000, kept=False),
        entry("/usr/bin/x86_64-linux-gnu-gcc-12", mode=0o755),
        entry("/usr/bin/make", mode=0o755),
        entry("/usr/lib/go-1.19/bin/go", mode=0o755),
        entry("/usr/bin/makeinfo", mode=0o755),
    ]
    found = image(*files)
    assert [one.message for one in found if one.rule == "IF301"] == [
        "2.0 MB of pip's cache stay in the image (1 files)",
        "17.0 MB of apt's cache stay in the image (1 files)",
    ]
    assert ["gcc, go, make" in one.message for one in found if one.rule == "IF302"] == [True]
    builder = [entry("/usr/bin/gcc", layer=0)]
    assert told(image(*files, *builder), "IF302") == told(image(*files, base=None), "IF302") == []


def test_the_past_of_a_source_is_found_though_it_was_deleted() -> None:
    files = [entry("/app/.git/HEAD", "ref"), entry("/app/.git/objects/aa/1", kept=False, size=5_000_000)]
    assert excerpts(repositories(evidence(*files, entry("/app/.github/x")))) == ["/app/.git"]


def test_an_image_is_weighed_against_its_budget() -> None:
    files = [entry("/opt/model", size=4_000_000), entry("/opt/old", size=3_000_000, kept=False)]
    sizes = ((90_000_000, 0), (7_000_000, 3_000_000))
    found = image(*files, sizes=sizes, budget=Budget(size=50_000_000, waste=1_000_000))
    assert told(found, "IF310") == [("error", "3.0 MB"), ("error", "97.0 MB")]
    text = " ".join(one.message for one in found)
    assert ("/opt/model (4.0 MB)" in text, "/opt/old (3.0 MB)" in text) == (True, True)
    assert next(one.fix for one in found) == "a squash from the base saves 3.0 MB"
    assert told(image(*files, sizes=sizes), "IF310") == []
    much = ((90_000_000, 0), (70_000_000, 60_000_000))
    assert told(image(sizes=much), "IF310") == [("warning", "60.0 MB")]
    assert told(image(sizes=much, budget=Budget(waste=60_000_000)), "IF310") == []


def test_exposed_ssh_and_an_image_for_windows() -> None:
    assert told(image(ExposedPorts={"22/tcp": {}, "2222/tcp": {}}), "IF105") == [("warning", "22/tcp")]
    facts = ImageFacts.of("w", {"os": "windows", "config": {}}, ())
    report = check_image(facts, [])
    assert (report.findings, "Windows" in report.notes[0]) == ((), True)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"config": None},
        {"config": {"Env": "x", "User": 5, "ExposedPorts": [], "Cmd": "sh", "Labels": None}, "history": "none"},
        {"config": {"Env": ["NOVALUE", ""], "Healthcheck": {"Test": None}}, "history": [None, {"created_by": 3}]},
    ],
)
def test_a_configuration_of_another_form_is_no_reason_to_fail(config: dict[str, object]) -> None:
    facts = ImageFacts.of("odd", config, ())
    assert (facts.user, facts.entrypoint) == ("", ())
    assert check_image(facts, []).findings[0].rule == "IF402"


def test_what_an_image_calls_itself_moves_no_cursor() -> None:
    found = image(entry("/etc/passwd", PASSWD), user="\x1b[2Jevil")
    assert found
    assert all(one.message.isprintable() and one.excerpt.isprintable() for one in found)
