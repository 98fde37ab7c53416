"""The context of a build: what .dockerignore leaves of it, what a COPY takes, and what rules make of that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linters import Basis, Finding, Job, Policy, Severity, check, own_findings
from linters.context import Context, MalformedPattern, Patterns
from linters.context.folder import MOST_PATTERNS
from tests.linters.judged import judged

KEY = "-----BEGIN PRIVATE KEY-----\n" + "QW4gZXhhbXBsZSwgYW5kIG5vIGtleSBhdCBhbGwuIEFuIGV4YW1wbGUsIGFuZCBu\n" * 2
TOKEN = "8f14e45fceea167a5a36dedd4bea2543"


def made(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def said(folder: Path, files: dict[str, str], lines: str, rule: str) -> list[Finding]:
    """What a rule says of lines in an otherwise harmless file, with a context."""
    text = f"FROM debian:bookworm\nUSER 10001\n{lines}\n"
    return [one for one in judged(text, context=made(folder, files)) if one.rule == rule]


@pytest.mark.parametrize(
    ("lines", "out", "kept"),
    [
        ("", [], ["a"]),
        ("# a\n\n", [], ["a", "# a"]),
        ("/a/\n", ["a", "a/b"], ["b/a"]),
        ("*\n!b\n", ["a"], ["b", "b/c"]),
        ("!b\n*\n", ["a", "b"], []),
        ("**/*.pem\n", ["x.pem", "a/b/x.pem"], ["x.pem.txt"]),
        ("*.pem\n", ["x.pem"], ["a/x.pem"]),
        ("a/*\n!a/b/c\n", ["a/b/d", "a/c"], ["a/b/c", "a"]),
        ("**\n!**/*.go\n", ["a", "b/c"], ["x.go", "b/c/x.go"]),
        ("a/../b\n./c\n", ["b", "c"], ["a"]),
        ("a?\nb[0-9]\n", ["ab", "b1"], ["a", "bx", "a/"]),
        ("node_modules\n", ["node_modules/x"], ["a/node_modules/x"]),
    ],
)
def test_patterns_as_buildkit_has_them(lines: str, out: list[str], kept: list[str]) -> None:
    patterns = Patterns.parse(lines)
    assert [path for path in out if not patterns.excludes(path)] == []
    assert [path for path in kept if patterns.excludes(path)] == []


def test_a_malformed_pattern_names_its_line_and_silences_the_context(tmp_path: Path) -> None:
    with pytest.raises(MalformedPattern) as caught:
        Patterns.parse("a\n[\n")
    assert caught.value.line == 2
    made(tmp_path, {".dockerignore": "[", "a": "1"})
    assert Context(tmp_path).files == ()
    assert said(tmp_path, {".env": "A=1"}, "COPY . /a", "IF306") == []


@given(st.lists(st.text(alphabet="ab*/!?.\\[]", max_size=6), max_size=4))
def test_patterns_are_read_or_refused(lines: list[str]) -> None:
    try:
        patterns = Patterns.parse("\n".join(lines))
    except MalformedPattern as error:
        refused = error.line
    else:
        refused = 0
    if refused:
        assert refused <= len(lines)
        return
    # The last line wins: a folder that is taken back takes all below it back.
    assert not Patterns.parse("\n".join([*lines, "!a"])).excludes("a/b")
    assert Patterns.parse("\n".join([*lines, "a"])).excludes("a/b")
    # What changes nothing changes nothing: a comment, an empty line.
    assert Patterns.parse("\n".join(["# c", *lines, ""])).excludes("a/b") == patterns.excludes("a/b")


def test_the_dockerfile_has_an_ignore_file_of_its_own(tmp_path: Path) -> None:
    made(tmp_path, {".dockerignore": "a", "Dockerfile.dockerignore": "b", "a": "1", "b": "1"})
    assert [one.path for one in Context(tmp_path, tmp_path / "Dockerfile").taken(".") if len(one.path) == 1] == ["a"]
    assert [one.path for one in Context(tmp_path, tmp_path / "Other").taken(".") if len(one.path) == 1] == ["b"]


def test_what_a_copy_takes(tmp_path: Path) -> None:
    context = Context(made(tmp_path, {"a/x.py": "1", "a/b/y.txt": "1", "c.txt": "1", ".git/HEAD": "1", "ab/z": "1"}))

    def paths(source: str, *excluded: str) -> list[str]:
        return [one.path for one in context.taken(source, excluded)]

    assert paths(".") == [".git", "a/b/y.txt", "a/x.py", "ab/z", "c.txt"]
    assert paths("a/") == paths("/a") == paths("./a") == ["a/b/y.txt", "a/x.py"]
    assert paths("*.txt") == ["c.txt"]
    assert paths("a*") == ["a/b/y.txt", "a/x.py", "ab/z"]
    assert paths("a", "*.py") == ["a/b/y.txt"]
    assert paths("a", "a/b") == ["a/x.py"]
    assert paths("../..") == paths(".")
    assert paths("none") == []


def test_nothing_outside_of_the_folder_is_read(tmp_path: Path) -> None:
    inside = made(tmp_path / "in", {"real": "1"})
    made(tmp_path, {"secret.pem": KEY})
    (inside / "out.pem").symlink_to(tmp_path / "secret.pem")
    (inside / "loop").symlink_to(inside)
    (inside / "link").symlink_to("real")
    os.mkfifo(inside / "pipe")
    context = Context(inside)
    assert [one.path for one in context.files] == ["real"]
    assert context.read("out.pem", 99) is None
    assert context.read("../secret.pem", 99) is None
    assert context.read("pipe", 99) is None
    assert context.read("none", 99) is None
    assert context.read("link", 99) == "1"


def test_a_large_context_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linters.context.folder.MOST", 5)
    context = Context(made(tmp_path, {f"f{number}": "1" for number in range(9)}))
    assert len(context.files) == 5
    assert not context.complete


@pytest.mark.parametrize(
    ("files", "lines", "severity"),
    [
        ({".env": f"API_TOKEN={TOKEN}"}, "COPY . /a", Severity.ERROR),
        ({"conf/.env.prod": f"export API_TOKEN='{TOKEN}'"}, "COPY conf /a", Severity.ERROR),
        ({".env": "DB_PASSWORD=geheim"}, "COPY .env /a", Severity.WARNING),
        ({"k.pem": KEY}, "ADD k.pem /a", Severity.ERROR),
        ({"x/id_rsa": KEY}, "COPY x/ /a", Severity.ERROR),
        ({"tests/k.pem": KEY}, "COPY . /a", None),
        ({".git-credentials": f"https://me:{TOKEN}@example.org"}, "COPY .git-credentials /a", Severity.ERROR),
        ({"home/.aws/credentials": f"aws_secret_access_key = {TOKEN}"}, "COPY home /a", Severity.ERROR),
        ({".docker/config.json": '{"auths": {"r": {"auth": "YTpi"}}}'}, "COPY . /a", Severity.ERROR),
        ({".netrc": f"machine a login b password {TOKEN}"}, "COPY .netrc /a", Severity.ERROR),
        (
            {"service-account.json": '{"private_key": "' + KEY.replace("\n", "\\n") + '"}'},
            "COPY *.json /a",
            Severity.ERROR,
        ),
        # Not in the image, or no secret.
        ({".env": f"API_TOKEN={TOKEN}", ".dockerignore": ".env"}, "COPY . /a", None),
        ({".env": f"API_TOKEN={TOKEN}"}, "COPY --exclude=.env . /a", None),
        ({".env": f"API_TOKEN={TOKEN}"}, "COPY --from=x:1 .env /a", None),
        ({".env": f"API_TOKEN={TOKEN}", "src/a": "1"}, "COPY src /a", None),
        ({".env": "API_TOKEN=\nDEBUG=1\nDB_PASSWORD=${PW}"}, "COPY . /a", None),
        ({".env.example": f"API_TOKEN={TOKEN}"}, "COPY . /a", None),
        ({"ca.pem": "-----BEGIN CERTIFICATE-----\nQW4gZXhhbXBsZSwgYW5k\n"}, "COPY . /a", None),
        ({"public.pem": KEY}, "COPY . /a", None),
        ({".npmrc": "//r/:_authToken=${NPM_TOKEN}"}, "COPY . /a", None),
        ({"parser.pem": "-----BEGIN PRIVATE KEY-----"}, "COPY . /a", None),
        ({".docker/config.json": "{}"}, "COPY . /a", None),
        ({".docker/config.json": "[1]"}, "COPY . /a", None),
    ],
)
def test_secret_files(tmp_path: Path, files: dict[str, str], lines: str, severity: Severity | None) -> None:
    found = said(tmp_path, files, lines, "IF211")
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(one.basis is Basis.CONTEXT and one.line == 3 and TOKEN not in repr(one) for one in found)


def test_a_build_stage_may_hold_a_key(tmp_path: Path) -> None:
    text = "FROM a:1 AS build\nCOPY . .\nFROM b:1\nCOPY --from=build /x /x\nUSER 1\n"
    found = judged(text, context=made(tmp_path, {"k.pem": KEY}))
    assert not {one.rule for one in found} & {"IF211", "IF306"}


@pytest.mark.parametrize(
    ("files", "lines", "severity"),
    [
        ({".git/HEAD": "1"}, "COPY . /a", Severity.WARNING),
        ({"web/node_modules/a.js": "1"}, "ADD ./ /a", Severity.WARNING),
        ({"pom.xml": "1", "target/a.jar": "1"}, "COPY . /a", Severity.WARNING),
        ({".env.local": "1"}, "COPY / /a", Severity.WARNING),
        ({"a": "1"}, "COPY . /a", Severity.INFO),
        ({"a": "1", ".dockerignore": ".git"}, "COPY . /a", None),
        ({".git/HEAD": "1", ".dockerignore": ".*"}, "COPY . /a", None),
        ({".git/HEAD": "1"}, "COPY --exclude=.git . /a", None),
        ({"target/a": "1", ".dockerignore": "x"}, "COPY . /a", None),
        ({"ca.pem": "1", ".dockerignore": "x"}, "COPY . /a", None),
        ({".git/HEAD": "1"}, "COPY src /a", None),
    ],
)
def test_whole_folders(tmp_path: Path, files: dict[str, str], lines: str, severity: Severity | None) -> None:
    found = said(tmp_path, files, lines, "IF306")
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_how_large_a_folder_may_be_is_for_the_project_to_say(tmp_path: Path) -> None:
    made(tmp_path, {".dockerignore": "x"})
    with (tmp_path / "large").open("wb") as file:
        file.truncate(3_000_000)
    for largest, expected in ((2, 1), (4, 0)):
        policy = Policy(options={"IF306": {"megabytes": largest}})
        job = Job(dockerfile=tmp_path / "D", name="D", text="FROM a:1\nCOPY . /a\n", context=tmp_path, policy=policy)
        assert len([one for one in own_findings(job) if one.rule == "IF306"]) == expected


@pytest.mark.parametrize(
    ("script", "severity"),
    [
        ("nginx &\nphp-fpm\n", None),
        ("nginx &\nphp-fpm &\nwait -n\n", Severity.ERROR),
        ("service nginx start\nservice cron start\nexec a\n", Severity.ERROR),
        ("a\nexec supervisord -n\n", Severity.ERROR),
        ("migrate\n./server --port 1\n", Severity.WARNING),
        ('migrate\nexec "$@"\n', None),
        ('if [ "$1" = x ]; then\n  exec a\nfi\n"$@"\n', None),
        ("server &\npid=$!\ntrap 'kill $pid' TERM\nwait $pid\n", None),
        ("mysqld &\nredis-server &\nload\nkill %1 %2\nexec a\n", None),
        ("echo done\n", None),
        ('curl -fsS -d "$1" https://api.example/send\n', None),
        ("set -e\n", None),
    ],
)
def test_start_scripts(tmp_path: Path, script: str, severity: Severity | None) -> None:
    files = {"docker/start.sh": f"#!/bin/sh\n{script}"}
    found = said(tmp_path, files, 'COPY docker/ /opt/\nENTRYPOINT ["/opt/start.sh"]', "IF109")
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all((one.line, one.column, one.end_column) == (4, 13, 28) for one in found)


BAD_START = "#!/bin/bash\na &\nb &\nwait\n"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ('COPY start.sh /start.sh\nCMD ["/start.sh"]', True),
        ('COPY start.sh /usr/local/bin/\nENTRYPOINT ["tini", "--", "start.sh"]', True),
        ('WORKDIR /app\nCOPY . .\nCMD ["bash", "-e", "start.sh"]', True),
        ("WORKDIR /app\nCOPY . ./\nCMD ./start.sh", True),
        ('COPY *.sh /x/\nCMD ["/x/start.sh"]', True),
        ("COPY <<'EOF' /start.sh\n#!/bin/sh\na &\nb &\nEOF\nCMD [\"/start.sh\"]", True),
        ('COPY start.sh /start.sh\nCOPY other.sh /start.sh\nCMD ["/start.sh"]', False),
        ('COPY start.sh /start.sh\nCMD ["/other.sh"]', False),
        ('COPY start.sh $X\nCMD ["/start.sh"]', False),
        ('COPY program /start.sh\nCMD ["/start.sh"]', False),
        ("COPY start.sh /start.sh\nRUN /start.sh", False),
    ],
)
def test_the_script_is_found_as_the_build_takes_it(tmp_path: Path, lines: str, found: bool) -> None:
    files = {"start.sh": BAD_START, "other.sh": "#!/bin/sh\nexec a\n", "program": "\x7fELF"}
    assert bool(said(tmp_path, files, lines, "IF109")) is found


def test_the_script_is_found_through_a_build_stage(tmp_path: Path) -> None:
    made(tmp_path, {"s/start.sh": BAD_START})
    text = 'FROM a:1 AS build\nCOPY s /s\nFROM b:1\nCOPY --from=build /s/start.sh /\nUSER 1\nCMD ["/start.sh"]\n'
    assert [one.line for one in judged(text, context=tmp_path) if one.rule == "IF109"] == [6]
    made(tmp_path, {".dockerignore": "s/start.sh"})
    assert [one.line for one in judged(text, context=tmp_path) if one.rule == "IF109"] == []


@pytest.mark.parametrize(
    ("script", "severity"),
    [
        ("apt-get update && apt-get install -y x\nexec a\n", Severity.ERROR),
        ("set -e\npip install -r r.txt\nexec a\n", Severity.ERROR),
        ('if [ -n "$EXTRA" ]; then\n  pip install x\nfi\nexec a\n', Severity.WARNING),
        ("pip install $EXTRA\nexec a\n", Severity.WARNING),
        ("[ -d x ] || git clone https://example.org/x\nexec a\n", Severity.WARNING),
        ("./manage.py migrate\nnpm run build\nexec a\n", None),
    ],
)
def test_what_a_start_script_installs(tmp_path: Path, script: str, severity: Severity | None) -> None:
    files = {"start.sh": f"#!/bin/sh\n{script}"}
    found = said(tmp_path, files, 'COPY start.sh /\nCMD ["/start.sh"]', "IF206")
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_a_script_that_gives_root_up_is_no_error(tmp_path: Path) -> None:
    text = 'FROM a:1\nUSER root\nCOPY start.sh /\nENTRYPOINT ["/start.sh"]\n'
    made(tmp_path, {"start.sh": '#!/bin/sh\nexec gosu app "$@"\n'})
    rules = {one.rule: one.severity for one in judged(text, context=tmp_path)}
    assert "IF401" not in rules
    assert rules["IF412"] is Severity.INFO
    made(tmp_path, {"start.sh": '#!/bin/sh\nexec "$@"\n'})
    rules = {one.rule: one.severity for one in judged(text, context=tmp_path)}
    assert rules["IF401"] is Severity.ERROR  # its text has been read, and does not change the user


def test_package_json_tells_what_npm_starts(tmp_path: Path) -> None:
    files = {"web/package.json": '{"scripts": {"start": "PORT=1 react-scripts start", "prod": "node x"}}'}
    lines = 'WORKDIR /app\nCOPY web/package*.json ./\nCMD ["npm", "{}"]'
    assert [one.basis for one in said(tmp_path, files, lines.format("start"), "IF208")] == [Basis.CONTEXT]
    assert said(tmp_path, files, lines.replace('"npm", "{}"', '"npm", "run", "prod"'), "IF208") == []
    for broken in ("[]", "{", '{"scripts": 1}', '{"scripts": {"start": 1}}'):
        assert said(tmp_path, {"web/package.json": broken}, lines.format("start"), "IF208") == []


def test_a_path_with_blanks_may_be_one(tmp_path: Path) -> None:
    lines = 'COPY . /opt/\nCMD ["/opt/my app/run it"]'
    assert said(tmp_path, {"my app/run it": "1"}, lines, "IF107") == []
    assert len(said(tmp_path, {}, lines.replace("run it", "run -x"), "IF107")) == 1


def test_check_reads_the_context(tmp_path: Path) -> None:
    made(tmp_path, {"Dockerfile": "FROM a:1\nCOPY . /a\nUSER 1\n", "k.key": KEY})
    report = check(tmp_path / "Dockerfile", context=tmp_path)
    assert "IF211" in {one.rule for one in report.findings}
    assert "IF211" not in {one.rule for one in check(tmp_path / "Dockerfile").findings}


def test_an_ignore_file_of_thousands_of_lines_says_nothing(tmp_path: Path) -> None:
    made(tmp_path, {".dockerignore": "\n".join(f"a{number}*b" for number in range(MOST_PATTERNS + 2)), "f": "1"})
    assert Context(tmp_path).patterns is None
    assert Context(tmp_path).files == ()


def test_npm_installs_for_developers_only_what_package_json_names(tmp_path: Path) -> None:
    lines = "WORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci"
    lock = {"package-lock.json": "{}"}
    assert said(tmp_path, {**lock, "package.json": '{"dependencies": {"a": "1"}}'}, lines, "IF309") == []
    assert said(tmp_path, {**lock, "package.json": '{"devDependencies": {"b": "1"}}'}, lines, "IF309") != []


def test_what_was_not_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linters.context.folder.MOST", 5)
    made(tmp_path, {"Dockerfile": "FROM a:1\nCOPY . /a\nUSER 1\n", **{f"f{number}": "1" for number in range(9)}})
    assert any("entries were checked" in note for note in check(tmp_path / "Dockerfile", context=tmp_path).notes)
    made(tmp_path, {".dockerignore": "a[\n"})
    assert any("was not checked" in note for note in check(tmp_path / "Dockerfile", context=tmp_path).notes)
